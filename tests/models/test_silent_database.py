"""A server that falls silent while its kernel, or a middlebox, goes on acknowledging.

Neither the statement's time limit, which is the server's, nor TCP ends such a wait.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from weakref import ref

import pytest
from psycopg2.extensions import connection

from models.connection_settings import ConnectionSettings
from models.database import Database
from models.database_errors import DatabaseUnavailableError
from models.transaction import patience_for
from models.watched_connection import LOOK_EVERY_SECONDS
from tests.audit_trail import append, scalar
from tests.fault_proxy import Line, line_to
from tests.waiting import until

# patience_for gives 2.2 seconds.
STATEMENT_TIMEOUT_SECONDS = 0.1
PATIENCE_SECONDS = patience_for(STATEMENT_TIMEOUT_SECONDS)
# The machine may be busy; without the watchdog it would be for ever.
LATE_SECONDS = 10.0


@pytest.fixture
def line(connection_settings: ConnectionSettings) -> Iterator[Line]:
    with line_to(connection_settings.host, connection_settings.port) as found:
        yield found


@pytest.fixture
def far(connection_settings: ConnectionSettings, line: Line) -> Iterator[Database]:
    """The database at the other end of the line."""
    settings = replace(
        connection_settings,
        host="127.0.0.1",
        port=line.port,
        statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS,
        connect_timeout_seconds=2,
    )
    with closing(Database(settings)) as pool:
        yield pool


def read(database: Database) -> object:
    with database.read() as tx:
        return tx.scalar("SELECT 1")


def test_a_statement_that_is_never_answered_ends(far: Database, line: Line) -> None:
    started = time.monotonic()

    with pytest.raises(DatabaseUnavailableError), far.read() as tx:
        tx.scalar("SELECT 1")
        line.is_silent = True
        tx.scalar("SELECT 2")

    assert PATIENCE_SECONDS - 0.1 < time.monotonic() - started < LATE_SECONDS


def test_a_commit_that_is_never_answered_ends_and_is_not_believed(
    far: Database, line: Line, sql: connection
) -> None:
    before = scalar(sql, "SELECT next_seq FROM audit_head")
    read(far)
    line.is_deaf = True
    with pytest.raises(DatabaseUnavailableError):
        append(far)

    # What was asked was done: whoever sends it again must find it done.
    assert scalar(sql, "SELECT next_seq FROM audit_head") == before + 1

    line.is_deaf = False
    append(far)
    assert scalar(sql, "SELECT next_seq FROM audit_head") == before + 2


def test_who_comes_next_does_not_wait_for_each_idle_connection(
    far: Database, line: Line
) -> None:
    """Once one of them has said nothing, all of them are hung up."""
    several = 5
    barrier = threading.Barrier(several)

    def hold() -> None:
        with far.read() as tx:
            tx.scalar("SELECT 1")
            barrier.wait()

    holders = [threading.Thread(target=hold) for _ in range(several)]
    for each in holders:
        each.start()
    for each in holders:
        each.join()
    line.is_silent = True
    # Long enough for an idle connection to be asked before it is used.
    time.sleep(1.1)

    started = time.monotonic()
    with pytest.raises(DatabaseUnavailableError):
        read(far)
    # Two seconds for the first of them, and two for a new one.
    assert time.monotonic() - started < 2 * several

    line.is_silent = False
    assert read(far) == 1


def test_a_forked_process_has_a_watchdog_of_its_own(far: Database, line: Line) -> None:
    read(far)
    is_there, tell_there = os.pipe()
    is_silent, tell_silent = os.pipe()

    child = os.fork()
    if child == 0:
        status = 1
        try:
            with far.read() as tx:
                tx.scalar("SELECT 1")
                os.write(tell_there, b".")
                os.read(is_silent, 1)
                tx.scalar("SELECT 2")
        except DatabaseUnavailableError:
            status = 0
        finally:
            os._exit(status)
    os.read(is_there, 1)
    line.is_silent = True
    os.write(tell_silent, b".")

    try:
        until(lambda: os.waitpid(child, os.WNOHANG) == (child, 0))
    finally:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(child, signal.SIGKILL)


def test_a_connection_that_came_back_is_watched_no_longer(far: Database) -> None:
    """Being idle is not being late."""
    assert read(far) == 1
    time.sleep(PATIENCE_SECONDS + 0.5)
    assert read(far) == 1

    assert far.connections_opened == 1


def test_the_watchdog_keeps_no_connection_that_others_have_let_go(
    connection_settings: ConnectionSettings,
) -> None:
    connection = connection_settings.connect()
    kept = ref(connection)
    # It has been looked at, more than once.
    time.sleep(3 * LOOK_EVERY_SECONDS)
    connection.close()
    del connection

    until(lambda: kept() is None)


def test_a_transaction_that_takes_its_time_is_given_it(far: Database) -> None:
    with far.read() as tx:
        tx.take_time(10)
        tx.scalar("SELECT pg_sleep(3)")


def test_no_limit_is_no_patience_that_ends() -> None:
    assert patience_for(0) == float("inf")


def test_a_line_that_is_cut_is_noticed_at_once(far: Database, line: Line) -> None:
    started = time.monotonic()
    with pytest.raises(DatabaseUnavailableError), far.read() as tx:
        tx.scalar("SELECT 1")
        until(lambda: line.cut() == 1)
        tx.scalar("SELECT 2")

    assert time.monotonic() - started < PATIENCE_SECONDS
    assert read(far) == 1


def test_a_line_that_trickles_is_slow_and_no_more(far: Database, line: Line) -> None:
    line.bytes_per_second = 5000
    line.latency_seconds = 0.01

    assert read(far) == 1
    append(far)
