"""What can go wrong with an attempt, in words for the student or the proctor."""

from collections.abc import Sequence
from datetime import datetime
from math import ceil
from typing import Final
from uuid import UUID

from models.attempt import Attempt, AttemptStatus, EndedBy
from models.exam import Exam, ExamStatus
from models.principal import Role
from services import errors


class AttemptNotFoundError(errors.NotFoundError):
    slug = "attempt-not-found"
    title = "No such attempt"

    def __init__(self, attempt_id: UUID) -> None:
        super().__init__(f"Attempt {attempt_id} does not exist or is not yours.")


class OwnAttemptError(errors.ForbiddenError):
    slug = "own-attempt"
    title = "Your own attempt"

    def __init__(self) -> None:
        super().__init__(
            "It is your own attempt. Somebody else of the staff has to see to it."
        )


class ExamNotOpenError(errors.ConflictError):
    slug = "exam-not-open"
    title = "Exam not open"

    def __init__(
        self, exam: Exam, now: datetime, start_at: datetime | None = None
    ) -> None:
        """`start_at` is when its student is to try again, if there is such a time."""
        super().__init__(
            _why_not_open(exam, now),
            current_status=exam.status,
            # Rounded up: whoever comes too early has to come again.
            retry_after_seconds=None
            if start_at is None
            else ceil((start_at - now).total_seconds()),
        )


def _why_not_open(exam: Exam, now: datetime) -> str:
    if exam.status in {ExamStatus.DRAFT, ExamStatus.CANCELLED}:
        return f"The exam does not take place: it is {exam.status}."
    if exam.starts_at is not None and now < exam.starts_at:
        return f"The exam opens at {exam.starts_at:%Y-%m-%d %H:%M:%S} UTC."
    return "The exam is over."


class ExamClosedMeanwhileError(errors.ConflictError):
    slug = "exam-not-open"
    title = "Exam not open"

    def __init__(self) -> None:
        super().__init__("The exam closed this very moment.")


class NoAttemptsLeftError(errors.ConflictError):
    slug = "no-attempts-left"
    title = "No attempts left"

    def __init__(self, exam: Exam) -> None:
        super().__init__(
            f"The exam may be attempted {exam.max_attempts} time(s), and all are used.",
            current_status=exam.status,
        )


class AnotherAttemptRunningError(errors.ConflictError):
    slug = "another-attempt-running"
    title = "Another attempt is running"

    def __init__(self, running: Attempt) -> None:
        super().__init__(
            f"Attempt {running.id} of exam {running.exam_id} is still running. "
            "Submit it first.",
            current_status=running.status,
            allowed_actions=["submit"],
        )


class StudentSitsAnotherError(errors.ConflictError):
    slug = "another-attempt-running"
    title = "Another attempt is running"

    def __init__(self) -> None:
        super().__init__(
            "The student has another attempt that is running. Wait until it has ended."
        )


class NoTimeLeftError(errors.ConflictError):
    slug = "no-time-left"
    title = "No time left"

    def __init__(self, ended: Attempt) -> None:
        super().__init__(
            "It would have no time left: its own, or the exam's, was over when it"
            " ended. Give it some: extra_seconds.",
            current_status=ended.status,
            allowed_actions=["reopen"],
        )


class EvidenceErasedError(errors.ConflictError):
    slug = "evidence-erased"
    title = "The evidence was erased"

    def __init__(self, attempt_id: UUID) -> None:
        super().__init__(
            f"The answers of attempt {attempt_id}, or what its events say, were erased:"
            " it can not be analysed again, nor go on. What was said of it stands."
        )


class AttemptHeldByAnotherDeviceError(errors.ConflictError):
    slug = "attempt-held-by-another-device"
    title = "Attempt held by another device"

    def __init__(self, running: Attempt) -> None:
        super().__init__(
            "The attempt runs on another device. Start with take_over to go on here; "
            "the other device can then save nothing more, and the change is recorded.",
            current_status=running.status,
            allowed_actions=["take_over"],
        )


class AttemptHeldElsewhereError(errors.ConflictError):
    slug = "attempt-held-elsewhere"
    title = "Attempt held elsewhere"

    def __init__(self, running: Attempt) -> None:
        super().__init__(
            "Another login of yours holds this attempt. Nothing was changed. Start "
            "the exam again with take_over to go on here.",
            current_status=running.status,
            allowed_actions=["take_over"],
        )


class AttemptPausedError(errors.ConflictError):
    slug = "attempt-paused"
    title = "Attempt paused"

    def __init__(self, paused: Attempt) -> None:
        super().__init__(
            "A proctor has paused the attempt: the clock stands still and no answer "
            "is taken until it goes on.",
            current_status=paused.status,
            allowed_actions=["submit"],
        )


