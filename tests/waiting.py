"""Waiting for a condition, and no longer than that."""

import time
from collections.abc import Callable

from psycopg2.extensions import connection

from tests.audit_trail import scalar

PATIENCE_SECONDS = 30.0
WAITERS = """
    SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def until_somebody_waits_for_a_lock(sql: connection, waiters: int = 1) -> None:
    until(lambda: bool(scalar(sql, WAITERS) >= waiters))
