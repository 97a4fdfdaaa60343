"""Where one thing ends and the next begins: to the millisecond that counts.

Each is a number that somebody may be asked about in a hearing.
"""

from collections.abc import Sequence
from datetime import datetime

import pytest

from services.risk import Cohort, ObservedEvent, Pause, analyse, measure
from services.risk.weighting import CURRENT
from tests.risk_inputs import POLICY, at, attempt, cohort_of, event

# How far from a failure what it explains may lie, in seconds.
SLACK = POLICY.explained_within_seconds


def beats(*, silent_from: float, silent_until: float) -> list[datetime]:
    """A report each second, but for a silence whose ends both are reports."""
    return [at(each) for each in range(3601) if not silent_from < each < silent_until]


def is_excused(
    seen: ObservedEvent, failure: ObservedEvent, reports: Sequence[datetime]
) -> bool:
    whole = measure(attempt(seen), POLICY).exposures
    left = measure(attempt(seen, failure, report_times=reports), POLICY).exposures
    (factor,) = whole
    if left == whole:
        return False
    assert left[factor] == pytest.approx(CURRENT.explained_share * whole[factor])
    return True


@pytest.mark.parametrize(
    ("seconds", "is_scored"),
    [(689.999, True), (690, False), (999.999, False), (1000, True)],
)
def test_a_break_has_its_first_moment_and_not_its_last(
    seconds: float, *, is_scored: bool
) -> None:
    pause = Pause(started_at=at(690), ended_at=at(1000))
    away = event("focus.lost", seconds)

    analysis = analyse(attempt(away, pauses=(pause,)), Cohort(), POLICY)

    assert (analysis.risk_score > 0) is is_scored


@pytest.mark.parametrize(
    ("starts", "ends", "excused"),
    [
        (600 - SLACK, 610 + SLACK, True),
        (600 - SLACK - 0.001, 610 + SLACK, False),
        (600 - SLACK, 610 + SLACK + 0.001, False),
    ],
)
def test_a_failure_explains_what_lies_in_its_window_as_a_whole(
    starts: float, ends: float, *, excused: bool
) -> None:
    unseen = event("face.not_visible", starts, ends - starts)
    camera = event("media.webcam_disconnected", 600, 10)

    assert is_excused(unseen, camera, [at(0)]) is excused


@pytest.mark.parametrize(
    ("ends", "excused"), [(700 + SLACK, True), (700 + SLACK + 0.001, False)]
)
def test_an_outage_without_a_length_lasts_until_the_next_report(
    ends: float, *, excused: bool
) -> None:
    lost = event("focus.lost", 610, ends - 610)
    frozen = event("client.freeze", 600)

    # What arrives within the slack was still under way when the connection broke.
    reports = beats(silent_from=600 + SLACK, silent_until=700)

    assert is_excused(lost, frozen, reports) is excused


def test_a_report_after_the_slack_ends_an_outage_without_a_length() -> None:
    frozen = event("client.freeze", 600)
    reports = [at(600 + SLACK + 0.001), at(700)]

    assert is_excused(event("focus.lost", 601, 2 * SLACK - 1), frozen, reports)
    assert not is_excused(event("focus.lost", 601, 2 * SLACK), frozen, reports)


def test_an_outage_after_which_nothing_comes_lasts_until_the_end() -> None:
    frozen = event("client.freeze", 3000)

    assert is_excused(event("focus.lost", 3010, 590), frozen, [at(0), at(3000)])


@pytest.mark.parametrize(
    ("report", "excused"),
    [
        (600 + SLACK, True),
        (600 + SLACK + 0.001, False),
        (700 - SLACK - 0.001, False),
        (700 - SLACK, True),
    ],
)
def test_a_report_in_the_midst_of_a_claimed_outage_contradicts_it(
    report: float, *, excused: bool
) -> None:
    lost = event("focus.lost", 610, 5)
    claimed = event("client.disconnected", 600, 100)

    assert is_excused(lost, claimed, [at(590), at(report), at(701)]) is excused


@pytest.mark.parametrize(
    ("frames", "counts"),
    [
        # Three frames over five seconds: together they are as long as one that lasts.
        ([(60, 1), (63, 1), (65, 1)], True),
        ([(60, 1), (63, 1), (64.999, 1)], False),
        # Two are two, but one that says of itself that it is two makes three.
        ([(60, 1), (65, 1)], False),
        ([(60, 1), (65, 2)], True),
        # A debounce apart they are no longer one sighting.
        ([(60, 1), (65, 1), (75, 1)], False),
    ],
)
def test_frames_count_when_they_are_long_together(
    frames: list[tuple[float, int]], *, counts: bool
) -> None:
    seen = [event("object.phone", when, times=times) for when, times in frames]

    assert (analyse(attempt(*seen), Cohort(), POLICY).risk_score > 0) is counts


def test_a_comparison_says_what_was_compared() -> None:
    lost = [event("focus.lost", 60 * each) for each in range(3)]
    others = cohort_of(0, 0.1, 0.2, 1 / 3, 0.4, 0.5, 0.6, 0.7)

    (found,) = analyse(attempt(*lost), others, POLICY).cohort.factors

    assert (found.code, found.value) == ("navigation", 0.9)
    # Between a third and 0.4; the median of the distances from it is 0.2.
    assert found.median == 0.366667
    assert found.spread == round(0.2 * 1.4826, 6)
    assert found.robust_z == round((0.9 - 1.1 / 3) / (0.2 * 1.4826), 3)
