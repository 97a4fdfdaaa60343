"""Witnesses see what was signed, and contradict whoever goes back."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import NoReturn

import pytest
from psycopg2.extensions import connection

from models import checkpoint
from models.checkpoint import StoredCheckpoint
from models.connection_settings import ConnectionSettings
from models.database import Database
from services.checkpoint_files import Files, read_keys
from services.checkpointer import Checkpointer, RefusedError
from services.witness_client import SIZE
from services.witnessing import ConfiguredWitness, Witnessing
from tests.audit_trail import append, append_together, run
from tests.checkpoints import loop_of, program, sign
from tests.old_copies import set_back
from tests.waiting import until
from tests.witnesses import Log, Running, serving
from utils.signed_note import (
    COSIGNATURE,
    ED25519,
    MAX_SIGNATURES,
    Note,
    NoteError,
    Signature,
    Signer,
    verified,
)

# Nobody listens there.
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def witness(tmp_path: Path, files: Files) -> Iterator[Running]:
    """One that trusts this log's key."""
    log = Log.of(files)
    with serving(tmp_path / "witness", log) as running:
        yield running


def configured(running: Running) -> ConfiguredWitness:
    return ConfiguredWitness(running.key, running.url)


def signed(settings: ConnectionSettings, files: Files) -> StoredCheckpoint:
    made = sign(settings, files)
    assert made is not None
    return made


def published(database: Database) -> StoredCheckpoint:
    with database.read() as tx:
        newest = checkpoint.get_newest(tx)
    assert newest is not None
    return newest


def test_checkpoints_are_cosigned_one_after_the_other_and_after_a_restart(
    connection_settings: ConnectionSettings,
    database: Database,
    signing: Database,
    files: Files,
    witness: Running,
) -> None:
    witnessing = Witnessing(signing, [configured(witness)])
    for is_restarted in (False, False, True):
        append(database, 3)
        if is_restarted:
            witnessing = Witnessing(signing, [configured(witness)])

        assert witnessing.cosign(signed(connection_settings, files)) == 1

        newest = published(signing)
        note = Note.parse(newest.best_note.encode())
        assert newest.cosigned_at is not None
        assert verified(note, witness.key) is not None
        assert verified(note, read_keys(files.keys).verifiers[-1]) is not None
        ((seen,), forks) = witness.seen()
        assert (seen.size, seen.root, forks) == (newest.size, newest.root, [])


def test_who_was_away_before_the_start_cosigns_though_nothing_is_new(
    signing: Database, files: Files, witness: Running
) -> None:
    signed(signing.settings, files)

    loop_of(signing, files, configured(witness)).step()

    note = Note.parse(published(signing).best_note.encode())
    assert verified(note, witness.key) is not None


def test_a_witness_that_is_away_stops_nothing_and_is_left_alone(
    connection_settings: ConnectionSettings,
    database: Database,
    signing: Database,
    files: Files,
    witness: Running,
) -> None:
    away = ConfiguredWitness(
        Signer.generate("away.example", COSIGNATURE).verifier, NOWHERE
    )
    witnessing = Witnessing(signing, [away, configured(witness)])
    witnessing.compare(0, read_keys(files.keys).verifiers)
    append(database)

    assert witnessing.cosign(signed(connection_settings, files)) == 1

    # It came up, and is asked again when its pause is over.
    moved = ConfiguredWitness(witness.key, witness.url + "/")
    patient = Witnessing(signing, [moved], pause_seconds=0)
    append(database)
    assert patient.cosign(signed(connection_settings, files)) == 1


def test_a_cosignature_of_another_key_is_not_published(
    connection_settings: ConnectionSettings,
    signing: Database,
    files: Files,
    witness: Running,
) -> None:
    other = Signer.generate(witness.key.name, COSIGNATURE).verifier
    mistaken = Witnessing(signing, [ConfiguredWitness(other, witness.url)])

    assert mistaken.cosign(signed(connection_settings, files)) == 0

    assert published(signing).cosigned_note is None


