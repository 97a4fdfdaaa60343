"""What humans make of an attempt's flags: the review columns of the attempts table."""

from dataclasses import dataclass
from typing import Final, LiteralString
from uuid import UUID

from models.attempt import RETURNING, Attempt, ReviewStatus
from models.transaction import Transaction

# A verdict can be opened again, because it can be appealed against. The database knows
# these steps too (migration 0028).
NEXT_STATUSES: Final[dict[ReviewStatus, tuple[ReviewStatus, ...]]] = {
    ReviewStatus.NONE: (ReviewStatus.QUEUED, ReviewStatus.IN_REVIEW),
    ReviewStatus.QUEUED: (ReviewStatus.IN_REVIEW,),
    ReviewStatus.IN_REVIEW: (
        ReviewStatus.CLEARED,
        ReviewStatus.NEEDS_SECOND_REVIEW,
        ReviewStatus.CONFIRMED_VIOLATION,
        ReviewStatus.TECHNICAL_ERROR,
    ),
    ReviewStatus.NEEDS_SECOND_REVIEW: (
        ReviewStatus.CLEARED,
        ReviewStatus.CONFIRMED_VIOLATION,
        ReviewStatus.TECHNICAL_ERROR,
    ),
    ReviewStatus.CLEARED: (ReviewStatus.IN_REVIEW,),
    ReviewStatus.CONFIRMED_VIOLATION: (ReviewStatus.IN_REVIEW,),
    ReviewStatus.TECHNICAL_ERROR: (ReviewStatus.IN_REVIEW,),
}
# What may only be said once it is known how the attempt went on.
VERDICTS: Final = frozenset(
    {
        ReviewStatus.CLEARED,
        ReviewStatus.CONFIRMED_VIOLATION,
        ReviewStatus.TECHNICAL_ERROR,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What a reviewer says. The student reads `note`, at once if it is a verdict's."""

    status: ReviewStatus
    note: str | None


SET: LiteralString = """
    UPDATE attempts
       SET review_status = %(status)s, review_note = %(note)s,
           reviewed_by = %(reviewer_id)s, reviewed_at = clock_timestamp()
     WHERE id = %(id)s
"""
SET_RETURNING = SET + RETURNING


def set_review(
    tx: Transaction, attempt_id: UUID, review: Review, reviewer_id: UUID
) -> Attempt:
    """Write a review to an attempt that the caller has locked."""
    names = {
        "id": attempt_id,
        "status": review.status,
        "note": review.note,
        "reviewer_id": reviewer_id,
    }
    return tx.one(Attempt, SET_RETURNING, names)
