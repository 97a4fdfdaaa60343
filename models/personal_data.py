"""All that is held on one person, as JSON that PostgreSQL makes of the rows.

Columns are listed one by one, so that a new one is not given out before somebody has
said so: tests/api/test_data_export.py compares them with the schema. Read through
cursors, so that it takes no more memory however much there is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, LiteralString
from uuid import UUID

from pydantic import JsonValue

from models.transaction import Transaction

Record = dict[str, JsonValue]

# A fetch of events has some megabytes at most; entries are up to one each.
ROWS_AT_ONCE: Final = 200
ENTRIES_AT_ONCE: Final = 40
# Entries of one actor have no index: an append must not pay for it. So many are looked
# through in one statement, which takes a fraction of its time limit.
ENTRIES_LOOKED_AT: Final = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldAttempt:
    """An attempt with what decides how much of it may be given out."""

    id: UUID
    # Its student sits at it now.
    is_running: bool
    # Nobody sits the exam any more, so that nobody gains by knowing more of it.
    is_exam_over: bool


@dataclass(frozen=True, slots=True)
class _Row:
    record: Record


@dataclass(frozen=True, slots=True)
class _Id:
    id: UUID


AS_JSON: LiteralString = "SELECT row_to_json(found) AS record FROM ("
END: LiteralString = ") AS found"

ACCOUNT: LiteralString = """
    SELECT id, email, email_canonical, full_name, role, must_change_password, is_active,
           created_at, updated_at
      FROM users WHERE id = %(user_id)s
"""
SESSIONS: LiteralString = """
    SELECT id, user_id, created_at, last_used_at, expires_at,
           host(ip_address) AS ip_address, user_agent, ended_at, ended_reason
      FROM sessions WHERE user_id = %(user_id)s ORDER BY id
"""
REFRESHES: LiteralString = """
    SELECT refresh_tokens.session_id, refresh_tokens.issued_at, refresh_tokens.used_at
      FROM refresh_tokens
      JOIN sessions ON sessions.id = refresh_tokens.session_id
     WHERE sessions.user_id = %(user_id)s
     ORDER BY refresh_tokens.session_id, refresh_tokens.issued_at
"""
ASSIGNMENTS: LiteralString = """
    SELECT exam_id, exams.title AS exam_title, student_id, extra_time_minutes,
           time_multiplier, assigned_at
      FROM exam_assignments
      JOIN exams ON exams.id = exam_id
     WHERE student_id = %(user_id)s ORDER BY assigned_at, exam_id
"""
EXAMS_WATCHED: LiteralString = """
    SELECT exam_id, exams.title AS exam_title, proctor_id, assigned_at
      FROM exam_proctors
      JOIN exams ON exams.id = exam_id
     WHERE proctor_id = %(user_id)s ORDER BY assigned_at, exam_id
"""
EXAMS_MADE: LiteralString = """
    SELECT id, title, created_by, created_at
      FROM exams WHERE created_by = %(user_id)s ORDER BY id
"""
ATTEMPTS: LiteralString = """
    SELECT attempts.id, exam_id, exams.title AS exam_title, student_id, attempt_number,
           attempts.status, started_at, deadline_at, paused_at, paused_seconds,
           extended_seconds, notice_seconds, ended_at, ended_by, end_reason,
           held_by_session, score, max_score, is_passed, review_status, review_note,
           reviewed_by, reviewed_at
      FROM attempts
      JOIN exams ON exams.id = exam_id
     WHERE student_id = %(user_id)s ORDER BY attempts.id
"""
ACTIVITY: LiteralString = """
    SELECT attempt_id, last_seen_at, contiguous_sequence, highest_sequence,
           reported_events, displaced_session, displaced_at,
           encode(refused_digest, 'hex') AS refused_digest, is_evidence_erased
      FROM attempt_activity
     WHERE attempt_id = ANY(%(attempt_ids)s) ORDER BY attempt_id
"""
# `options` are those that the student chose from, for him who shows what was chosen.
ANSWERS: LiteralString = """
    SELECT attempt_id, answers.exam_id, question_id, questions.kind, response,
           client_version, first_saved_at, saved_at, points_awarded, grader_comment,
           graded_by, questions.body -> 'options' AS options
      FROM answers
      JOIN questions ON questions.id = question_id
     WHERE attempt_id = ANY(%(attempt_ids)s) ORDER BY attempt_id, question_id
"""
EVENTS: LiteralString = """
    SELECT id, attempt_id, batch_id, client_event_id, sequence, event_type, event_class,
           severity, occurred_at, received_at, payload
      FROM proctoring_events
     WHERE attempt_id = ANY(%(attempt_ids)s) ORDER BY attempt_id, occurred_at, id
"""
ANALYSES: LiteralString = """
    SELECT id, attempt_id, model_version, is_official, risk_score, risk_level,
           confidence, result, encode(inputs_hash, 'hex') AS inputs_hash, created_at
      FROM ai_analyses
     WHERE attempt_id = ANY(%(attempt_ids)s) ORDER BY attempt_id, created_at, id
"""
APPEALS: LiteralString = """
    SELECT id, attempt_id, status, verdict_by, verdict_at, reason, lodged_at,
           reviewer_id, ended_at, decision_reason
      FROM appeals
     WHERE attempt_id = ANY(%(attempt_ids)s) ORDER BY id
"""
RECEIPTS: LiteralString = """
    SELECT attempt_id, seq AS audit_seq, recorded_at, encode(hash, 'hex')
               AS receipt_hash, payload::json ->> 'answers_digest' AS answers_digest
      FROM audit_log
     WHERE attempt_id = ANY(%(attempt_ids)s)
       AND event_type IN ('attempt.submitted', 'attempt.ended')
     ORDER BY seq
