"""Which technical failures explain which observations."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.event_catalogue import EventClass
from services.proctoring_policy import ProctoringPolicy
from services.risk.inputs import AttemptInputs, ObservedEvent
from services.risk.spans import Span, microseconds, moments, span_of

# Somebody whose connection is gone looks after his computer, not at the exam.
_NETWORK_EXPLAINS = frozenset(
    {
        "focus.lost",
        "fullscreen.exited",
        "app.switch_attempt",
        "face.not_visible",
        "face.partially_visible",
        "gaze.away",
        "media.webcam_disconnected",
        "media.mic_muted",
        "media.screenshare_stopped",
        "session.ip_changed",
    }
)
_CAMERA_EXPLAINS = frozenset(
    {"face.not_visible", "face.partially_visible", "gaze.away"}
)
_PICTURE_EXPLAINS = _CAMERA_EXPLAINS | {"face.mismatch_reference"}

_OUTAGES = frozenset({"client.disconnected", "client.freeze", "client.power_loss"})
_EXPLAINED_BY = dict.fromkeys(_OUTAGES, _NETWORK_EXPLAINS) | {
    "media.webcam_disconnected": _CAMERA_EXPLAINS,
    "media.quality_low": _PICTURE_EXPLAINS,
}
# Failures that can make other events weigh less.
EXPLAINING = frozenset(_EXPLAINED_BY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A technical failure, widened by the time that it takes to notice and to mend."""

    code: str
    window: Span
    explains: frozenset[str]


class Failures:
    """The failures of an attempt, to be asked by any number of events."""

    def __init__(self, found: Iterable[Failure]) -> None:
        # For each kind: when the windows begin, in order, and how far they have reached
        # by then. One of them holds a span if and only if that reach does.
        self._windows: dict[tuple[str, frozenset[str]], tuple[list[int], list[int]]]
        self._windows = {}
        for each in sorted(found, key=lambda each: each.window):
            starts, reaches = self._windows.setdefault(
                (each.code, each.explains), ([], [])
            )
            starts.append(each.window.start)
            reaches.append(max([each.window.end, *reaches[-1:]]))

    def explanation_of(self, inputs: AttemptInputs, event: ObservedEvent) -> str | None:
        """Return the code of a failure that the whole of an event fell into, if any."""
        span = span_of(inputs, event)
        return min(
            (
                code
                for (code, explains), (starts, reaches) in self._windows.items()
                if event.code in explains
                and (last := bisect_right(starts, span.start)) > 0
                and span.end <= reaches[last - 1]
            ),
            default=None,
        )


def failures(inputs: AttemptInputs, policy: ProctoringPolicy) -> Failures:
    """List the failures that may explain something.

    Only events of class `technical` are failures: a camera that was off for so long
    that it became a matter of integrity excuses nothing. An outage that a client
    claims holds only if nothing arrived from the client meanwhile.
    """
    slack = microseconds(policy.explained_within_seconds)
    reports = moments(inputs, inputs.report_times)
    end = inputs.offset(inputs.until)
    found: list[Failure] = []
    for event in inputs.events:
        explains = _explains(event)
        if not explains:
            continue
        span = span_of(inputs, event)
        if event.code in _OUTAGES:
            if not span.length:
                span = _until_heard_from(span.start, reports, slack, end)
            if _is_contradicted(span, reports, slack):
                continue
        found.append(
            Failure(
                code=event.code,
                window=Span(span.start - slack, span.end + slack),
                explains=explains,
            )
        )
    return Failures(found)


def _explains(event: ObservedEvent) -> frozenset[str]:
    if event.event_class is not EventClass.TECHNICAL or event.is_displaced:
        return frozenset()
    return _EXPLAINED_BY.get(event.code, frozenset())


def _until_heard_from(start: int, reports: Sequence[int], slack: int, end: int) -> Span:
    # Reports tell it, not client.reconnected: a claim could otherwise cut an outage
    # short, and a technical event would raise a score. What arrives within the slack
    # was still under way when the connection broke.
    following = bisect_right(reports, start + slack)
    return Span(
        start, max(start, reports[following] if following < len(reports) else end)
    )


def _is_contradicted(span: Span, reports: Sequence[int], slack: int) -> bool:
    first = bisect_right(reports, span.start + slack)
    return first < len(reports) and reports[first] < span.end - slack
