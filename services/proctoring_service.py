"""Recording what an exam client observes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import JsonValue

from models import proctoring, report_context
from models.attempt import AttemptStatus
from models.database import Database
from models.principal import Principal
from models.proctoring import ProctoringEvent, Progress, Recorded, StoredEvent
from models.proctoring_report import (
    MAX_REPORTED_EVENTS,
    NewEvent,
    NewEvents,
    ReportedEvent,
    client_event_id_of,
    misfit,
)
from models.report_context import ReportContext
from models.transaction import Transaction
from services import audit, errors, heartbeats
from services.attempt_errors import AttemptNotFoundError
from services.event_intake import Batch, parse_policy
from services.event_recording import record_each, record_report
from services.proctoring_errors import (
    AttemptClosedError,
    EventIdReusedError,
    EventLimitReachedError,
    InvalidEventError,
)
from services.server_load import ServerLoad
from utils.uuid7 import uuid7s

# So many numbers above the first hole are looked at, to name this many holes.
MAX_LOOKED_AT = 5000
MAX_MISSING = 1000
# What the server adds to a report: a wrong clock, the limit, a second device.
MAX_NOTES = 3


class ResultStatus(StrEnum):
    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEvent:
    """An event that is stored, and where in the audit log it is."""

    event: ProctoringEvent
    audit_seq: int
    status: ResultStatus

    @property
    def client_event_id(self) -> UUID:
        return self.event.client_event_id


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedEvent:
    """An event that was not stored. Its id is None if none could be read."""

    client_event_id: UUID | None
    reason: errors.DomainError
    status: ResultStatus = ResultStatus.REJECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchReceipt:
    """What became of each event, in the order in which they were sent.

    `missing_sequences` are the first 1000 numbers below the highest that are missing.
    """

    results: Sequence[RecordedEvent | RefusedEvent]
    missing_sequences: Sequence[int]
    # Of the attempt.
    status: AttemptStatus
    expected_report_interval_seconds: float
    server_time: datetime
    deadline_at: datetime
    seconds_remaining: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refused:
    """A report that is no event to store, unless it is stored already."""

    client_event_id: UUID | None
    reason: errors.DomainError


_Judged = ProctoringEvent | _Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """What became of a report in its transaction."""

    batch: Batch
    judged: Sequence[_Judged]
    # Those of them that were to be stored, each once.
    events: Sequence[ProctoringEvent]
    progress: Progress
    recorded: Recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class _Report:
    """A report, and what earlier ones brought of the same events."""

    taken: _Taken
    stored: Sequence[StoredEvent]

    @property
    def context(self) -> ReportContext:
        return self.taken.batch.context


class ProctoringService:
    """`load` sheds heartbeats when there is too much to do; without it all come in."""

    def __init__(self, database: Database, load: ServerLoad | None = None) -> None:
        self._database = database
        self._load = load

    def record_event(self, student: Principal, new: NewEvent) -> RecordedEvent:
        """Store one event. Sent again, it gives what is stored.

        Raises AttemptNotFoundError, EventIdReusedError, EventLimitReachedError,
        HeartbeatNotTakenError and what `Batch.judge` raises.
        """
        self._shed([new])
        report = self._take_in(student, new.attempt_id, [new])
        (result,) = _results(report)
        if isinstance(result, RefusedEvent):
            raise result.reason
        return result

    def record_events(self, student: Principal, new: NewEvents) -> BatchReceipt:
        """Store the events that can be stored; a bad one does not lose the others.

        Raises AttemptNotFoundError, AttemptClosedError if the attempt ended too long
        ago for any event, and HeartbeatNotTakenError if all are heartbeats.
        """
        self._shed(new.events)
        report = self._take_in(student, new.attempt_id, new.events)
        missing = self._missing(report)
        context = report.context
        return BatchReceipt(
            results=_results(report),
            missing_sequences=missing,
            status=context.status,
            expected_report_interval_seconds=(
                report.taken.batch.policy.expected_report_interval_seconds
            ),
            server_time=context.read_at,
            deadline_at=context.deadline_at,
            seconds_remaining=context.seconds_remaining,
        )

    def _shed(self, reports: Sequence[ReportedEvent | JsonValue]) -> None:
        if self._load is not None:
            heartbeats.shed(self._load, reports)

    def _take_in(
        self,
        student: Principal,
        attempt_id: UUID,
        reports: Sequence[ReportedEvent | JsonValue],
    ) -> _Report:
        with self._database.transaction() as tx:
            taken = _take(tx, student, attempt_id, reports)
        stored = self._already_stored(attempt_id, taken)
        if not stored:
            taken.batch.check_open()
        return _Report(taken=taken, stored=stored)

    def _already_stored(self, attempt_id: UUID, taken: _Taken) -> list[StoredEvent]:
        """Read what an earlier report brought of these events.

        Among them those that would be too late today: who lost the answer of a
        delivery in time asks again until he gets it.
        """
        wanted = set(taken.recorded.known_ids) | {
            each.client_event_id
            for each in taken.judged
            if isinstance(each, _Refused)
            and isinstance(each.reason, AttemptClosedError)
            and each.client_event_id is not None
        }
        if not wanted:
            return []
        with self._database.read() as tx:
            return proctoring.list_stored(tx, attempt_id, list(wanted))

    def _missing(self, report: _Report) -> list[int]:
        progress = report.taken.progress
        contiguous = progress.contiguous_sequence
        if report.taken.recorded.known_ids:
            # Not all of these numbers have arrived: some came under a known id.
            contiguous = report.context.contiguous_sequence
        elif contiguous == progress.highest_sequence:
            return []
        with self._database.read() as tx:
            return proctoring.list_holes(
                tx,
                report.context.id,
                above=contiguous,
                looked_at=MAX_LOOKED_AT,
                limit=MAX_MISSING,
            )


def _take(
    tx: Transaction,
    student: Principal,
    attempt_id: UUID,
    reports: Sequence[ReportedEvent | JsonValue],
) -> _Taken:
    # Any login of the student may report, also one that lost its hold on the attempt:
    # what it has seen is evidence all the same.
    context = report_context.lock(tx, attempt_id, student.id)
    if context is None:
        raise AttemptNotFoundError(attempt_id)
    batch_id, *event_ids = uuid7s(1 + len(reports) + MAX_NOTES)
    batch = Batch(
        id=batch_id,
        ids=iter(event_ids),
        context=context,
        policy=parse_policy(context.policy),
        end_noted_at=None
        if context.is_running
        else report_context.get_end_noted_at(tx, context.id),
    )
    admitted = _admit(tx, batch, [_judge(batch, report) for report in reports])
    events = _distinct(admitted.judged)
    progress = _progress(tx, context, events)
    return _Taken(
        batch=batch,
        judged=admitted.judged,
        events=events,
        progress=progress,
        recorded=_store(tx, batch, events, admitted, progress, student),
    )


def _judge(batch: Batch, report: ReportedEvent | JsonValue) -> _Judged:
    if not isinstance(report, ReportedEvent):
        return _Refused(
            client_event_id=client_event_id_of(report),
            reason=InvalidEventError(misfit(report)),
        )
    try:
        return batch.judge(report)
    except errors.DomainError as error:
        return _Refused(client_event_id=report.client_event_id, reason=error)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Admitted:
    """What is left when the attempt has no room for all, and the server's notes."""

    judged: Sequence[_Judged]
    notes: Sequence[ProctoringEvent] = ()


