"""The appeals table: a student contests a verdict, and somebody else decides.

`appeals_guard` in database/migrations/0029_appeals.sql has the rules a second time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, LiteralString
from uuid import UUID

from models.transaction import Transaction


class AppealStatus(StrEnum):
    OPEN = "open"
    UNDER_REVIEW = "under_review"
    UPHELD = "upheld"
    OVERTURNED = "overturned"
    WITHDRAWN = "withdrawn"


PENDING: Final = (AppealStatus.OPEN, AppealStatus.UNDER_REVIEW)


@dataclass(frozen=True, slots=True, kw_only=True)
class Appeal:
    """An appeal. `reviewer_id` is who looks into it or has decided.

    The texts are None once they were erased, and `decision_reason` until there is one.
    `ended_at`: when it was decided or withdrawn.
    """

    id: UUID
    attempt_id: UUID
    status: AppealStatus
    verdict_by: UUID
    verdict_at: datetime
    reason: str | None
    lodged_at: datetime
    reviewer_id: UUID | None
    ended_at: datetime | None
    decision_reason: str | None

    @property
    def is_pending(self) -> bool:
        return self.status in PENDING


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedAppeal(Appeal):
    """An appeal with what it takes to know of whom and what it is."""

    exam_id: UUID
    exam_title: str
    student_id: UUID
    student_name: str


COLUMNS: Final[LiteralString] = """
    appeals.id, appeals.attempt_id, appeals.status, appeals.verdict_by,
    appeals.verdict_at, appeals.reason, appeals.lodged_at, appeals.reviewer_id,
    appeals.ended_at, appeals.decision_reason
"""
SELECT: Final[LiteralString] = (
    "SELECT " + COLUMNS + " FROM appeals "  # noqa: S608 - of constants alone
)
RETURNING: Final[LiteralString] = " RETURNING " + COLUMNS

INSERT: LiteralString = """
    INSERT INTO appeals (id, attempt_id, verdict_by, verdict_at, reason)
    VALUES (%(id)s, %(attempt_id)s, %(verdict_by)s, %(verdict_at)s, %(reason)s)
"""
INSERT_RETURNING: LiteralString = INSERT + RETURNING
GET: LiteralString = SELECT + "WHERE appeals.id = %(id)s"
LIST_OF_ATTEMPT: LiteralString = (
    SELECT + "WHERE attempt_id = %(attempt_id)s ORDER BY appeals.id"
)
LIST_PAGE: LiteralString = """
    SELECT appeals.id, appeals.attempt_id, appeals.status, appeals.verdict_by,
           appeals.verdict_at, appeals.reason, appeals.lodged_at, appeals.reviewer_id,
           appeals.ended_at, appeals.decision_reason,
           attempts.exam_id, exams.title AS exam_title, attempts.student_id,
           users.full_name AS student_name
      FROM appeals
      JOIN attempts ON attempts.id = appeals.attempt_id
      JOIN exams ON exams.id = attempts.exam_id
      JOIN users ON users.id = attempts.student_id
     WHERE (%(proctor_id)s::uuid IS NULL
            OR EXISTS (SELECT FROM exam_proctors
                        WHERE exam_proctors.exam_id = attempts.exam_id
                          AND proctor_id = %(proctor_id)s))
       AND (%(exam_id)s::uuid IS NULL OR attempts.exam_id = %(exam_id)s)
       AND (%(statuses)s::text[] IS NULL OR appeals.status = ANY (%(statuses)s))
       AND (%(before)s::uuid IS NULL OR appeals.id < %(before)s)
     ORDER BY appeals.id DESC
     LIMIT %(limit)s
"""
SET: LiteralString = """
    UPDATE appeals
       SET status = %(status)s, reviewer_id = %(reviewer_id)s,
           decision_reason = %(decision_reason)s,
           ended_at = CASE WHEN %(is_ended)s THEN clock_timestamp() END
     WHERE id = %(id)s
"""
SET_RETURNING: LiteralString = SET + RETURNING
UNTIL: LiteralString = """
    SELECT appeal_until(%(exam_id)s, %(verdict_at)s) AS until,
           clock_timestamp() AS read_at
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """Until when a verdict can be contested, and what time it is."""

    until: datetime
    read_at: datetime

    @property
    def is_over(self) -> bool:
        return self.read_at > self.until


def insert(
    tx: Transaction,
    appeal_id: UUID,
    *,
    attempt_id: UUID,
    verdict_by: UUID,
    verdict_at: datetime,
    reason: str,
) -> Appeal:
    """Lodge an appeal against the verdict on an attempt that the caller has locked."""
    names = {
        "id": appeal_id,
        "attempt_id": attempt_id,
        "verdict_by": verdict_by,
        "verdict_at": verdict_at,
        "reason": reason,
    }
    return tx.one(Appeal, INSERT_RETURNING, names)


def get(tx: Transaction, appeal_id: UUID) -> Appeal | None:
    return tx.one_or_none(Appeal, GET, {"id": appeal_id})


def list_of_attempt(tx: Transaction, attempt_id: UUID) -> Sequence[Appeal]:
    """Read all appeals of an attempt, the first lodged first."""
    return tx.all(Appeal, LIST_OF_ATTEMPT, {"attempt_id": attempt_id})


def list_page(
    tx: Transaction,
    *,
    proctor_id: UUID | None,
    exam_id: UUID | None,
    statuses: Sequence[AppealStatus] | None,
    before: UUID | None,
    limit: int,
) -> Sequence[ListedAppeal]:
    """Read appeals, the newest first; with `proctor_id`, those of his exams."""
    names = {
        "proctor_id": proctor_id,
        "exam_id": exam_id,
        "statuses": None if statuses is None else list(statuses),
        "before": before,
        "limit": limit,
    }
    return tx.all(ListedAppeal, LIST_PAGE, names)


def set_status(
    tx: Transaction,
    appeal_id: UUID,
    status: AppealStatus,
    *,
    reviewer_id: UUID | None,
    decision_reason: str | None = None,
) -> Appeal:
    """Take an appeal a step further, whose attempt the caller has locked."""
    names = {
        "id": appeal_id,
        "status": status,
        "reviewer_id": reviewer_id,
        "decision_reason": decision_reason,
        "is_ended": status not in PENDING,
    }
    return tx.one(Appeal, SET_RETURNING, names)


def get_term(tx: Transaction, exam_id: UUID, verdict_at: datetime) -> Term:
    return tx.one(Term, UNTIL, {"exam_id": exam_id, "verdict_at": verdict_at})