@contextmanager
def answering(answer_to: Callable[[bytes], bytes], status: int = 200) -> Iterator[str]:
    """Give the address of a witness that answers each body in a way of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer = answer_to(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Type", SIZE)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_witness_is_asked_from_where_it_was(
    database: Database, files: Files, witness: Running, signing: Database
) -> None:
    """Or each checkpoint would be two questions."""
    asked: list[bytes] = []

    def answer(body: bytes) -> bytes:
        asked.append(body.partition(b"\n")[0])
        return witness.post(body).body

    with answering(answer) as url:
        witnessing = Witnessing(signing, [ConfiguredWitness(witness.key, url)])
        for _ in range(2):
            append(database)
            assert witnessing.cosign(signed(signing.settings, files)) == 1

    assert asked == [b"old 0", b"old 2"]


@pytest.mark.parametrize(("pause_seconds", "times"), [(60, 1), (0, 3)])
def test_a_witness_that_refuses_is_left_alone_for_a_while(
    files: Files, signing: Database, pause_seconds: float, times: int
) -> None:
    """Each question may cost the others, and whoever waits for a receipt, a second."""
    key = Signer.generate("board.example", COSIGNATURE).verifier
    asked: list[bytes] = []

    def answer(body: bytes) -> bytes:
        asked.append(body)
        return b""

    with answering(answer, 403) as url:
        witnessing = Witnessing(
            signing, [ConfiguredWitness(key, url)], pause_seconds=pause_seconds
        )
        witnessing.cosign(signed(signing.settings, files))
        for _ in range(2):
            witnessing.complete()

    assert len(asked) == times


def test_a_witness_that_still_looks_for_an_answer_is_not_asked_again(
    files: Files, signing: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the questions would heap up while the names of a network are not to be had."""
    key = Signer.generate("board.example", COSIGNATURE).verifier
    looked_up: list[object] = []
    is_over = Event()

    def look_up(host: object, *_: object, **__: object) -> NoReturn:
        looked_up.append(host)
        is_over.wait(20)
        raise OSError("no such name")

    made = signed(signing.settings, files)
    witnessing = Witnessing(
        signing, [ConfiguredWitness(key, "http://board.example")], pause_seconds=0
    )
    monkeypatch.setattr(socket, "getaddrinfo", look_up)

    witnessing.cosign(made)
    witnessing.complete()
    assert looked_up == ["board.example"]

    # Questions are answered in turn: those that had heaped up would come before this.
    def is_asked_again() -> bool:
        witnessing.complete()
        return len(looked_up) > 1

    is_over.set()
    until(is_asked_again)
    assert looked_up == ["board.example"] * 2


@pytest.mark.parametrize(
    ("status", "content", "is_contradicted"),
    [
        (409, b"1000000\n", True),
        (409, b"1\n", False),
        (422, b"", True),
        (404, b"", False),
        (500, b"", False),
    ],
)
def test_a_witness_that_has_seen_something_else_is_heard_once_a_minute(
    files: Files,
    signing: Database,
    status: int,
    content: bytes,
    *,
    is_contradicted: bool,
) -> None:
    """And not one that was asked too early, or does not know the log."""
    key = Signer.generate("board.example", COSIGNATURE).verifier
    made = signed(signing.settings, files)
    with answering(lambda _: content, status) as url:
        asking = Witnessing(signing, [ConfiguredWitness(key, url)], pause_seconds=0)
        asking.cosign(made)
        assert asking.is_contradicted is is_contradicted

        asking.compare(made.size, read_keys(files.keys).verifiers)
        asking.complete()

    assert not asking.is_contradicted


@pytest.mark.parametrize("is_first", [True, False])
def test_a_witness_speaks_for_nobody_else(
    connection_settings: ConnectionSettings,
    signing: Database,
    files: Files,
    witness: Running,
    *,
    is_first: bool,
) -> None:
    """A wrong signature of another one would have the whole note rejected."""
    other = Signer.generate("board.example", COSIGNATURE).verifier
    wrong = Signature(other.name, other.key_id, bytes(72)).render().encode()

    def answer(asked: bytes) -> bytes:
        own = witness.post(asked).body
        return wrong + own if is_first else own + wrong

    with answering(answer) as url:
        asking = Witnessing(signing, [ConfiguredWitness(witness.key, url)])
        assert asking.cosign(signed(connection_settings, files)) == 1

    note = Note.parse((published(signing).cosigned_note or "").encode())
    assert verified(note, witness.key)
    assert not any(each.name == other.name for each in note.signatures)


def test_a_false_cosignature_is_not_published(
    connection_settings: ConnectionSettings,
    signing: Database,
    files: Files,
    witness: Running,
) -> None:
    """In its own name: the whole note would be rejected."""
    key = witness.key
    false = Signature(key.name, key.key_id, bytes(72)).render().encode()

    with answering(lambda _: false) as url:
        asking = Witnessing(signing, [ConfiguredWitness(key, url)])
        assert asking.cosign(signed(connection_settings, files)) == 0

    assert published(signing).cosigned_note is None


def test_a_witness_takes_one_line_of_the_note(
    connection_settings: ConnectionSettings,
    signing: Database,
    files: Files,
    witness: Running,
) -> None:
    """It must not leave the others no room, nor end the signing with a full note."""
    chatty = Signer.generate("chatty.example", COSIGNATURE)
    made = signed(connection_settings, files)
    text = Note.parse(made.note.encode()).text
    lines = [chatty.cosign(text, at).render() for at in range(1, MAX_SIGNATURES)]

    with answering(lambda _: "".join(lines).encode()) as url:
        asked = [ConfiguredWitness(chatty.verifier, url), configured(witness)]
        assert Witnessing(signing, asked).cosign(made) == 2

    note = Note.parse((published(signing).cosigned_note or "").encode())
    assert [each.name for each in note.signatures] == [
        text.partition("\n")[0],
        chatty.name,
        witness.key.name,
    ]


