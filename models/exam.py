"""The exams table. What a status may become is kept by the trigger exams_guard."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, LiteralString
from uuid import UUID

from pydantic import JsonValue

from models.transaction import Transaction, columns_of


class ExamStatus(StrEnum):
    DRAFT = "draft"
    SCHEDULED = "scheduled"
    ACTIVE = "active"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    ARCHIVED = "archived"


# Repeats exams_guard, so that a refusal can say what is possible instead.
NEXT_STATUSES: Final[dict[ExamStatus, tuple[ExamStatus, ...]]] = {
    ExamStatus.DRAFT: (ExamStatus.SCHEDULED, ExamStatus.CANCELLED),
    ExamStatus.SCHEDULED: (ExamStatus.ACTIVE, ExamStatus.CANCELLED),
    ExamStatus.ACTIVE: (ExamStatus.COMPLETED, ExamStatus.CANCELLED),
    ExamStatus.COMPLETED: (ExamStatus.ARCHIVED,),
    ExamStatus.CANCELLED: (ExamStatus.ARCHIVED,),
    ExamStatus.ARCHIVED: (),
}
# In these statuses an exam may still be edited and assigned.
OPEN_STATUSES: Final = frozenset(
    {ExamStatus.DRAFT, ExamStatus.SCHEDULED, ExamStatus.ACTIVE}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamContent:
    """What an admin writes of an exam, apart from its questions."""

    title: str
    description: str
    instructions: str
    duration_minutes: int
    starts_at: datetime | None
    ends_at: datetime | None
    passing_score_percent: Decimal
    shuffle_questions: bool
    shuffle_options: bool
    max_attempts: int
    # The policy's JSON; services/proctoring_policy.py gives it a type.
    proctoring: dict[str, JsonValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exam(ExamContent):
    id: UUID
    status: ExamStatus
    version: int
    frozen_at: datetime | None
    created_by: UUID
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedExam(Exam):
    """An exam, and how much there is in it."""

    question_count: int
    total_points: Decimal
    assigned_count: int
    attempt_count: int


COLUMNS: LiteralString = """
    id, title, description, instructions, duration_minutes, starts_at, ends_at,
    passing_score_percent, shuffle_questions, shuffle_options, max_attempts,
    proctoring, status, version, frozen_at, created_by, created_at, updated_at
"""
RETURNING: LiteralString = " RETURNING" + COLUMNS

GET: LiteralString = "SELECT" + COLUMNS + "FROM exams WHERE id = %(id)s"

FOR_SHARE: LiteralString = " FOR SHARE"

# Not FOR UPDATE: whoever inserts a row that refers to the exam need not wait.
FOR_CHANGE: LiteralString = " FOR NO KEY UPDATE"

NOW: LiteralString = "SELECT clock_timestamp()"

INSERT: LiteralString = """
    INSERT INTO exams (
        id, title, description, instructions, duration_minutes, starts_at, ends_at,
        passing_score_percent, shuffle_questions, shuffle_options, max_attempts,
        proctoring, created_by)
    VALUES (
        %(id)s, %(title)s, %(description)s, %(instructions)s, %(duration_minutes)s,
        %(starts_at)s, %(ends_at)s, %(passing_score_percent)s, %(shuffle_questions)s,
        %(shuffle_options)s, %(max_attempts)s, %(proctoring)s, %(created_by)s)
"""

REPLACE: LiteralString = """
    UPDATE exams
       SET title = %(title)s, description = %(description)s,
           instructions = %(instructions)s, duration_minutes = %(duration_minutes)s,
           starts_at = %(starts_at)s, ends_at = %(ends_at)s,
           passing_score_percent = %(passing_score_percent)s,
           shuffle_questions = %(shuffle_questions)s,
           shuffle_options = %(shuffle_options)s, max_attempts = %(max_attempts)s,
           proctoring = %(proctoring)s,
           version = version + 1, updated_at = clock_timestamp()
     WHERE id = %(id)s
