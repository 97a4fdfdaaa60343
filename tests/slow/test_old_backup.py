"""An old backup is restored under the eyes of a witness, with every process as it is.

PostgreSQL, gunicorn, checkpointer and witness run for real; so do pg_dump, pg_restore
and the commands that an operator types.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from database import embedded
from database.seed import seed_if_empty
from tests.slow.house import ADMIN, House, Variables, log_in, pg
from tests.slow.running import running_api
from tests.waiting import until
from utils.checkpoint import Checkpoint
from utils.signed_note import Note, VerifierKey, verified

LOST = "The array failed at 9:40; the newest backup is of 9:00."


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
