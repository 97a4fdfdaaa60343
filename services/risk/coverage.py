"""How much of the attempt was observed. It bears on confidence, never on risk."""

from dataclasses import dataclass
from itertools import pairwise

from services.proctoring_policy import ProctoringPolicy
from services.risk.inputs import AttemptInputs
from services.risk.spans import (
    Span,
    microseconds,
    moments,
    overlap,
    pauses,
    total,
    union,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """`observed_percent` 0 to 100; pauses are left out of both numbers."""

    observed_percent: float
    longest_gap_seconds: float
    missing_events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Coverage with the two shares, 0 to 1, that the confidence is made of."""

    coverage: Coverage
    observed_share: float
    received_share: float


def observe(inputs: AttemptInputs, policy: ProctoringPolicy) -> Observed:
    """Measure the time that reports vouch for, and the events that are not stored.

    A report vouches for the interval before it. An event that was kept on the client
    during an outage and came later also vouches for its own time.
    """
    attempt = Span(0, inputs.offset(inputs.until))
    breaks = tuple(each.clipped(attempt) for each in pauses(inputs))
    interval = microseconds(policy.expected_report_interval_seconds)
    kept = (
        each.occurred_at
        for each in inputs.events
        if each.sequence is not None and not each.is_displaced
    )
    # The report that ends an attempt arrives a moment before or after its end.
    signs = [
        min(moment, attempt.end)
        for moment in moments(inputs, [*inputs.report_times, *kept])
        if 0 <= moment < attempt.end + interval
    ]
    # The next report of a running attempt may still be under way.
    if signs and inputs.ended_at is None and attempt.end - signs[-1] <= interval:
        signs.append(attempt.end)
    vouched = (Span(each - interval, each).clipped(attempt) for each in signs)
    # A break needs no witness: count it as seen, then take it out of both sides.
    expected = attempt.length - total(breaks)
    seen = total(union([*vouched, *breaks])) - total(breaks)
    share = min(1.0, seen / expected) if expected > 0 else 1.0
    silences = [Span(a, b) for a, b in pairwise([0, *signs, attempt.end])]
    longest = max((each.length - overlap(breaks, each) for each in silences), default=0)
    received, missing = _received(inputs)
    return Observed(
        coverage=Coverage(
            observed_percent=round(100 * share, 1),
            longest_gap_seconds=round(longest / 1_000_000, 1),
            missing_events=missing,
        ),
        observed_share=share,
        received_share=received,
    )


def _received(inputs: AttemptInputs) -> tuple[float, int]:
    numbers = {e.sequence for e in inputs.events if e.sequence is not None}
    if not numbers:
        return 1.0, 0
    return len(numbers) / max(numbers), max(numbers) - len(numbers)
