"""A primary that waits for its standby, as PostgreSQL itself shows it."""

from psycopg2.extensions import connection

from tests.audit_trail import run, scalar
from tests.waiting import until

WRITERS = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
IN_STEP = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'"


def wait_for_the_standby(primary: connection) -> None:
    """Promise from now on that nothing is acknowledged that it does not have."""
    run(primary, "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'")
    run(primary, "SELECT pg_reload_conf()")
    until(lambda: bool(scalar(primary, IN_STEP) == 1))


def waiting_writers(primary: connection) -> int:
    """Count the sessions that wait for the standby."""
    return int(scalar(primary, WRITERS))
