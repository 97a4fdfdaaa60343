"""Coverage lowers confidence and never raises risk; spans are exact."""

from datetime import datetime
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.event_catalogue import EventClass, Severity
from services.proctoring_policy import ProctoringPolicy
from services.risk import AttemptInputs, Cohort, ObservedEvent, Pause, analyse
from services.risk.spans import Span, integral_of_highest, total, union
from tests.risk_inputs import START, at

POLICY = ProctoringPolicy(expected_report_interval_seconds=30)


END = at(600)


def noted(seconds: float, sequence: int) -> ObservedEvent:
    return ObservedEvent(
        id=UUID(int=sequence),
        code="env.noise",
        event_class=EventClass.ENVIRONMENT,
        severity=Severity.INFO,
        occurred_at=at(seconds),
        received_at=at(seconds),
        sequence=sequence,
    )


def attempt(
    reports: list[float],
    *,
    events: tuple[ObservedEvent, ...] = (),
    pauses: tuple[Pause, ...] = (),
    ended_at: datetime | None = END,
    as_of: datetime = END,
) -> AttemptInputs:
    return AttemptInputs(
        attempt_id=UUID(int=1),
        student_id=UUID(int=2),
        started_at=START,
        ended_at=ended_at,
        as_of=as_of,
        events=events,
        pauses=pauses,
        report_times=tuple(at(each) for each in reports),
    )


def observed(inputs: AttemptInputs) -> tuple[float, float]:
    coverage = analyse(inputs, Cohort(), POLICY).coverage
    return coverage.observed_percent, coverage.longest_gap_seconds


STEADY = [float(each) for each in range(0, 601, 15)]


def test_steady_reports_cover_everything() -> None:
    assert observed(attempt(STEADY)) == (100.0, 15.0)


def test_silence_covers_nothing() -> None:
    analysis = analyse(attempt([]), Cohort(), POLICY)

    assert analysis.coverage.observed_percent == 0
    assert analysis.coverage.longest_gap_seconds == 600
    assert analysis.confidence == 0
    assert analysis.risk_score == 0


def test_an_outage_is_a_gap() -> None:
    # The report that ends the silence vouches for the 30 s before it.
    reports = [each for each in STEADY if not 120 < each < 300]

    assert observed(attempt(reports)) == (75.0, 180.0)


def test_a_pause_is_no_gap() -> None:
    reports = [each for each in STEADY if not 120 < each < 300]
    pause = Pause(started_at=at(120), ended_at=at(300))

    assert observed(attempt(reports, pauses=(pause,))) == (100.0, 15.0)


def test_what_was_kept_during_an_outage_covers_its_time() -> None:
    reports = [each for each in STEADY if not 120 < each < 300]
    kept = tuple(noted(120 + 30 * n, n) for n in range(1, 6))

    assert observed(attempt(reports, events=kept)) == (100.0, 30.0)


def test_the_next_report_of_a_running_attempt_may_be_under_way() -> None:
    running = attempt(STEADY[:20], ended_at=None, as_of=at(310))
    ended = attempt(STEADY[:20], ended_at=at(310), as_of=at(310))

    assert observed(running)[0] == 100.0
    assert observed(ended)[0] < 100.0


def test_the_report_that_ends_the_attempt_may_come_just_after_it() -> None:
    assert observed(attempt([*STEADY[:-1], 600.2])) == (100.0, 15.0)


def test_events_that_never_came_lower_the_confidence() -> None:
    whole = tuple(noted(10 * n, n) for n in range(1, 11))
    holed = tuple(each for each in whole if each.sequence not in {4, 5})

    full = analyse(attempt(STEADY, events=whole), Cohort(), POLICY)
    less = analyse(attempt(STEADY, events=holed), Cohort(), POLICY)

    assert full.coverage.missing_events == 0
    assert less.coverage.missing_events == 2
    assert less.confidence == pytest.approx(0.8 * full.confidence, abs=0.001)
    assert less.risk_score == full.risk_score == 0


spans = st.builds(
    lambda start, length: Span(start, start + length),
    st.integers(-50, 50),
    st.integers(0, 30),
)


@given(parts=st.lists(st.tuples(spans, st.integers(0, 9)), max_size=12))
def test_the_integral_is_that_of_the_highest_at_each_moment(
    parts: list[tuple[Span, int]],
) -> None:
    expected = sum(
        max((h for span, h in parts if span.start <= t < span.end), default=0)
        for t in range(-50, 80)
    )

    assert integral_of_highest(parts) == expected


@given(parts=st.lists(spans, max_size=12), gap=st.integers(0, 8))
def test_a_union_covers_the_same_moments_and_keeps_its_gaps(
    parts: list[Span], gap: int
) -> None:
    joined = union(parts, gap)
    covered = {t for span in parts for t in range(span.start, span.end)}

    assert total(parts) == len(covered)
    assert covered <= {t for span in joined for t in range(span.start, span.end)}
    for left, right in pairwise(joined):
        assert right.start - left.end >= max(gap, 1)
