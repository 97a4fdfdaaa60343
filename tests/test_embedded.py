"""The embedded server: it starts whatever happened before, and keeps its rows."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest

from database import embedded, embedded_home
from database.embedded import Server
from database.embedded_home import EmbeddedServerError

# These tests kill the server, not the machine.
FAST = {"fsync": "off"}
IS_ROOT = os.geteuid() == 0


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that another account can pass through."""
    with tempfile.TemporaryDirectory(prefix="pg-") as name:
        Path(name).chmod(0o711)
        yield Path(name) / "postgres"


@contextmanager
def running(root: Path) -> Iterator[Server]:
    server = embedded.start(root, FAST)
    try:
        yield server
    finally:
        embedded.stop(server)


def execute(server: Server, sql: str) -> list[tuple[object, ...]]:
    with (
        closing(psycopg2.connect(server.dsn())) as session,
        session,
        session.cursor() as cursor,
    ):
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


def postmaster(server: Server) -> int:
    return int((server.home / "data/postmaster.pid").read_text().split()[0])


def is_silent(server: Server) -> bool:
    try:
        psycopg2.connect(server.dsn()).close()
    except psycopg2.OperationalError:
        return True
    return False


def test_keeps_its_rows_when_stopped_and_started(place: Path) -> None:
    with running(place) as server:
        execute(server, "CREATE TABLE kept AS SELECT 1 AS value")
    assert is_silent(server)

    with running(place) as server:
        assert execute(server, "SELECT value FROM kept") == [(1,)]


def test_makes_a_cluster_with_checksums_and_utf8(place: Path) -> None:
    with running(place) as server:
        settings = execute(
            server,
            "SELECT current_setting('data_checksums'), current_setting('fsync'),"
            " pg_encoding_to_char(encoding), datlocale, lower('ÄÖ')"
            " FROM pg_database WHERE datname = 'postgres'",
        )

    assert settings == [("on", "off", "UTF8", "C.UTF-8", "äö")]


def test_lets_in_only_who_can_enter_its_directory(place: Path) -> None:
    with running(place) as server:
        addresses = execute(server, "SELECT current_setting('listen_addresses')")
        rules = execute(
            server, "SELECT DISTINCT type, auth_method FROM pg_hba_file_rules"
        )

        assert addresses == [("",)]
        assert ("host", "trust") not in rules
        assert Path(server.host).stat().st_mode & 0o777 == 0o700
        assert Path(server.host, ".s.PGSQL.5432").stat().st_mode & 0o777 == 0o700


def test_the_last_user_stops_it_whoever_started_it(place: Path) -> None:
    first = embedded.start(place, FAST)
    second = embedded.start(place, FAST)

    assert first.process is not None
    assert second.process is None
    assert embedded.stop(first) is False
    assert execute(second, "SELECT 1") == [(1,)]
    assert embedded.stop(second) is True
    assert is_silent(second)


