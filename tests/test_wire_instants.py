"""A time on the wire is written as RFC 3339 has it, and in no other way."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from models.wire import Instant

OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(
    lambda minutes: timezone(timedelta(minutes=minutes))
)
MOMENTS = st.builds(
    datetime.fromtimestamp,
    st.floats(946_684_800, 7_258_118_400),
    OFFSETS,
)
instant: TypeAdapter[datetime] = TypeAdapter(Instant)


def read(text: object) -> datetime:
    """Read it as the body of a request is read."""
    return instant.validate_json(json.dumps(text), strict=True)


@given(MOMENTS)
def test_every_rfc_3339_time_is_read_as_what_it_is(moment: datetime) -> None:
    found = read(moment.isoformat())

    assert found == moment
    assert found.tzinfo is UTC


@given(st.integers() | st.floats() | st.integers().map(str) | st.floats().map(repr))
def test_no_number_is_a_time(number: object) -> None:
    with pytest.raises(ValidationError):
        read(number)


@pytest.mark.parametrize(
    "text",
    [
        "1700000000",
        "+1700000000",
        "1700000000.5",
        "2026-11-24",
        "2026-11-24T09:00:00",
        "2026-11-24T09:00Z",
        "2026-11-24 09:00:00Z",
        "2026-11-24_09:00:00Z",
        "2026-11-24T09:00:00+0100",
        "2026-11-24T09:00:00+01:00\n",
        "\uff12026-11-24T09:00:00Z",
        "",
    ],
)
def test_what_rfc_3339_does_not_know_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        read(text)


@pytest.mark.parametrize(
    ("text", "microsecond"),
    [
        ("2026-11-24t09:00:00z", 0),
        ("2026-11-24T09:00:00.5Z", 500_000),
        ("2026-11-24T09:00:00.123456789Z", 123_456),
        ("2026-11-24T10:00:00+01:00", 0),
        ("2026-11-24T09:00:00-00:00", 0),
    ],
)
def test_all_that_rfc_3339_allows_is_read(text: str, microsecond: int) -> None:
    assert read(text) == datetime(2026, 11, 24, 9, 0, 0, microsecond, UTC)


def test_the_schema_says_so() -> None:
    schema = instant.json_schema()

    assert schema == {"type": "string", "format": "date-time"}
