"""Who asks on whose behalf, across programs: W3C Trace Context.

https://www.w3.org/TR/trace-context/ (level 1), and its `traceresponse` (level 2).
"""

import re
import secrets
from dataclasses import dataclass
from typing import Final

# Version ff is forbidden. A later version may append fields; 00 has exactly these.
_PARENT: Final = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
_MAX_LENGTH: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceContext:
    """One request as a span of a trace. Ids in lower-case hex, as they travel."""

    trace_id: str
    span_id: str
    # The caller's span, if he named one.
    parent_id: str | None
    is_sampled: bool

    @property
    def header(self) -> str:
        """As `traceparent` to whom we ask, and as `traceresponse` to who asked us."""
        flags = "01" if self.is_sampled else "00"
        return f"00-{self.trace_id}-{self.span_id}-{flags}"


def begin(traceparent: str) -> TraceContext:
    """Go on with the caller's trace; begin one if the header is empty or makes none."""
    match = _PARENT.fullmatch(traceparent) if len(traceparent) <= _MAX_LENGTH else None
    if (
        match is None
        or (match["version"] == "00" and match["more"] is not None)
        or not int(match["trace"], 16)
        or not int(match["span"], 16)
    ):
        return TraceContext(
            trace_id=secrets.token_hex(16),
            span_id=secrets.token_hex(8),
            parent_id=None,
            is_sampled=False,
        )
    return TraceContext(
        trace_id=match["trace"],
        span_id=secrets.token_hex(8),
        parent_id=match["span"],
        is_sampled=bool(int(match["flags"], 16) & 1),
    )