def test_damaged_tiles_cost_one_witness_its_proof_and_nobody_the_signing(
    database: Database,
    sql: connection,
    files: Files,
    witness: Running,
    signing: Database,
) -> None:
    Witnessing(signing, [configured(witness)]).cosign(signed(signing.settings, files))
    append_together(database, 300)
    made = signed(signing.settings, files)
    run(sql, "UPDATE merkle_tiles SET hashes = sha256(hashes) WHERE tile_index = 0")
    new = Log(signer=read_keys(files.keys).signers[-1], origin=made.origin)
    with serving(files.keys.with_name("new"), new) as other:
        asked = [configured(witness), configured(other)]
        witnessing = Witnessing(signing, asked, pause_seconds=0)

        assert witnessing.cosign(made) == 1

        Checkpointer(signing, files).reread()
        assert witnessing.complete() == 1


@pytest.fixture(params=["note", "cosigned", "of another"])
def exchange(request: pytest.FixtureRequest) -> str:
    if request.param == "note":
        return "UPDATE checkpoints SET note = 'x'"
    cosigned = "UPDATE checkpoints SET cosigned_at = now(), cosigned_note = "
    if request.param == "cosigned":
        return f"{cosigned}'x'"
    return f"{cosigned}E'x\\n1\\ny\\n\\n\u2014 x AAAAAAA=\\n'"


@pytest.mark.tampers
def test_a_note_that_somebody_exchanged_does_not_stop_the_signing(
    database: Database,
    sql: connection,
    files: Files,
    witness: Running,
    signing: Database,
    exchange: str,
) -> None:
    made = signed(signing.settings, files)
    run(sql, exchange)
    witnessing = Witnessing(signing, [configured(witness)])

    if witnessing.resume():
        note = Note.parse((published(signing).cosigned_note or "").encode())
        assert note.text == Note.parse(made.note.encode()).text
        assert verified(note, witness.key) is not None

    append(database)
    assert witnessing.cosign(signed(signing.settings, files)) == 1


def test_what_a_witness_has_seen_can_not_be_taken_back(
    connection_settings: ConnectionSettings,
    database: Database,
    signing: Database,
    files: Files,
    witness: Running,
) -> None:
    """Database and state restored together from an old backup."""
    append(database, 5)
    made = signed(connection_settings, files)
    witnessing = Witnessing(signing, [configured(witness)])
    witnessing.cosign(made)
    keys = read_keys(files.keys).verifiers

    witnessing.compare(made.size, keys)
    with pytest.raises(RefusedError, match=f"has seen {made.size} entries"):
        witnessing.compare(made.size - 1, keys)
    # It is our own signature that is believed, not the witness.
    stranger = Signer.generate(keys[0].name, ED25519).verifier
    witnessing.compare(made.size - 1, [stranger])


@pytest.mark.tampers
def test_a_log_that_begins_anew_is_not_signed_over_what_a_witness_has_seen(
    database: Database,
    sql: connection,
    files: Files,
    witness: Running,
    signing: Database,
) -> None:
    """From before the first checkpoint: nobody here knows of anything that was signed.

    Neither the process that signs once, nor the one that stays.
    """
    append(database, 5)
    made = signed(signing.settings, files)
    assert Witnessing(signing, [configured(witness)]).cosign(made) == 1
    set_back(sql, 3)
    files.state.unlink()
    asked = f"{witness.key}={witness.url}"

    for command in ("once", "run"):
        done = program(signing.settings, files, command, "--witness", asked)

        assert done.returncode == 3
        assert "has seen 6 entries that we signed" in done.stderr
    assert not files.state.exists()


def test_the_program_asks_its_witnesses(
    connection_settings: ConnectionSettings, files: Files, witness: Running
) -> None:
    asked = f"{witness.key}={witness.url}"

    done = program(connection_settings, files, "once", "--witness", asked)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("1 of 1 witnesses have cosigned\n")
    ((seen,), _) = witness.seen()
    assert seen.size == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        str(Signer.generate("a.example", COSIGNATURE).verifier),
        f"{Signer.generate('a.example', COSIGNATURE).verifier}=ftp://a.example",
        f"{Signer.generate('a.example', ED25519).verifier}=http://a.example",
    ],
    ids=range(5),
)
def test_what_is_no_witness_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        ConfiguredWitness.parse(text)
