"""The command that verifies: options, what it prints, and the code it ends with."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import Result
from flask import Flask
from psycopg2.extensions import connection, parse_dsn

from app import create_app
from config import Settings
from models.connection_settings import ConnectionSettings
from models.database import Database
from services.checkpoint_files import Files, read_keys
from services.witnessing import ConfiguredWitness
from tests.audit_trail import append
from tests.checkpoints import sign
from tests.exams import body
from tests.personas import Api, Persona
from tests.tampering import allow_everything, forget_signatures, rewrite
from tests.witnesses import Log, Running, serving
from utils.signed_note import COSIGNATURE, Signer

Verify = Callable[..., Result]

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def note(
    database: Database,
    connection_settings: ConnectionSettings,
    files: Files,
    tmp_path: Path,
) -> Path:
    """A checkpoint of four entries that somebody has kept. There are two more."""
    append(database, 3)
    made = sign(connection_settings, files)
    assert made is not None
    append(database, 2)
    path = tmp_path / "kept"
    path.write_text(made.note)
    return path


@pytest.fixture
def witness(tmp_path: Path, files: Files, note: Path) -> Iterator[Running]:
    log = Log.of(files)
    with serving(tmp_path / "witness", log) as running:
        running.post(b"old 0\n\n" + note.read_bytes())
        yield running


@pytest.fixture
def audit_verify(app: Flask) -> Verify:
    runner = app.test_cli_runner()
    return lambda *options: runner.invoke(args=["audit", "verify", *map(str, options)])


def vkey(files: Files) -> str:
    return read_keys(files.keys).periods[-1].vkey


def test_a_kept_checkpoint_makes_the_verdict_better(
    audit_verify: Verify, files: Files, note: Path
) -> None:
    result = audit_verify("--checkpoint", note, "--log-vkey", vkey(files))

    assert result.exit_code == 0, result.output
    assert "consistent_with_anchor: 6 entries" in result.output
    assert "entries behind the newest anchor: 2" in result.output


def test_a_witness_does_too(
    audit_verify: Verify, files: Files, witness: Running
) -> None:
    asked = f"{witness.key}={witness.url}"

    result = audit_verify("--witness", asked, "--log-vkey", vkey(files), "--json")

    report = json.loads(result.stdout)
    assert result.exit_code == 0
    assert report["verdict"] == "consistent_with_anchor"
    assert report["anchors"][0]["witnessed_at"] == "2027-01-15T08:00:00.000000Z"
    assert report["unanchored_entries"] == 2


def test_an_anchor_that_was_asked_for_and_is_not_there_is_no_success(
    audit_verify: Verify, files: Files, note: Path, tmp_path: Path
) -> None:
    away = Signer.generate("away.example", COSIGNATURE).verifier
    forged = tmp_path / "forged"
    forged.write_text(note.read_text().replace("\n4\n", "\n5\n"))
    key = ("--log-vkey", vkey(files))

    not_there = audit_verify("--witness", f"{away}={NOWHERE}", *key)
    not_ours = audit_verify("--checkpoint", forged, *key)

    for result in (not_there, not_ours):
        assert result.exit_code == 2
        assert "internally_consistent" in result.output


@pytest.mark.tampers
def test_a_new_history_ends_with_1(
    audit_verify: Verify, files: Files, note: Path, sql: connection
) -> None:
    allow_everything(sql)
    rewrite(sql, 2)
    forget_signatures(sql)

    assert audit_verify().exit_code == 0
    result = audit_verify("--checkpoint", note, "--log-vkey", vkey(files))

    assert result.exit_code == 1
    assert "tampered" in result.output


def test_a_policy_is_read_and_asked_for(
    audit_verify: Verify, files: Files, witness: Running, tmp_path: Path
) -> None:
    policy = tmp_path / "policy"
    policy.write_text(
        f"log {vkey(files)}\nwitness board {witness.key} {witness.url}\nquorum board\n"
    )
    broken = tmp_path / "broken"
    broken.write_text("log nobody\n")

    held = audit_verify("--policy", policy)
    refused = audit_verify("--policy", broken)

    assert (held.exit_code, refused.exit_code) == (0, 2)
    assert "consistent_with_anchor" in held.output
    assert "line 1 of the policy" in refused.output


def test_a_bookmark_is_made_and_moved_on(
    audit_verify: Verify, database: Database, note: Path, tmp_path: Path
) -> None:
    assert note.exists()
    path = tmp_path / "bookmark.json"

    first = audit_verify("--bookmark", path)
    made = json.loads(path.read_text())
    append(database, 3)
    second = audit_verify("--bookmark", path)
    moved = json.loads(path.read_text())
    full = audit_verify("--bookmark", path, "--full")
    read = json.loads(path.read_text())

    assert [result.exit_code for result in (first, second, full)] == [0, 0, 0]
    assert (made["size"], moved["size"], read["size"]) == (6, 9, 9)
    assert "4 entries in" in second.output
    assert moved["last_full_run_at"] == made["last_full_run_at"]
    assert read["last_full_run_at"] > made["last_full_run_at"]
    assert "consistent_with_anchor" in full.output


@pytest.mark.tampers
def test_a_bookmark_stays_where_it_is_if_the_log_does_not_hold(
    audit_verify: Verify, note: Path, tmp_path: Path, sql: connection
) -> None:
    assert note.exists()
    path = tmp_path / "bookmark.json"
    audit_verify("--bookmark", path)
    before = path.read_text()
    allow_everything(sql)
    rewrite(sql, 2)

    result = audit_verify("--bookmark", path)

    assert result.exit_code == 1
    assert path.read_text() == before


@pytest.mark.parametrize(
    "options",
    [
        ["--bookmark", "{damaged}"],
        ["--bookmark", "{new}", "--to-seq", "2"],
        ["--checkpoint", "{missing}"],
        ["--witness", "nobody"],
        ["--log-vkey", "nobody"],
        ["--policy", "{missing}"],
        ["--from-seq", "99"],
    ],
    ids=["damaged", "range", "checkpoint", "witness", "key", "policy", "beyond"],
)
def test_what_can_not_be_used_ends_with_2_and_never_with_1(
    audit_verify: Verify, tmp_path: Path, options: list[str]
) -> None:
    damaged = tmp_path / "damaged"
    damaged.write_text("{}")
    names = {name: tmp_path / name for name in ("damaged", "new", "missing")}

    result = audit_verify(*(option.format(**names) for option in options))

    assert result.exit_code == 2, result.output
    assert not names["new"].exists()


def test_a_database_that_is_away_ends_with_2(settings: Settings) -> None:
    away = replace(settings, database=replace(settings.database, name="away"))
    application = create_app(away)

    result = application.test_cli_runner().invoke(args=["audit", "verify"])

    assert result.exit_code == 2
    assert "not to be had" in result.output


def test_the_server_asks_the_witnesses_of_its_configuration(
    settings: Settings, ada: Persona, files: Files, witness: Running
) -> None:
    configured = replace(
        settings,
        audit_log_vkeys=(vkey(files),),
        witnesses=(ConfiguredWitness(witness.key, witness.url),),
    )
    api = Api(create_app(configured))

    report = body(api.as_(ada).get("/api/blockchain/verify"))

    assert report["verdict"] == "consistent_with_anchor"
    assert report["valid"] is True
    assert [anchor["size"] for anchor in report["anchors"]] == [5]


def test_the_server_says_that_a_witness_is_away(
    settings: Settings, ada: Persona, files: Files, note: Path
) -> None:
    assert note.exists()
    away = Signer.generate("away.example", COSIGNATURE).verifier
    configured = replace(
        settings,
        audit_log_vkeys=(vkey(files),),
        witnesses=(ConfiguredWitness(away, NOWHERE),),
    )

    report = body(Api(create_app(configured)).as_(ada).get("/api/blockchain/verify"))

    assert report["verdict"] == "internally_consistent"
    assert report["unanchored_entries"] is None
    assert "did not answer" in report["anchors"][0]["detail"]


def test_what_a_command_prints_is_mixed_with_no_log(
    dsn: str, files: Files, note: Path
) -> None:
    """Of the witnesses, whom every process of the configuration asks as it starts."""
    assert note.exists()
    where = parse_dsn(dsn)
    away = Signer.generate("away.example", COSIGNATURE).verifier

    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "app", "audit", "verify", "--json"],
        cwd=Path(__file__).parent.parent,
        env={
            "PATH": os.environ["PATH"],
            "DB_HOST": where["host"],
            "DB_PORT": where["port"],
            "DB_NAME": where["dbname"],
            "DB_USER": where["user"],
            "AUDIT_LOG_VKEYS": vkey(files),
            "WITNESSES": f"{away}={NOWHERE}",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert json.loads(done.stdout)["verdict"] == "internally_consistent"
    assert "no witness has confirmed" in done.stderr


@pytest.mark.parametrize(
    ("command", "is_started"), [("verify", False), ("run", True), (None, True)]
)
def test_only_what_serves_works_in_the_background(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    command: str | None,
    *,
    is_started: bool,
) -> None:
    """Who verifies a copy that was just restored does not end its attempts."""
    hourly = replace(settings, sweeper_interval_seconds=3600)
    if command is None:
        app = create_app(hourly)
    else:
        # What `flask` itself sets, and gunicorn does not.
        monkeypatch.setenv("FLASK_RUN_FROM_CLI", "true")
        with click.Context(click.Command(command), info_name=command):
            app = create_app(hourly)

    sweepers = app.extensions.get("sweepers", [])
    for each in sweepers:
        each.stop()

    assert bool(sweepers) is is_started
