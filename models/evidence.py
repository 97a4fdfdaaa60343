"""What a bundle of evidence is made of: an attempt's entries in full, and its rows.

Read as they stand, without the joins that other readers make: what has no entry in the
log must be seen too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString
from uuid import UUID

from models import ai_analysis
from models.ai_analysis import AiAnalysis
from models.proctoring import ProctoringEvent
from models.transaction import Transaction

# More rows than any bundle has room for.
ALL_ROWS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedEntry:
    """An audit entry with all that its hash covers. Hashes have 32 bytes.

    `recorded_at_us` counts microseconds since 1970, UTC. `payload` and `payload_salt`
    are None after a redaction.
    """

    seq: int
    recorded_at_us: int
    xid: int
    flags: int
    schema_version: int
    attempt_id: UUID | None
    actor_id: str | None
    event_type: str
    entity_type: str
    entity_id: str
    payload: str | None
    payload_salt: bytes | None
    payload_hash: bytes
    state_hash: bytes
    previous_hash: bytes
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is recorded of an attempt: entries, the last one's number, bytes."""

    entries: int
    last_entry: int
    recorded_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """An attempt as the application sees it, with the names that a reader looks for."""

    id: UUID
    exam_id: UUID
    exam_title: str
    student_id: UUID
    student_name: str
    student_email: str
    attempt_number: int
    status: str
    started_at: datetime
    deadline_at: datetime
    paused_at: datetime | None
    paused_seconds: int
    extended_seconds: int
    ended_at: datetime | None
    ended_by: str | None
    end_reason: str | None
    score: str | None
    max_score: str
    is_passed: bool | None
    review_status: str
    review_note: str | None
    reviewed_by: UUID | None
    reviewed_at: datetime | None


MEASURE: LiteralString = """
    SELECT count(*) AS entries, coalesce(max(seq), 0) AS last_entry,
           (coalesce(sum(octet_length(payload)), 0)
            + (SELECT coalesce(sum(octet_length(payload::text)), 0)
                 FROM proctoring_events WHERE attempt_id = %(attempt_id)s)
            + (SELECT coalesce(sum(octet_length(response::text)), 0)
                 FROM answers WHERE attempt_id = %(attempt_id)s)
            + (SELECT coalesce(sum(octet_length(result::text)), 0)
                 FROM ai_analyses WHERE attempt_id = %(attempt_id)s)
           )::bigint AS recorded_bytes
      FROM audit_log
     WHERE attempt_id = %(attempt_id)s
"""

# Whole seconds and microseconds apart: before PostgreSQL 14 the epoch is a float.
SEALED: LiteralString = """
    SELECT seq,
           extract(epoch FROM date_trunc('second', recorded_at))::bigint * 1000000
               + extract(microseconds FROM recorded_at)::bigint %% 1000000
               AS recorded_at_us,
           xid, flags, schema_version, attempt_id, actor_id, event_type, entity_type,
           entity_id, payload, payload_salt, payload_hash, state_hash, previous_hash,
           hash
      FROM audit_log
"""

# With what names the log, and what says why some of them are empty. Each part is found
# by an index of its own: as one condition with OR all of the log was read. An erasure
# is not read as JSON: one that was edited would keep bundles from being made.
OF_ATTEMPT: LiteralString = """
     WHERE seq IN (
           SELECT 0
            UNION
           SELECT seq FROM audit_log WHERE attempt_id = %(attempt_id)s
            UNION
           SELECT seq FROM audit_log WHERE event_type = 'log.epoch_opened'
            UNION
           SELECT erasure.seq
             FROM audit_log AS erasure,
                  regexp_matches(
                      substring(erasure.payload FROM '"entries":[[]([][0-9,]*)[]]'),
                      '[[]([0-9]{1,18}),([0-9]{1,18})[]]', 'g') AS ranges(range),
                  audit_log AS erased
            WHERE erasure.event_type = 'data.erased'
              AND erased.attempt_id = %(attempt_id)s AND erased.payload IS NULL
              AND erased.seq BETWEEN range[1]::bigint AND range[2]::bigint)
     ORDER BY seq
"""
LIST_ENTRIES: LiteralString = SEALED + OF_ATTEMPT

GET_ENTRY: LiteralString = SEALED + " WHERE seq = %(seq)s"

GET_ATTEMPT: LiteralString = """
    SELECT attempts.id, attempts.exam_id, exams.title AS exam_title,
           attempts.student_id, users.full_name AS student_name,
           users.email AS student_email, attempts.attempt_number, attempts.status,
           attempts.started_at, attempts.deadline_at, attempts.paused_at,
           attempts.paused_seconds, attempts.extended_seconds, attempts.ended_at,
           attempts.ended_by, attempts.end_reason, attempts.score::text AS score,
           attempts.max_score::text AS max_score, attempts.is_passed,
           attempts.review_status, attempts.review_note, attempts.reviewed_by,
           attempts.reviewed_at
      FROM attempts
      JOIN exams ON exams.id = attempts.exam_id
      JOIN users ON users.id = attempts.student_id
     WHERE attempts.id = %(attempt_id)s
"""

LIST_EVENTS: LiteralString = """
    SELECT id, attempt_id, batch_id, client_event_id, sequence, event_type, event_class,
           severity, occurred_at, received_at, payload
      FROM proctoring_events
     WHERE attempt_id = %(attempt_id)s
     ORDER BY occurred_at, id
"""


def measure(tx: Transaction, attempt_id: UUID) -> Extent:
    return tx.one(Extent, MEASURE, {"attempt_id": attempt_id})


def list_entries(tx: Transaction, attempt_id: UUID) -> Sequence[SealedEntry]:
    """Read the entries that name the log, all of an attempt, and their erasures."""
    return tx.all(SealedEntry, LIST_ENTRIES, {"attempt_id": attempt_id})


def get_entry(tx: Transaction, seq: int) -> SealedEntry | None:
    return tx.one_or_none(SealedEntry, GET_ENTRY, {"seq": seq})


def get_attempt(tx: Transaction, attempt_id: UUID) -> AttemptRow:
    """Read an attempt that exists."""
    return tx.one(AttemptRow, GET_ATTEMPT, {"attempt_id": attempt_id})


def list_events(tx: Transaction, attempt_id: UUID) -> Sequence[ProctoringEvent]:
    return tx.all(ProctoringEvent, LIST_EVENTS, {"attempt_id": attempt_id})


def list_analyses(tx: Transaction, attempt_id: UUID) -> Sequence[AiAnalysis]:
    """Read all analyses, trials too, the oldest first."""
    newest_first = ai_analysis.list_page(tx, attempt_id, limit=ALL_ROWS)
    return newest_first[::-1]
