"""What script/server runs: PostgreSQL, migrations, first data, signing, gunicorn."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import BinaryIO

import psycopg2
from psycopg2 import sql

from config import ConfigError, Settings
from database import embedded
from database.administration import admin_dsn, environment
from database.embedded_home import EmbeddedServerError
from database.migrate import ADVISORY_LOCK, MigrationError, migrate
from database.seed import seed_if_empty
from script import serve_checkpoints

PROJECT = Path(__file__).resolve().parent.parent

CHECKPOINTS = PROJECT / ".local" / "checkpointer"
WITNESS = PROJECT / ".local" / "witness"

ADDRESS = "127.0.0.1"
DATABASE = "proctoring_db"
# What the API logs in as in the embedded server: it may become proctoring_app only.
LOGIN_ROLE = "proctoring_api"
SEEDED_EMAIL = "admin@gmail.com"
SEEDED_PASSWORD = "StrongPassword123!"  # noqa: S105 (public: it only opens a dialogue)

THREADS = "8"
START_TIMEOUT_SECONDS = 60.0
# gunicorn lets requests end for this long; then it is killed.
STOP_TIMEOUT_SECONDS = 15.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StartError(Exception):
    """The server cannot start; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A database that answers, and the environment that leads to it."""

    environ: Mapping[str, str]
    where: str
    # The embedded server counts as used for as long as these are open.
    claims: tuple[int, ...] = field(default=())


def main() -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, end_once)
    os.chdir(PROJECT)
    try:
        run(environment())
    except (StartError, ConfigError, EmbeddedServerError, MigrationError) as error:
        sys.exit(f"Not started: {error}")
    except psycopg2.Error as error:
        sys.exit(f"Not started, the database says: {str(error).strip()}")


def end_once(_number: int, _frame: FrameType | None) -> None:
    # A second Ctrl-C must not interrupt the tidying up that the first one began. Of one
    # that is on its way already Python would complain if it were SIG_IGN.
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: None)
    raise SystemExit(0)


def run(environ: Mapping[str, str]) -> None:
    port = free_port(environ)
    with database(environ) as prepared:
        settings = Settings.from_env(prepared.environ)
        dsn = admin_dsn(prepared.environ)
        migrate(dsn, print)
        if prepared.claims:
            make_login_role(dsn)
        if not settings.is_production and seed_if_empty(dsn):
            print("stored the first data of database/seed_data.sql")
        with signing(prepared) as told, gunicorn(told, port) as server:
            wait_for_answer(server, port)
            print(greeting(port, dsn, told), flush=True)
            sys.exit(f"gunicorn ended with code {server.wait()}")


def free_port(environ: Mapping[str, str]) -> int:
    text = environ.get("PORT") or "5000"
    if not text.isdecimal() or not 0 < int(text) < 65536:  # noqa: PLR2004
        raise StartError(f"PORT must be a number from 1 to 65535, not {text!r}.")
    with socket.socket() as probe:
        # Connections that have just ended do not keep a server from starting.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, int(text)))
        except OSError as error:
            raise StartError(
                f"port {text} is not free ({error.strerror}): stop what listens there,"
                f" or take another one: PORT={int(text) % 65535 + 1} script/server"
            ) from error
    return int(text)


@contextmanager
def database(environ: Mapping[str, str]) -> Iterator[Prepared]:
    """Start the embedded server, unless DB_HOST names another."""
    if environ.get("DB_HOST"):
        where = f"{environ.get('DB_NAME', DATABASE)} at {environ['DB_HOST']}"
        yield Prepared(environ=environ, where=where)
        return
    server = embedded.start(PROJECT / ".local" / "postgres")
    try:
        create_database(server)
        own = {name: text for name, text in environ.items() if name[:3] != "DB_"}
        pool = {name: environ[name] for name in ("DB_POOL_SIZE",) if name in environ}
        own |= pool | {
            "DB_HOST": server.host,
            "DB_PORT": str(server.port),
            "DB_NAME": DATABASE,
            "DB_USER": LOGIN_ROLE,
            "DB_ADMIN_USER": server.user,
        }
        yield Prepared(
            environ=own,
            where=f"its own PostgreSQL 18, kept in {server.home}",
            claims=(server.claim.fileno(),),
        )
    finally:
        embedded.stop(server)


def create_database(server: embedded.Server) -> None:
    with closing(psycopg2.connect(server.dsn())) as session:
        session.autocommit = True
        # Another start at the same moment may have made it, or be making it.
        duplicate = suppress(
            psycopg2.errors.DuplicateDatabase, psycopg2.errors.UniqueViolation
        )
        with session.cursor() as cursor, duplicate:
            cursor.execute(
                sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE))
            )


@contextmanager
def signing(prepared: Prepared) -> Iterator[Prepared]:
    """Sign the log of the embedded database; who has his own sees to that himself."""
    if not prepared.claims:
        yield prepared
        return
    make_login_role(
        admin_dsn(prepared.environ),
        serve_checkpoints.LOGIN_ROLE,
        serve_checkpoints.GROUP,
    )
    files = serve_checkpoints.files_under(CHECKPOINTS)
    serve_checkpoints.make_keys(files, prepared.environ)
    vkeys = serve_checkpoints.verifier_keys(files)
    told = {**prepared.environ, "AUDIT_LOG_VKEYS": vkeys}
    with serve_checkpoints.witness(WITNESS, vkeys.split(",")) as witness:
        if not told.get("WITNESS_POLICY_FILE"):
            policy = WITNESS / "policy.txt"
            serve_checkpoints.write_policy(policy, vkeys.split(","), witness)
            told["WITNESS_POLICY_FILE"] = str(policy)
        with serve_checkpoints.checkpointer(
            *(files, prepared.environ, prepared.claims, witness),
            policy=told["WITNESS_POLICY_FILE"],
        ):
            yield replace(prepared, environ={"WITNESSES": witness, **told})


def make_login_role(
    dsn: str, name: str = LOGIN_ROLE, group: str = "proctoring_app"
) -> None:
    """Make a login that is a member of one group, and of nothing else."""
    role = sql.Identifier(name)
    with closing(psycopg2.connect(dsn)) as session, session, session.cursor() as cursor:
        # Another start at the same moment may be making it.
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ADVISORY_LOCK])
        cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [name])
        if cursor.rowcount == 0:
            cursor.execute(sql.SQL("CREATE ROLE {} LOGIN NOINHERIT").format(role))
        cursor.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), role))


@contextmanager
def gunicorn(
    prepared: Prepared, port: int, output: BinaryIO | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run gunicorn, which writes to `output`, or else where we write."""
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "app:app"),
            *("--bind", f"{ADDRESS}:{port}", "--log-level", "warning"),
            *("--worker-class", "gthread", "--workers", "2", "--threads", THREADS),
            *("--graceful-timeout", "10", "--no-control-socket"),
        ],
        env={**prepared.environ, "SERVER_THREADS": THREADS},
        # Ctrl-C is for us alone; gunicorn is then asked to end in order.
        start_new_session=True,
        stdout=output,
        stderr=output,
        pass_fds=prepared.claims,
    )
    try:
        yield server
    finally:
        server.terminate()
        try:
            server.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def wait_for_answer(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while not answers(port):
        if server.poll() is not None:
            raise StartError(f"gunicorn ended with code {server.returncode}, see above")
        if time.monotonic() > deadline:
            raise StartError("GET /health gets no good answer, see above")
        time.sleep(0.05)


def answers(port: int) -> bool:
    with closing(http.client.HTTPConnection(ADDRESS, port, timeout=5)) as client:
        try:
            client.request("GET", "/health", headers={"Host": f"localhost:{port}"})
            return client.getresponse().status < 500  # noqa: PLR2004
        except (OSError, http.client.HTTPException):
            return False


def greeting(port: int, dsn: str, prepared: Prepared) -> str:
    vkeys = prepared.environ.get("AUDIT_LOG_VKEYS", "").split(",")
    url = f"http://localhost:{port}"
    body = json.dumps({"email": SEEDED_EMAIL, "password": SEEDED_PASSWORD})
    return f"""
The proctoring API is running at {url} (Ctrl-C stops it).

  Login      {login_hint(dsn)}
  Reference  {url}/docs
  Database   {prepared.where}
  Log        {f"signed by {vkeys[0]}" if vkeys[0] else "not signed here"}

Try it:

  curl {url}/health
  curl -X POST {url}/api/auth/login -H 'Content-Type: application/json' \\
    -d '{body}'
"""


def login_hint(dsn: str) -> str:
    with closing(psycopg2.connect(dsn)) as session, session.cursor() as cursor:
        cursor.execute(
            "SELECT must_change_password FROM users WHERE email_canonical = %s",
            [SEEDED_EMAIL],
        )
        row = cursor.fetchone()
    if row is None:
        return "with an account of this database"
    if row[0]:
        return f"{SEEDED_EMAIL} / {SEEDED_PASSWORD} (to be changed at the first login)"
    return f"{SEEDED_EMAIL}, with the password that you chose"


if __name__ == "__main__":
    main()
