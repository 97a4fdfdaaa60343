"""Nobody is told of what a crash takes, though commits do not wait for the disk.

docs/decisions/0002-fast-commit.md. Every process of the server is killed with SIGKILL
while eight threads commit. The walwriter, which would write WAL behind our back, is
slowed down: what nobody has flushed is then surely lost, as the control run shows.
"""

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from database import embedded
from database.migrate import migrate
from models.database import Database
from models.database_errors import DatabaseUnavailableError
from models.transaction import BEGIN_WRITING
from services.audit_verification import verify
from tests.audit_trail import append
from tests.databases import connection_to
from tests.slow.running import kill_postgres

WRITERS: Final = 8
ENOUGH: Final = 1500
SETTINGS: Final = {
    "wal_writer_delay": "10s",
    "wal_writer_flush_after": "1GB",
    "wal_buffers": "64MB",
}
# What Database.transaction does, without the flush at its end.
UNFLUSHED: Final = (
    BEGIN_WRITING
    + """
    SELECT audit_append_one('user.created', 'user', '1', NULL, NULL, '{}');
    COMMIT;
    SELECT current_setting('proctoring.appended')
    """
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """How many were acknowledged, and which of those the restarted server lacks."""

    acknowledged: int
    lost: set[int]


@pytest.fixture
def root() -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="proctoring-killed-"))
    # As root the server is another account, which has to get through here.
    home.chmod(0o711)
    yield home / "postgres"
    shutil.rmtree(home)


def flushed(dsn: str, acknowledge: Callable[[int], None]) -> None:
    with closing(Database(connection_to(dsn))) as database:
        while True:
            acknowledge(append(database)[0])


def unflushed(dsn: str, acknowledge: Callable[[int], None]) -> None:
    with closing(psycopg2.connect(dsn)) as session, session.cursor() as cursor:
        session.autocommit = True
        while True:
            cursor.execute(UNFLUSHED)
            ((appended,),) = cursor.fetchall()
            acknowledge(int(appended.partition(":")[0]))


def kill_under(
    root: Path, write: Callable[[str, Callable[[int], None]], None]
) -> Aftermath:
    """Let eight threads write, kill the server, start it again, and count."""
    server = embedded.start(root, SETTINGS)
    dsn = make_dsn(server.dsn())
    migrate(dsn, lambda _: None)
    acknowledged: list[int] = []
    is_enough = threading.Event()

    def acknowledge(seq: int) -> None:
        acknowledged.append(seq)
        if len(acknowledged) >= ENOUGH:
            is_enough.set()

    def work() -> None:
        with suppress(DatabaseUnavailableError, psycopg2.Error):
            write(dsn, acknowledge)

    threads = [threading.Thread(target=work) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    assert is_enough.wait(timeout=120)
    kill_postgres(server)
    for thread in threads:
        thread.join()
    server.claim.close()
    assert server.process is not None
    server.process.wait()

    revived = embedded.start(root, SETTINGS)
    try:
        with closing(psycopg2.connect(dsn)) as session, session.cursor() as cursor:
            cursor.execute("SELECT seq FROM audit_log")
            found = {seq for (seq,) in cursor.fetchall()}
        assert verify(connection_to(dsn)).valid
    finally:
        embedded.stop(revived)
    return Aftermath(acknowledged=len(acknowledged), lost=set(acknowledged) - found)


def test_what_was_acknowledged_survives_a_kill(root: Path) -> None:
    for _ in range(3):
        aftermath = kill_under(root, flushed)

        assert aftermath.acknowledged >= ENOUGH
        assert aftermath.lost == set()


def test_without_the_flush_it_would_not(root: Path) -> None:
    aftermath = kill_under(root, unflushed)

    # The chain is whole all the same: WAL is one sequence, so what is lost is a tail.
    assert len(aftermath.lost) > 0
    assert min(aftermath.lost) == aftermath.acknowledged - len(aftermath.lost) + 1
