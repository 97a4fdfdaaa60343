"""The legal_holds table: what must be kept while somebody's case is open."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from models.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A hold on one of the three: a person, an attempt, or all of an exam.

    `placed_by` is None for the terminal.
    """

    id: UUID
    user_id: UUID | None
    attempt_id: UUID | None
    exam_id: UUID | None
    reason: str
    placed_by: UUID | None
    placed_at: datetime
    released_by: UUID | None
    released_at: datetime | None
    release_reason: str | None


# An erasure locks whom it erases, and then this table. Who places a hold or releases
# one comes to the people first, too, and not by the foreign keys of his row.
LOCK_PEOPLE: LiteralString = """
    SELECT 1 FROM users WHERE id = ANY (%(ids)s::uuid[]) ORDER BY id FOR KEY SHARE
"""

INSERT: LiteralString = """
    INSERT INTO legal_holds (id, user_id, attempt_id, exam_id, reason, placed_by)
    VALUES (%(id)s, %(user_id)s, %(attempt_id)s, %(exam_id)s, %(reason)s, %(placed_by)s)
    RETURNING id, user_id, attempt_id, exam_id, reason, placed_by, placed_at,
              released_by, released_at, release_reason
"""

GET: LiteralString = """
    SELECT id, user_id, attempt_id, exam_id, reason, placed_by, placed_at, released_by,
           released_at, release_reason
      FROM legal_holds WHERE id = %(id)s
"""

RELEASE: LiteralString = """
    UPDATE legal_holds
       SET released_by = %(released_by)s, released_at = clock_timestamp(),
           release_reason = %(reason)s
     WHERE id = %(id)s AND released_at IS NULL
    RETURNING id, user_id, attempt_id, exam_id, reason, placed_by, placed_at,
              released_by, released_at, release_reason
"""

LIST_PAGE: LiteralString = """
    SELECT id, user_id, attempt_id, exam_id, reason, placed_by, placed_at, released_by,
           released_at, release_reason
      FROM legal_holds
     WHERE (%(before)s::uuid IS NULL OR id < %(before)s::uuid)
       AND (%(is_active)s::boolean IS NULL OR (released_at IS NULL) = %(is_active)s)
     ORDER BY id DESC LIMIT %(limit)s
"""


def lock_people(tx: Transaction, *user_ids: UUID | None) -> None:
    """Wait for whoever erases one of them; comes before all else."""
    tx.execute(LOCK_PEOPLE, {"ids": [each for each in user_ids if each is not None]})


def insert(
    tx: Transaction,
    hold_id: UUID,
    *,
    user_id: UUID | None,
    attempt_id: UUID | None,
    exam_id: UUID | None,
    reason: str,
    placed_by: UUID | None,
) -> Hold:
    """Place a hold. What is not there is ConstraintError legal_holds_…_fkey."""
    names = {
        "id": hold_id,
        "user_id": user_id,
        "attempt_id": attempt_id,
        "exam_id": exam_id,
        "reason": reason,
        "placed_by": placed_by,
    }
    return tx.one(Hold, INSERT, names)


def get(tx: Transaction, hold_id: UUID) -> Hold | None:
    return tx.one_or_none(Hold, GET, {"id": hold_id})


def release(
    tx: Transaction, hold_id: UUID, *, released_by: UUID | None, reason: str
) -> Hold | None:
    """Release a hold, or return None if there is none that holds."""
    names = {"id": hold_id, "released_by": released_by, "reason": reason}
    return tx.one_or_none(Hold, RELEASE, names)


def list_page(
    tx: Transaction, *, before: UUID | None, is_active: bool | None, limit: int
) -> Sequence[Hold]:
    """Read holds, the newest first."""
    names = {"before": before, "is_active": is_active, "limit": limit}
    return tx.all(Hold, LIST_PAGE, names)
