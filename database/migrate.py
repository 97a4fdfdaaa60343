"""Brings a database up to date: `python -m database.migrate [--status]`.

Runs the files of database/migrations that it has not had yet, each in a transaction of
its own, as the account of DB_ADMIN_USER (else DB_USER). Any number of runners may start
at once, and one that is killed leaves nothing half done.
"""

import argparse
import hashlib
import re
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg2
from psycopg2.extensions import connection, cursor

from database.administration import admin_dsn, environment

MIGRATIONS = Path(__file__).parent / "migrations"
FILE_NAME = re.compile(r"(?P<version>\d{4})_(?P<name>[a-z0-9_]+)\.sql")
# The runner begins and commits; BEGIN alone on its line belongs to PL/pgSQL.
ENDS_TRANSACTION = re.compile(
    r"^(BEGIN|START TRANSACTION|COMMIT|ROLLBACK)\b[^;\n]*;",
    re.IGNORECASE | re.MULTILINE,
)

# Any constant will do, as long as no other program takes the same: "proctor" in ASCII.
ADVISORY_LOCK = 0x70726F63746F72
# A migration that waits for a table makes all later queries wait behind it. They give
# up after two seconds (models/database.py), so it does so before: nobody notices.
LOCK_TIMEOUT = "1s"
# Another runner may be rewriting a large table.
TURN_TIMEOUT = "15min"

CREATE_TABLE = """\
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    integer     NOT NULL,
    name       text        NOT NULL,
    sha256     text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT schema_migrations_pkey PRIMARY KEY (version),
    CONSTRAINT schema_migrations_sha256_check CHECK (sha256 ~ '^[0-9a-f]{64}$')
);
GRANT SELECT ON schema_migrations TO PUBLIC;"""

TABLE_EXISTS = "SELECT to_regclass('public.schema_migrations') IS NOT NULL"
LIST_APPLIED = "SELECT version, name, sha256 FROM schema_migrations ORDER BY version"
INSERT = """
    INSERT INTO schema_migrations (version, name, sha256)
    VALUES (%(version)s, %(name)s, %(sha256)s)
"""


class MigrationError(Exception):
    """The database and the files do not fit; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    version: int
    name: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration(Applied):
    path: Path
    sql: str


def read_migrations(directory: Path = MIGRATIONS) -> list[Migration]:
    """Return the files in order. Raises MigrationError on a gap or a stray name."""
    migrations = []
    for version, path in enumerate(sorted(directory.glob("*.sql")), start=1):
        match = FILE_NAME.fullmatch(path.name)
        if match is None or int(match["version"]) != version:
            raise MigrationError(
                f"{path.name}: expected {version:04}_<name>.sql here; the numbers of"
                " the migrations run from 0001 without a gap"
            )
        content = path.read_bytes()
        sql = content.decode()
        if ENDS_TRANSACTION.search(sql):
            raise MigrationError(f"{path.name}: must leave its transaction alone")
        migrations.append(
            Migration(
                version=version,
                name=match["name"],
                sha256=hashlib.sha256(content).hexdigest(),
                path=path,
                sql=sql,
            )
        )
    return migrations


def migrate(
    dsn: str, report: Callable[[str], None], directory: Path = MIGRATIONS
) -> list[str]:
    """Apply what is missing and return the names of those files.

    Raises MigrationError, and psycopg2.Error when a file fails: then all files before
    it are applied, and nothing of it. What failed because a table was in use
    (LockNotAvailable) can be run again when it is not.
    """
    files = read_migrations(directory)
    with closing(psycopg2.connect(dsn)) as session:
        _take_turn(session)
        with session, session.cursor() as run:
            if not _table_exists(run):
                run.execute(CREATE_TABLE)
        missing = _missing(files, _applied(session))
        for migration in missing:
            started = time.monotonic()
            _apply(session, migration)
            seconds = time.monotonic() - started
            report(f"applied {migration.path.name} in {seconds:.2f} s")
    return [migration.path.name for migration in missing]


def pending(dsn: str, directory: Path = MIGRATIONS) -> list[str]:
    """Return the names of the files that `migrate` would apply."""
    with closing(psycopg2.connect(dsn)) as session:
        applied = _applied(session)
    missing = _missing(read_migrations(directory), applied)
    return [migration.path.name for migration in missing]


def _take_turn(session: connection) -> None:
    """Wait until no other runner is at work; closing the session ends our turn."""
    session.autocommit = True
    with session.cursor() as run:
        run.execute("SET search_path = public")
        run.execute("SET client_encoding = UTF8")
        run.execute("SET client_min_messages = warning")
        run.execute("SET lock_timeout = %s", [TURN_TIMEOUT])
        run.execute("SELECT pg_advisory_lock(%s)", [ADVISORY_LOCK])
        run.execute("SET lock_timeout = %s", [LOCK_TIMEOUT])
    session.autocommit = False


def _applied(session: connection) -> list[Applied]:
    with session, session.cursor() as run:
        if not _table_exists(run):
            return []
        run.execute(LIST_APPLIED)
        return [
            Applied(version=version, name=name, sha256=sha256)
            for version, name, sha256 in run.fetchall()
        ]


def _table_exists(run: cursor) -> bool:
    run.execute(TABLE_EXISTS)
    row = run.fetchone()
    return row is not None and bool(row[0])


def _missing(files: list[Migration], applied: list[Applied]) -> list[Migration]:
    if len(applied) > len(files):
        newest = applied[-1]
        raise MigrationError(
            f"the database has had migration {newest.version:04}_{newest.name}, which"
            " this checkout does not know: it is too old for the database, so update it"
        )
    for file, found in zip(files, applied, strict=False):
        if file.sha256 != found.sha256:
            raise MigrationError(
                f"{file.path.name} is not the file that this database has had: restore"
                " it, and put what you want to change into a new migration"
            )
    return files[len(applied) :]


def _apply(session: connection, migration: Migration) -> None:
    with session, session.cursor() as run:
        run.execute(migration.sql)
        # The file may have become the owner of what it made.
        run.execute("RESET ROLE")
        run.execute(
            INSERT,
            {
                "version": migration.version,
                "name": migration.name,
                "sha256": migration.sha256,
            },
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--status",
        action="store_true",
        help="only say what is missing; exit with 1 if anything is",
    )
    is_status = parser.parse_args().status
    try:
        dsn = admin_dsn(environment())
        if is_status:
            missing = pending(dsn)
            print("\n".join(missing) or "up to date")
            sys.exit(1 if missing else 0)
        if not migrate(dsn, print):
            print("up to date")
    except psycopg2.errors.LockNotAvailable as error:
        sys.exit(f"migrate: {error}".strip() + "\nA table was in use: run it again.")
    # OSError: a file with a password that is not there.
    except (MigrationError, OSError, psycopg2.Error) as error:
        sys.exit(f"migrate: {error}".strip())


if __name__ == "__main__":
    main()
