"""What script/restore-drill runs: a restore that is tried before it is needed.

It starts an empty PostgreSQL, restores into it, and asks: is everything there that the
backup's description names, does the schema fit this code, may the API's role work, does
the audit log hold, and does it have the root of the newest checkpoint that is known?
"""

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import make_dsn, parse_dsn

from config import database_from_env
from database import embedded
from database.administration import environment
from database.embedded_home import EmbeddedServerError
from database.migrate import MigrationError, migrate, read_migrations
from models.database import Database
from script import postgres_programs
from script.backup import describe, description_of, digest
from script.paths import given_path
from script.postgres_programs import ProgramError
from services.health_service import HealthService
from services.log_watch import LogWatch
from utils.checkpoint import Checkpoint
from utils.merkle import Frontier
from utils.signed_note import Note, NoteError, VerifierKey, verified

PROJECT = Path(__file__).resolve().parent.parent
DATABASE = "restored"
HASHES = "SELECT hash FROM audit_log WHERE seq < %s ORDER BY seq"
# Nothing here has to survive: the backup does.
CARELESS = {"fsync": "off", "full_page_writes": "off", "max_wal_size": "4GB"}


@dataclass(slots=True)
class Report:
    """What was asked, and whether the answer was good."""

    failures: int = 0
    began: float = field(default_factory=time.monotonic)

    def check(self, what: str, wrong: str | None) -> None:
        self.failures += wrong is not None
        mark = "ok    " if wrong is None else "FAILED"
        seconds = time.monotonic() - self.began
        print(f"{mark} {seconds:6.1f} s  {what}{f': {wrong}' if wrong else ''}")

    def note(self, text: str) -> None:
        print(f"       {' ' * 6}    {text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("dump", type=given_path)
    parser.add_argument(
        "--checkpoint",
        type=given_path,
        metavar="NOTE",
        help="a signed note from outside: of a witness, or a student's receipt",
    )
    parser.add_argument(
        "--vkey",
        action="append",
        default=[],
        help="a public key that signs the log; default: AUDIT_LOG_VKEYS",
    )
    parsed = parser.parse_args()
    report = Report()
    try:
        given = parsed.checkpoint.read_text() if parsed.checkpoint else None
        vkeys = parsed.vkey or environment().get("AUDIT_LOG_VKEYS", "").split(",")
        keys = [VerifierKey.parse(vkey) for vkey in vkeys if vkey]
        drill(parsed.dump, given, keys, report)
    except (
        *(EmbeddedServerError, MigrationError, NoteError, OSError, ProgramError),
        *(psycopg2.Error, ValueError),
    ) as error:
        report.check("the drill", str(error).strip())
    verdict = "restores" if not report.failures else "does NOT restore"
    print(
        f"{parsed.dump.name} {verdict}; {time.monotonic() - report.began:.0f} s in all"
    )
    sys.exit(1 if report.failures else 0)


def drill(
    dump: Path, given: str | None, keys: list[VerifierKey], report: Report
) -> None:
    wanted: dict[str, Any] = json.loads(description_of(dump).read_text())
    is_whole = digest(dump) == wanted["sha256"]
    report.check(
        f"{dump.name} is the file that was written",
        None if is_whole else "its SHA-256 is another one",
    )
    if not is_whole:
        return
    with tempfile.TemporaryDirectory(prefix="proctoring-drill-") as home:
        # As root the server is another account, which has to get through here.
        Path(home).chmod(0o711)
        server = embedded.start(Path(home) / "postgres", CARELESS)
        try:
            report.check("an empty PostgreSQL", None)
            dsn = restore(server.dsn(), dump, wanted["server_version"], report)
            examine(dsn, wanted, given, keys, report)
        finally:
            embedded.stop(server)


def restore(server: str, dump: Path, version: int, report: Report) -> str:
    """Do what docs/operations.md says, "Restore from a backup"."""
    # Roles are of the server and in no dump: the migrations make them, anywhere.
    create(server, "roles")
    migrate(make_dsn(server, dbname="roles"), lambda _: None)
    create(server, DATABASE)
    dsn = make_dsn(server, dbname=DATABASE)
    postgres_programs.run(
        postgres_programs.find("pg_restore", version),
        *("--exit-on-error", "--single-transaction", f"--dbname={DATABASE}"),
        dump,
        dsn=dsn,
    )
    report.check("restored", None)
    return dsn


def create(server: str, name: str) -> None:
    with closing(psycopg2.connect(server)) as session:
        session.autocommit = True
        with session.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name} ENCODING UTF8 TEMPLATE template0")