"""
# `is_about`: of him, and not only done by him.
ENTRIES: LiteralString = """
    SELECT * FROM (
        SELECT seq, recorded_at, event_type, entity_type, entity_id, actor_id,
               attempt_id, payload::json AS payload,
               coalesce(attempt_id = ANY(%(attempt_ids)s), false)
               OR entity_type = 'user' AND entity_id = %(user_id)s::text
               OR entity_type = 'session' AND entity_id = ANY(%(session_ids)s)
               OR event_type = ANY(%(naming)s)
                  AND strpos(payload, %(user_id)s::text) > 0 AS is_about
          FROM audit_log
         WHERE seq >= %(first)s AND seq < %(end)s) AS looked_at
     WHERE is_about OR actor_id = %(user_id)s::text
     ORDER BY seq
"""

# Each section that is rows of one statement.
SECTIONS: Final[dict[str, LiteralString]] = {
    "account": ACCOUNT,
    "sessions": SESSIONS,
    "refreshes": REFRESHES,
    "assignments": ASSIGNMENTS,
    "exams_watched": EXAMS_WATCHED,
    "exams_made": EXAMS_MADE,
    "attempts": ATTEMPTS,
    "activity": ACTIVITY,
    "answers": ANSWERS,
    "events": EVENTS,
    "analyses": ANALYSES,
    "appeals": APPEALS,
    "receipts": RECEIPTS,
}

LIST_ATTEMPTS: LiteralString = """
    SELECT attempts.id, attempts.status IN ('in_progress', 'paused') AS is_running,
           exams.status IN ('completed', 'cancelled', 'archived')
           -- Who was reopened sits the same questions still.
           AND NOT EXISTS (
               SELECT FROM attempts AS other
                WHERE other.exam_id = exams.id
                  AND other.status IN ('in_progress', 'paused')) AS is_exam_over
      FROM attempts
      JOIN exams ON exams.id = attempts.exam_id
     WHERE student_id = %(user_id)s
     ORDER BY attempts.id
"""
LIST_SESSIONS: LiteralString = "SELECT id FROM sessions WHERE user_id = %(user_id)s"
LIST_OTHER_USERS: LiteralString = """
    SELECT id FROM users WHERE id = ANY(%(ids)s) AND id <> %(user_id)s
"""
LIST_OTHER_ATTEMPTS: LiteralString = """
    SELECT id FROM attempts WHERE id = ANY(%(ids)s) AND student_id <> %(user_id)s
"""
CLOSE: LiteralString = "CLOSE held"
FETCH: LiteralString = "FETCH %(count)s FROM held"
DECLARE: LiteralString = "DECLARE held NO SCROLL CURSOR FOR "


def list_attempts(tx: Transaction, user_id: UUID) -> Sequence[HeldAttempt]:
    return tx.all(HeldAttempt, LIST_ATTEMPTS, {"user_id": user_id})


def list_session_ids(tx: Transaction, user_id: UUID) -> Sequence[UUID]:
    return [row.id for row in tx.all(_Id, LIST_SESSIONS, {"user_id": user_id})]


def list_other_users(
    tx: Transaction, user_id: UUID, ids: Sequence[UUID]
) -> frozenset[UUID]:
    """Return those of `ids` that are somebody else."""
    names = {"user_id": user_id, "ids": list(ids)}
    return frozenset(row.id for row in tx.all(_Id, LIST_OTHER_USERS, names))


def list_other_attempts(
    tx: Transaction, user_id: UUID, ids: Sequence[UUID]
) -> frozenset[UUID]:
    """Return those of `ids` that are attempts of somebody else."""
    names = {"user_id": user_id, "ids": list(ids)}
    return frozenset(row.id for row in tx.all(_Id, LIST_OTHER_ATTEMPTS, names))


def read_section(
    tx: Transaction, name: str, user_id: UUID, attempt_ids: Sequence[UUID]
) -> Iterator[Sequence[Record]]:
    """Read a section's rows in pieces. One section at a time in a transaction."""
    names = {"user_id": user_id, "attempt_ids": list(attempt_ids)}
    yield from _pieces(tx, AS_JSON + SECTIONS[name] + END, names, ROWS_AT_ONCE)


def read_entries(
    tx: Transaction,
    user_id: UUID,
    attempt_ids: Sequence[UUID],
    *,
    naming: Sequence[str],
    size: int,
) -> Iterator[Sequence[Record]]:
    """Read what the first `size` entries of the log say of a person or of his acts.

    `naming` are the types of entries whose payload may name him.
    """
    session_ids = [str(each) for each in list_session_ids(tx, user_id)]
    for first in range(0, size, ENTRIES_LOOKED_AT):
        names = {
            "user_id": user_id,
            "attempt_ids": list(attempt_ids),
            "session_ids": session_ids,
            "naming": list(naming),
            "first": first,
            "end": min(first + ENTRIES_LOOKED_AT, size),
        }
        yield from _pieces(tx, AS_JSON + ENTRIES + END, names, ENTRIES_AT_ONCE)


def _pieces(
    tx: Transaction, sql: LiteralString, names: dict[str, object], count: int
) -> Iterator[Sequence[Record]]:
    tx.execute(DECLARE + sql, names)
    while rows := tx.all(_Row, FETCH, {"count": count}):
        yield [row.record for row in rows]
    tx.execute(CLOSE)