class DeadlineNotReachedError(errors.ConflictError):
    slug = "deadline-not-reached"
    title = "The deadline has not come"

    def __init__(self, running: Attempt) -> None:
        left = running.deadline_at - running.read_at
        super().__init__(
            f"The attempt runs until {running.deadline_at:%H:%M:%S} UTC, and it is"
            f" {running.read_at:%H:%M:%S}: more time was given, or a clock is wrong. "
            "Go on with it; whoever wants to end it now submits it himself.",
            current_status=running.status,
            allowed_actions=["submit"],
            # Rounded up: whoever comes too early has to come again.
            retry_after_seconds=ceil(left.total_seconds()),
        )


class AttemptOverError(errors.ConflictError):
    slug = "attempt-over"
    title = "Attempt over"

    def __init__(self, attempt: Attempt) -> None:
        # An overdue attempt can still be submitted: the answer is its receipt.
        is_submitted = attempt.is_overdue or attempt.status is AttemptStatus.SUBMITTED
        super().__init__(
            "The attempt's time is over."
            if attempt.is_overdue
            else f"The attempt is {attempt.status}; nothing more can be written to it.",
            current_status=attempt.status,
            allowed_actions=["submit"] if is_submitted else [],
        )


class NoReceiptError(errors.ConflictError):
    slug = "no-receipt"
    title = "No receipt"

    def __init__(self, own: Attempt) -> None:
        super().__init__(
            "An attempt has a receipt once it is submitted."
            if own.is_running
            else f"The attempt is {own.status}: it was ended, and not handed in.",
            current_status=own.status,
            allowed_actions=["submit"] if own.is_running else [],
        )


class AttemptStepError(errors.ConflictError):
    slug = "attempt-step-not-allowed"
    title = "Step not allowed"

    def __init__(self, step: str, attempt: Attempt, role: Role) -> None:
        state = "over its deadline" if attempt.is_overdue else attempt.status
        super().__init__(
            f"One can't {step} an attempt that is {state}.",
            current_status=attempt.status,
            allowed_actions=allowed_actions(attempt, role),
        )


def allowed_actions(attempt: Attempt, role: Role) -> list[str]:
    """Return what staff may do to an attempt in its present state."""
    actions = {
        AttemptStatus.IN_PROGRESS: ["pause", "extend", "terminate"],
        AttemptStatus.PAUSED: ["resume", "extend", "terminate"],
        AttemptStatus.SUBMITTED: ["grade"],
        AttemptStatus.TERMINATED: ["grade"],
        AttemptStatus.VOIDED: [],
    }[attempt.status]
    if attempt.is_overdue:
        # The deadline has ended it, though nobody has noted it yet.
        actions = []
    if role is not Role.ADMIN or attempt.status is AttemptStatus.VOIDED:
        return actions
    return [*actions, *(["reopen"] if is_reopenable(attempt) else []), "void"]


def is_reopenable(attempt: Attempt) -> bool:
    """Say whether an attempt was ended by somebody else than its student."""
    ended = {AttemptStatus.SUBMITTED, AttemptStatus.TERMINATED}
    return attempt.status in ended and attempt.ended_by is not EndedBy.STUDENT


class AnswerVersionReusedError(errors.UnprocessableError):
    slug = "answer-version-reused"
    title = "Another answer has this version"

    def __init__(self, versions: Sequence[tuple[str, int]]) -> None:
        """`versions` are the stored ones, each with the pointer to what was sent."""
        super().__init__(
            "Nothing was saved: of some answers another one is stored under the same"
            " client_version; see errors. Send them again with a higher one.",
            [
                (pointer, f"Version {version} is another answer.")
                for pointer, version in versions
            ],
        )


class AnswersInvalidError(errors.UnprocessableError):
    slug = "invalid-answers"
    title = "Invalid answers"

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__("Nothing was saved: some answers do not fit.", problems)


class GradesInvalidError(errors.UnprocessableError):
    slug = "invalid-grades"
    title = "Invalid grades"

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__("Nothing was graded: some grades do not fit.", problems)


MAX_EXTENDED_SECONDS: Final = 86_400


class ExtensionTooLongError(errors.UnprocessableError):
    slug = "extension-too-long"
    title = "Extension too long"

    def __init__(self, field: str) -> None:
        super().__init__(
            "An attempt can be extended by 24 hours in all.",
            [(f"#/{field}", "Exceeds what is left of 24 hours.")],
        )