def examine(
    dsn: str,
    wanted: Mapping[str, Any],
    given: str | None,
    keys: list[VerifierKey],
    report: Report,
) -> None:
    with closing(psycopg2.connect(dsn)) as session:
        found = describe(session)
    different = [
        f"{name} has {found['rows'].get(name)} and had {count}"
        for name, count in wanted["rows"].items()
        if found["rows"].get(name) != count
    ]
    rows = sum(wanted["rows"].values())
    report.check(
        f"{rows} rows of {len(wanted['rows'])} tables", "; ".join(different) or None
    )
    is_same = found["head"] == wanted["head"]
    report.check(
        f"the log ends where it did, {wanted['taken_at']}",
        None if is_same else f"{found['head']} instead of {wanted['head']}",
    )
    applied = migrate(dsn, report.note)
    report.check(
        f"the schema is this code's ({len(applied)} migrations to apply)", None
    )
    environ = variables(dsn)
    report.check("the API can work", why_not_ready(environ))
    report.check("the audit log holds", why_not_verified(environ, report))
    note = given or found["checkpoint"]
    if note is None:
        report.note("no checkpoint is known: nobody outside vouches for this log")
        return
    compare(dsn, note, keys, report)
    if given is None:
        report.note(
            "This checkpoint came with the backup. Compare one from a witness too:"
            " --checkpoint"
        )


def variables(dsn: str) -> dict[str, str]:
    """Return the variables that lead the API there, as it would log in."""
    where = parse_dsn(dsn)
    return {
        "FLASK_ENV": "testing",
        # A drill changes nothing.
        "SWEEPER_INTERVAL_SECONDS": "0",
        # Nor keeps it secrets for the next time, where it may not write.
        "SECRET_KEY": secrets.token_urlsafe(48),
        "SECRET_KEY_FILE": "",
        "JWT_SECRET_KEY": secrets.token_urlsafe(48),
        "JWT_SECRET_KEY_FILE": "",
        # Nor does it ask those who have seen more of the log by now, whatever the
        # service's settings are: a backup is older, and no less good.
        "WITNESSES": "",
        "WITNESS_POLICY_FILE": "",
        # What its processes count is theirs.
        "PROMETHEUS_MULTIPROC_DIR": "",
        "DB_PASSWORD": "",
        "DB_PASSWORD_FILE": "",
        "DB_HOST": where["host"],
        "DB_PORT": where["port"],
        "DB_NAME": where["dbname"],
        "DB_USER": where["user"],
    }


def why_not_ready(environ: Mapping[str, str]) -> str | None:
    newest = read_migrations()[-1].version
    with closing(Database(database_from_env(environ))) as database:
        service = HealthService(
            database,
            # A drill asks nobody: it compares with the checkpoint that it was given.
            LogWatch(database, (), ()),
            schema_version=newest,
            drain_file=None,
        )
        readiness = service.ready()
        health = service.check()
    if readiness.reason is not None:
        return readiness.reason
    return None if health.status == "ok" else "the audit log has no genesis"


def why_not_verified(environ: Mapping[str, str], report: Report) -> str | None:
    """Run the command that an auditor would run, on the rows of other tables too."""
    flask = [sys.executable, "-m", "flask", "--app", "app"]
    done = subprocess.run(
        [*flask, "audit", "verify", "--deep", "--json"],
        cwd=PROJECT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    if not done.stdout:
        return done.stderr.strip()[-500:]
    found = json.loads(done.stdout)
    report.note(f"{found['entries_checked']} entries: {found['verdict']}")
    return None if done.returncode == 0 else str(found["first_invalid"])


def compare(dsn: str, text: str, keys: list[VerifierKey], report: Report) -> None:
    """Compare the log with a checkpoint: its root, and who signed it."""
    note = Note.parse(text.encode())
    known = Checkpoint.parse(note.text)
    if keys:
        is_signed = any(verified(note, key) for key in keys)
        report.check(
            "the checkpoint is signed by the log's key",
            None if is_signed else "by none of those given",
        )
    else:
        report.note("no key was given (--vkey): who signed the checkpoint is not known")
    tree = Frontier()
    with (
        closing(psycopg2.connect(dsn)) as session,
        session.cursor(name="hashes") as cursor,
    ):
        cursor.execute(HASHES, [known.size])
        for (hash_,) in cursor:
            tree.append(bytes(hash_))
    if tree.size < known.size:
        report.check(
            f"the log has the {known.size} entries of the checkpoint",
            f"the last {known.size - tree.size} came after this backup",
        )
        return
    is_same = tree.root() == known.root
    report.check(
        f"its first {known.size} entries have the root that was signed",
        None if is_same else "history was rewritten",
    )


if __name__ == "__main__":
    main()
