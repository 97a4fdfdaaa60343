"""traceparent: the examples and the rules of W3C Trace Context, section 3.2."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.trace_context import begin

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("header", "is_sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        # Flags that nobody has defined yet are ignored.
        (f"00-{TRACE}-{SPAN}-fe", False),
        (f"00-{TRACE}-{SPAN}-09", True),
        # Of a later version what we know of it is read.
        (f"cc-{TRACE}-{SPAN}-01", True),
        (f"cc-{TRACE}-{SPAN}-01-what-comes", True),
    ],
)
def test_a_trace_goes_on(header: str, is_sampled: bool) -> None:  # noqa: FBT001
    found = begin(header)

    assert (found.trace_id, found.parent_id) == (TRACE, SPAN)
    assert found.is_sampled == is_sampled
    assert found.span_id != SPAN
    assert found.header == f"00-{TRACE}-{found.span_id}-{'01' if is_sampled else '00'}"


@pytest.mark.parametrize(
    "header",
    [
        "",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01-",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"cc-{TRACE}-{SPAN}-01.x",
        f"cc-{TRACE}-{SPAN}-01-" + "x" * 500,
        f"00-{TRACE[:-1]}g-{SPAN}-01",
        f"00-{TRACE[:-1]}٣-{SPAN}-01",
    ],
)
def test_what_is_none_begins_another(header: str) -> None:
    found = begin(header)

    assert found.parent_id is None
    assert found.trace_id != TRACE
    assert re.fullmatch("[0-9a-f]{32}", found.trace_id)
    assert re.fullmatch("[0-9a-f]{16}", found.span_id)


@given(st.text(max_size=80))
def test_no_text_is_an_error_or_gets_into_a_line(header: str) -> None:
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", begin(header).header)
