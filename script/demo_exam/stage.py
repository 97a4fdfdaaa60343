"""The server of the demonstration: its own database, fresh each time, and gunicorn."""

import fcntl
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg2
from psycopg2 import sql

from config import Settings
from database.administration import admin_dsn
from database.migrate import migrate
from database.seed import seed_if_empty
from script import serve
from script.demo_exam.options import Options

DATABASE = "proctoring_demo"
# Relative to the project, which is where we work.
HOME = Path(".local") / "demo"
LOG = HOME / "server.log"
# So that tokens have to be renewed although an exam takes two minutes.
ACCESS_TOKEN_SECONDS = 60


class BusyError(Exception):
    """Another demonstration is under way here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    port: int
    # The administrator's, to look around with psql.
    dsn: str

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"


@contextmanager
def stage(options: Options) -> Iterator[Stage]:
    """Run the server. Raises BusyError, and what script/server raises."""
    HOME.mkdir(parents=True, exist_ok=True)
    with (HOME / "lock").open("w") as lock, LOG.open("wb") as log:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError from error
        port = _free_port()
        with serve.database(_environment(options)) as running:
            _create_afresh(admin_dsn(running.environ))
            prepared = replace(
                running, environ={**running.environ, "DB_NAME": DATABASE}
            )
            Settings.from_env(prepared.environ)
            dsn = admin_dsn(prepared.environ)
            migrate(dsn, lambda _: None)
            serve.make_login_role(dsn)
            seed_if_empty(dsn)
            with serve.gunicorn(prepared, port, log) as server:
                serve.wait_for_answer(server, port)
                yield Stage(port=port, dsn=dsn)


def _environment(options: Options) -> Mapping[str, str]:
    """Return the server's settings: production's, at the speed of the exam."""
    speed, students = options.speed, options.students
    own = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("DB_", "RATELIMIT_", "FLASK_", "JWT_"))
    }
    return own | {
        "FLASK_ENV": "development",
        "LOG_LEVEL": "WARNING",
        "JWT_ACCESS_TOKEN_EXPIRES": str(ACCESS_TOKEN_SECONDS),
        # What is a minute's traffic in life is here a minute's divided by the speed,
        # and all students come from one address.
        "RATELIMIT_DEFAULT": f"{round(100 * speed)} per minute",
        "RATELIMIT_EVENTS": f"{round(120 * speed)} per minute",
        "RATELIMIT_REFRESH": f"{round(10 * speed)} per minute",
        "RATELIMIT_REGISTER": f"{30 + students} per hour",
        "PASSWORD_HASHING_QUEUE": "100",
    }


def _create_afresh(dsn: str) -> None:
    name = sql.Identifier(DATABASE)
    with closing(psycopg2.connect(dsn)) as session:
        session.autocommit = True
        with session.cursor() as cursor:
            cursor.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name)
            )
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(name))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((serve.ADDRESS, 0))
        port: int = probe.getsockname()[1]
    return port


def log_tail(lines: int = 12) -> str:
    """Return the end of what gunicorn said."""
    return "\n".join(LOG.read_text(encoding="utf-8").splitlines()[-lines:])
