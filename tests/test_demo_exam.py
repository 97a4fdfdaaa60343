"""The demonstration's cast and plans: everybody is there, and has the time he needs."""

from collections import Counter
from random import Random

import pytest

from script.demo_behaviours import Behaviour, draw_questions
from script.demo_exam.cast import EXAM_COUNT, Fate, cast
from script.demo_exam.pace import Pace
from script.demo_exam.plans import draw_plans
from script.demo_exam.questions import THOROUGH, asked, subjects
from script.demo_exam.replies import KeyedQuestion


@pytest.mark.parametrize("count", [12, 14, 60, 300])
def test_every_behaviour_and_fate_is_played(count: int) -> None:
    students = cast(count, seed=3)

    assert len({student.email for student in students}) == count
    assert {student.behaviour for student in students} == set(Behaviour)
    assert {student.fate for student in students} == set(Fate)
    assert all(
        student.behaviour is Behaviour.HONEST
        for student in students
        if student.fate is not Fate.ORDINARY
    )


@pytest.mark.parametrize("count", [12, 14, 60, 300])
def test_exams_are_of_one_size_and_keep_pairs_together(count: int) -> None:
    students = cast(count, seed=3)

    sizes = Counter(student.exam_index for student in students)
    assert len(sizes) == EXAM_COUNT
    assert max(sizes.values()) - min(sizes.values()) <= 1
    pairs = Counter(
        (student.pair, student.exam_index)
        for student in students
        if student.pair is not None
    )
    assert set(pairs.values()) == {2}


def test_the_same_seed_casts_and_plans_the_same() -> None:
    questions = draw_questions(Random(1), 16)

    first, second = (
        draw_plans(cast(60, seed=5), questions, Pace(30.0), seed=5) for _ in range(2)
    )

    assert cast(60, seed=5) == cast(60, seed=5)
    assert first == second


def test_plans_fit_the_time_that_their_students_have() -> None:
    students, pace = cast(60, seed=5), Pace(30.0)
    questions = draw_questions(Random(1), 16)
    whole = pace.real(pace.life_seconds)

    plans = draw_plans(students, questions, pace, seed=5)

    for student in students:
        last = plans[student.number].answers[-1].offset_seconds
        if student.fate is Fate.EXTRA_TIME:
            assert whole < last < 1.5 * whole
        else:
            assert last < whole
    assert set(plans) == {student.number for student in students}


@pytest.mark.parametrize("speed", [1.0, 20.0, 30.0, 60.0, 240.0])
def test_a_report_vouches_for_the_time_to_the_next(speed: float) -> None:
    pace = Pace(speed)

    assert pace.policy().expected_report_interval_seconds == 2 * pace.report_seconds
    assert pace.exam_minutes * 60 * speed == pytest.approx(pace.life_seconds)


def test_there_is_a_subject_for_each_exam() -> None:
    found = subjects()

    assert len(found) == EXAM_COUNT
    assert all(subject.gift.count("::") == 2 * 16 for subject in found)


@pytest.mark.parametrize(
    ("question", "right"),
    [
        ({"kind": "true_false", "correct": False}, False),
        ({"kind": "numeric", "answer": 3.5, "tolerance": 0.5}, 3.5),
        ({"kind": "short_text", "accepted_answers": ["TCP", "tcp"]}, "TCP"),
    ],
)
def test_right_responses_come_from_the_key(
    question: dict[str, object], right: object
) -> None:
    identity = {"id": "01890000-0000-7000-8000-000000000001", "points": 1}

    made = asked(KeyedQuestion.model_validate({**identity, **question}))

    assert made.response(None) == right
    assert right not in made.wrong
    assert made.response(0) == made.wrong[0]


def test_only_a_right_essay_is_thorough() -> None:
    identity = {"id": "01890000-0000-7000-8000-000000000001", "points": 4}

    made = asked(KeyedQuestion.model_validate({**identity, "kind": "essay"}))

    assert str(made.right).startswith(THOROUGH)
    assert not any(str(each).startswith(THOROUGH) for each in made.wrong)
