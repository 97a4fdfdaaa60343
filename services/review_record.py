"""What a review becomes, by whoever's decision: the row, and the entry that says so."""

from uuid import UUID

from models import attempt_review
from models.attempt import Attempt
from models.attempt_review import Review
from models.audit_event import AuditEvent
from models.transaction import Transaction
from services import audit


def set_review(
    tx: Transaction, before: Attempt, review: Review, reviewer_id: UUID
) -> Attempt:
    """Write and record the review of an attempt that the caller has locked."""
    after = attempt_review.set_review(tx, before.id, review, reviewer_id)
    audit.append_of_attempt(
        tx,
        AuditEvent.ATTEMPT_REVIEWED,
        after.id,
        actor=reviewer_id,
        payload={
            "previous_status": before.review_status,
            "status": after.review_status,
            "previous_note": before.review_note,
            "note": after.review_note,
        },
    )
    return after
