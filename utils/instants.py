"""How times are written."""

from datetime import UTC, datetime


def rfc3339(moment: datetime) -> str:
    """Write a time as the log and all responses have it: UTC, with microseconds."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="microseconds")[:-6] + "Z"
