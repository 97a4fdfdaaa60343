"""Why a report of the exam client, or an event in it, is refused."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from models.attempt import AttemptStatus
from models.proctoring_report import MAX_REPORTED_EVENTS
from services import errors
from services.event_catalogue import EventType, UnknownEventTypeError
from services.proctoring_policy import PayloadError


class AttemptClosedError(errors.ConflictError):
    slug = "attempt-closed"
    title = "The attempt takes no more events"

    def __init__(self, status: AttemptStatus, ended_at: datetime | None) -> None:
        super().__init__(
            f"The attempt ended at {ended_at:%Y-%m-%dT%H:%M:%SZ}. What happened before "
            "may be delivered up to ten minutes after the server has noted the end.",
            current_status=status,
        )


class EventLimitReachedError(errors.ConflictError):
    slug = "event-limit-reached"
    title = "The attempt takes no more events"

    def __init__(self, status: AttemptStatus) -> None:
        super().__init__(
            f"An attempt takes {MAX_REPORTED_EVENTS} events of clients, and has them. "
            "Merge what repeats itself into one event with a count.",
            current_status=status,
        )


class EventIdReusedError(errors.ConflictError):
    slug = "event-id-reused"
    title = "The event id is taken"

    def __init__(self, client_event_id: UUID) -> None:
        super().__init__(
            f"The attempt already has another event {client_event_id}: its type or "
            "its sequence differs. Give each event an id of its own."
        )


class InvalidEventError(errors.UnprocessableError):
    slug = "invalid-event"
    title = "Invalid event"

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__("The event does not fit the schema; see errors.", problems)


class UnknownTypeError(errors.UnprocessableError):
    slug = "unknown-event-type"
    title = "Unknown event type"

    def __init__(self, cause: UnknownEventTypeError) -> None:
        super().__init__(str(cause), [("#/event_type", "Is no type or alias.")])


class NotReportableError(errors.UnprocessableError):
    slug = "event-type-not-reportable"
    title = "Not yours to report"

    def __init__(self, event_type: EventType) -> None:
        reporters = " or the ".join(sorted(event_type.reporters))
        super().__init__(
            f"{event_type.code} is reported by the {reporters} alone.",
            [("#/event_type", "May not be reported here.")],
        )


class ImplausibleTimeError(errors.UnprocessableError):
    slug = "implausible-time"
    title = "Implausible time"

    def __init__(self, detail: str, ahead_at: datetime | None = None) -> None:
        super().__init__(detail, [("#/occurred_at", "Can not be when it occurred.")])
        # What the client's clock showed, if it was ahead of the server's.
        self.ahead_at = ahead_at


class InvalidPayloadError(errors.UnprocessableError):
    slug = "invalid-payload"
    title = "Invalid payload"

    def __init__(self, cause: PayloadError) -> None:
        super().__init__(str(cause), [(f"#/payload/{cause.key}", cause.detail)])