def test_the_next_user_stops_what_a_killed_one_left_behind(place: Path) -> None:
    program = (
        "import os, pathlib, signal, sys; from database import embedded;"
        "embedded.start(pathlib.Path(sys.argv[1]), {'fsync': 'off'});"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", program, place], check=False)
    assert killed.returncode == -signal.SIGKILL

    server = embedded.start(place, FAST)

    assert server.process is None
    assert embedded.stop(server) is True
    assert is_silent(server)


def test_starts_once_for_five_that_start_at_once(place: Path) -> None:
    with ThreadPoolExecutor(5) as pool:
        starts = [pool.submit(embedded.start, place, FAST) for _ in range(5)]
        servers = [start.result() for start in starts]

    assert len({postmaster(server) for server in servers}) == 1
    assert sum(server.process is not None for server in servers) == 1
    assert sum(embedded.stop(server) for server in servers) == 1
    assert is_silent(servers[0])


def test_keeps_what_was_committed_when_killed_and_started_at_once(
    place: Path,
) -> None:
    with running(place) as server:
        execute(server, "CREATE TABLE kept (value int)")

    for _ in range(3):
        with running(place) as server:
            execute(server, "INSERT INTO kept SELECT generate_series(1, 1000)")
            os.kill(postmaster(server), signal.SIGKILL)

    with running(place) as server:
        assert execute(server, "SELECT count(*) FROM kept") == [(3000,)]


def test_a_second_user_revives_a_server_that_was_killed(place: Path) -> None:
    with running(place) as killed:
        os.kill(postmaster(killed), signal.SIGKILL)

        with running(place) as server:
            assert server.process is not None
            assert execute(server, "SELECT 1") == [(1,)]
            assert execute(killed, "SELECT 1") == [(1,)]


@pytest.mark.parametrize(
    "content",
    ["", "\n", f"{os.getpid()}\n", f"{os.getppid()}\n", "1\n", "999999999\n"],
    ids=["empty", "blank", "this process", "another", "init", "nobody"],
)
def test_starts_in_spite_of_a_stale_pid_file(place: Path, content: str) -> None:
    with running(place) as server:
        execute(server, "CREATE TABLE kept AS SELECT 1 AS value")
        full = (server.home / "data/postmaster.pid").read_text()
    # All that follows the pid stays as the dead server left it.
    rest = full.partition("\n")[2] if content.strip() else ""
    (server.home / "data/postmaster.pid").write_text(content + rest)
    Path(server.host, ".s.PGSQL.5432.lock").write_text(content + rest)

    with running(place) as server:
        assert execute(server, "SELECT value FROM kept") == [(1,)]


def test_a_torn_initdb_is_begun_anew(place: Path) -> None:
    home = embedded_home.settle(place)
    (home.path / "data.new").mkdir()
    (home.path / "data.new" / "PG_VERSION").write_text("18\n")

    with running(place) as server:
        assert execute(server, "SELECT 1") == [(1,)]


def test_puts_the_socket_elsewhere_when_the_path_is_too_long(place: Path) -> None:
    deep = place / ("a" * 60) / ("b" * 60) / "postgres"
    if IS_ROOT:
        deep.parent.mkdir(parents=True)

    with running(deep) as server, running(deep) as again:
        assert execute(server, "SELECT 1") == [(1,)]
        assert again.host == server.host
        assert server.home == deep.resolve()
        assert len(server.host) < 80
        assert Path(server.host).stat().st_mode & 0o777 == 0o700
    Path(server.host).rmdir()


def test_does_not_use_a_socket_directory_that_is_not_its_own(place: Path) -> None:
    home = embedded_home.settle(place)
    long = embedded_home.Home(path=home.path / ("a" * 100), account=home.account)
    made = embedded_home.socket_directory(long, 5432)
    made.chmod(0o777)

    with pytest.raises(EmbeddedServerError, match="not ours"):
        embedded_home.socket_directory(long, 5432)

    made.rmdir()


def test_says_why_it_does_not_start(place: Path) -> None:
    with pytest.raises(EmbeddedServerError, match=r"outside .* \"shared_buffers\""):
        embedded.start(place, {"shared_buffers": "1"})


def test_refuses_the_data_of_another_version(place: Path) -> None:
    with running(place) as server:
        pass
    (server.home / "data/PG_VERSION").write_text("17\n")

    with pytest.raises(EmbeddedServerError, match="made by PostgreSQL 17"):
        embedded.start(place, FAST)


def test_a_copy_of_the_programs_runs_by_itself(tmp_path: Path) -> None:
    installed = embedded_home.installed_programs()
    package = installed.parents[1]

    embedded_home.copy_programs(package, tmp_path / "programs")

    binaries = tmp_path / "programs" / installed.relative_to(package.parent)
    for program in ("initdb", "postgres", "psql"):
        done = subprocess.run(
            [binaries / program, "--version"], capture_output=True, check=True
        )
        assert b"18." in done.stdout


@pytest.mark.skipif(not IS_ROOT, reason="only root runs it as somebody else")
def test_root_puts_the_data_where_the_account_can_reach_it(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_home, "SHARED_STATE", place)
    tmp_path.chmod(0o700)
    root = tmp_path / ".local" / "postgres"

    with running(root) as server:
        execute(server, "CREATE TABLE kept AS SELECT 1 AS value")
    # It stays there, even when the checkout has become readable.
    tmp_path.chmod(0o755)

    with running(root) as server:
        assert server.home.parent == place
        assert root.resolve() == server.home
        assert execute(server, "SELECT value FROM kept") == [(1,)]


@pytest.mark.skipif(not IS_ROOT, reason="only root runs it as somebody else")
def test_root_leaves_data_to_the_account_that_made_it(place: Path) -> None:
    place.mkdir()
    os.chown(place, 65534, 65534)

    with running(place) as server:
        assert (server.home / "data").stat().st_uid == 65534
        assert (server.home / "log").stat().st_uid == 65534
