"""What script/backup runs: one dump, and a file that says what must be in it.

Both come from one snapshot, under load: the dump of pg_dump, and how many rows each
table has, where the audit log ends and which checkpoint is the newest. A restore that
does not give exactly that again has not restored.
"""

import argparse
import hashlib
import json
import os
import signal
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import ISOLATION_LEVEL_REPEATABLE_READ, connection

from database.administration import admin_dsn, environment
from script import postgres_programs
from script.paths import given_path
from script.postgres_programs import ProgramError
from utils.safe_files import OWNER_ONLY

TABLES = """
    SELECT relname FROM pg_class
     WHERE relkind IN ('r', 'p') AND NOT relispartition
       AND relnamespace = 'public'::regnamespace AND relpersistence = 'p'
     ORDER BY relname
"""
HEAD = """
    SELECT encode(log_id, 'hex') AS log_id, origin, next_seq,
           encode(hash, 'hex') AS hash
      FROM audit_head ORDER BY next_seq DESC LIMIT 1
"""
CHECKPOINT = """
    SELECT coalesce(cosigned_note, note) FROM checkpoints ORDER BY size DESC LIMIT 1
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("directory", type=given_path)
    directory: Path = parser.parse_args().directory
    # Who stops it with `kill`, as a timer does, wants no half of a dump either.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("backup: stopped"))
    try:
        print(back_up(admin_dsn(environment()), directory))
    except (ProgramError, OSError, psycopg2.Error) as error:
        sys.exit(f"backup: {error}".strip())


def back_up(dsn: str, directory: Path) -> Path:
    """Write a dump and its description, and return the dump's path.

    Raises ProgramError, OSError and psycopg2.Error; then neither file is there.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    began = time.monotonic()
    with closing(psycopg2.connect(dsn)) as session:
        session.set_session(ISOLATION_LEVEL_REPEATABLE_READ, readonly=True)
        version = session.info.server_version
        pg_dump = postgres_programs.find("pg_dump", version)
        description = describe(session)
        name = f"proctoring-{datetime.now(UTC):%Y%m%dT%H%M%S}"
        draft = directory / f".{name}.draft"
        # Nobody else reads it while it is being written. Another backup of this very
        # second has its own, which is not ours to remove.
        draft.touch(OWNER_ONLY, exist_ok=False)
        try:
            snapshot = _one(session, "SELECT pg_export_snapshot()")
            postgres_programs.run(
                pg_dump,
                *("--format=custom", "--compress=6", f"--snapshot={snapshot}"),
                f"--file={draft}",
                dsn=dsn,
            )
            description |= {
                "server_version": version,
                "bytes": draft.stat().st_size,
                "sha256": digest(draft),
                "seconds": round(time.monotonic() - began, 1),
            }
            # The description comes last: a dump without one is none.
            dump = directory / f"{name}.dump"
            _settle(draft, dump)
            draft.touch(OWNER_ONLY, exist_ok=False)
            draft.write_text(json.dumps(description, indent=2) + "\n")
            _settle(draft, description_of(dump))
        finally:
            draft.unlink(missing_ok=True)
    return dump


def describe(session: connection) -> dict[str, Any]:
    """Return what is in a database, as its transaction sees it."""
    with session.cursor() as cursor:
        cursor.execute(TABLES)
        tables = [str(name) for (name,) in cursor.fetchall()]
        rows = {}
        for table in tables:
            count = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
            cursor.execute(count)
            (found,) = cursor.fetchall()
            rows[table] = int(found[0])
        cursor.execute(HEAD)
        names = [column.name for column in cursor.description or ()]
        head = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        cursor.execute(CHECKPOINT)
        notes = [str(note) for (note,) in cursor.fetchall()]
    return {
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": rows,
        "head": head[0] if head else None,
        "checkpoint": notes[0] if notes else None,
    }


def description_of(dump: Path) -> Path:
    return dump.with_suffix(".json")


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _settle(draft: Path, path: Path) -> None:
    """Give a file its name once it is on disk."""
    with draft.open("rb+") as file:
        os.fsync(file.fileno())
    draft.rename(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _one(session: connection, query: str) -> object:
    with session.cursor() as cursor:
        cursor.execute(query)
        (row,) = cursor.fetchall()
    return row[0]


if __name__ == "__main__":
    main()
