"""A backup that is taken under load restores to what it says, or the drill says no."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, tzinfo
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import connection

from database.seed import seed_if_empty
from models.database import Database
from script import backup
from services.checkpoint_files import read_keys
from tests.audit_trail import append, run
from tests.checkpoints import files_in, sign
from tests.databases import connection_to
from tests.exam_room import ExamRoom
from tests.slow.running import PROJECT
from tests.waiting import until
from tests.witnesses import Log, serving


@pytest.fixture
def sql(durable_dsn: str) -> Iterator[connection]:
    seed_if_empty(durable_dsn)
    with closing(psycopg2.connect(durable_dsn)) as session:
        session.autocommit = True
        yield session


@pytest.fixture
def database(durable_dsn: str) -> Iterator[Database]:
    with closing(Database(connection_to(durable_dsn))) as pool:
        yield pool


@contextmanager
def writing(database: Database) -> Iterator[list[int]]:
    """Append without a pause."""
    is_over, written = threading.Event(), list[int]()

    def write() -> None:
        while not is_over.is_set():
            written.extend(append(database, 5))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        until(lambda: bool(written))
        yield written
    finally:
        is_over.set()
        writer.join()


def back_up(database: Mapping[str, str], directory: Path) -> Path:
    done = subprocess.run(
        [PROJECT / "script" / "backup", directory],
        env={**os.environ, **database},
        check=True,
        capture_output=True,
        text=True,
    )
    return Path(done.stdout.strip())


def drill(
    dump: Path, *arguments: str | Path, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROJECT / "script" / "restore-drill", dump, *arguments],
        env={**os.environ, **(environ or {})},
        check=False,
        capture_output=True,
        text=True,
    )


def test_a_backup_under_load_restores_to_what_was_there(
    sql: connection,
    database: Database,
    database_variables: Mapping[str, str],
    tmp_path: Path,
) -> None:
    ExamRoom(sql).new_student()
    files = files_in(tmp_path, sql)
    append(database, 300)
    signed = sign(database.settings, files)
    assert signed is not None
    (vkey,) = (period.vkey for period in read_keys(files.keys).periods)
    with writing(database) as written:
        dump = back_up(database_variables, tmp_path / "backups")
        at_the_dump = len(written)
        until(lambda: len(written) > at_the_dump)

    done = drill(dump, "--vkey", vkey)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout
    assert "internally_consistent" in done.stdout
    assert "signed by the log's key" in done.stdout
    assert f"its first {signed.size} entries have the root" in done.stdout
    described = json.loads(dump.with_suffix(".json").read_text())
    assert described["rows"]["audit_log"] == described["head"]["next_seq"]
    assert sorted(path.suffix for path in dump.parent.iterdir()) == [".dump", ".json"]
    assert dump.stat().st_mode & 0o077 == 0

    # A witness has seen more than was backed up, and that is said.
    newer = sign(database.settings, files)
    assert newer is not None
    note = tmp_path / "note"
    note.write_text(newer.note)
    lost = drill(dump, "--checkpoint", note)
    assert lost.returncode == 1
    missing = newer.size - described["head"]["next_seq"]
    assert f"the last {missing} came after this backup" in lost.stdout


def test_a_drill_asks_nobody_who_has_seen_more_by_now(
    sql: connection,
    database: Database,
    database_variables: Mapping[str, str],
    tmp_path: Path,
) -> None:
    """With the settings of the service, as a timer may run it."""
    files = files_in(tmp_path, sql)
    append(database, 5)
    dump = back_up(database_variables, tmp_path / "backups")
    append(database, 5)
    newer = sign(database.settings, files)
    assert newer is not None
    log = Log.of(files)
    with serving(tmp_path / "witness", log) as witness:
        witness.post(b"old 0\n\n" + newer.note.encode())
        service = {
            "AUDIT_LOG_VKEYS": str(log.key),
            "WITNESSES": f"{witness.key}={witness.url}",
            "DB_PASSWORD_FILE": str(tmp_path / "of somebody else"),
            "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics"),
        }

        done = drill(dump, environ=service)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout


def test_a_log_that_was_changed_before_the_backup_fails_the_drill(
    sql: connection,
    database: Database,
    database_variables: Mapping[str, str],
    tmp_path: Path,
) -> None:
    append(database, 50)
    run(sql, "ALTER TABLE audit_log DISABLE TRIGGER ALL")
    run(sql, "UPDATE audit_log SET actor_id = 'nobody' WHERE seq = 17")
    run(sql, "ALTER TABLE audit_log ENABLE TRIGGER ALL")

    done = drill(back_up(database_variables, tmp_path))

    assert done.returncode == 1
    assert "the audit log holds: " in done.stdout
    assert "'seq': 17" in done.stdout


def test_a_file_that_is_not_what_was_written_is_not_restored(
    sql: connection, database_variables: Mapping[str, str], tmp_path: Path
) -> None:
    assert not sql.closed
    dump = back_up(database_variables, tmp_path)
    with dump.open("rb+") as file:
        file.truncate(dump.stat().st_size - 100)

    done = drill(dump)

    assert done.returncode == 1
    assert "its SHA-256 is another one" in done.stdout


def test_nobody_else_reads_a_backup_while_it_is_written(
    sql: connection, database_variables: Mapping[str, str], tmp_path: Path
) -> None:
    """Nor afterwards: it has everybody's answers, in a folder that others may read."""
    assert not sql.closed
    tmp_path.chmod(0o755)
    modes, is_over = set[int](), threading.Event()

    def watch() -> None:
        while not is_over.is_set():
            for file in (*tmp_path.glob(".*.draft"), *tmp_path.glob("*.dump")):
                with suppress(FileNotFoundError):
                    modes.add(file.stat().st_mode & 0o777)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        dump = back_up(database_variables, tmp_path)
    finally:
        is_over.set()
        watcher.join()

    assert dump.stat().st_mode & 0o777 == 0o600
    assert modes == {0o600}