def _admit(tx: Transaction, batch: Batch, judged: Sequence[_Judged]) -> _Admitted:
    """Refuse the events for which the attempt has no room any more.

    Those that it has already need none. Only a report that fills the last place, or
    comes after it, costs the reading that tells them apart.
    """
    context = batch.context
    room = MAX_REPORTED_EVENTS - context.reported_events
    if len(judged) < room:
        return _Admitted(judged=judged)
    ids = [event.client_event_id for event in _distinct(judged)]
    known = proctoring.list_known(tx, context.id, ids)
    new = [each for each in ids if each not in known]
    beyond = set(new[room:])
    is_full_now = 0 < room <= len(new)
    return _Admitted(
        judged=[
            _Refused(
                client_event_id=each.client_event_id,
                reason=EventLimitReachedError(context.status),
            )
            if isinstance(each, ProctoringEvent) and each.client_event_id in beyond
            else each
            for each in judged
        ],
        notes=[batch.limit_note()] if is_full_now else (),
    )


def _distinct(judged: Sequence[_Judged]) -> list[ProctoringEvent]:
    """Return the events to store: of those with the same id the first."""
    by_id: dict[UUID, ProctoringEvent] = {}
    for each in judged:
        if isinstance(each, ProctoringEvent):
            by_id.setdefault(each.client_event_id, each)
    return list(by_id.values())


