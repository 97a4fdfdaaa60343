"""From the database to what the risk model is given."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
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
from models.risk_subject import SeenEvent, Subject
from services import grading
from services.event_catalogue import EventClass, Severity
from services.proctoring_policy import read_facts
from services.risk import AnsweredQuestion, AttemptInputs, ObservedEvent, Pause
from utils.blockchain_hasher import canonical_json

# What stops the clock of an attempt until it is resumed.
STOPS: Final = frozenset({"session.paused", "session.submitted", "session.terminated"})


def read_inputs(
    tx: Transaction,
    subjects: Sequence[Subject],
    questions: Mapping[UUID, Question],
) -> dict[UUID, AttemptInputs]:
    """Read attempts of one exam, in three statements for any number of them.

    A running attempt is judged up to the last sign of its client, so that the same
    data give the same score whenever somebody asks.
    """
    ids = [subject.attempt_id for subject in subjects]
    events: dict[UUID, list[SeenEvent]] = defaultdict(list)
    for event in risk_subject.list_events(tx, ids):
        events[event.attempt_id].append(event)
    reports: dict[UUID, list[datetime]] = defaultdict(list)
    for report in risk_subject.list_reports(tx, ids):
        reports[report.attempt_id].append(report.received_at)
    answers: dict[UUID, list[Answer]] = defaultdict(list)
    for given in answer.list_by_attempts(tx, ids):
        answers[given.attempt_id].append(given)
    return {
        subject.attempt_id: _inputs(
            subject,
            events[subject.attempt_id],
            reports[subject.attempt_id],
            _answered(answers[subject.attempt_id], questions),
        )
        for subject in subjects
    }


def _inputs(
    subject: Subject,
    events: Sequence[SeenEvent],
    logged: Sequence[datetime],
    answers: tuple[AnsweredQuestion, ...],
) -> AttemptInputs:
    reports = {
        *logged,
        *(event.received_at for event in events if event.sequence is not None),
        *(each.saved_at for each in answers),
    }
    last_sign = max([subject.started_at, *(event.received_at for event in events)])
    return AttemptInputs(
        attempt_id=subject.attempt_id,
        student_id=subject.student_id,
        started_at=subject.started_at,
        ended_at=subject.ended_at,
        as_of=subject.ended_at or max([last_sign, *reports]),
        events=tuple(_observed(event) for event in events),
        answers=answers,
        pauses=_pauses(events),
        report_times=tuple(sorted(reports)),
    )


def _observed(event: SeenEvent) -> ObservedEvent:
    return ObservedEvent(
        id=event.id,
        code=event.event_type,
        event_class=EventClass(event.event_class),
        severity=Severity(event.severity),
        # A clock that is ahead shows itself here. One that is behind looks like a
        # late delivery, and is given the benefit of the doubt.
        occurred_at=min(event.occurred_at, event.received_at),
        received_at=event.received_at,
        sequence=event.sequence,
        facts=read_facts(event.payload),
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
