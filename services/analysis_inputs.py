"""From the database to what the risk model is given."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final
from uuid import UUID

from models import answer, risk_subject
from models.answer import Answer
from models.database import Transaction
from models.question import Question
from models.question_response import Response, parse_response, response_to_json
from models.question_storage import ChoiceBody, parse_body
from models.question_types import QuestionKind
from models.risk_subject import SeenEvent, Subject, Write
from services import grading
from services.attempt_holds import Hold, Holds
from services.event_catalogue import EventClass, Severity
from services.proctoring_policy import PayloadFacts, read_facts
from services.risk import AnsweredQuestion, AttemptInputs, ObservedEvent, Pause
from utils.blockchain_hasher import canonical_json

MILLISECOND: Final = timedelta(milliseconds=1)
# What stops the clock of an attempt until it is resumed.
STOPS: Final = frozenset({"session.paused", "session.submitted", "session.terminated"})


def read_inputs(
    tx: Transaction,
    subjects: Sequence[Subject],
    questions: Mapping[UUID, Question],
) -> dict[UUID, AttemptInputs]:
    """Read attempts of one exam, in a few statements for any number of them.

    A running attempt is judged up to the last sign of its client, so that the same
    data give the same score whenever somebody asks.
    """
    ids = [subject.attempt_id for subject in subjects]
    events: dict[UUID, list[SeenEvent]] = defaultdict(list)
    for event in risk_subject.list_events(tx, ids):
        events[event.attempt_id].append(event)
    writes: dict[UUID, list[Write]] = defaultdict(list)
    for write in risk_subject.list_writes(tx, ids):
        writes[write.attempt_id].append(write)
    answers: dict[UUID, list[Answer]] = defaultdict(list)
    for given in answer.list_by_attempts(tx, ids):
        answers[given.attempt_id].append(given)
    devices = _devices(tx, {each: _holds(writes[each]) for each in ids})
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
    """From which login each report of an attempt came, if several have held it."""

    holds: Holds
    login_of_batch: Mapping[UUID, UUID]

    def observed(self, event: SeenEvent) -> ObservedEvent:
        # A clock that is ahead shows itself here. One that is behind looks like a late
        # delivery, and is given the benefit of the doubt.
        occurred_at = min(event.occurred_at, event.received_at)
        return ObservedEvent(
            id=event.id,
            code=event.event_type,
            event_class=EventClass(event.event_class),
            severity=Severity(event.severity),
            occurred_at=occurred_at,
            received_at=event.received_at,
            sequence=event.sequence,
            facts=self._while_held(event, occurred_at),
            is_displaced=self._is_displaced(event, occurred_at),
        )

    def is_sign(self, event: SeenEvent) -> bool:
        """Say whether the arrival of an event tells of the student."""
        return event.sequence is not None and not self._is_displaced(
            event, event.received_at
        )

    def _is_displaced(self, event: SeenEvent, observed_at: datetime) -> bool:
        login = self.login_of_batch.get(event.batch_id)
        return login is not None and self.holds.is_displaced(
            login, observed_at, event.received_at
        )

    def _while_held(self, event: SeenEvent, occurred_at: datetime) -> PayloadFacts:
        """Return the facts, for as long as the student was at that device."""
        facts = read_facts(event.payload)
        login = self.login_of_batch.get(event.batch_id)
        lost_at = login and self.holds.lost_after(login, occurred_at)
        if not lost_at:
            return facts
        held_ms = (lost_at - occurred_at) // MILLISECOND
        return replace(facts, duration_ms=min(facts.duration_ms, held_ms))


def _devices(tx: Transaction, holds: Mapping[UUID, Holds]) -> dict[UUID, _Devices]:
    moved = [attempt_id for attempt_id, held in holds.items() if held.has_moved]
    login_of_batch = {
        each.batch_id: each.session_id
        for each in (risk_subject.list_reporting_logins(tx, moved) if moved else ())
        if each.session_id is not None
    }
    return {
        attempt_id: _Devices(holds=held, login_of_batch=login_of_batch)
        for attempt_id, held in holds.items()
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
    if response in (None, "", ()):
        return None
    points = grading.grade(asked, response)
    return AnsweredQuestion(
        question_id=asked.id,
        kind=asked.kind,
        is_correct=None if points is None else points == asked.points,
        response_digest=_digest(response),
        first_saved_at=given.first_saved_at,
        saved_at=given.saved_at,
        options_count=_options_count(asked),
    )


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