def _progress(
    tx: Transaction, context: ReportContext, events: Sequence[ProctoringEvent]
) -> Progress:
    """Return how far the client's counter comes if all of these events are new."""
    last, highest = context.contiguous_sequence, context.highest_sequence
    numbers = {event.sequence for event in events if event.sequence is not None}
    sent = max(numbers, default=0)
    if last + 1 in numbers and highest > last:
        # The first hole is filled. What came after it is looked at this once.
        numbers |= set(
            proctoring.list_sequences(tx, context.id, above=last, limit=MAX_LOOKED_AT)
        )
    while last + 1 in numbers:
        last += 1
    return Progress(contiguous_sequence=last, highest_sequence=max(highest, sent))


def _store(
    tx: Transaction,
    batch: Batch,
    events: list[ProctoringEvent],
    admitted: _Admitted,
    progress: Progress,
    student: Principal,
) -> Recorded:
    refused = [e.reason for e in admitted.judged if isinstance(e, _Refused)]
    skew = batch.skew_seen_in(events, refused)
    if not events:
        if skew is not None:
            record_each(tx, [skew], audit.SYSTEM)
        return Recorded(known_ids=frozenset(), audit_seq=None)
    everything = [*events, *admitted.notes]
    if skew is not None:
        everything.append(skew)
    is_displaced_heard = batch.shows_displaced_at_work(student.session_id, events)
    if is_displaced_heard:
        everything.append(batch.second_device_note())
    return record_report(
        tx,
        everything,
        progress=progress,
        is_holder_heard=batch.context.held_by_session == student.session_id,
        is_displaced_heard=is_displaced_heard,
        has_ended=not batch.context.is_running,
        reporter=student,
    )


def _results(report: _Report) -> list[RecordedEvent | RefusedEvent]:
    results: list[RecordedEvent | RefusedEvent] = []
    known = {
        event.client_event_id: RecordedEvent(
            event=event, audit_seq=event.audit_seq, status=ResultStatus.DUPLICATE
        )
        for event in report.stored
    }
    judged, audit_seq = report.taken.judged, report.taken.recorded.audit_seq
    may_have_doubles = len(report.taken.events) < len(judged)
    for each in judged:
        earlier = known.get(each.client_event_id) if each.client_event_id else None
        if isinstance(each, _Refused):
            is_here = earlier is not None and isinstance(
                each.reason, AttemptClosedError
            )
            results.append(
                earlier
                if earlier is not None and is_here
                else RefusedEvent(
                    client_event_id=each.client_event_id, reason=each.reason
                )
            )
        elif earlier is not None:
            results.append(_repeated(each, earlier))
        elif audit_seq is not None:
            accepted = RecordedEvent(
                event=each, audit_seq=audit_seq, status=ResultStatus.ACCEPTED
            )
            results.append(accepted)
            if may_have_doubles:
                known[each.client_event_id] = replace(
                    accepted, status=ResultStatus.DUPLICATE
                )
    return results


def _repeated(
    again: ProctoringEvent, earlier: RecordedEvent
) -> RecordedEvent | RefusedEvent:
    known = earlier.event
    if (again.event_type, again.sequence) == (known.event_type, known.sequence):
        return earlier
    return RefusedEvent(
        client_event_id=known.client_event_id,
        reason=EventIdReusedError(known.client_event_id),
    )
