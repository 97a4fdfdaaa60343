"""The real server under test: gunicorn's processes on a PostgreSQL that flushes."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import psutil
import psycopg2
import requests
from psycopg2.extensions import make_dsn, parse_dsn

from database import embedded

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60.0

# Everything of production but the price of a password and limits for one machine that
# plays two hundred students.
ENVIRONMENT = {
    "FLASK_ENV": "testing",
    "BCRYPT_ROUNDS": "4",
    "LOG_LEVEL": "ERROR",
    "PASSWORD_HASHING_QUEUE": "500",
    "SWEEPER_INTERVAL_SECONDS": "0.5",
    **{
        f"RATELIMIT_{name}": "1000000 per minute"
        for name in (
            "DEFAULT",
            "REGISTER",
            "REFRESH",
            "EVENTS",
            "LOGIN_FAILURES",
            "LOGIN_FAILURES_ADDRESS",
            "LOGINS",
        )
    },
}


def find_program(name: str) -> str | None:
    """Return a program, also one that Debian keeps where only root's PATH leads."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def database_variables(dsn: str) -> dict[str, str]:
    """Return the DB_* variables that lead to where a DSN does."""
    where = parse_dsn(dsn)
    return {
        "DB_HOST": where["host"],
        "DB_PORT": where["port"],
        "DB_NAME": where["dbname"],
        "DB_USER": where["user"],
    }


@dataclass(slots=True)
class RunningApi:
    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def kill_a_worker(self) -> None:
        self.workers()[0].kill()

    def wait_until_healthy(self, patience_seconds: float = PATIENCE_SECONDS) -> float:
        """Wait until /health says ok and return how many seconds that took."""
        began = time.monotonic()
        while True:
            try:
                if requests.get(f"{self.url}/health", timeout=5).ok:
                    return time.monotonic() - began
            except requests.RequestException:
                pass
            if time.monotonic() - began > patience_seconds:
                raise TimeoutError("the API does not become healthy")
            time.sleep(0.05)


@contextmanager
def running_api(  # noqa: PLR0913 - whatever differs between one run and another.
    database: Mapping[str, str],
    *,
    project: Path = PROJECT,
    application: str = "app:app",
    workers: int = 4,
    keep_alive_seconds: int | None = None,
    environment: Mapping[str, str] | None = None,
    api_socket: Path | None = None,
    output: BinaryIO | None = None,
    options: Sequence[str] = (),
) -> Iterator[RunningApi]:
    """Run gunicorn as it is deployed, on a database that is given as DB_* variables.

    `project` is where the code is, if not this one.
    It listens on a port of its own, and on `api_socket` for a proxy if there is one;
    it writes to `output`, or else where we write. `options` are more of gunicorn's.
    """
    port = free_port()
    beside = ["--bind", f"unix:{api_socket}"] if api_socket else []
    if keep_alive_seconds is not None:
        # It keeps no more than this beside its threads.
        beside += ["--keep-alive", str(keep_alive_seconds)]
        beside += ["--worker-connections", "1000"]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", application),
            *("--config", str(project / "deploy" / "gunicorn.conf.py")),
            *("--bind", f"127.0.0.1:{port}", *beside, "--workers", str(workers)),
            *options,
        ],
        cwd=project,
        env={**os.environ, **ENVIRONMENT, **database, **(environment or {})},
        stdout=output,
        stderr=output,
    )
    api = RunningApi(port, process)
    try:
        api.wait_until_healthy()
        yield api
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def answers(dsn: str) -> bool:
    """Say whether a server takes connections there."""
    try:
        psycopg2.connect(make_dsn(dsn, connect_timeout=2)).close()
    except psycopg2.OperationalError:
        return False
    return True


def create_database(server: embedded.Server, name: str) -> str:
    """Make an empty database and return the superuser's DSN of it."""
    with closing(psycopg2.connect(server.dsn())) as session:
        session.autocommit = True
        with session.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
    return make_dsn(server.dsn(), dbname=name)


def postmaster(server: embedded.Server) -> psutil.Process:
    """Return the process that all others of the server come from."""
    pid = int((server.home / "data" / "postmaster.pid").read_text().split("\n")[0])
    return psutil.Process(pid)


def kill_postgres(server: embedded.Server) -> None:
    """End every process of the server at once, as a crash does."""
    first = postmaster(server)
    family = [*first.children(recursive=True), first]
    for process in family:
        # A backend may end by itself between the list and the signal.
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family, timeout=10)


def restart_postgres(server: embedded.Server) -> None:
    """Start it as whoever watches over it would; the fixture stops it in the end."""
    again = embedded.start(server.home)
    again.claim.close()
    if again.process is not None:
        # It outlives this object: Popen need not warn when it is forgotten.
        again.process.returncode = 0


def stop_postgres(server: embedded.Server) -> None:
    """Stop it as `pg_ctl stop -m fast` does: sessions end, transactions are undone."""
    first = postmaster(server)
    first.send_signal(signal.SIGINT)
    psutil.wait_procs([first], timeout=60)


@contextmanager
def meanwhile(every_seconds: float, act: Callable[[], object]) -> Iterator[list[float]]:
    """Act again and again while the block runs; yields the seconds each act took.

    An act is always finished, and what it raises is raised here.
    """
    is_over = threading.Event()
    took: list[float] = []

    def go_on() -> None:
        while not is_over.wait(every_seconds):
            began = time.monotonic()
            act()
            took.append(time.monotonic() - began)

    with ThreadPoolExecutor(1) as pool:
        acting = pool.submit(go_on)
        try:
            yield took
        finally:
            is_over.set()
        acting.result()
