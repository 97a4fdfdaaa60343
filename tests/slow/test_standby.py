"""Nobody is answered before a synchronous standby has what he did.

The fast commit (docs/decisions/0002-fast-commit.md) commits without waiting for anybody
and then waits once. That one wait has to be for the standby too.
"""

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress

import psutil
import psycopg2
import pytest
from psycopg2.extensions import connection, make_dsn, parse_dsn

from database import embedded
from models.database import Database, DatabaseUnavailableError
from services.audit_verification import verify
from tests.audit_trail import append, run, scalar
from tests.databases import connection_to
from tests.slow.running import kill_postgres
from tests.slow.test_fast_commit import UNFLUSHED
from tests.waiting import until

WRITERS = 8
ENOUGH = 1500
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
IN_STEP = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'"


@pytest.fixture
def primary(durable_dsn: str, standby: embedded.Server) -> Iterator[connection]:
    """A session with the primary, each of whose commits waits for the standby."""
    with closing(psycopg2.connect(standby.dsn())) as session:
        assert scalar(session, "SELECT pg_is_in_recovery()")
    with closing(psycopg2.connect(durable_dsn)) as session:
        session.autocommit = True
        run(session, "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'")
        run(session, "SELECT pg_reload_conf()")
        until(lambda: bool(scalar(session, IN_STEP) == 1))
        yield session
        with suppress(psycopg2.Error):
            # Or the primary, which stops last, would wait for whom there is no more.
            run(session, "ALTER SYSTEM RESET synchronous_standby_names")


@contextmanager
def held(standby: embedded.Server) -> Iterator[None]:
    """Stop the process that takes in what the primary sends, as it is."""
    pid = int((standby.home / "data" / "postmaster.pid").read_text().split("\n")[0])
    (receiver,) = (
        process
        for process in psutil.Process(pid).children()
        if "walreceiver" in " ".join(process.cmdline())
    )
    receiver.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        receiver.send_signal(signal.SIGCONT)


def test_an_answer_waits_for_the_standby(
    primary: connection, durable_dsn: str, standby: embedded.Server
) -> None:
    with (
        closing(Database(connection_to(durable_dsn))) as database,
        ThreadPoolExecutor() as pool,
    ):
        append(database)
        with held(standby):
            answer = pool.submit(append, database)
            until(lambda: bool(scalar(primary, WAITING) == 1))
            # It is committed, and the lock of the log's head is free again.
            assert scalar(primary, "SELECT max(seq) FROM audit_log") == 2
            # What nobody waits for is answered at once.
            run(primary, UNFLUSHED)
            assert not answer.done()

        assert answer.result(30) == [2]


def test_the_log_can_be_verified_on_the_standby(
    primary: connection, durable_dsn: str, standby: embedded.Server
) -> None:
    with closing(Database(connection_to(durable_dsn))) as database:
        append(database, 20)
    there = make_dsn(standby.dsn(), dbname=parse_dsn(durable_dsn)["dbname"])
    with closing(psycopg2.connect(there)) as session:
        session.autocommit = True
        until(lambda: bool(scalar(session, "SELECT next_seq FROM audit_head") == 21))

    found = verify(connection_to(there), deep=True)

    assert found.errors == ()
    assert found.entries_checked == scalar(primary, "SELECT next_seq FROM audit_head")


def test_a_wait_that_is_cancelled_is_no_answer(
    primary: connection, durable_dsn: str, standby: embedded.Server
) -> None:
    cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
    with (
        closing(Database(connection_to(durable_dsn))) as database,
        ThreadPoolExecutor() as pool,
    ):
        append(database)
        with held(standby):
            answer = pool.submit(append, database)
            until(lambda: bool(scalar(primary, WAITING) == 1))

            run(primary, f"{cancel} WHERE wait_event = 'SyncRep'")

            # PostgreSQL has committed, and says with a warning that nobody waited.
            with pytest.raises(DatabaseUnavailableError, match="replica"):
                answer.result(30)
        assert scalar(primary, "SELECT max(seq) FROM audit_log") == 2
        assert append(database) == [3]


@pytest.mark.usefixtures("primary")
def test_what_was_acknowledged_is_there_when_the_standby_takes_over(
    durable_dsn: str, durable_server: embedded.Server, standby: embedded.Server
) -> None:
    acknowledged: list[int] = []
    is_enough = threading.Event()

    def write() -> None:
        with (
            suppress(DatabaseUnavailableError),
            closing(Database(connection_to(durable_dsn))) as database,
        ):
            while True:
                acknowledged.extend(append(database))
                if len(acknowledged) >= ENOUGH:
                    is_enough.set()

    with ThreadPoolExecutor(WRITERS) as pool:
        for _ in range(WRITERS):
            pool.submit(write)
        assert is_enough.wait(timeout=180)
        kill_postgres(durable_server)

    promoted = make_dsn(standby.dsn(), dbname=parse_dsn(durable_dsn)["dbname"])
    with closing(psycopg2.connect(promoted)) as session:
        session.autocommit = True
        assert scalar(session, "SELECT pg_promote()")
        found = {seq for (seq,) in run(session, "SELECT seq FROM audit_log")}
    assert set(acknowledged) - found == set()
    assert verify(connection_to(promoted), deep=True).errors == ()
