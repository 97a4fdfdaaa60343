"""The model's formulas, against numbers worked out by hand (docs/risk-model.md)."""

import pytest

from services.proctoring_policy import ProctoringPolicy
from services.risk import RiskLevel, level_of
from services.risk.cohort import deviation, raising, tempering
from services.risk.weighting import CURRENT

LEVELS = ProctoringPolicy.model_validate(
    {"risk_levels": {"low": 20, "medium": 40, "high": 60, "critical": 80}}
).risk_levels


def test_the_spread_is_that_of_the_median_deviation() -> None:
    found = deviation(10, [1, 2, 3, 4, 9], 0.05)

    assert found.median == 3
    assert found.spread == pytest.approx(1.4826)
    assert found.robust_z == pytest.approx(7 / 1.4826)


def test_the_mean_deviation_stands_in_where_most_are_alike() -> None:
    assert deviation(1, [0, 0, 0, 0, 5], 0.05).spread == pytest.approx(1.253314)
    assert deviation(1, [2, 2, 2], 0.05).spread == 0.05
    assert deviation(1, [2, 2, 2], 0.05).robust_z == pytest.approx(-20)


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
