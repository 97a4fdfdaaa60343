"""Why an appeal is refused, in words for the student or for whoever decides."""

from datetime import datetime
from uuid import UUID

from models.appeal import Appeal, AppealStatus
from models.attempt import ReviewStatus
from services import errors


class AppealNotFoundError(errors.NotFoundError):
    slug = "appeal-not-found"
    title = "No such appeal"

    def __init__(self, appeal_id: UUID) -> None:
        super().__init__(f"Appeal {appeal_id} does not exist or is not yours.")


class NothingToAppealError(errors.ConflictError):
    slug = "nothing-to-appeal"
    title = "Nothing to appeal against"

    def __init__(self, review_status: ReviewStatus) -> None:
        super().__init__(
            "Only a confirmed violation can be contested, and the review of this"
            f" attempt is {review_status}.",
            current_status=review_status,
        )


class AppealTooLateError(errors.ConflictError):
    slug = "appeal-too-late"
    title = "Too late to appeal"

    def __init__(self, verdict_at: datetime, until: datetime) -> None:
        super().__init__(
            f"The verdict could be contested until {until:%Y-%m-%dT%H:%M:%SZ}. Ask the"
            " examination office what else there is."
            if until > verdict_at
            else "The rules of this exam give no appeal. Ask the examination office"
            " what else there is."
        )


class AlreadyAppealedError(errors.ConflictError):
    slug = "already-appealed"
    title = "Already appealed"

    def __init__(self, present: Appeal) -> None:
        super().__init__(
            f"Appeal {present.id} against this verdict is {present.status}."
            + ("" if present.is_pending else " A verdict is contested once."),
            current_status=present.status,
            allowed_actions=["withdraw"] if present.is_pending else [],
        )


class AppealPendingError(errors.ConflictError):
    slug = "appeal-pending"
    title = "An appeal is pending"

    def __init__(self, pending: Appeal) -> None:
        super().__init__(
            f"The student contests the verdict: appeal {pending.id}. Until that is"
            " decided or withdrawn, the review stays as it is.",
            current_status=pending.status,
        )


class OwnVerdictError(errors.ConflictError):
    slug = "own-verdict"
    title = "Your own verdict"

    def __init__(self, appeal: Appeal) -> None:
        super().__init__(
            "It was you who gave the verdict. Somebody else has to decide about the"
            " appeal: another proctor of the exam, or an administrator.",
            current_status=appeal.status,
        )


class AppealStepError(errors.ConflictError):
    slug = "appeal-step-not-allowed"
    title = "Step not allowed"

    def __init__(self, step: str, appeal: Appeal, allowed: list[str]) -> None:
        is_elsewhere = step == "decide" and appeal.status is AppealStatus.UNDER_REVIEW
        super().__init__(
            f"Somebody else looks into the appeal. {TAKE_IT}"
            if is_elsewhere
            else f"One can't {step} an appeal that is {appeal.status}."
            + (f" {TAKE_IT}" if step == "decide" and appeal.is_pending else ""),
            current_status=appeal.status,
            allowed_actions=allowed,
        )


TAKE_IT = "Take it, and decide then."
