"""How times are written and counted."""

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(moment: datetime) -> str:
    """Write a time as the log and all responses have it: UTC, with microseconds."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="microseconds")[:-6] + "Z"


def from_microseconds(count: int) -> datetime:
    """Return the time so many microseconds after 1970, UTC, to the last of them.

    Raises OverflowError outside of the years 1 to 9999.
    """
    return _EPOCH + timedelta(microseconds=count)
