"""The model's formulas, against numbers worked out by hand (docs/risk-model.md)."""

from dataclasses import replace
from uuid import UUID

import pytest

from services.proctoring_policy import ProctoringPolicy
from services.risk import RiskLevel, level_of
from services.risk.cohort import (
    Cohort,
    CohortMember,
    TimedAnswer,
    deviation,
    raising,
    tempering,
)
from services.risk.similarity import most_similar
from services.risk.weighting import CURRENT

LEVELS = ProctoringPolicy.model_validate(
    {"risk_levels": {"low": 20, "medium": 40, "high": 60, "critical": 80}}
).risk_levels


def test_the_spread_is_that_of_the_median_deviation() -> None:
    found = deviation(10, [1, 2, 3, 4, 9], CURRENT)

    assert found.median == 3
    assert found.spread == pytest.approx(1.4826)
    assert found.robust_z == pytest.approx(7 / 1.4826)


def test_the_mean_deviation_stands_in_where_most_are_alike() -> None:
    assert deviation(1, [0, 0, 0, 0, 5], CURRENT).spread == pytest.approx(1.253314)


def test_where_all_are_alike_a_little_more_is_no_outlier() -> None:
    assert deviation(1, [0, 0, 0], CURRENT).spread == 0.05
    assert deviation(1, [0.2, 0.2, 0.2], CURRENT).robust_z == pytest.approx(16)
    # A tenth of what is usual.
    assert deviation(21, [20, 20, 20], CURRENT).spread == pytest.approx(2)
    assert deviation(21, [20, 20, 20], CURRENT).robust_z == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("robust_z", "left", "raised"),
    [
        (-3, 0.25, 1),
        (0, 0.25, 1),
        (1, 0.625, 1),
        (2, 1, 1),
        (3.5, 1, 1.125),
        (5, 1, 1.25),
        (50, 1, 1.25),
    ],
)
def test_the_usual_weighs_less_and_the_unusual_more(
    robust_z: float, left: float, raised: float
) -> None:
    assert tempering(robust_z, CURRENT) == pytest.approx(left)
    assert raising(robust_z, CURRENT) == pytest.approx(raised)


@pytest.mark.parametrize(
    ("score", "level"),
    [
        (0, RiskLevel.NONE),
        (19.99, RiskLevel.NONE),
        (20, RiskLevel.LOW),
        (40, RiskLevel.MEDIUM),
        (60, RiskLevel.HIGH),
        (80, RiskLevel.CRITICAL),
    ],
)
def test_a_level_begins_at_its_threshold(score: float, level: RiskLevel) -> None:
    assert level_of(score, LEVELS) is level


def wrong_answer(response: str, kind: str = "single_choice") -> TimedAnswer:
    return TimedAnswer(
        question_id=UUID(int=1),
        kind=kind,
        is_correct=False,
        response_digest=response,
        options_count=4 if kind == "single_choice" else None,
        seconds=60,
    )


def members(*answers: TimedAnswer) -> list[CohortMember]:
    return [
        CohortMember(
            attempt_id=UUID(int=number),
            student_id=UUID(int=number),
            exposures={},
            answers=(answer,),
        )
        for number, answer in enumerate(answers)
    ]


RIGHT = replace(wrong_answer("right"), is_correct=True)


@pytest.mark.parametrize(
    ("third", "kind", "chance"),
    [
        # Of the others one, who is right: a third are wrong. The peer is wrong 1.5 to
        # 0.5 where 5/6 to 7/6 were to be expected, so his odds are 1/2 times 21/5, and
        # he is wrong with 21/31. Of three wrong options one is this.
        (RIGHT, "single_choice", 21 / 31 / 3),
        # Where there are no options, what was seen and one more is possible.
        (replace(RIGHT, kind="numeric", options_count=None), "numeric", 21 / 31 / 2),
        # The other is wrong too, otherwise: two thirds are; 2 times 15/7; and of four
        # one is this.
        (wrong_answer("other"), "single_choice", 30 / 37 / 4),
        # The other has the same one, which makes it two of four.
        (wrong_answer("shared"), "single_choice", 30 / 37 / 2),
    ],
    ids=["right", "numeric", "wrong", "same"],
)
def test_the_chance_that_a_wrong_answer_is_shared(
    third: TimedAnswer, kind: str, chance: float
) -> None:
    shared = wrong_answer("shared", kind)
    own, peer, other = members(shared, shared, third)
    cohort = Cohort(members=(own, peer, other))

    found = most_similar(own.answers, cohort, [peer], minimum_shared=1)

    assert found is not None
    assert found.expected == pytest.approx(chance)
    assert found.probability == pytest.approx(chance)
    assert (found.shared_wrong_answers, found.question_ids) == (1, (UUID(int=1),))


def test_a_chance_counts_for_each_pair_of_the_exam() -> None:
    """Bonferroni: among three there are three pairs."""
    shared = wrong_answer("shared")
    own, peer, other = members(shared, shared, wrong_answer("other"))
    cohort = Cohort(members=(own, peer, other))

    found = most_similar(own.answers, cohort, [peer, other], minimum_shared=1)

    assert found is not None
    assert found.probability == pytest.approx(3 * 30 / 37 / 4)
    assert most_similar(own.answers, cohort, [peer, other], minimum_shared=2) is None
