"""Whatever the score needs is in the hash of its inputs, and nothing else is."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, Final
from uuid import UUID

import pytest

from services.event_catalogue import EventClass, Severity
from services.proctoring_policy import PayloadFacts, ProctoringPolicy
from services.risk import AnsweredQuestion, AttemptInputs, Cohort, Pause, measure
from services.risk.fingerprint import inputs_hash
from services.risk.inputs import ObservedEvent
from tests.risk_inputs import START, at

POLICY: Final = ProctoringPolicy()


EVENT: Final = ObservedEvent(
    id=UUID(int=1),
    code="focus.lost",
    event_class=EventClass.INTEGRITY,
    severity=Severity.LOW,
    occurred_at=at(60),
    received_at=at(61),
    sequence=1,
    facts=PayloadFacts(duration_ms=1200, confidence=0.5),
)
ANSWER: Final = AnsweredQuestion(
    question_id=UUID(int=2),
    kind="single_choice",
    is_correct=True,
    response_digest="a",
    first_saved_at=at(30),
    saved_at=at(40),
    options_count=4,
)
PAUSE: Final = Pause(started_at=at(100), ended_at=at(200))
INPUTS: Final = AttemptInputs(
    attempt_id=UUID(int=3),
    student_id=UUID(int=4),
    started_at=START,
    ended_at=at(3600),
    as_of=at(3600),
    events=(EVENT, replace(EVENT, id=UUID(int=9), sequence=2, occurred_at=at(90))),
    answers=(ANSWER, replace(ANSWER, question_id=UUID(int=8))),
    pauses=(PAUSE, Pause(started_at=at(300), ended_at=None)),
    report_times=(at(61), at(91)),
)
# Another value for each field, by its name.
OTHERS: Final[dict[str, Any]] = {
    "id": UUID(int=70),
    "attempt_id": UUID(int=71),
    "student_id": UUID(int=72),
    "question_id": UUID(int=73),
    "code": "focus.regained",
    "event_class": EventClass.TECHNICAL,
    "severity": Severity.HIGH,
    "sequence": 3,
    "kind": "numeric",
    "is_correct": False,
    "response_digest": "b",
    "options_count": 5,
    "duration_ms": 1201,
    "confidence": 0.6,
    "count": 2,
    "consecutive_frames": 2,
    "skew_seconds": 1.5,
    "is_new_network": True,
    **{
        name: at(45.000001)
        for name in (
            *("started_at", "ended_at", "as_of", "occurred_at", "received_at"),
            *("first_saved_at", "saved_at"),
        )
    },
}


def hashed(inputs: AttemptInputs) -> str:
    return inputs_hash(inputs, Cohort(), POLICY, "v1")


def with_event(event: ObservedEvent) -> AttemptInputs:
    return replace(INPUTS, events=(event, *INPUTS.events[1:]))


def changed(part: object, of_inputs: Callable[[Any], AttemptInputs]) -> dict[str, str]:
    """Return the hash of the inputs with each field of a part changed, by its name."""
    assert hasattr(part, "__dataclass_fields__")
    return {
        field.name: hashed(of_inputs(replace(part, **{field.name: OTHERS[field.name]})))  # type: ignore[type-var]
        for field in fields(part)  # type: ignore[arg-type]
        if field.name in OTHERS
    }


@pytest.mark.parametrize(
    ("part", "of_inputs", "how_many"),
    [
        (EVENT, with_event, 7),
        (EVENT.facts, lambda facts: with_event(replace(EVENT, facts=facts)), 6),
        (ANSWER, lambda a: replace(INPUTS, answers=(a, *INPUTS.answers[1:])), 7),
        (PAUSE, lambda p: replace(INPUTS, pauses=(p, *INPUTS.pauses[1:])), 2),
        (INPUTS, lambda inputs: inputs, 5),
    ],
    ids=["event", "facts", "answer", "pause", "attempt"],
)
def test_each_part_is_in_the_hash(
    part: object, of_inputs: Callable[[Any], AttemptInputs], how_many: int
) -> None:
    found = changed(part, of_inputs)

    assert len(found) == how_many
    assert len({hashed(INPUTS), *found.values()}) == how_many + 1


@pytest.mark.parametrize("name", ["events", "answers", "pauses", "report_times"])
def test_what_is_missing_is_missed(name: str) -> None:
    fewer = replace(INPUTS, **{name: getattr(INPUTS, name)[1:]})

    assert hashed(fewer) != hashed(INPUTS)


@pytest.mark.parametrize("name", ["events", "answers", "pauses", "report_times"])
def test_the_order_in_which_things_are_listed_is_of_no_matter(name: str) -> None:
    turned = replace(INPUTS, **{name: getattr(INPUTS, name)[::-1]})

    assert hashed(turned) == hashed(INPUTS)


def test_a_report_that_is_named_twice_is_one() -> None:
    twice = replace(INPUTS, report_times=INPUTS.report_times * 2)

    assert hashed(twice) == hashed(INPUTS)


def test_what_is_around_the_attempt_is_in_the_hash() -> None:
    member = measure(replace(INPUTS, attempt_id=UUID(int=50)), POLICY)

    different = {
        hashed(INPUTS),
        inputs_hash(INPUTS, Cohort(), POLICY, "v2"),
        inputs_hash(INPUTS, Cohort(), POLICY.scaled(2), "v1"),
        inputs_hash(INPUTS, Cohort(members=(member,)), POLICY, "v1"),
    }

    assert len(different) == 4
