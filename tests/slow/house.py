"""The operator's side of the log, and the witness beside it, as processes."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import requests
from psycopg2.extensions import connection, make_dsn, parse_dsn

from database import embedded
from database.embedded_home import installed_programs
from services.checkpoint_files import Files, make_keys, read_keys
from services.witness_client import Seen, latest
from tests.audit_trail import run, scalar
from tests.slow.running import ENVIRONMENT, PROJECT, free_port
from tests.waiting import until
from tests.witnesses import Log, Process, Running
from utils.checkpoint import Checkpoint

ADMIN = {"email": "admin@gmail.com", "password": "StrongPassword123!"}
Variables = Mapping[str, str]


def pg(program: str, *arguments: str | Path) -> None:
    command = [installed_programs() / program, *arguments]
    subprocess.run(command, check=True, timeout=300)


def log_in(url: str) -> requests.Response:
    """Write: every login is an entry."""
    return requests.post(f"{url}/api/auth/login", json=ADMIN, timeout=30)


class House:
    """The operator's side, and the witness beside it."""

    def __init__(
        self,
        home: Path,
        dsn: str,
        database: Variables,
        *,
        address: str = "127.0.0.1",
    ) -> None:
        self.dsn = dsn
        self.database = database
        self.files = Files(keys=home / "keys.json", state=home / "state.json")
        with self.sql() as sql:
            self.origin = str(scalar(sql, "SELECT origin FROM audit_head"))
        make_keys(self.files.keys, self.origin)
        (home / "witness").mkdir()
        self.process = Process(
            home=home / "witness",
            log=Log.of(self.files),
            port=free_port(),
            address=address,
        )
        self.process.settle()
        self.witness: Running = self.process.start()

    @contextmanager
    def sql(self) -> Iterator[connection]:
        with closing(psycopg2.connect(self.dsn)) as session:
            session.autocommit = True
            yield session

    def variables(self) -> dict[str, str]:
        """Return what the API is told."""
        keys = read_keys(self.files.keys).verifiers
        return {
            "AUDIT_LOG_VKEYS": ",".join(map(str, keys)),
            "WITNESSES": f"{self.witness.key}={self.witness.url}",
        }

    def flask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        own = {**os.environ, **ENVIRONMENT, **self.database, **self.variables()}
        return subprocess.run(
            [sys.executable, "-m", "flask", "--app", "app", "audit", *arguments],
            cwd=PROJECT,
            env=own | {"SWEEPER_INTERVAL_SECONDS": "0"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def checkpointer(self, *arguments: str) -> list[str | Path]:
        return [
            *(sys.executable, "-m", "checkpointer"),
            *("--keys", self.files.keys, "--state", self.files.state),
            *arguments,
        ]

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.checkpointer(*arguments),
            cwd=PROJECT,
            env={"PATH": os.environ["PATH"], **self.database},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start_signing(self, interval_seconds: float = 0.1) -> subprocess.Popen[bytes]:
        witness = f"{self.witness.key}={self.witness.url}"
        return subprocess.Popen(
            self.checkpointer(
                *("run", "--interval", str(interval_seconds), "--witness", witness)
            ),
            cwd=PROJECT,
            env={"PATH": os.environ["PATH"], **self.database},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    @contextmanager
    def signing(
        self, interval_seconds: float = 0.1
    ) -> Iterator[subprocess.Popen[bytes]]:
        process = self.start_signing(interval_seconds)
        try:
            yield process
        finally:
            process.terminate()
            assert process.wait(30) == 0

    def seen(self, origin: str) -> Checkpoint | None:
        found = latest(self.witness.url, origin)
        return Checkpoint.parse(found.note.text) if isinstance(found, Seen) else None

    def entries(self) -> int:
        with self.sql() as sql:
            return int(scalar(sql, "SELECT next_seq FROM audit_head"))

    def wait_for_the_witness(self, origin: str) -> None:
        entries = self.entries()
        until(lambda: (seen := self.seen(origin)) is not None and seen.size >= entries)

    def restore(self, backup: Path, server: embedded.Server) -> None:
        name = parse_dsn(self.dsn)["dbname"]
        with closing(psycopg2.connect(server.dsn())) as session:
            session.autocommit = True
            run(session, f"DROP DATABASE {name} WITH (FORCE)")
            run(session, f"CREATE DATABASE {name}")
        pg("pg_restore", "--exit-on-error", f"--dbname={make_dsn(self.dsn)}", backup)
