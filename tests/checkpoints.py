"""A checkpointer for tests, and the tree that its checkpoints are to describe."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from psycopg2.extensions import connection

from checkpointer.__main__ import ROLE
from checkpointer.loop import Loop
from models.checkpoint import StoredCheckpoint
from models.connection_settings import ConnectionSettings
from models.database import Database
from services.checkpoint_files import Files, make_keys, read_keys
from services.checkpointer import Checkpointer
from services.log_watch import LogWatch
from services.timestamping import Timestamping
from services.witnessing import ConfiguredWitness, Witnessing
from tests.audit_trail import run
from utils.checkpoint import Checkpoint
from utils.signed_note import Note, VerifierKey, verified

PROJECT = Path(__file__).resolve().parent.parent


def files_in(directory: Path, sql: connection) -> Files:
    """Make keys for this database's log; there is no state yet."""
    ((origin,),) = run(sql, "SELECT origin FROM audit_head")
    files = Files(keys=directory / "keys.json", state=directory / "state.json")
    make_keys(files.keys, origin)
    return files


@contextmanager
def at_work(
    settings: ConnectionSettings, files: Files, *, is_thorough: bool = False
) -> Iterator[Checkpointer]:
    """Begin as the process would."""
    with closing(Database(replace(settings, role=ROLE))) as database:
        checkpointer = Checkpointer(database, files)
        checkpointer.begin(is_thorough=is_thorough)
        yield checkpointer


def sign(
    settings: ConnectionSettings, files: Files, *, is_thorough: bool = False
) -> StoredCheckpoint | None:
    """Sign what is new, as a process of its own would."""
    with at_work(settings, files, is_thorough=is_thorough) as checkpointer:
        return checkpointer.advance(checkpointer.look())


def loop_of(
    signing: Database,
    files: Files,
    *witnesses: ConfiguredWitness,
    interval_seconds: float = 0,
) -> Loop:
    """A signer that has just been started."""
    checkpointer = Checkpointer(signing, files)
    return Loop(
        checkpointer,
        Witnessing(signing, witnesses, pause_seconds=0),
        Timestamping(signing, []),
        LogWatch(signing, witnesses, checkpointer.verifiers),
        interval_seconds=interval_seconds,
        is_thorough=True,
    )


def program(
    settings: ConnectionSettings,
    files: Files,
    *arguments: str | Path,
    start: Sequence[str] = ("-m", "checkpointer"),
) -> subprocess.CompletedProcess[str]:
    """Run the real thing."""
    own = {
        "PATH": os.environ["PATH"],
        "DB_HOST": settings.host,
        "DB_PORT": str(settings.port),
        "DB_NAME": settings.name,
        "DB_USER": settings.user,
        "DB_PASSWORD": settings.password,
    }
    return subprocess.run(
        [
            *(sys.executable, *start),
            *("--keys", files.keys, "--state", files.state),
            *arguments,
        ],
        cwd=PROJECT,
        env=own,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def leaves(sql: connection) -> list[bytes]:
    rows = run(sql, "SELECT hash FROM audit_log ORDER BY seq")
    return [bytes(leaf) for (leaf,) in rows]


def merkle_tree_hash(nodes: Sequence[bytes]) -> bytes:
    """Return MTH of RFC 6962 section 2.1, as it is written there."""
    if len(nodes) == 1:
        return nodes[0]
    half = 1 << (len(nodes) - 1).bit_length() - 1
    left, right = merkle_tree_hash(nodes[:half]), merkle_tree_hash(nodes[half:])
    return sha256(b"\x01" + left + right).digest()


def published(sql: connection) -> dict[int, Note]:
    """Return the notes in the database by the size that they state."""
    notes = [
        Note.parse(note.encode())
        for (note,) in run(sql, "SELECT note FROM checkpoints ORDER BY size")
    ]
    return {Checkpoint.parse(note.text).size: note for note in notes}


def assert_all_true(sql: connection, files: Files) -> None:
    """Whatever was published is signed, and of the log as it is now."""
    entries = leaves(sql)
    vkeys = [VerifierKey.parse(each.vkey) for each in read_keys(files.keys).periods]
    for size, note in published(sql).items():
        stated = Checkpoint.parse(note.text)
        assert stated.root == merkle_tree_hash(entries[:size])
        assert any(verified(note, key) for key in vkeys)
    rows = run(sql, "SELECT size, root FROM checkpoints")
    for size, root in rows:
        assert bytes(root) == merkle_tree_hash(entries[:size])


def state_of(files: Files) -> dict[str, object]:
    found: dict[str, object] = json.loads(files.state.read_text())
    return found