def test_a_path_is_meant_from_where_the_script_is_called(
    sql: connection, database_variables: Mapping[str, str], tmp_path: Path
) -> None:
    assert not sql.closed

    def call(script: str, path: str | Path) -> str:
        return subprocess.run(
            [PROJECT / "script" / script, path],
            cwd=tmp_path,
            env={**os.environ, **database_variables},
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    dump = Path(call("backup", "of mine").strip())

    assert dump.parent == tmp_path / "of mine"
    assert "does NOT restore" not in call("restore-drill", dump.relative_to(tmp_path))


def test_a_backup_of_the_same_second_is_let_alone(
    durable_dsn: str,
    sql: connection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two hosts whose timers go off at once, and one directory."""
    assert not sql.closed
    second = datetime(2026, 11, 26, 3, tzinfo=UTC)

    class Stopped(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Stopped":
            assert tz is UTC
            return cls(*second.timetuple()[:6], tzinfo=tz)

    monkeypatch.setattr(backup, "datetime", Stopped)
    others = tmp_path / f".proctoring-{second:%Y%m%dT%H%M%S}.draft"
    others.write_text("half of a dump")

    with pytest.raises(FileExistsError):
        backup.back_up(durable_dsn, tmp_path)

    assert others.read_text() == "half of a dump"


def test_a_backup_that_is_stopped_leaves_no_file(
    sql: connection, database_variables: Mapping[str, str], tmp_path: Path
) -> None:
    assert not sql.closed
    (programs := tmp_path / "programs").mkdir()
    pg_dump = programs / "pg_dump"
    pg_dump.write_text(
        "#!/bin/sh\n[ $1 = --version ] && echo 'pg_dump (PostgreSQL) 99' || sleep 60\n"
    )
    pg_dump.chmod(0o755)
    directory = tmp_path / "backups"
    process = subprocess.Popen(
        [PROJECT / "script" / "backup", directory],
        env={**os.environ, **database_variables, "POSTGRES_BIN": str(programs)},
    )
    until(lambda: directory.exists() and list(directory.iterdir()) != [])

    process.terminate()

    assert process.wait(30) == 1
    assert list(directory.iterdir()) == []


def test_a_backup_of_nothing_leaves_no_file(tmp_path: Path) -> None:
    done = subprocess.run(
        [PROJECT / "script" / "backup", tmp_path],
        env={**os.environ, "DB_HOST": "127.0.0.1", "DB_PORT": "1"},
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert done.stderr.startswith("backup: ")
    assert list(tmp_path.iterdir()) == []
