"""Nobody is answered before a synchronous standby has what he did.

The fast commit (docs/decisions/0002-fast-commit.md) commits without waiting for anybody
and then waits once. That one wait has to be for the standby too.
"""

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress

import psycopg2
import pytest
from psycopg2.extensions import connection, make_dsn, parse_dsn

from database import embedded
from models.database import Database
from models.database_errors import DatabaseUnavailableError
from services.audit_verification import verify
from tests.audit_trail import append, run, scalar
from tests.databases import connection_to
from tests.slow.replication import wait_for_the_standby, waiting_writers
from tests.slow.running import kill_postgres, postmaster
from tests.slow.test_fast_commit import UNFLUSHED
from tests.waiting import until

WRITERS = 8
ENOUGH = 1500


@pytest.fixture
def primary(durable_dsn: str, standby: embedded.Server) -> Iterator[connection]:
    """A session with the primary, each of whose commits waits for the standby."""
    with closing(psycopg2.connect(standby.dsn())) as session:
        assert scalar(session, "SELECT pg_is_in_recovery()")
    with closing(psycopg2.connect(durable_dsn)) as session:
        session.autocommit = True
        wait_for_the_standby(session)
        yield session
        with suppress(psycopg2.Error):
            # Or the primary, which stops last, would wait for whom there is no more.
            run(session, "ALTER SYSTEM RESET synchronous_standby_names")


@contextmanager
def held(standby: embedded.Server) -> Iterator[None]:
    """Stop the process that takes in what the primary sends, as it is."""
    (receiver,) = (
        process
        for process in postmaster(standby).children()
        if "walreceiver" in " ".join(process.cmdline())
    )
    receiver.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        receiver.send_signal(signal.SIGCONT)


@pytest.fixture
def database(durable_dsn: str) -> Iterator[Database]:
    """The API's side, which has an entry already: the second is the one to wait."""
    with closing(Database(connection_to(durable_dsn))) as database:
        append(database)
        yield database


@contextmanager
def waiting(
    database: Database, primary: connection, standby: embedded.Server
) -> Iterator[Future[list[int]]]:
    """Append an entry, of which the standby hears nothing before the block ends."""
    with ThreadPoolExecutor() as pool, held(standby):
        answer = pool.submit(append, database)
        until(lambda: waiting_writers(primary) == 1)
        yield answer


def test_an_answer_waits_for_the_standby(
    database: Database, primary: connection, standby: embedded.Server
) -> None:
    with waiting(database, primary, standby) as answer:
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
    database: Database, primary: connection, standby: embedded.Server
) -> None:
    cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
    with waiting(database, primary, standby) as answer:
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
