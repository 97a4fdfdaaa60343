"""Arithmetic on spans of time, in whole microseconds so that sums are exact.

Floats would make a sum depend on the order of its parts, and a score on the order in
which the database returned the events.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import heappop, heappush
from itertools import pairwise
from typing import Final

from services.risk.inputs import AttemptInputs, ObservedEvent

FOREVER: Final = 1 << 62


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Half-open: `start` belongs to it, `end` does not. Microseconds."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return max(0, self.end - self.start)

    def clipped(self, within: "Span") -> "Span":
        start = max(self.start, within.start)
        return Span(start, max(start, min(self.end, within.end)))


def microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)


def union(spans: Iterable[Span], gap: int = 0) -> tuple[Span, ...]:
    """Join what overlaps, touches, or is separated by less than `gap`."""
    joined: list[Span] = []
    for span in sorted(spans):
        if joined and span.start <= joined[-1].end + max(0, gap - 1):
            joined[-1] = Span(joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return tuple(joined)


def total(spans: Iterable[Span]) -> int:
    """Return the length of the union."""
    return sum(span.length for span in union(spans))


def overlap(spans: Iterable[Span], within: Span) -> int:
    """Return how much of `within` the union of the spans covers."""
    return total(span.clipped(within) for span in spans)


def span_of(inputs: AttemptInputs, event: ObservedEvent) -> Span:
    """Return when an event was, by the clock on the wall."""
    start = inputs.offset(event.occurred_at)
    return Span(start, start + event.facts.duration_ms * 1000)


def pauses(inputs: AttemptInputs, lasting: int | None = None) -> tuple[Span, ...]:
    """List the attempt's pauses.

    One that still lasts ends with what is judged, or at `lasting`.
    """
    end = inputs.offset(inputs.until) if lasting is None else lasting
    return union(
        Span(
            inputs.offset(each.started_at),
            end if each.ended_at is None else inputs.offset(each.ended_at),
        )
        for each in inputs.pauses
    )


@dataclass(frozen=True, slots=True)
class WorkingTime:
    """An attempt's own clock. It stands still in pauses, and ends with the attempt."""

    end: int
    breaks: tuple[Span, ...]

    @classmethod
    def of(cls, inputs: AttemptInputs) -> "WorkingTime":
        # How long a pause still lasts, or the attempt, nobody knows yet.
        return cls(
            FOREVER if inputs.ended_at is None else inputs.offset(inputs.until),
            pauses(inputs, lasting=FOREVER),
        )

    def worked(self, span: Span) -> Span | None:
        """Return what of a span was work, by this clock; None if nothing was.

        Of a moment: whether it was.
        """
        if span.start == span.end:
            is_break = any(each.start <= span.start < each.end for each in self.breaks)
            if is_break or not 0 <= span.start <= self.end:
                return None
            return self.read(span)
        worked = self.read(span.clipped(Span(0, self.end)))
        return worked if worked.length else None

    def read(self, span: Span) -> Span:
        """Return a span by this clock, whenever it was."""
        return Span(self._at(span.start), self._at(span.end))

    def _at(self, moment: int) -> int:
        before = Span(min(0, moment), moment)
        return moment - sum(each.clipped(before).length for each in self.breaks)


def moments(inputs: AttemptInputs, times: Iterable[datetime]) -> Sequence[int]:
    return sorted({inputs.offset(each) for each in times})


def integral_of_highest(parts: Iterable[tuple[Span, int]]) -> int:
    """Integrate over time the greatest height among the spans that cover each moment.

    Adding a part never lowers it, and what two parts say of the same moment counts
    once: exactly what a score needs that neither rewards nor doubles a second report.
    """
    waiting = sorted(parts, reverse=True)
    edges = sorted({edge for span, _ in waiting for edge in (span.start, span.end)})
    area = 0
    open_parts: list[tuple[int, int]] = []
    for left, right in pairwise(edges):
        while waiting and waiting[-1][0].start <= left:
            span, height = waiting.pop()
            heappush(open_parts, (-height, span.end))
        while open_parts and open_parts[0][1] <= left:
            heappop(open_parts)
        if open_parts:
            area += -open_parts[0][0] * (right - left)
    return area
