"""From events to what each factor has to weigh: episodes, gates and exposure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from services.event_catalogue import EVENT_TYPES, EventClass, EventType, Reporter
from services.proctoring_policy import (
    ProctoringPolicy,
    is_sustained,
    repeated_severity,
)
from services.risk.context import Failures, failures
from services.risk.inputs import AttemptInputs, ObservedEvent
from services.risk.spans import (
    Span,
    WorkingTime,
    integral_of_highest,
    microseconds,
    span_of,
    union,
)
from services.risk.weighting import FACTOR_OF_CODE, Weighting

# Heights are integers of this unit, so that sums are exact.
HEIGHT_UNIT = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """An integrity event as the model sees it. Heights are in HEIGHT_UNIT.

    `span` is by the attempt's own clock, which stands still in pauses.
    """

    event_id: UUID
    code: str
    span: Span
    count: int
    height: int
    repeated_height: int
    explained_by: str | None
    is_opinion: bool
    is_sustained: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What one factor rests on. Exposure is dimensionless.

    It is the time over which the factor's events were seen, each lasting at least the
    debounce, in units of the debounce and weighed by severity.
    """

    counted: tuple[Observation, ...]
    uncounted: tuple[Observation, ...]
    exposure: float


def gather(
    inputs: AttemptInputs, policy: ProctoringPolicy, weighting: Weighting
) -> dict[str, Evidence]:
    """Return the evidence of each factor that has any event, counted or not."""
    known = failures(inputs, policy)
    time = WorkingTime.of(inputs)
    by_code: dict[str, list[Observation]] = {}
    for event in inputs.events:
        if not _is_considered(event, policy):
            continue
        span = _worked(inputs, event, time)
        if span is not None:
            observed = _observation(inputs, event, span, known, policy, weighting)
            by_code.setdefault(event.code, []).append(observed)

    parts: dict[str, list[tuple[Span, int]]] = {}
    counted: dict[str, list[Observation]] = {}
    uncounted: dict[str, list[Observation]] = {}
    for code, observations in sorted(by_code.items()):
        factor = FACTOR_OF_CODE[code]
        weighed = _weighed(observations, policy)
        parts.setdefault(factor, []).extend(
            (_occupied(each, policy), height) for each, height in weighed
        )
        ids = {each.event_id for each, _ in weighed}
        counted.setdefault(factor, []).extend(o for o, _ in weighed)
        uncounted.setdefault(factor, []).extend(
            o for o in observations if o.event_id not in ids
        )
    unit = microseconds(policy.debounce_seconds) * HEIGHT_UNIT
    return {
        factor: Evidence(
            counted=_in_order(counted[factor]),
            uncounted=_in_order(uncounted[factor]),
            exposure=integral_of_highest(parts[factor]) / unit,
        )
        for factor in counted
    }


def episodes(
    observations: Iterable[Observation], policy: ProctoringPolicy
) -> tuple[Span, ...]:
    """Join observations that are closer than the debounce."""
    gap = microseconds(policy.debounce_seconds)
    return union((each.span for each in observations), gap)


def repetitions(observations: Sequence[Observation], policy: ProctoringPolicy) -> int:
    """Return how many observations there are at least a debounce apart.

    Counting episodes instead would not do: one more event between two episodes makes
    them one, and more evidence would then count for less. What a client has merged into
    one event is no more than it would have been apart.
    """
    gap = microseconds(policy.debounce_seconds)
    apart, free_from = 0, None
    for start in sorted(each.span.start for each in observations):
        if free_from is None or start >= free_from:
            apart += 1
            free_from = start + gap
    merged = (min(each.count, 1 + each.span.length // gap) for each in observations)
    return max([apart, *merged])


def _is_considered(event: ObservedEvent, policy: ProctoringPolicy) -> bool:
    confidence = event.facts.confidence
    return (
        event.event_class is EventClass.INTEGRITY
        and not event.is_displaced
        and event.code in FACTOR_OF_CODE
        and policy.is_scored(event.code)
        and (confidence is None or confidence >= policy.minimum_confidence)
    )


def _worked(
    inputs: AttemptInputs, event: ObservedEvent, time: WorkingTime
) -> Span | None:
    """Return when the student was seen at work; None if he was not.

    Nobody has to sit before the camera during a break that was granted, nor when he has
    handed in. What a proctor says has the time at which he wrote it.
    """
    span = span_of(inputs, event)
    reporters = EVENT_TYPES[event.code].reporters
    if event.sequence is None and Reporter.PROCTOR in reporters:
        return time.read(span)
    return time.worked(span)


def _observation(
    inputs: AttemptInputs,
    event: ObservedEvent,
    span: Span,
    known: Failures,
    policy: ProctoringPolicy,
    weighting: Weighting,
) -> Observation:
    event_type: EventType = EVENT_TYPES[event.code]
    confidence = 1.0 if event.facts.confidence is None else event.facts.confidence
    explained_by = known.explanation_of(inputs, event)
    share = confidence * (weighting.explained_share if explained_by else 1.0)
    heights = weighting.severity_heights
    risen = max(heights[event.severity], heights[repeated_severity(event_type, policy)])
    return Observation(
        event_id=event.id,
        code=event.code,
        span=span,
        count=event.facts.count,
        height=round(heights[event.severity] * share * HEIGHT_UNIT),
        repeated_height=round(risen * share * HEIGHT_UNIT),
        explained_by=explained_by,
        is_opinion=event_type.is_detection and event.sequence is not None,
        is_sustained=is_sustained(
            replace(event.facts, duration_ms=span.length // 1000), policy
        ),
    )


def _weighed(
    observations: Sequence[Observation], policy: ProctoringPolicy
) -> list[tuple[Observation, int]]:
    """Return what counts of one code, with the height at which it does.

    What a technical failure explains helps nothing else to count: it passes the gate
    in the company of all, but the rest has to pass without it.
    """
    plain = [each for each in observations if not each.explained_by]
    passed = _passed(plain, policy) + [
        each for each in _passed(observations, policy) if each.explained_by
    ]
    is_repeated = bool(plain) and repetitions(plain, policy) >= policy.repeat_count
    heights = (
        each.repeated_height if is_repeated and not each.explained_by else each.height
        for each in passed
    )
    return [
        (each, height)
        for each, height in zip(passed, heights, strict=True)
        if height > 0
    ]


def _passed(
    observations: Sequence[Observation], policy: ProctoringPolicy
) -> list[Observation]:
    """Return what is more than a bad frame: sustained, repeated, or no opinion."""
    opinions = [each for each in observations if each.is_opinion]
    if opinions and repetitions(opinions, policy) >= policy.repeat_count:
        return list(observations)
    sustained = microseconds(policy.sustained_after_seconds)
    # Two frames that lie far enough apart span a long time, and yet are two frames.
    long_ones = [
        episode
        for episode in episodes(opinions, policy)
        if episode.length >= sustained
        and sum(each.count for each in opinions if _is_within(each.span, episode))
        >= policy.repeat_count
    ]
    return [
        each
        for each in observations
        if not each.is_opinion
        or each.is_sustained
        or any(_is_within(each.span, episode) for episode in long_ones)
    ]


def _is_within(span: Span, episode: Span) -> bool:
    return episode.start <= span.start and span.end <= episode.end


def _occupied(observation: Observation, policy: ProctoringPolicy) -> Span:
    debounce = microseconds(policy.debounce_seconds)
    return Span(observation.span.start, observation.span.end + debounce)


def _in_order(observations: Iterable[Observation]) -> tuple[Observation, ...]:
    return tuple(sorted(observations, key=lambda each: (each.span, each.event_id)))
