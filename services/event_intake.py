"""From what a client reports to what is stored: the rules for one event."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final
from uuid import UUID, uuid4, uuid5

from pydantic import JsonValue

from models.attempt import NETWORK_LEEWAY
from models.proctoring import ProctoringEvent
from models.proctoring_report import MAX_REPORTED_EVENTS, ReportedEvent
from models.report_context import ReportContext
from services import errors
from services.event_catalogue import (
    EventType,
    Reporter,
    UnknownEventTypeError,
    resolve,
)
from services.proctoring_errors import (
    AttemptClosedError,
    ImplausibleTimeError,
    InvalidPayloadError,
    NotReportableError,
    UnknownTypeError,
)
from services.proctoring_policy import PayloadError, ProctoringPolicy, classify

# A laptop that lost its connection at the end must be able to deliver its evidence. So
# must one whose server was away then, hence it counts from when the end was noted.
LATE_DELIVERY: Final = timedelta(minutes=10)
MAX_AHEAD: Final = timedelta(minutes=5)
MAX_BEFORE_START: Final = timedelta(days=1)
NOTED_SKEW: Final = timedelta(seconds=120)
SKEW_CODE: Final = "client.clock_skew"
LIMIT_CODE: Final = "session.milestone"
CONCURRENT_CODE: Final = "session.concurrent_device"
# What nobody and nothing does but a person who sits there.
BY_HAND: Final = frozenset(
    {
        "app.switch_attempt",
        "clipboard.copy",
        "clipboard.external_paste",
        "clipboard.paste",
        "devtools.opened",
        "print_or_screenshot.attempt",
    }
)


@lru_cache(maxsize=256)
def parse_policy(text: str) -> ProctoringPolicy:
    """Return the policy that an exam stores as JSON text."""
    return ProctoringPolicy.model_validate_json(text)


def resolve_type(name: str, reporter: Reporter) -> EventType:
    """Return the type that this reporter may claim under this name.

    Raises UnknownTypeError and NotReportableError.
    """
    try:
        event_type = resolve(name)
    except UnknownEventTypeError as error:
        raise UnknownTypeError(error) from error
    if reporter not in event_type.reporters:
        raise NotReportableError(event_type)
    return event_type


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What the events of one report have in common."""

    id: UUID
    # One for each event of the report, and for what the server adds to it.
    ids: Iterator[UUID]
    context: ReportContext
    policy: ProctoringPolicy
    # When the server noted that the attempt has ended, if it has.
    end_noted_at: datetime | None

    def check_open(self) -> None:
        """Raise AttemptClosedError if the attempt's end was noted too long ago."""
        context, noted_at = self.context, self.end_noted_at
        if noted_at is not None and context.read_at > noted_at + LATE_DELIVERY:
            raise AttemptClosedError(context.status, context.ended_at)

    def judge(self, reported: ReportedEvent) -> ProctoringEvent:
        """Return the event as it is to be stored.

        Raises UnknownTypeError, NotReportableError, ImplausibleTimeError,
        InvalidPayloadError and AttemptClosedError.
        """
        self.check_open()
        event_type = resolve_type(reported.event_type, Reporter.CLIENT)
        self._check_time(reported.occurred_at)
        return self._event(
            event_type,
            client_event_id=reported.client_event_id,
            sequence=reported.sequence,
            occurred_at=reported.occurred_at,
            payload=reported.payload,
        )

    def skew_seen_in(
        self, events: list[ProctoringEvent], refused: Iterable[errors.DomainError]
    ) -> ProctoringEvent | None:
        """Return the server's note that the client's clock is ahead, if it is.

        What was refused for it counts too: nothing else would say why the client is not
        heard of. Its id follows from the attempt's, so an attempt gets one at most.
        That a clock is behind can not be told from an event that was delivered late.
        """
        claimed = [event.occurred_at for event in events]
        claimed += (
            each.ahead_at
            for each in refused
            if isinstance(each, ImplausibleTimeError) and each.ahead_at is not None
        )
        latest = max(claimed, default=None)
        if latest is None or latest - self.context.read_at <= NOTED_SKEW:
            return None
        note_id = uuid5(self.context.id, SKEW_CODE)
        # Who can work out this id can use it; one of the two would then be logged and
        # not stored.
        if any(event.client_event_id == note_id for event in events):
            return None
        skew = latest - self.context.read_at
        return self._event(
            resolve(SKEW_CODE),
            client_event_id=note_id,
            sequence=None,
            occurred_at=self.context.read_at,
            payload={"skew_seconds": round(skew.total_seconds(), 3)},
        )

    def limit_note(self) -> ProctoringEvent:
        """Return the server's note that clients can report nothing more.

        The event that fills the last place brings it, so there is one.
        """
        return self._note(
            LIMIT_CODE,
            {"milestone": "event_limit_reached", "limit": MAX_REPORTED_EVENTS},
        )

    def second_device_note(self) -> ProctoringEvent:
        """Return the server's note that a device works on that was displaced."""
        return self._note(CONCURRENT_CODE, {})

    def shows_displaced_at_work(
        self, session_id: UUID, events: Sequence[ProctoringEvent]
    ) -> bool:
        """Say whether somebody was at a displaced device after it was displaced.

        A program whose network is away goes on beating and watching an empty room. What
        it kept from before is no work either; and its clock may be ahead.
        """
        displaced_at = self.context.displaced_at
        return (
            displaced_at is not None
            and self.context.displaced_session == session_id
            and any(
                event.event_type in BY_HAND
                and min(event.occurred_at, event.received_at)
                > displaced_at + NOTED_SKEW
                for event in events
            )
        )

    def _note(self, code: str, payload: dict[str, JsonValue]) -> ProctoringEvent:
        # An id that could be worked out could be taken beforehand.
        return self._event(
            resolve(code),
            client_event_id=uuid4(),
            sequence=None,
            occurred_at=self.context.read_at,
            payload=payload,
        )

    def _check_time(self, occurred_at: datetime) -> None:
        context = self.context
        if occurred_at > context.read_at + MAX_AHEAD:
            raise ImplausibleTimeError(
                "It lies more than five minutes ahead of the server's clock, which "
                f"shows {context.read_at:%Y-%m-%dT%H:%M:%SZ}.",
                ahead_at=occurred_at,
            )
        if occurred_at < context.started_at - MAX_BEFORE_START:
            raise ImplausibleTimeError(
                "It lies more than a day before the start of the attempt."
            )
        ended_at = context.ended_at
        if ended_at is not None and occurred_at > ended_at + NETWORK_LEEWAY:
            raise AttemptClosedError(context.status, ended_at)

    def _event(
        self,
        event_type: EventType,
        *,
        client_event_id: UUID,
        sequence: int | None,
        occurred_at: datetime,
        payload: dict[str, JsonValue],
    ) -> ProctoringEvent:
        try:
            classified = classify(event_type, payload, self.policy)
        except PayloadError as error:
            raise InvalidPayloadError(error) from error
        return ProctoringEvent(
            id=next(self.ids),
            attempt_id=self.context.id,
            batch_id=self.id,
            client_event_id=client_event_id,
            sequence=sequence,
            event_type=event_type.code,
            event_class=classified.event_class,
            severity=classified.severity,
            occurred_at=occurred_at,
            received_at=self.context.read_at,
            payload=payload,
        )
