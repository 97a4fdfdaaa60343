"""Everything that a process counts, by the names that Prometheus reads.

Global like loggers are: whoever has something to count does it where it happens. With
PROMETHEUS_MULTIPROC_DIR (of the real environment; it is read before `.env`) the
processes of a server count in files there, and whichever of them is asked gives the
sum. Without it each counts for itself.

No label has a value that a client can choose: docs/operations.md lists them all.
"""

import os
from pathlib import Path
from typing import Final

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client import values as value_storage
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.values import MultiProcessValue, MutexValue

from utils.metric_slots import Slots

# When each series began: twice as many series, and nobody asks.
disable_created_metrics()  # type: ignore[no-untyped-call]

_directory: Final = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
_slots: Final = Slots(Path(_directory)) if _directory else None
# The library takes an empty variable for the current directory.
value_storage.ValueClass = MutexValue
if _slots is not None:
    value_storage.ValueClass = MultiProcessValue(_slots.mine)  # type: ignore[no-untyped-call]

# In seconds. 0.15 and 1.0 are what is promised: docs/performance.md.
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def _gauge(name: str, text: str) -> Gauge:
    return Gauge(name, text, multiprocess_mode="livesum")


REQUESTS = Counter(
    "proctoring_http_requests",
    "Requests that were answered.",
    ["method", "route", "status"],
)
REQUEST_SECONDS = Histogram(
    "proctoring_http_request_duration_seconds",
    "From the first line of ours to the last, without the wait for a thread.",
    ["method", "route"],
    buckets=_BUCKETS,
)
REQUESTS_IN_FLIGHT = _gauge(
    "proctoring_http_requests_in_flight", "Requests that are being worked on."
)
RATE_LIMIT_REFUSALS = Counter(
    "proctoring_rate_limit_refusals", "Requests over a rate limit.", ["route"]
)

HEARTBEATS_SHED = Counter(
    "proctoring_heartbeats_shed",
    "Reports of nothing that were sent away because there was too much to do (503).",
)

HASHING_IN_USE = _gauge(
    "proctoring_hashing_in_use", "Passwords that are being hashed at this moment."
)
HASHING_WAITING = _gauge(
    "proctoring_hashing_waiting", "Requests that wait to hash a password."
)
HASHING_REFUSALS = Counter(
    "proctoring_hashing_refusals", "Logins that were told to come back (503)."
)

POOL_LIMIT = _gauge(
    "proctoring_pool_limit", "Database connections that the processes may open."
)
POOL_IN_USE = _gauge(
    "proctoring_pool_in_use", "Database connections that are lent out."
)
POOL_WAITING = _gauge(
    "proctoring_pool_waiting", "Threads that wait for a database connection."
)
POOL_TIMEOUTS = Counter(
    "proctoring_pool_timeouts", "Waits for a connection that were given up (503)."
)
DATABASE_FAILURES = Counter(
    "proctoring_database_failures",
    "Uses of the database that failed through no fault of the caller's.",
    ["reason"],
)
# Those that have not happened yet are to be seen as zeros.
for _reason in ("away", "busy", "silent"):
    DATABASE_FAILURES.labels(_reason)


LOG_LINES_DROPPED = Counter(
    "proctoring_log_lines_dropped",
    "Lines of the process log that nobody took in time, or that could not be written.",
)


def registry() -> CollectorRegistry:
    """Return what there is to read: the sum over the living processes of the server."""
    if _slots is None:
        return REGISTRY
    _slots.forget_the_dead()
    shared = CollectorRegistry()
    MultiProcessCollector(shared, path=_directory)  # type: ignore[no-untyped-call]
    return shared