"""

# Opening early and closing early move the window, which so never says what was not.
SET_STATUS: LiteralString = """
    UPDATE exams
       SET status = %(status)s,
           starts_at = CASE WHEN %(status)s = 'active'
                            THEN least(starts_at, clock_timestamp())
                            ELSE starts_at END,
           ends_at = CASE WHEN %(status)s = 'completed'
                          THEN least(ends_at, clock_timestamp())
                          ELSE ends_at END,
           version = version + 1, updated_at = clock_timestamp()
     WHERE id = %(id)s
"""

TOUCH: LiteralString = """
    UPDATE exams SET version = version + 1, updated_at = clock_timestamp()
     WHERE id = %(id)s
"""

FREEZE: LiteralString = """
    UPDATE exams
       SET frozen_at = clock_timestamp(), version = version + 1,
           updated_at = clock_timestamp()
     WHERE id = %(id)s AND frozen_at IS NULL
"""

DELETE: LiteralString = "DELETE FROM exams WHERE id = %(id)s"

HAS_ATTEMPTS: LiteralString = (
    "SELECT EXISTS (SELECT FROM attempts WHERE exam_id = %(id)s)"
)

LIST: LiteralString = """
    SELECT exams.id, title, description, instructions, duration_minutes, starts_at,
           ends_at, passing_score_percent, shuffle_questions, shuffle_options,
           max_attempts, proctoring, status, version, frozen_at, created_by,
           created_at, updated_at,
           content.question_count, content.total_points,
           (SELECT count(*) FROM exam_assignments
             WHERE exam_id = exams.id) AS assigned_count,
           (SELECT count(*) FROM attempts WHERE exam_id = exams.id) AS attempt_count
      FROM exams
     CROSS JOIN LATERAL (
           SELECT count(*) AS question_count, coalesce(sum(points), 0) AS total_points
             FROM questions WHERE exam_id = exams.id) AS content
     WHERE (%(status)s::text IS NULL OR status = %(status)s)
       AND (%(title_pattern)s::text IS NULL
            OR lower(title) LIKE lower(%(title_pattern)s))
       AND (%(proctor_id)s::uuid IS NULL OR EXISTS (
                SELECT FROM exam_proctors
                 WHERE exam_id = exams.id AND proctor_id = %(proctor_id)s))
       AND (%(before)s::uuid IS NULL OR exams.id < %(before)s)
     ORDER BY exams.id DESC
     LIMIT %(limit)s
"""

# Asked every second, so it takes no lock and can use the partial indexes.
IS_ANY_DUE: LiteralString = """
    SELECT EXISTS (
               SELECT FROM exams
                WHERE status = 'scheduled' AND starts_at <= statement_timestamp())
        OR EXISTS (
               SELECT FROM exams
                WHERE status = 'active' AND ends_at <= statement_timestamp()
                  AND NOT EXISTS (
                      SELECT FROM attempts
                       WHERE exam_id = exams.id
                         AND status IN ('in_progress', 'paused')))
"""

# Another sweeper that has locked a row is opening it, so we need not.
OPEN_DUE: LiteralString = """
    UPDATE exams
       SET status = 'active', version = version + 1, updated_at = clock_timestamp()
     WHERE id IN (
           SELECT id FROM exams
            WHERE status = 'scheduled' AND starts_at <= clock_timestamp()
            ORDER BY starts_at LIMIT 100 FOR UPDATE SKIP LOCKED)
"""

# A forgotten pause may last for ever, and must not use up the limit. CLOSE looks again.
LOCK_ENDED: LiteralString = """
    SELECT id FROM exams
     WHERE status = 'active' AND ends_at <= clock_timestamp() AND NOT EXISTS (
           SELECT FROM attempts
            WHERE exam_id = exams.id AND status IN ('in_progress', 'paused'))
     ORDER BY ends_at LIMIT 100 FOR UPDATE SKIP LOCKED
"""

CLOSE: LiteralString = """
    UPDATE exams
       SET status = 'completed', version = version + 1, updated_at = clock_timestamp()
     WHERE id = ANY (%(ids)s) AND NOT EXISTS (
           SELECT FROM attempts
            WHERE exam_id = exams.id AND status IN ('in_progress', 'paused'))
