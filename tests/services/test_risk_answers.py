"""Shared wrong answers and fast right ones: found where planted, silent otherwise."""

from dataclasses import replace
from itertools import product
from math import prod
from random import Random
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.proctoring_policy import ProctoringPolicy
from services.risk import (
    Analysis,
    AnsweredQuestion,
    AttemptInputs,
    Cohort,
    Pause,
    analyse,
    measure,
    timed_answers,
)
from services.risk.similarity import tail
from tests.risk_inputs import START, at

POLICY = ProctoringPolicy()
QUESTIONS = 24
RIGHT = "right"


def answer(question: int, response: str, seconds: float) -> AnsweredQuestion:
    return AnsweredQuestion(
        question_id=UUID(int=question),
        kind="single_choice",
        is_correct=response == RIGHT,
        response_digest=response,
        first_saved_at=at(seconds),
        saved_at=at(seconds),
        options_count=4,
    )


def attempt(number: int, *answers: AnsweredQuestion) -> AttemptInputs:
    return AttemptInputs(
        attempt_id=UUID(int=1000 + number),
        student_id=UUID(int=2000 + number),
        started_at=START,
        ended_at=at(3600),
        as_of=at(3600),
        answers=answers,
    )


def alone(number: int, rng: Random, chance_right: float = 0.6) -> AttemptInputs:
    """Someone who works alone; some wrong answers are more popular than others."""
    return attempt(
        number,
        *(
            answer(
                question,
                RIGHT
                if rng.random() < chance_right
                else rng.choices("abc", [6, 3, 1])[0],
                60 * question,
            )
            for question in range(1, QUESTIONS + 1)
        ),
    )


def judge_all(attempts: list[AttemptInputs]) -> list[Analysis]:
    cohort = Cohort(members=tuple(measure(each, POLICY) for each in attempts))
    return [analyse(each, cohort, POLICY) for each in attempts]


def with_answers_of(
    taker: AttemptInputs, source: AttemptInputs, taken: int
) -> AttemptInputs:
    return replace(taker, answers=(*source.answers[:taken], *taker.answers[taken:]))


def test_a_pair_that_shares_wrong_answers_is_found_and_nobody_else() -> None:
    rng = Random(5)
    attempts = [alone(each, rng, 0.5) for each in range(20)]
    attempts[1] = with_answers_of(attempts[1], attempts[0], 22)

    analyses = judge_all(attempts)

    for one, other in ((0, 1), (1, 0)):
        (similar,) = analyses[one].cohort.similar_attempts
        assert similar.attempt_id == attempts[other].attempt_id
        assert similar.probability < 0.001
        (factor,) = analyses[one].factors
        assert factor.code == "answer_similarity"
        assert set(factor.questions) == set(similar.question_ids)
        assert str(attempts[other].attempt_id) not in factor.explanation
        assert analyses[one].risk_score == factor.contribution >= 60
    assert all(each.risk_score == 0 for each in analyses[2:])


def test_students_who_work_alone_are_seldom_found_alike() -> None:
    # The correction promises that at most one exam in twenty has such a pair.
    rng = Random(11)
    exams = 60
    alarms = 0
    for _ in range(exams):
        analyses = judge_all([alone(each, rng, 0.55) for each in range(16)])
        alarms += any(
            similar.probability < 0.05
            for each in analyses
            for similar in each.cohort.similar_attempts
        )

    assert alarms <= exams * 0.05


def test_right_answers_in_common_mean_nothing() -> None:
    rng = Random(3)
    attempts = [alone(each, rng) for each in range(12)]
    best = [answer(q, RIGHT, 60 * q) for q in range(1, QUESTIONS + 1)]
    attempts += [attempt(20, *best), attempt(21, *best)]

    analyses = judge_all(attempts)

    assert analyses[-1].risk_score == analyses[-2].risk_score == 0


def test_a_mistake_that_everybody_makes_means_nothing() -> None:
    rng = Random(4)
    everyone = [answer(q, "a", 60 * q) for q in range(1, 11)]
    attempts = [
        attempt(each, *everyone, *alone(each, rng).answers[10:]) for each in range(12)
    ]

    assert all(each.risk_score == 0 for each in judge_all(attempts))


