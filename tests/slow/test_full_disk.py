"""The database's disk is full in earnest: a file system of its own, and nothing left.

PostgreSQL can not write its log then, and goes down, again and again, until there is
room. What it acknowledged before is there afterwards (R7).
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import psutil
import psycopg2
import pytest

from database import embedded
from database.migrate import migrate
from database.seed import seed_if_empty
from tests.slow import running
from tests.slow.comparison import (
    assert_log_is_whole,
    assert_nothing_is_lost_or_doubled,
)
from tests.slow.exam_morning import open_exam, retries_of, sit_all
from tests.slow.running import answers, postmaster, restart_postgres, running_api
from tests.waiting import until

STUDENTS = 20
ROUNDS = 6
PAUSE_SECONDS = 1.0
MEGABYTES = 400
FULL_SECONDS = 8.0


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A directory on a file system of its own."""
    if os.geteuid() != 0:
        pytest.skip("only root mounts file systems")
    home = Path(tempfile.mkdtemp(prefix="proctoring-disk-"))
    options = f"size={MEGABYTES}m,mode=0711"
    mount = ["mount", "-t", "tmpfs", "-o", options, "none", str(home)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        home.rmdir()
        pytest.skip("no file system can be mounted here")
    yield home
    subprocess.run(["umount", "--lazy", home], check=True)
    home.rmdir()


@pytest.fixture
def server(small_disk: Path) -> Iterator[embedded.Server]:
    """A server that flushes, on it."""
    started = embedded.start(
        small_disk / "postgres", {"max_connections": "100", "min_wal_size": "32MB"}
    )
    yield started
    embedded.stop(started)


def dsn_of_new_database(server: embedded.Server) -> str:
    dsn = running.create_database(server, "proctoring")
    migrate(dsn, lambda _: None)
    seed_if_empty(dsn)
    return dsn


class Ballast:
    """What takes all the room there is, until it is thrown overboard."""

    def __init__(self, disk: Path) -> None:
        self._path = disk / "ballast"

    def fill(self) -> None:
        """Leave no byte, also of what was freed since."""
        with self._path.open("ab", buffering=0) as file, suppress(OSError):
            while file.write(b"\0" * 65_536):
                pass

    def drop(self) -> None:
        self._path.unlink()


def use_up_the_log(server: embedded.Server) -> None:
    """Begin another segment of WAL, for which there is no room soon."""
    with suppress(psycopg2.Error), closing(psycopg2.connect(server.dsn())) as session:
        session.autocommit = True
        with session.cursor() as cursor:
            cursor.execute("SELECT pg_switch_wal()")


def keep_full(server: embedded.Server, disk: Path) -> bool:
    """Keep the disk full for a while. Returns whether PostgreSQL has gone down."""
    ballast = Ballast(disk)
    until_then = time.monotonic() + FULL_SECONDS
    went_down = False
    while time.monotonic() < until_then:
        ballast.fill()
        use_up_the_log(server)
        went_down = went_down or not answers(server.dsn())
        time.sleep(0.2)
    ballast.drop()
    return went_down


def bring_back(server: embedded.Server) -> None:
    """As whoever watches over it would: systemd, or a person."""
    with suppress(FileNotFoundError, psutil.NoSuchProcess):
        first = postmaster(server)
        if first.is_running() and first.status() != psutil.STATUS_ZOMBIE:
            # It comes back by itself.
            until(lambda: answers(server.dsn()) or not first.is_running())
            if answers(server.dsn()):
                return
    restart_postgres(server)


def test_a_full_disk_loses_nothing_acknowledged(
    server: embedded.Server, small_disk: Path
) -> None:
    dsn = dsn_of_new_database(server)
    with running_api(running.database_variables(dsn), workers=2) as api:
        exam_id, emails = open_exam(api.url, STUDENTS)
        with ThreadPoolExecutor(1) as pool:
            sitting = pool.submit(
                sit_all,
                api.url,
                exam_id,
                emails,
                at_once=STUDENTS,
                rounds=ROUNDS,
                pause_seconds=PAUSE_SECONDS,
            )
            time.sleep(3)
            went_down = keep_full(server, small_disk)
            bring_back(server)
            everything = sitting.result()

        assert went_down, "the disk was not full enough"
        assert_nothing_is_lost_or_doubled(dsn, everything)
        assert_log_is_whole(dsn, api)
    assert set(retries_of(everything)) == {"503"}
