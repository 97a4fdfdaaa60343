"""The attempts table: what is read. A student has at most one that runs.

`read_at` in a row is the database's clock when the row was read, after any wait for its
lock: rules about time compare with it, and with no other clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final
from uuid import UUID

from models.transaction import Transaction


class AttemptStatus(StrEnum):
    IN_PROGRESS = "in_progress"
    PAUSED = "paused"
    SUBMITTED = "submitted"
    TERMINATED = "terminated"
    VOIDED = "voided"


class EndedBy(StrEnum):
    STUDENT = "student"
    DEADLINE = "deadline"
    EXAM_CLOSED = "exam_closed"
    PROCTOR = "proctor"
    ADMIN = "admin"


class ReviewStatus(StrEnum):
    NONE = "none"
    QUEUED = "queued"
    IN_REVIEW = "in_review"
    NEEDS_SECOND_REVIEW = "needs_second_review"
    CLEARED = "cleared"
    CONFIRMED_VIOLATION = "confirmed_violation"
    TECHNICAL_ERROR = "technical_error"


# What was sent in time may arrive late. The sweeper waits as long, so no attempt ends
# while its student may still write.
NETWORK_LEEWAY: Final = timedelta(seconds=2)
RUNNING: Final = (AttemptStatus.IN_PROGRESS, AttemptStatus.PAUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedQuestion:
    """A question's place in one student's paper, and the order of its options."""

    question_id: UUID
    option_ids: tuple[UUID, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptClock:
    """An attempt's state and its times, as they were at `read_at`."""

    id: UUID
    status: AttemptStatus
    started_at: datetime
    deadline_at: datetime
    paused_at: datetime | None
    ended_at: datetime | None
    read_at: datetime

    @property
    def is_running(self) -> bool:
        return self.status in RUNNING

    @property
    def is_time_up(self) -> bool:
        """Its deadline has come, and nobody has ended it yet."""
        is_counting = self.status is AttemptStatus.IN_PROGRESS
        return is_counting and self.read_at >= self.deadline_at

    @property
    def is_overdue(self) -> bool:
        """Its time is over, leeway included, and nobody has ended it yet."""
        return (
            self.status is AttemptStatus.IN_PROGRESS
            and self.read_at > self.deadline_at + NETWORK_LEEWAY
        )

    @property
    def server_time(self) -> datetime:
        return self.read_at

    @property
    def seconds_remaining(self) -> int:
        """Whole seconds left to work; during a pause they do not run."""
        if not self.is_running:
            return 0
        clock = self.paused_at or self.read_at
        return max(0, int((self.deadline_at - clock).total_seconds()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt(AttemptClock):
    exam_id: UUID
    student_id: UUID
    attempt_number: int
    paused_seconds: int
    extended_seconds: int
    ended_by: EndedBy | None
    end_reason: str | None
    held_by_session: UUID | None
    score: Decimal | None
    max_score: Decimal
    is_passed: bool | None
    review_status: ReviewStatus
    review_note: str | None
    reviewed_by: UUID | None
    reviewed_at: datetime | None


COLUMNS = """
    attempts.id, attempts.exam_id, attempts.student_id, attempts.attempt_number,
    attempts.status, attempts.started_at, attempts.deadline_at, attempts.paused_at,
    attempts.paused_seconds, attempts.extended_seconds, attempts.ended_at,
    attempts.ended_by, attempts.end_reason, attempts.held_by_session, attempts.score,
    attempts.max_score, attempts.is_passed, attempts.review_status,
    attempts.review_note, attempts.reviewed_by, attempts.reviewed_at,
    clock_timestamp() AS read_at
"""
SELECT = "SELECT " + COLUMNS + " FROM attempts "  # noqa: S608 - of constants alone
RETURNING = " RETURNING " + COLUMNS
BY_ID = " WHERE attempts.id = %(id)s "

GET = SELECT + BY_ID
# A SELECT … FOR UPDATE reads the clock before it waits for the lock. Two statements in
# one message read it afterwards.
LOCK_FOR_UPDATE = "SELECT FROM attempts WHERE id = %(id)s FOR UPDATE; "
LOCK_FOR_SHARE = "SELECT FROM attempts WHERE id = %(id)s FOR SHARE; "
GET_FOR_UPDATE = LOCK_FOR_UPDATE + GET
GET_FOR_SHARE = LOCK_FOR_SHARE + GET

LOCK_RUNNING = """
    SELECT FROM attempts
     WHERE student_id = %(student_id)s AND status IN ('in_progress', 'paused')
       FOR UPDATE;
"""
GET_RUNNING_FOR_UPDATE = (
    LOCK_RUNNING
    + SELECT
    + """
     WHERE attempts.student_id = %(student_id)s
       AND attempts.status IN ('in_progress', 'paused')
"""
)

# The student's index leads there; one of the holders would be moved by every hand-over.
FIND_HELD = """
    SELECT attempts.id
      FROM sessions
      JOIN attempts ON attempts.student_id = sessions.user_id
     WHERE sessions.id = %(session_id)s AND held_by_session = sessions.id
       AND status IN ('in_progress', 'paused')
"""

LOCK_RUNNING_OF_EXAM = """
    SELECT FROM attempts
     WHERE exam_id = %(exam_id)s AND status IN ('in_progress', 'paused')
     ORDER BY id
       FOR UPDATE;
"""
LIST_RUNNING_OF_EXAM = (
    LOCK_RUNNING_OF_EXAM
    + SELECT
    + """
     WHERE attempts.exam_id = %(exam_id)s
       AND attempts.status IN ('in_progress', 'paused')
     ORDER BY attempts.id
"""
)

LOCK_RUNNING_AMONG = """
    SELECT FROM attempts
     WHERE id = ANY(%(ids)s) AND status IN ('in_progress', 'paused')
     ORDER BY id
       FOR UPDATE
"""
LIST_RUNNING_AMONG = (
    SELECT
    + """
     WHERE attempts.id = ANY(%(ids)s) AND attempts.status IN ('in_progress', 'paused')
     ORDER BY attempts.id
"""
)

LIST_IDS_RUNNING = """
    SELECT id FROM attempts
     WHERE exam_id = %(exam_id)s AND status IN ('in_progress', 'paused')
     ORDER BY id
"""

LIST_OVERDUE_OF_EXAM = """
    SELECT id FROM attempts
     WHERE exam_id = %(exam_id)s AND status = 'in_progress'
       AND deadline_at < statement_timestamp() - %(leeway)s
     ORDER BY id
"""

LIST_ENDED_BY_DEADLINE = """
    SELECT id FROM attempts
     WHERE exam_id = %(exam_id)s AND status = 'submitted' AND ended_by = 'deadline'
       AND ended_at > %(since)s
     ORDER BY id
"""

# statement_timestamp() can be looked up in the index, which clock_timestamp() can't.
LIST_OVERDUE = """
    SELECT id FROM attempts
     WHERE status = 'in_progress'
       AND deadline_at < statement_timestamp() - %(leeway)s
     ORDER BY deadline_at
     LIMIT %(limit)s
"""

TRY_LOCK = """
    SELECT FROM attempts WHERE id = %(id)s FOR UPDATE SKIP LOCKED
"""

LIST_OF_STUDENT = (
    SELECT
    + """
     WHERE attempts.student_id = %(student_id)s
       AND (%(exam_id)s::uuid IS NULL OR attempts.exam_id = %(exam_id)s)
       AND (%(before)s::uuid IS NULL OR attempts.id < %(before)s)
     ORDER BY attempts.id DESC
     LIMIT %(limit)s
"""
)


@dataclass(frozen=True, slots=True)
class _Id:
    id: UUID


def get(tx: Transaction, attempt_id: UUID) -> Attempt | None:
    return tx.one_or_none(Attempt, GET, {"id": attempt_id})


def get_for_update(tx: Transaction, attempt_id: UUID) -> Attempt | None:
    return tx.one_or_none(Attempt, GET_FOR_UPDATE, {"id": attempt_id})


def get_for_share(tx: Transaction, attempt_id: UUID) -> Attempt | None:
    """Lock it against ending and pausing; others may share the lock."""
    return tx.one_or_none(Attempt, GET_FOR_SHARE, {"id": attempt_id})


def get_running_for_update(tx: Transaction, student_id: UUID) -> Attempt | None:
    names = {"student_id": student_id}
    return tx.one_or_none(Attempt, GET_RUNNING_FOR_UPDATE, names)


def find_held(tx: Transaction, session_id: UUID) -> UUID | None:
    """Return the running attempt that a login holds."""
    found = tx.one_or_none(_Id, FIND_HELD, {"session_id": session_id})
    return found.id if found else None


def lock_running_of_exam(tx: Transaction, exam_id: UUID) -> list[Attempt]:
    return tx.all(Attempt, LIST_RUNNING_OF_EXAM, {"exam_id": exam_id})


def lock_running_among(tx: Transaction, ids: Sequence[UUID]) -> list[Attempt]:
    """Lock those of the attempts that run, in the order in which all lock them."""
    names = {"ids": list(ids)}
    tx.execute(LOCK_RUNNING_AMONG, names)
    return tx.all(Attempt, LIST_RUNNING_AMONG, names)


def list_running(tx: Transaction, exam_id: UUID) -> list[UUID]:
    return [row.id for row in tx.all(_Id, LIST_IDS_RUNNING, {"exam_id": exam_id})]


def list_overdue_of_exam(tx: Transaction, exam_id: UUID) -> list[UUID]:
    names = {"exam_id": exam_id, "leeway": NETWORK_LEEWAY}
    return [row.id for row in tx.all(_Id, LIST_OVERDUE_OF_EXAM, names)]


def list_ended_by_deadline(
    tx: Transaction, exam_id: UUID, since: datetime
) -> list[UUID]:
    """List the attempts of an exam whose time ran out after `since`."""
    names = {"exam_id": exam_id, "since": since}
    return [row.id for row in tx.all(_Id, LIST_ENDED_BY_DEADLINE, names)]


def list_overdue(tx: Transaction, limit: int) -> list[UUID]:
    """List what the sweeper has to end, longest overdue first."""
    names = {"leeway": NETWORK_LEEWAY, "limit": limit}
    return [row.id for row in tx.all(_Id, LIST_OVERDUE, names)]


def try_lock(tx: Transaction, attempt_id: UUID) -> Attempt | None:
    """Lock and read it, or return None at once if somebody else has it."""
    names = {"id": attempt_id}
    if tx.execute(TRY_LOCK, names) == 0:
        return None
    return tx.one_or_none(Attempt, GET, names)


def list_of_student(
    tx: Transaction,
    student_id: UUID,
    *,
    exam_id: UUID | None,
    before: UUID | None,
    limit: int,
) -> list[Attempt]:
    names = {"student_id": student_id, "exam_id": exam_id, "before": before}
    return tx.all(Attempt, LIST_OF_STUDENT, names | {"limit": limit})
