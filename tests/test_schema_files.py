"""The generated SQL files: as good as the runner, and up to date."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from database import embedded_home
from database.generate import generate
from database.migrate import migrate, pending, read_migrations

DATABASE = Path(__file__).resolve().parent.parent / "database"
DEBIAN = Path("/usr/lib/postgresql/15/bin")


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgreSQL:
    """A server, and the programs of its version."""

    dsn: str
    programs: Path


def silently(_: str) -> None:
    pass


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        # Not every machine's locale is UTF-8; nor is every shell's.
        env={"PATH": os.defpath, "LC_ALL": "C"},
    )


def psql(postgres: PostgreSQL, dsn: str, *arguments: str | Path) -> str:
    done = run(postgres.programs / "psql", "--no-psqlrc", dsn, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


def schema_of(postgres: PostgreSQL, dsn: str) -> list[str]:
    done = run(postgres.programs / "pg_dump", "--schema-only", dsn)
    assert done.returncode == 0, done.stderr
    # pg_dump puts a random word into these two lines.
    return [line for line in done.stdout.splitlines() if "restrict " not in line]


@pytest.fixture(scope="module")
def embedded_18(database_server: str) -> PostgreSQL:
    return PostgreSQL(dsn=database_server, programs=embedded_home.installed_programs())


@pytest.fixture(scope="module")
def debian_15() -> Iterator[PostgreSQL]:
    if not DEBIAN.exists():
        pytest.skip("PostgreSQL 15 of Debian is not installed")
    with TemporaryDirectory(prefix="pg15-") as name:
        Path(name).chmod(0o711)
        home = embedded_home.settle(Path(name) / "postgres")

        def as_account(*command: str | Path) -> None:
            subprocess.run(
                command,
                check=True,
                cwd=home.path,
                stdout=subprocess.DEVNULL,
                user=home.account.user,
                group=home.account.group,
                extra_groups=home.account.extra_groups,
            )

        as_account(
            *(DEBIAN / "initdb", "--pgdata", home.data, "--username", "postgres"),
            *("--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8"),
            "--no-sync",
        )
        control: tuple[str | Path, ...] = (DEBIAN / "pg_ctl", "--pgdata", home.data)
        options = f"-F -k {home.path} -c listen_addresses="
        as_account(*control, "start", "-w", "-l", home.log, "-o", options)
        try:
            yield PostgreSQL(
                dsn=make_dsn(host=str(home.path), user="postgres"), programs=DEBIAN
            )
        finally:
            as_account(*control, "stop", "-w", "-m", "fast")


@pytest.fixture(params=["embedded_18", "debian_15"])
def postgres(request: pytest.FixtureRequest) -> PostgreSQL:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, PostgreSQL)
    return found


@pytest.fixture
def empty(postgres: PostgreSQL) -> Iterator[tuple[str, str]]:
    """Two empty databases."""
    names = [f"test_{uuid4().hex}" for _ in range(2)]
    with closing(psycopg2.connect(postgres.dsn, dbname="postgres")) as session:
        session.autocommit = True
        with session.cursor() as cursor:
            for name in names:
                cursor.execute(f"CREATE DATABASE {name} TEMPLATE template0")
            yield (
                make_dsn(postgres.dsn, dbname=names[0]),
                make_dsn(postgres.dsn, dbname=names[1]),
            )
            for name in names:
                cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_manual_setup_makes_the_same_database_as_the_runner(
    postgres: PostgreSQL, empty: tuple[str, str]
) -> None:
    by_hand, by_runner = empty

    output = psql(postgres, by_hand, "-f", DATABASE / "MANUAL_SETUP.sql")
    migrate(by_runner, silently)

    assert schema_of(postgres, by_hand) == schema_of(postgres, by_runner)
    assert output.endswith("the schema is complete\n")
    # The runner finds its own records, with the checksums that it would have written.
    assert pending(by_hand) == []


def test_manual_setup_can_be_run_again(
    postgres: PostgreSQL, empty: tuple[str, str]
) -> None:
    database, _ = empty
    count = "SELECT count(*) FROM users"

    psql(postgres, database, "-f", DATABASE / "MANUAL_SETUP.sql")
    users = psql(postgres, database, "-Atc", count)
    psql(postgres, database, "-f", DATABASE / "MANUAL_SETUP.sql")

    assert int(users) > 0
    assert psql(postgres, database, "-Atc", count) == users


def test_a_database_that_was_restored_is_as_it_was(
    postgres: PostgreSQL, empty: tuple[str, str], tmp_path: Path
) -> None:
    """A dump says `a >= 1 AND a <= 9 AND b` where a migration said BETWEEN."""
    original, restored = empty
    migrate(original, silently)
    dump = tmp_path / "dump"
    for command in (
        ("pg_dump", "--format=custom", f"--file={dump}", original),
        ("pg_restore", "--exit-on-error", f"--dbname={restored}", dump),
    ):
        program, *arguments = command
        assert run(postgres.programs / program, *arguments).returncode == 0

    output = psql(postgres, restored, "-f", DATABASE / "verify_schema.sql")

    assert output.endswith("the schema is complete\n")


def test_schema_completes_what_the_runner_began(
    postgres: PostgreSQL, empty: tuple[str, str], tmp_path: Path
) -> None:
    database, _ = empty
    first = read_migrations()[0].path
    (tmp_path / first.name).write_bytes(first.read_bytes())
    migrate(database, silently, tmp_path)

    output = psql(postgres, database, "-f", DATABASE / "schema.sql")

    assert "applying 0001" not in output
    assert "applying 0002" in output
    assert pending(database) == []


def test_the_generated_files_are_up_to_date(dsn: str) -> None:
    files = generate(dsn, read_migrations())

    assert set(files) == {"schema.sql", "MANUAL_SETUP.sql", "verify_schema.sql"}
    for name, content in files.items():
        assert (DATABASE / name).read_text() == content, "run script/schema"


@pytest.mark.parametrize(
    ("change", "report"),
    [
        (
            "ALTER TABLE users DROP CONSTRAINT users_role_check",
            "MISSING    constraint users.users_role_check",
        ),
        ("DROP INDEX users_role_idx", "MISSING    index users_role_idx"),
        (
            "ALTER TABLE users ALTER email TYPE varchar(99)",
            "DIFFERENT  column users.email\n           expected: text NOT NULL\n",
        ),
        (
            "ALTER TABLE users ALTER full_name DROP NOT NULL",
            "DIFFERENT  column users.full_name",
        ),
        ("ALTER TABLE users ADD surprise int", "UNEXPECTED column users.surprise"),
        pytest.param(
            "DROP TABLE ai_analyses CASCADE",
            "MISSING    table ai_analyses",
            marks=pytest.mark.tampers,
        ),
        (
            "REVOKE INSERT ON users FROM proctoring_app",
            "DIFFERENT  grant relation users to proctoring_app",
        ),
        (
            "GRANT DELETE ON users TO PUBLIC",
            "UNEXPECTED grant relation users to PUBLIC",
        ),
        ("ALTER TABLE users OWNER TO postgres", "DIFFERENT  table users"),
    ],
)
def test_verify_names_what_is_wrong(
    embedded_18: PostgreSQL, dsn: str, change: str, report: str
) -> None:
    psql(embedded_18, dsn, "-qc", f"SET client_min_messages = warning; {change}")

    done = run(
        *(embedded_18.programs / "psql", "--no-psqlrc", dsn),
        *("-f", DATABASE / "verify_schema.sql"),
    )

    assert done.returncode == 3
    assert report in done.stdout
    assert "the schema differs in" in done.stderr
    assert "the schema is complete" not in done.stdout


def test_verify_counts_what_is_right(embedded_18: PostgreSQL, dsn: str) -> None:
    output = psql(embedded_18, dsn, "-f", DATABASE / "verify_schema.sql")

    assert "OK         role: 5 of 5\n" in output
    assert "MISSING" not in output
    assert output.endswith("the schema is complete\n")
