"""What is called witnessed, and when: a quorum of three houses, and one of them away.

Everything is a process of its own, as in an institution; only the API is in this one.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask

from config import Settings
from models.connection_settings import ConnectionSettings
from services.checkpoint_files import Files, read_keys
from tests.bundles import unzipped
from tests.checkpoints import PROJECT
from tests.exams import Json, active, body, start
from tests.houses import Houses, houses
from tests.personas import Api, Persona
from tests.scene import playing
from tests.waiting import until
from utils.checkpoint import Checkpoint
from utils.signed_note import Note
from utils.tlog_proof import TlogProof

JSON = {"Accept": "application/json"}
TEXT = "text/plain; charset=utf-8"
# What the issue promises a student.
RECEIPT_SECONDS = 2.0


@pytest.fixture
def three(tmp_path: Path, files: Files) -> Iterator[Houses]:
    with houses(tmp_path, files) as running:
        yield running


@pytest.fixture
def app(settings: Settings, files: Files, three: Houses) -> Iterator[Flask]:
    vkeys = tuple(period.vkey for period in read_keys(files.keys).periods)
    told = replace(settings, audit_log_vkeys=vkeys, witness_policy=three.policy)
    with playing(told) as application:
        yield application


@contextmanager
def signing(
    settings: ConnectionSettings, files: Files, three: Houses
) -> Iterator[None]:
    """Run the real checkpointer with the policy of the three houses."""
    policy = files.state.with_name("policy")
    policy.write_text(three.policy.text)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "checkpointer"),
            *("--keys", files.keys, "--state", files.state),
            *("run", "--policy", policy),
        ],
        cwd=PROJECT,
        env={
            "PATH": os.environ["PATH"],
            "DB_HOST": settings.host,
            "DB_PORT": str(settings.port),
            "DB_NAME": settings.name,
            "DB_USER": settings.user,
            "DB_PASSWORD": settings.password,
        },
        stdout=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(30) == 0


@pytest.fixture
def signed(
    connection_settings: ConnectionSettings, files: Files, three: Houses, api: Api
) -> Iterator[None]:
    """The checkpointer has begun, and all are at work."""
    with signing(connection_settings, files, three):
        until(lambda: newest(api)["is_witnessed"])
        yield


def newest(api: Api) -> Json:
    reply = api.as_(None).get("/api/blockchain/checkpoint", headers=JSON)
    if reply.status_code == 404:
        return {"is_witnessed": False}
    found: Json = body(reply)["checkpoint"]
    return found


def submitted(api: Api, ada: Persona, student: Persona) -> str:
    """Sit an exam to its end, and return the address of the attempt."""
    paper = start(api.as_(student), active(api.as_(ada), student.id))
    path = f"/api/exams/attempts/{paper['id']}"
    body(api.as_(student).post(f"{path}/submit"))
    return path


def receipt(
    api: Api, student: Persona, path: str, is_wanted: Callable[[Json], bool]
) -> Json:
    """Ask until the receipt is as it is wanted."""
    found: Json = {}

    def ask() -> bool:
        reply = api.as_(student).get(f"{path}/receipt")
        found.clear()
        found.update(reply.get_json() if reply.status_code == 200 else {})
        return bool(found) and is_wanted(found)

    until(ask)
    return found


def check(api: Api, text: str) -> Json:
    """Have a receipt checked; the checks by their names."""
    path = "/api/blockchain/receipts/verify"
    found: Json = body(api.as_(None).post(path, data=text, content_type=TEXT))
    return found | {each["name"]: each for each in found["checks"]}


def is_witnessed(found: Json) -> bool:
    return bool(found["is_witnessed"])


@pytest.mark.usefixtures("signed")
def test_the_receipt_is_final_two_seconds_after_submission(
    api: Api, ada: Persona, alice: Persona, three: Houses
) -> None:
    path = submitted(api, ada, alice)
    began = time.monotonic()

    found = receipt(api, alice, path, is_witnessed)

    assert time.monotonic() - began < RECEIPT_SECONDS
    assert found["missing"] is None
    note = TlogProof.parse(found["proof"].encode()).note()
    assert len(three.policy.judge(note).witnesses) >= 2
    page = api.as_(alice).get(f"{path}/receipt", headers={"Accept": "text/html"}).text
    assert "Not final" not in page
    assert "confirmed by witnesses" in page
    report = check(api, found["proof"])
    assert report["is_valid"]
    assert report["is_witnessed"]
    assert report["witnesses"]["result"] == "passed"
    assert "board at 20" in report["witnesses"]["detail"]


@pytest.mark.usefixtures("signed")
def test_one_house_away_is_no_harm_and_two_are_said_to_be_missing(
    api: Api, ada: Persona, alice: Persona, mallory: Persona, three: Houses
) -> None:
    three.stop("press")
    first = submitted(api, ada, alice)
    began = time.monotonic()
    receipt(api, alice, first, is_witnessed)
    assert time.monotonic() - began < RECEIPT_SECONDS

    three.stop("union")
    second = submitted(api, ada, mallory)
    began = time.monotonic()
    held = receipt(api, mallory, second, lambda found: found["is_cosigned"])

    assert time.monotonic() - began < RECEIPT_SECONDS
    assert not held["is_witnessed"]
    assert held["missing"] == "enough cosignatures for the quorum 'two'"
    page = api.as_(mallory).get(f"{second}/receipt", headers={"Accept": "text/html"})
    assert "Not final" in page.text
    report = check(api, held["proof"])
    assert report["is_valid"]
    assert not report["is_witnessed"]
    assert report["witnesses"]["result"] == "not_checked"
    assert "no quorum has confirmed it" in report["witnesses"]["detail"]
    shown = newest(api)
    assert not shown["is_witnessed"]
    assert [each["name"] for each in shown["witnesses"]] == ["board"]
    # A bundle takes the newest state that the quorum has confirmed.
    attempt = second.rpartition("/")[2]
    bundle = api.as_(ada).get(f"/api/blockchain/attempt/{attempt}/bundle")
    note = Note.parse(unzipped(bundle.data)["checkpoint.txt"])
    assert three.policy.judge(note).is_witnessed
    assert Checkpoint.parse(note.text).size < shown["size"]

    # Nothing is recorded any more, and a house is back: it is asked by itself.
    three.start("union")
    final = receipt(api, mallory, second, is_witnessed)
    again = receipt(api, mallory, second, is_witnessed)
    assert final["proof"] == again["proof"] != held["proof"]
    assert newest(api)["is_witnessed"]


@pytest.mark.usefixtures("signed")
def test_the_policy_is_shown_and_lies_in_every_bundle(
    api: Api, ada: Persona, alice: Persona, three: Houses
) -> None:
    path = submitted(api, ada, alice)
    receipt(api, alice, path, is_witnessed)

    told = body(api.as_(None).get("/api/blockchain/checkpoint", headers=JSON))
    attempt = path.rpartition("/")[2]
    bundle = api.as_(ada).get(f"/api/blockchain/attempt/{attempt}/bundle")

    assert told["policy"] == three.policy.text
    files = unzipped(bundle.data)
    assert files["policy.txt"].decode() == three.policy.text
    note = Note.parse(files["checkpoint.txt"])
    assert three.policy.judge(note).is_witnessed


@pytest.mark.usefixtures("signed")
def test_a_cosignature_of_something_else_contradicts_a_receipt(
    api: Api, ada: Persona, alice: Persona
) -> None:
    path = submitted(api, ada, alice)
    proof = receipt(api, alice, path, is_witnessed)["proof"]
    read = TlogProof.parse(proof.encode())
    other, *_ = body(api.as_(None).get("/api/blockchain/checkpoints"))["items"][-1:]
    elsewhere = Note.parse(other["note"].encode()).signatures[1:]
    mixed = replace(read.note(), signatures=(read.note().signatures[0], *elsewhere))

    report = check(api, replace(read, checkpoint_note=mixed.render()).render())

    assert not report["is_valid"]
    assert not report["is_witnessed"]
    assert report["witnesses"]["result"] == "failed"
    assert report["signature"]["result"] == "passed"


def test_without_a_policy_nothing_is_called_witnessed(
    settings: Settings,
    connection_settings: ConnectionSettings,
    files: Files,
    three: Houses,
    ada: Persona,
    alice: Persona,
) -> None:
    with playing(settings) as plain, signing(connection_settings, files, three):
        api = Api(plain)
        path = submitted(api, ada, alice)
        found = receipt(api, alice, path, lambda held: held["is_cosigned"])
        shown = newest(api)
        report = check(api, found["proof"])

    for each in (found, shown):
        assert not each["is_witnessed"]
        assert each["missing"] == (
            "this server was given no policy (WITNESS_POLICY_FILE)"
        )
    assert report["witnesses"]["result"] == "not_checked"
