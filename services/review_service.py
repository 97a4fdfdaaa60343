"""What staff adds to an attempt's evidence: reviews, and notes of a proctor."""

from dataclasses import dataclass
from uuid import UUID

from models.attempt import Attempt, ReviewStatus
from models.attempt_review import NEXT_STATUSES, VERDICTS, Review
from models.database import Database
from models.principal import Principal
from models.proctoring import ProctoringEvent
from services import errors, review_record
from services.appeal_service import refuse_while_pending
from services.attempt_access import lock_attempt, require_attempt
from services.event_catalogue import Reporter
from services.event_intake import resolve_type
from services.server_events import record_observation


class ReviewStepError(errors.ConflictError):
    slug = "review-step-not-allowed"
    title = "Review step not allowed"

    def __init__(self, attempt: Attempt, wanted: Review, reviewer: UUID) -> None:
        steps = allowed_steps(attempt, reviewer)
        super().__init__(
            f"A review that is {attempt.review_status} can not become {wanted.status}"
            + (" while the attempt runs." if attempt.is_running else "."),
            current_status=attempt.review_status,
            allowed_actions=steps,
        )


class SecondReviewerNeededError(errors.ConflictError):
    slug = "second-reviewer-needed"
    title = "Somebody else has to decide"

    def __init__(self, attempt: Attempt, reviewer: UUID) -> None:
        super().__init__(
            "You have asked for a second review, which is somebody else's."
            if attempt.reviewed_by == reviewer
            else "Somebody else has asked for a second review, and his note stays as it"
            " is. Decide, with a note of your own.",
            current_status=attempt.review_status,
            allowed_actions=allowed_steps(attempt, reviewer),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewedAttempt:
    """An attempt, and what the review may become by whoever asks."""

    attempt: Attempt
    allowed_statuses: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedNote:
    event: ProctoringEvent
    audit_seq: int


class ReviewService:
    def __init__(self, database: Database) -> None:
        self._database = database

    def review_attempt(
        self, staff: Principal, attempt_id: UUID, review: Review
    ) -> ReviewedAttempt:
        """Take the review a step further; the same review again changes nothing.

        Only here, and so only by a human, is a violation ever confirmed. Raises
        AttemptNotFoundError, AppealPendingError, SecondReviewerNeededError and
        ReviewStepError.
        """
        with self._database.transaction() as tx:
            before = lock_attempt(tx, staff, attempt_id)
            is_same_step = review.status is before.review_status
            if is_same_step and review.note == before.review_note:
                return reviewed(before, staff)
            refuse_while_pending(tx, before)
            is_asker = before.reviewed_by == staff.id
            if _needs_second(before) and is_same_step is not is_asker:
                raise SecondReviewerNeededError(before, staff.id)
            if not is_same_step and review.status not in allowed_steps(
                before, staff.id
            ):
                raise ReviewStepError(before, review, staff.id)
            after = review_record.set_review(tx, before, review, staff.id)
            return reviewed(after, staff)

    def record_note(
        self, proctor: Principal, attempt_id: UUID, event_type: str, text: str
    ) -> RecordedNote:
        """Record what a proctor observed, as an event of the attempt.

        Raises AttemptNotFoundError, UnknownTypeError and NotReportableError.
        """
        with self._database.transaction() as tx:
            require_attempt(tx, proctor, attempt_id)
            noted = record_observation(
                tx,
                attempt_id,
                resolve_type(event_type, Reporter.PROCTOR),
                {"text": text, "reported_by": str(proctor.id)},
                proctor.id,
            )
        return RecordedNote(event=noted.event, audit_seq=noted.entry.seq)


def allowed_steps(attempt: Attempt, reviewer: UUID) -> list[str]:
    """Return what this member of staff may make of the review now."""
    if _needs_second(attempt) and attempt.reviewed_by == reviewer:
        return []
    return [
        status
        for status in NEXT_STATUSES[attempt.review_status]
        if not (attempt.is_running and status in VERDICTS)
    ]


def reviewed(
    attempt: Attempt, staff: Principal, *, is_contested: bool = False
) -> ReviewedAttempt:
    """Put what may come next beside the review as it is."""
    return ReviewedAttempt(
        attempt=attempt,
        allowed_statuses=[] if is_contested else allowed_steps(attempt, staff.id),
    )


def _needs_second(attempt: Attempt) -> bool:
    return attempt.review_status is ReviewStatus.NEEDS_SECOND_REVIEW
