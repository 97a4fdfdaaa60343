"""The migration runner: in order, once each, whole or not at all."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from psycopg2.extensions import connection, make_dsn, parse_dsn

from database.migrate import (
    ADVISORY_LOCK,
    MIGRATIONS,
    MigrationError,
    migrate,
    pending,
    read_migrations,
)

PROJECT = Path(__file__).resolve().parent.parent


def silently(_: str) -> None:
    pass


def query(dsn: str, sql: str) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(dsn)) as session, session.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def tables(dsn: str) -> set[object]:
    found = query(dsn, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {name for (name,) in found}


@pytest.fixture
def empty(database_server: str, administrator: connection) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    with administrator.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} ENCODING UTF8 TEMPLATE template0")
        yield make_dsn(database_server, dbname=name)
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE first (id int);")
    (tmp_path / "0002_second.sql").write_text(
        "CREATE TABLE second (id int); INSERT INTO first VALUES (1);"
    )
    return tmp_path


def test_applies_what_is_missing_and_nothing_twice(empty: str, files: Path) -> None:
    reports: list[str] = []

    first = migrate(empty, reports.append, files)
    (files / "0003_third.sql").write_text("CREATE TABLE third (id int);")
    second = migrate(empty, reports.append, files)

    assert first == ["0001_first.sql", "0002_second.sql"]
    assert second == ["0003_third.sql"]
    assert [report.split()[1] for report in reports] == first + second
    assert query(empty, "SELECT count(*) FROM first") == [(1,)]
    assert query(empty, "SELECT version, name FROM schema_migrations ORDER BY 1") == [
        (1, "first"),
        (2, "second"),
        (3, "third"),
    ]


def test_leaves_nothing_of_a_file_that_fails(empty: str, files: Path) -> None:
    broken = files / "0003_third.sql"
    broken.write_text("CREATE TABLE third (id int); SELECT 1 / 0;")

    with pytest.raises(psycopg2.errors.DivisionByZero):
        migrate(empty, silently, files)

    assert tables(empty) == {"first", "second", "schema_migrations"}
    assert pending(empty, files) == ["0003_third.sql"]
    broken.write_text("CREATE TABLE third (id int);")
    assert migrate(empty, silently, files) == ["0003_third.sql"]


def test_refuses_a_file_that_was_changed_after_it_was_applied(
    empty: str, files: Path
) -> None:
    migrate(empty, silently, files)
    (files / "0001_first.sql").write_text("CREATE TABLE first (id bigint);")

    with pytest.raises(
        MigrationError, match=r"0001_first.sql is not the file.*restore"
    ):
        migrate(empty, silently, files)


def test_no_file_has_changed_since_it_was_added() -> None:
    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            pytest.skip(f"what was added is in git: {done.stderr}")
        return done.stdout

    changed = []
    for file in read_migrations():
        path = str(file.path.relative_to(PROJECT))
        added = git("log", "-1", "--diff-filter=A", "--format=%H", "--", path).strip()
        # Before, some were edited while no database had them but their author's.
        if file.version < 23 or not added:
            continue
        if git("show", f"{added}:{path}").encode() != file.path.read_bytes():
            changed.append(path)

    assert not changed, "what is different goes into a new migration"


def test_refuses_a_database_that_is_newer_than_the_files(
    empty: str, files: Path
) -> None:
    migrate(empty, silently, files)
    (files / "0002_second.sql").unlink()

    with pytest.raises(MigrationError, match=r"0002_second.*update"):
        migrate(empty, silently, files)


@pytest.mark.parametrize(
    ("name", "sql"),
    [
        ("0004_gap.sql", ""),
        ("0002_twice.sql", ""),
        ("03_short.sql", ""),
        ("0003_Loud.sql", ""),
        ("0003_commits.sql", "SELECT 1;\nCOMMIT;\n"),
        ("0003_begins.sql", "begin isolation level serializable;\n"),
    ],
)
def test_refuses_files_that_it_cannot_run_in_order_and_whole(
    empty: str, files: Path, name: str, sql: str
) -> None:
    (files / name).write_text(sql)

    with pytest.raises(MigrationError, match=name):
        migrate(empty, silently, files)

    assert tables(empty) == set()


def test_a_table_belongs_to_the_role_that_the_file_took(
    empty: str, files: Path, administrator: connection
) -> None:
    role = f"owner_{uuid4().hex}"
    (files / "0003_third.sql").write_text(
        f"CREATE ROLE {role}; GRANT CREATE ON SCHEMA public TO {role};"
        f"SET LOCAL ROLE {role}; CREATE TABLE third (id int);"
    )

    migrate(empty, silently, files)

    owner = query(empty, "SELECT tableowner FROM pg_tables WHERE tablename = 'third'")
    assert owner == [(role,)]
    assert len(query(empty, "SELECT FROM schema_migrations")) == 3
    with closing(psycopg2.connect(empty)) as session, session.cursor() as cursor:
        cursor.execute(f"DROP OWNED BY {role}")
        session.commit()
    with administrator.cursor() as cursor:
        cursor.execute(f"DROP ROLE {role}")


def test_five_runners_at_once_apply_each_file_once(empty: str, files: Path) -> None:
    with ThreadPoolExecutor(5) as pool:
        runs = [pool.submit(migrate, empty, silently, files) for _ in range(5)]
        applied = sorted((run.result() for run in runs), key=len)

    assert applied == [[], [], [], [], ["0001_first.sql", "0002_second.sql"]]
    assert query(empty, "SELECT count(*) FROM first") == [(1,)]


def test_a_runner_that_is_killed_leaves_nothing_and_holds_nobody_up(
    empty: str, files: Path
) -> None:
    # The second file waits for this lock, and there the runner dies.
    with closing(psycopg2.connect(empty)) as blocker, blocker.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(4711)")
        slow = files / "0003_slow.sql"
        slow.write_text(
            "CREATE TABLE slow (id int); SET LOCAL lock_timeout = 0;"
            "SELECT pg_advisory_xact_lock(4711);"
        )
        program = (
            "import sys, pathlib; from database.migrate import migrate;"
            "migrate(sys.argv[1], print, pathlib.Path(sys.argv[2]))"
        )
        runner = subprocess.Popen(
            [sys.executable, "-c", program, empty, str(files)],
            cwd=PROJECT,
            stdout=subprocess.DEVNULL,
        )
        while not query(
            empty,
            "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            " AND database = (SELECT oid FROM pg_database"
            " WHERE datname = current_database())",
        ):
            assert runner.poll() is None
        runner.send_signal(signal.SIGKILL)
        runner.wait()

    assert migrate(empty, silently, files) == ["0003_slow.sql"]
    assert tables(empty) == {"first", "second", "slow", "schema_migrations"}


def test_a_runner_waits_for_the_one_before_it(empty: str, files: Path) -> None:
    with (
        closing(psycopg2.connect(empty)) as other,
        other.cursor() as cursor,
        ThreadPoolExecutor(1) as pool,
    ):
        cursor.execute("SELECT pg_advisory_lock(%s)", [ADVISORY_LOCK])
        run = pool.submit(migrate, empty, silently, files)
        while not query(
            empty, "SELECT FROM pg_stat_activity WHERE wait_event = 'advisory'"
        ):
            assert not run.done()
        assert "first" not in tables(empty)
        cursor.execute("SELECT pg_advisory_unlock(%s)", [ADVISORY_LOCK])
        assert len(run.result()) == 2


def test_the_command_reports_what_is_missing_and_applies_it(empty: str) -> None:
    parameters = parse_dsn(empty)
    environ = os.environ | {
        "DB_HOST": parameters["host"],
        "DB_PORT": parameters.get("port", "5432"),
        "DB_NAME": parameters["dbname"],
        "DB_USER": "nobody_who_exists",
        "DB_ADMIN_USER": parameters["user"],
        "DB_ADMIN_PASSWORD": parameters.get("password", ""),
    }

    def run(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "database.migrate", *arguments],
            cwd=PROJECT,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    before, applied, after = run("--status"), run(), run("--status")

    assert before[0] == 1
    assert before[1].startswith("0001_roles.sql\n")
    assert applied[0] == 0
    assert "applied 0001_roles.sql" in applied[1]
    assert after == (0, "up to date\n")


def test_what_clients_had_reported_is_counted(empty: str, tmp_path: Path) -> None:
    for file in MIGRATIONS.glob("000[1-4]_*.sql"):
        shutil.copy(file, tmp_path)
    migrate(empty, silently, tmp_path)
    with closing(psycopg2.connect(empty)) as session, session, session.cursor() as run:
        # Where the events are from is of no interest here.
        run.execute("SET session_replication_role = replica")
        run.execute(
            """
            INSERT INTO attempt_activity (attempt_id)
            SELECT md5(number::text)::uuid FROM generate_series(1, 3) AS number;
            INSERT INTO proctoring_events (
                id, attempt_id, batch_id, client_event_id, sequence, event_type,
                event_class, severity, occurred_at, payload)
            SELECT gen_random_uuid(), md5('1')::uuid, gen_random_uuid(),
                   gen_random_uuid(), nullif(number, 1), 'env.noise', 'environment',
                   'info', now(), '{}'
              FROM generate_series(1, 4) AS number;
            INSERT INTO proctoring_events (
                id, attempt_id, batch_id, client_event_id, sequence, event_type,
                event_class, severity, occurred_at, payload)
            SELECT gen_random_uuid(), md5('2')::uuid, gen_random_uuid(),
                   gen_random_uuid(), number, 'env.noise', 'environment',
                   'info', now(), '{}'
              FROM generate_series(1, 20001) AS number
            """
        )

    migrate(empty, silently)

    counts = "SELECT reported_events FROM attempt_activity ORDER BY 1"
    assert query(empty, counts) == [(0,), (3,), (20000,)]


def test_the_command_says_which_file_is_not_there(tmp_path: Path) -> None:
    missing = tmp_path / "password"

    ended = subprocess.run(
        [sys.executable, "-m", "database.migrate", "--status"],
        cwd=PROJECT,
        env={
            **os.environ,
            "DB_ADMIN_USER": "x",
            "DB_ADMIN_PASSWORD_FILE": str(missing),
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 1
    assert str(missing) in ended.stderr
    assert "Traceback" not in ended.stderr
