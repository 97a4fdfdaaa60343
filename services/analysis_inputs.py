"""From the database to what the risk model is given."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Final
from uuid import UUID

from models import answer, risk_subject
from models.answer import Answer
from models.question import Question
from models.question_response import Response, parse_response, response_to_json
from models.question_storage import ChoiceBody, parse_body
from models.question_types import QuestionKind
from models.risk_subject import SeenEvent, Subject, Write
from models.transaction import Transaction
from services import grading
from services.attempt_holds import Hold, Holds
from services.event_catalogue import EVENT_TYPES, EventClass, Severity
from services.proctoring_policy import (
    Classified,
    PayloadFacts,
    ProctoringPolicy,
    classify,
    read_facts,
)
from services.risk import AnsweredQuestion, AttemptInputs, ObservedEvent, Pause
from utils.blockchain_hasher import canonical_json

NO_TIME: Final = timedelta()
MILLISECOND: Final = timedelta(milliseconds=1)
# So many tell how late a clock is.
TELLING_EVENTS: Final = 20
# What an analysis itself has noted is none of its inputs.
OWN_NOTES: Final = frozenset({"client.heartbeat_missed"})
# What stops the clock of an attempt until it is resumed.
STOPS: Final = frozenset({"session.paused", "session.submitted", "session.terminated"})


def read_inputs(
    tx: Transaction,
    subjects: Sequence[Subject],
    questions: Mapping[UUID, Question],
    trial: ProctoringPolicy | None = None,
) -> dict[UUID, AttemptInputs]:
    """Read attempts of one exam, in a few statements for any number of them.

    A running attempt is judged up to the last sign of its client, so that the same
    data give the same score whenever somebody asks. Under the policy of a trial events
    are classified anew.
    """
    ids = [subject.attempt_id for subject in subjects]
    events: dict[UUID, list[SeenEvent]] = defaultdict(list)
    for event in risk_subject.list_events(tx, ids):
        if event.event_type not in OWN_NOTES:
            events[event.attempt_id].append(event)
    writes: dict[UUID, list[Write]] = defaultdict(list)
    for write in risk_subject.list_writes(tx, ids):
        writes[write.attempt_id].append(write)
    answers: dict[UUID, list[Answer]] = defaultdict(list)
    for given in answer.list_by_attempts(tx, ids):
        answers[given.attempt_id].append(given)
    holds = {each: _holds(writes[each]) for each in ids}
    devices = _devices(tx, holds, events, trial)
    return {
        subject.attempt_id: _inputs(
            subject,
            events[subject.attempt_id],
            [write.at for write in writes[subject.attempt_id]],
            _answered(answers[subject.attempt_id], questions),
            devices[subject.attempt_id],
        )
        for subject in subjects
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Devices:
    """From which login each report of an attempt came, if several have held it.

    `behind` says by how much the clock of each was behind ours.
    """

    holds: Holds
    login_of_batch: Mapping[UUID, UUID]
    behind: Mapping[UUID | None, timedelta]
    trial: ProctoringPolicy | None

    def observed(self, event: SeenEvent) -> ObservedEvent:
        # A clock that is ahead shows itself in each event.
        late_by = self.behind.get(self.login_of(event), NO_TIME)
        occurred_at = min(event.occurred_at + late_by, event.received_at)
        classified = self._classified(event)
        return ObservedEvent(
            id=event.id,
            code=event.event_type,
            event_class=classified.event_class,
            severity=classified.severity,
            occurred_at=occurred_at,
            received_at=event.received_at,
            sequence=event.sequence,
            facts=self._while_held(event, occurred_at),
            is_displaced=self._is_displaced(event, occurred_at),
        )

    def login_of(self, event: SeenEvent) -> UUID | None:
        """Return who sent an event; None if one login has sent all."""
        return self.login_of_batch.get(event.batch_id)

    def _classified(self, event: SeenEvent) -> Classified:
        if self.trial is None:
            return Classified(EventClass(event.event_class), Severity(event.severity))
        return classify(EVENT_TYPES[event.event_type], event.payload, self.trial)

    def is_sign(self, event: SeenEvent) -> bool:
        """Say whether the arrival of an event tells of the student."""
        return event.sequence is not None and not self._is_displaced(
            event, event.received_at
        )

    def _is_displaced(self, event: SeenEvent, observed_at: datetime) -> bool:
        login = self.login_of(event)
        return login is not None and self.holds.is_displaced(
            login, observed_at, event.received_at
        )

    def _while_held(self, event: SeenEvent, occurred_at: datetime) -> PayloadFacts:
        """Return the facts, for as long as the student was at that device."""
        facts = read_facts(event.payload)
        login = self.login_of(event)
        lost_at = login and self.holds.lost_after(login, occurred_at)
        if not lost_at:
            return facts
        held_ms = (lost_at - occurred_at) // MILLISECOND
        return replace(facts, duration_ms=min(facts.duration_ms, held_ms))


def _devices(
    tx: Transaction,
    holds: Mapping[UUID, Holds],
    events: Mapping[UUID, Sequence[SeenEvent]],
    trial: ProctoringPolicy | None,
) -> dict[UUID, _Devices]:
    moved = [attempt_id for attempt_id, held in holds.items() if held.has_moved]
    login_of_batch = {
        each.batch_id: each.session_id
        for each in (risk_subject.list_reporting_logins(tx, moved) if moved else ())
        if each.session_id is not None
    }
    return {
        attempt_id: _Devices(
            holds=held,
            login_of_batch=login_of_batch,
            behind=_behind(events[attempt_id], login_of_batch),
            trial=trial,
        )
        for attempt_id, held in holds.items()
    }


def _behind(
    events: Iterable[SeenEvent], login_of_batch: Mapping[UUID, UUID]
) -> dict[UUID | None, timedelta]:
    """Return by how much the clock of each login was behind ours, at most.

    Every event came at least so long after it was over by that clock: no delay is so
    regular, unless there are few. With the correction none comes before it is over.
    """
    delays: dict[UUID | None, list[timedelta]] = defaultdict(list)
    for event in events:
        if event.sequence is not None:
            lasted = read_facts(event.payload).duration_ms * MILLISECOND
            delay = event.received_at - event.occurred_at - lasted
            delays[login_of_batch.get(event.batch_id)].append(max(NO_TIME, delay))
    return {
        login: min(those)
        for login, those in delays.items()
        if len(those) >= TELLING_EVENTS
    }


def _holds(written: Iterable[Write]) -> Holds:
    return Holds(
        [
            Hold(since=each.at, session_id=each.now_held_by)
            for each in written
            if each.now_held_by is not None
        ]
    )


def _inputs(
    subject: Subject,
    events: Sequence[SeenEvent],
    written: Sequence[datetime],
    answers: tuple[AnsweredQuestion, ...],
    devices: _Devices,
) -> AttemptInputs:
    reports = {
        *written,
        *(event.received_at for event in events if devices.is_sign(event)),
        *(each.saved_at for each in answers),
    }
    last_sign = max([subject.started_at, *(event.received_at for event in events)])
    return AttemptInputs(
        attempt_id=subject.attempt_id,
        student_id=subject.student_id,
        started_at=subject.started_at,
        ended_at=subject.ended_at,
        as_of=subject.ended_at or max([last_sign, *reports]),
        events=tuple(devices.observed(event) for event in events),
        answers=answers,
        pauses=_pauses(events),
        report_times=tuple(sorted(reports)),
    )


def _pauses(events: Iterable[SeenEvent]) -> tuple[Pause, ...]:
    """Read the pauses off the server's own events: no client may report these.

    The time between an end and a reopening is one as well.
    """
    found: list[Pause] = []
    stopped: SeenEvent | None = None
    for event in events:
        if event.event_type in STOPS and stopped is None:
            stopped = event
        # Who goes on with another device resumes too, and gives no reason: that does
        # not end a pause.
        elif (
            event.event_type == "session.resumed"
            and "reason" in event.payload
            and stopped is not None
        ):
            found.append(
                Pause(started_at=stopped.occurred_at, ended_at=event.occurred_at)
            )
            stopped = None
    if stopped is not None and stopped.event_type == "session.paused":
        found.append(Pause(started_at=stopped.occurred_at, ended_at=None))
    return tuple(found)


def _answered(
    answers: Iterable[Answer], questions: Mapping[UUID, Question]
) -> tuple[AnsweredQuestion, ...]:
    return tuple(
        found
        for each in answers
        if (found := _answer(each, questions[each.question_id])) is not None
    )


def _answer(given: Answer, asked: Question) -> AnsweredQuestion | None:
    response = parse_response(asked.kind, asked.body, given.response)
    if response in (None, "", ()) or _is_placeholder(response):
        return None
    return AnsweredQuestion(
        question_id=asked.id,
        kind=asked.kind,
        is_correct=_is_correct(given, asked, grading.grade(asked, response)),
        response_digest=_digest(response),
        first_saved_at=given.first_saved_at,
        saved_at=given.saved_at,
        options_count=_options_count(asked),
    )


def _is_correct(given: Answer, asked: Question, by_key: Decimal | None) -> bool | None:
    """Judge by the key, or as a person did who knew better than it.

    None: an essay, or what earned a part of the points, is neither right nor wrong.
    """
    if by_key is None:
        return None
    points = by_key if given.graded_by is None else given.points_awarded
    if points == asked.points:
        return True
    return None if points else False


def _is_placeholder(response: Response) -> bool:
    """Say whether a text says nothing: a blank or a dash that two have says nothing."""
    return isinstance(response, str) and not any(map(str.isalnum, response))


def _digest(response: Response) -> str:
    same = (
        grading.comparable(response, is_case_sensitive=False)
        if isinstance(response, str)
        else response_to_json(response)
    )
    return sha256(canonical_json({"response": same}).encode()).hexdigest()


def _options_count(asked: Question) -> int | None:
    if asked.kind is QuestionKind.TRUE_FALSE:
        return 2
    body = parse_body(asked.kind, asked.body)
    return len(body.options) if isinstance(body, ChoiceBody) else None