"""


@dataclass(frozen=True, slots=True)
class _Id:
    id: UUID


def now(tx: Transaction) -> datetime:
    """Return the database's time, which is the only one that decides."""
    found: datetime = tx.scalar(NOW)
    return found


def get(tx: Transaction, exam_id: UUID) -> Exam | None:
    return tx.one_or_none(Exam, GET, {"id": exam_id})


def get_of_row(tx: Transaction, exam_id: UUID) -> Exam:
    """Read the exam that a row refers to, which is there as long as the row is."""
    return tx.one(Exam, GET, {"id": exam_id})


def get_for_share(tx: Transaction, exam_id: UUID) -> Exam | None:
    """Read an exam that nobody can change until the end of the transaction."""
    return tx.one_or_none(Exam, GET + FOR_SHARE, {"id": exam_id})


def get_for_update(tx: Transaction, exam_id: UUID) -> Exam | None:
    """Read an exam that nobody else can change, nor share, until the end."""
    return tx.one_or_none(Exam, GET + FOR_CHANGE, {"id": exam_id})


def insert(
    tx: Transaction, exam_id: UUID, created_by: UUID, content: ExamContent
) -> Exam:
    row = columns_of(content) | {"id": exam_id, "created_by": created_by}
    return tx.one(Exam, INSERT + RETURNING, row)


def replace(tx: Transaction, exam_id: UUID, content: ExamContent) -> Exam:
    """Write an exam anew. ConstraintError `exams_frozen` if it may not change so."""
    return tx.one(Exam, REPLACE + RETURNING, columns_of(content) | {"id": exam_id})


def set_status(tx: Transaction, exam_id: UUID, status: ExamStatus) -> Exam:
    """Take a step. ConstraintError `exams_status_step` if there is no such step."""
    return tx.one(Exam, SET_STATUS + RETURNING, {"id": exam_id, "status": status})


def touch(tx: Transaction, exam_id: UUID) -> Exam:
    """Count a change of what belongs to the exam."""
    return tx.one(Exam, TOUCH + RETURNING, {"id": exam_id})


def freeze(tx: Transaction, exam_id: UUID) -> Exam | None:
    """Forbid changes of questions and rules, or return None if they are forbidden."""
    return tx.one_or_none(Exam, FREEZE + RETURNING, {"id": exam_id})


def delete(tx: Transaction, exam_id: UUID) -> bool:
    """Delete an exam and all that belongs to it.

    ConstraintError `attempts_assignment_fkey` if there are attempts.
    """
    return tx.execute(DELETE, {"id": exam_id}) == 1


def has_attempts(tx: Transaction, exam_id: UUID) -> bool:
    return bool(tx.scalar(HAS_ATTEMPTS, {"id": exam_id}))


def list_page(
    tx: Transaction,
    *,
    limit: int,
    before: UUID | None = None,
    status: ExamStatus | None = None,
    title_pattern: str | None = None,
    proctor_id: UUID | None = None,
) -> Sequence[ListedExam]:
    """Read exams, newest first. `title_pattern` is for LIKE; case is ignored."""
    return tx.all(
        ListedExam,
        LIST,
        {
            "limit": limit,
            "before": before,
            "status": status,
            "title_pattern": title_pattern,
            "proctor_id": proctor_id,
        },
    )


def is_any_due(tx: Transaction) -> bool:
    """Say whether there is anything for `open_due` or `close_due`."""
    return bool(tx.scalar(IS_ANY_DUE))


def open_due(tx: Transaction) -> Sequence[Exam]:
    """Open scheduled exams whose time has come, and return them."""
    return tx.all(Exam, OPEN_DUE + RETURNING)


def close_due(tx: Transaction) -> Sequence[Exam]:
    """Complete exams whose time is over and that nobody sits any more."""
    # Two statements: an attempt that was started while we locked the exams is seen by
    # the second one only.
    ended = tx.all(_Id, LOCK_ENDED)
    if not ended:
        return []
    return tx.all(Exam, CLOSE + RETURNING, {"ids": [exam.id for exam in ended]})
