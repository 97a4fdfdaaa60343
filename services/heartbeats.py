"""Heartbeats: what a client reports when there is nothing to report.

They are the first to be left out when there is too much to do. Answers, submissions and
observations are always taken.
"""

from collections.abc import Sequence
from typing import Final

from pydantic import JsonValue

from models.proctoring_report import ReportedEvent
from services import errors
from services.server_load import Load, ServerLoad
from utils import metrics

HEARTBEAT_CODE: Final = "session.milestone"


class HeartbeatNotTakenError(errors.BusyError):
    slug = "heartbeat-not-taken"
    title = "Heartbeat not taken"

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(
            "The server has much to do, and this reports nothing but that you are "
            "there. Send it later, together with what happens until then.",
            retry_after_seconds=retry_after_seconds,
        )


def is_heartbeat(report: ReportedEvent | JsonValue) -> bool:
    """Say whether a report tells nothing but that the client is there."""
    return (
        isinstance(report, ReportedEvent)
        and report.event_type == HEARTBEAT_CODE
        and not report.payload
    )


def shed(load: ServerLoad, reports: Sequence[ReportedEvent | JsonValue]) -> None:
    """Raise HeartbeatNotTakenError for heartbeats alone while there is no room."""
    if load.level() is Load.OVERLOADED and all(map(is_heartbeat, reports)):
        metrics.HEARTBEATS_SHED.inc()
        raise HeartbeatNotTakenError(load.backoff_seconds() or 1)