def test_nobody_is_compared_with_his_own_second_attempt() -> None:
    rng = Random(5)
    attempts = [alone(each, rng, 0.5) for each in range(12)]
    again = replace(attempts[0], attempt_id=UUID(int=99))

    *_, second = judge_all([*attempts, again])

    assert second.cohort.size == 11
    assert second.risk_score == 0


def test_similarity_can_be_turned_off() -> None:
    rng = Random(5)
    attempts = [alone(each, rng, 0.5) for each in range(20)]
    attempts[1] = with_answers_of(attempts[1], attempts[0], 22)
    policy = ProctoringPolicy(is_similarity_enabled=False)
    cohort = Cohort(members=tuple(measure(each, policy) for each in attempts))

    assert analyse(attempts[0], cohort, policy).risk_score == 0


@settings(deadline=None)
@given(chances=st.lists(st.floats(0, 1), max_size=7), at_least=st.integers(1, 8))
def test_the_tail_is_that_of_all_outcomes(chances: list[float], at_least: int) -> None:
    expected = sum(
        prod(
            chance if hit else 1 - chance
            for hit, chance in zip(outcome, chances, strict=True)
        )
        for outcome in product((True, False), repeat=len(chances))
        if sum(outcome) >= at_least
    )

    assert tail(chances, at_least) == pytest.approx(expected, abs=1e-12)


def test_the_tail_keeps_what_is_very_small() -> None:
    assert tail([0.001] * 5, 5) == pytest.approx(1e-15)


def test_time_is_counted_from_the_save_before_without_the_pause() -> None:
    inputs = replace(
        attempt(
            1,
            answer(1, RIGHT, 40),
            answer(2, RIGHT, 140),
            answer(3, RIGHT, 200),
            answer(4, RIGHT, 200),
        ),
        pauses=(Pause(started_at=at(50), ended_at=at(110)),),
    )

    assert [each.seconds for each in timed_answers(inputs, POLICY)] == [40, 40, 30, 30]


def test_a_change_of_mind_counts_as_time() -> None:
    changed = replace(answer(2, RIGHT, 60), saved_at=at(300))
    inputs = attempt(1, answer(1, RIGHT, 45), changed)

    assert [each.seconds for each in timed_answers(inputs, POLICY)] == [45, 255]


def fast(number: int, responses: list[str]) -> AttemptInputs:
    return attempt(
        number,
        *(answer(q, each, q * 1.5) for q, each in enumerate(responses, start=1)),
    )


def test_fast_right_answers_are_found() -> None:
    analysis = analyse(fast(1, [RIGHT] * 10), Cohort(), POLICY)

    (factor,) = analysis.factors
    assert factor.code == "answer_timing"
    assert len(factor.questions) == 10
    assert factor.explanation.startswith("10 right answers")
    assert 20 < analysis.risk_score < 100 * factor.weight


@pytest.mark.parametrize(
    "responses",
    [
        pytest.param([RIGHT] * 2, id="two are no pattern"),
        pytest.param([RIGHT, "a", "b", "c"] * 5, id="guessing"),
        pytest.param(["a"] * 20, id="fast and wrong"),
    ],
)
def test_luck_is_not_found(responses: list[str]) -> None:
    assert analyse(fast(1, responses), Cohort(), POLICY).risk_score == 0


def test_fast_is_measured_by_the_others_too() -> None:
    rng = Random(8)
    others = [alone(each, rng) for each in range(10)]
    quick = attempt(50, *(answer(q, RIGHT, 8 * q) for q in range(1, QUESTIONS + 1)))
    cohort = Cohort(members=tuple(measure(each, POLICY) for each in others))

    assert analyse(quick, Cohort(), POLICY).risk_score == 0
    assert analyse(quick, cohort, POLICY).risk_score > 0


def test_answers_that_wait_for_a_grade_are_left_out() -> None:
    rng = Random(5)
    attempts = [
        replace(each, answers=tuple(replace(a, is_correct=None) for a in each.answers))
        for each in (alone(number, rng) for number in range(12))
    ]
    attempts[1] = replace(attempts[1], answers=attempts[0].answers)

    assert all(each.risk_score == 0 for each in judge_all(attempts))
