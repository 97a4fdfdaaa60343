"""The checkpointer signs what continues what it has signed, and nothing else."""

import signal
from dataclasses import replace
from itertools import product
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import connection

from checkpointer.__main__ import ROLE
from models.audit_event import AuditEvent
from models.connection_settings import ConnectionSettings
from models.database import Database
from models.database_errors import DatabaseUnavailableError
from services import audit
from services.checkpoint_files import (
    CheckpointFileError,
    Files,
    make_keys,
    read_keys,
    rotate_keys,
)
from services.checkpointer import URGENT, RefusedError
from tests.audit_trail import append, append_together, run
from tests.checkpoints import (
    PROJECT,
    assert_all_true,
    at_work,
    files_in,
    loop_of,
    program,
    published,
    sign,
    state_of,
)
from tests.old_copies import set_back, suspensions
from tests.slow.running import free_port
from utils.checkpoint import Checkpoint
from utils.safe_files import locked
from utils.signed_note import Note, VerifierKey, verified


def test_a_checkpoint_says_what_the_log_is(
    connection_settings: ConnectionSettings,
    database: Database,
    sql: connection,
    files: Files,
) -> None:
    append(database, 3)

    made = sign(connection_settings, files)

    assert made is not None
    assert made.size == 4
    note = Note.parse(made.note.encode())
    (key,) = read_keys(files.keys).verifiers
    assert verified(note, key) is not None
    assert key.name == Checkpoint.parse(note.text).origin
    assert_all_true(sql, files)


def test_every_size_is_right_across_restarts(
    connection_settings: ConnectionSettings,
    database: Database,
    sql: connection,
    files: Files,
) -> None:
    """Each `sign` begins anew from the files and the tiles."""
    for more in (0, 1, 1, 252, 1, 1, 255, 1, 70):
        if more:
            append_together(database, more)
        sign(connection_settings, files)

    assert list(published(sql)) == [1, 2, 3, 255, 256, 257, 512, 513, 583]
    assert_all_true(sql, files)


def test_nothing_new_is_not_signed_twice(
    connection_settings: ConnectionSettings, sql: connection, files: Files
) -> None:
    sign(connection_settings, files)

    assert sign(connection_settings, files) is None
    assert list(published(sql)) == [1]


@pytest.mark.parametrize("event", URGENT)
def test_a_decision_is_signed_at_once_and_the_rest_waits_its_turn(
    signing: Database,
    database: Database,
    sql: connection,
    files: Files,
    event: AuditEvent,
) -> None:
    loop = loop_of(signing, files, interval_seconds=3600)
    loop.step()
    append(database)
    loop.step()
    assert list(published(sql)) == [1]

    with database.transaction() as tx:
        audit.append(tx, event, "attempt", "1", actor=audit.SYSTEM, payload={})
    loop.step()

    assert list(published(sql)) == [1, 3]


@pytest.mark.tampers
@pytest.mark.parametrize("is_rotated", [False, True])
def test_a_log_that_is_set_back_under_the_signer_stops_the_servers_too(
    signing: Database,
    database: Database,
    sql: connection,
    files: Files,
    *,
    is_rotated: bool,
) -> None:
    loop = loop_of(signing, files)
    loop.step()
    if is_rotated:
        rotate_keys(files.keys, 1)
    for _ in range(2):
        append(database, 3)
        loop.step()
    set_back(sql, 5)

    with pytest.raises(RefusedError, match="has 5 entries, and 7 were signed"):
        loop.step()

    assert suspensions(sql) == [("the signer", 7, 5, True, None)]


NOT_NOW = """
    CREATE FUNCTION not_now() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE serialization_failure; END $$;
    CREATE TRIGGER not_now BEFORE INSERT ON checkpoints EXECUTE FUNCTION not_now()
"""


def test_what_was_promised_is_published_when_the_database_is_back(
    signing: Database, database: Database, sql: connection, files: Files
) -> None:
    """The same loop begins again. Nothing new need happen."""
    loop = loop_of(signing, files)
    loop.step()
    append(database)
    run(sql, NOT_NOW)
    with pytest.raises(DatabaseUnavailableError):
        loop.step()
    run(sql, "DROP TRIGGER not_now ON checkpoints")
    assert list(published(sql)) == [1]

    loop.step()

    assert list(published(sql)) == [1, 2]


DYING = """
import importlib, os, signal, sys
from checkpointer import __main__ as program
from utils.signed_note import Signer

def resolve(path):
    module, _, rest = path.partition(":")
    target = importlib.import_module(module)
    *owners, name = rest.split(".")
    for owner in owners:
        target = getattr(target, owner)
    return target, name

record, path, when = sys.argv[1:4]
signed = Signer.sign
def note(self, text):
    with open(record, "a") as file:
        file.write(text + chr(0))
        file.flush()
    return signed(self, text)
Signer.sign = note
target, name = resolve(path)
real = getattr(target, name)
def dying(*given, **named):
    if when == "after":
        real(*given, **named)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(target, name, dying)
sys.argv[1:] = sys.argv[4:]
program.main()
"""
STORE = "models.checkpoint:store"
STEPS = (
    "models.checkpoint:flush",
    "services.checkpointer:grow",
    "models.merkle_tile:store",
    "services.checkpointer:write_state",
    "pathlib:Path.replace",
    "utils.signed_note:Signer.sign",
    STORE,
    "services.checkpointer:end_rotation",
)


@pytest.mark.parametrize(
    "moment", list(product(STEPS, ("before", "after"))), ids="-".join
)
def test_a_kill_at_any_step_leads_to_no_second_root(
    connection_settings: ConnectionSettings,
    database: Database,
    sql: connection,
    files: Files,
    tmp_path: Path,
    moment: tuple[str, str],
) -> None:
    """What was signed in vain, and what is signed after it, tell one story."""
    sign(connection_settings, files)
    append_together(database, 300)
    record = tmp_path / "signed"

    # Killed twice, with more entries each time: the second finds what the first left.
    for _ in range(2):
        if not read_keys(files.keys).is_rotating:
            rotate_keys(files.keys, 1)
        done = program(
            connection_settings,
            files,
            *("once", "--quick"),
            start=("-c", DYING, str(record), *moment),
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        append_together(database, 2)
    made = sign(connection_settings, files)

    assert made is not None
    assert made.size == 305
    assert_all_true(sql, files)
    texts = record.read_text().split("\0")[:-1] if record.exists() else []
    stated = [Checkpoint.parse(text) for text in texts]
    stated += [Checkpoint.parse(note.text) for note in published(sql).values()]
    roots: dict[int, set[bytes]] = {}
    for each in stated:
        roots.setdefault(each.size, set()).add(each.root)
    assert all(len(found) == 1 for found in roots.values())
    assert sign(connection_settings, files, is_thorough=True) is None


@pytest.mark.parametrize("step", ["utils.signed_note:Signer.sign", STORE])
def test_what_was_promised_is_published_by_the_next_start(
    connection_settings: ConnectionSettings,
    sql: connection,
    files: Files,
    tmp_path: Path,
    step: str,
) -> None:
    """Nothing new need happen: an entry was signed for, and shall be seen to be."""
    dying = ("-c", DYING, str(tmp_path / "signed"), step, "before")
    done = program(connection_settings, files, "once", start=dying)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert published(sql) == {}

    assert sign(connection_settings, files) is None

    assert list(published(sql)) == [state_of(files)["size"]] == [1]
    assert_all_true(sql, files)


def rewrite(sql: connection, statement: str, *parameters: object) -> None:
    """Do what an owner of the database can do."""
    run(sql, "ALTER TABLE audit_log DISABLE TRIGGER USER")
    run(sql, statement, *parameters)
    run(sql, "ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_no_change")


def cut(sql: connection, size: int) -> None:
    """Take the log back to `size` entries, its head too."""
    rewrite(sql, "DELETE FROM audit_log WHERE seq >= %s", size)
    run(
        sql,
        "UPDATE audit_head SET next_seq = seq + 1, hash = audit_log.hash,"
        " recorded_at = audit_log.recorded_at FROM audit_log WHERE seq = %s",
        size - 1,
    )


def refused(
    settings: ConnectionSettings, files: Files, *, is_thorough: bool = False
) -> str:
    """Return why nothing was signed; nor was anything promised."""
    before = files.state.read_text() if files.state.exists() else None
    with pytest.raises(RefusedError) as refusal:
        sign(settings, files, is_thorough=is_thorough)
    assert (files.state.read_text() if files.state.exists() else None) == before
    return str(refusal.value)


@pytest.mark.tampers
@pytest.mark.parametrize("left", [4, 5])
def test_a_cut_tail_is_refused(
    connection_settings: ConnectionSettings,
    database: Database,
    sql: connection,
    files: Files,
    left: int,
) -> None:
    append(database, 5)
    sign(connection_settings, files)

    cut(sql, left)

    why = refused(connection_settings, files)
    assert f"The log has {left} entries, and 6 were signed" in why
    assert "docs/decisions/0011-checkpoints.md" in why
    assert list(published(sql)) == [6]


@pytest.mark.tampers
@pytest.mark.parametrize("more", [2, 7])
def test_an_old_copy_that_went_on_is_refused(
    connection_settings: ConnectionSettings,
    database: Database,
    sql: connection,
    files: Files,
    more: int,
) -> None:
    """Also when it has become as long as what was signed, or longer.

    So is a log that was hashed anew from some entry on: it looks the same.
    """
    append(database, 5)
    sign(connection_settings, files)

    cut(sql, 4)
    append(database, more)

    why = refused(connection_settings, files)
    assert "has another hash than when it was signed" in why


@pytest.mark.tampers
@pytest.mark.parametrize("seq", [0, 2, 5])
def test_a_rewritten_row_is_refused_by_a_thorough_start(
    connection_settings: ConnectionSettings,
    database: Database,
    sql: connection,
    files: Files,
    seq: int,
) -> None:
    append(database, 5)
    sign(connection_settings, files)
    append(database)

    rewrite(sql, "UPDATE audit_log SET entity_id = 'x' WHERE seq = %s", seq)

    why = refused(connection_settings, files, is_thorough=True)
    assert f"entry {seq}: hash" in why


@pytest.mark.tampers
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("UPDATE audit_log SET entity_id = 'x' WHERE seq = 5", "hash"),
        ("UPDATE audit_log SET payload = '{}' WHERE seq = 5", "payload"),
        (
            "UPDATE audit_log SET previous_hash = sha256(hash) WHERE seq = 5",
            "previous_hash",
        ),
        ("DELETE FROM audit_log WHERE seq = 5", "gap"),
    ],
)
def test_a_new_entry_that_does_not_chain_is_not_signed(
    connection_settings: ConnectionSettings,
    database: Database,
    sql: connection,
    files: Files,
    change: str,
    why: str,
) -> None:
    append(database, 3)
    sign(connection_settings, files)
    append(database, 4)

    rewrite(sql, change)

    assert f"entry 5: {why}" in refused(connection_settings, files)
    assert list(published(sql)) == [4]


@pytest.mark.tampers
def test_a_head_that_says_otherwise_is_refused(
    connection_settings: ConnectionSettings,
    database: Database,
    sql: connection,
    files: Files,
) -> None:
    append(database, 2)

    run(sql, "UPDATE audit_head SET hash = sha256('')")

    why = refused(connection_settings, files)
    assert "Entry 2 has not the hash that the log's head says" in why


@pytest.mark.tampers
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_head SET log_id = substring(hash FOR 16)",
        "UPDATE audit_head SET origin = 'other/log'",
    ],
)
def test_another_log_is_refused(
    connection_settings: ConnectionSettings,
    sql: connection,
    files: Files,
    change: str,
) -> None:
    sign(connection_settings, files)

    run(sql, change)

    assert "another database" in refused(connection_settings, files)


@pytest.mark.tampers
def test_a_log_under_a_false_id_is_not_begun(
    connection_settings: ConnectionSettings, sql: connection, files: Files
) -> None:
    run(sql, "UPDATE audit_head SET log_id = decode(repeat('ab', 16), 'hex')")

    assert "entry 0 is not the manifest" in refused(connection_settings, files)


def test_a_lost_state_is_no_new_beginning(
    connection_settings: ConnectionSettings, files: Files
) -> None:
    sign(connection_settings, files)
    files.state.unlink()

    assert "the state was lost" in refused(connection_settings, files)


def test_an_old_state_is_refused(
    connection_settings: ConnectionSettings, database: Database, files: Files
) -> None:
    sign(connection_settings, files)
    old = files.state.read_text()
    append(database)
    sign(connection_settings, files)
    files.state.write_text(old)

    assert "it is an old copy" in refused(connection_settings, files)


@pytest.mark.tampers
def test_another_root_for_a_size_that_was_signed_is_refused(
    connection_settings: ConnectionSettings, sql: connection, files: Files
) -> None:
    sign(connection_settings, files)
    run(sql, "UPDATE checkpoints SET root = sha256('')")

    assert "has another root" in refused(connection_settings, files)


@pytest.mark.tampers
def test_another_signer_at_the_same_moment_is_noticed(
    connection_settings: ConnectionSettings,
    database: Database,
    sql: connection,
    files: Files,
) -> None:
    with at_work(connection_settings, files) as checkpointer:
        append(database)
        run(
            sql,
            "INSERT INTO checkpoints (size, root, note) VALUES (2, sha256(''), '-')",
        )

        with pytest.raises(RefusedError, match="another signer is at work"):
            checkpointer.advance(checkpointer.look())


def test_without_a_key_nothing_is_promised(
    connection_settings: ConnectionSettings, files: Files
) -> None:
    with at_work(connection_settings, files) as checkpointer:
        files.keys.unlink()

        with pytest.raises(CheckpointFileError):
            checkpointer.advance(checkpointer.look())

    assert not files.state.exists()


@pytest.mark.tampers
def test_a_suspended_log_is_not_signed(
    connection_settings: ConnectionSettings, sql: connection, files: Files
) -> None:
    """Also where whoever has noticed the contradiction was another."""
    run(
        sql,
        "SELECT audit_suspend(origin, 'server', '-', 2, hash, 1, NULL) FROM audit_head",
    )

    assert "The log is suspended" in refused(connection_settings, files)


def test_a_state_that_was_edited_is_not_believed(
    connection_settings: ConnectionSettings, files: Files
) -> None:
    sign(connection_settings, files)
    root = state_of(files)["root"]
    files.state.write_text(files.state.read_text().replace(str(root), "00" * 32, 1))

    with pytest.raises(CheckpointFileError, match="somebody changed it"):
        sign(connection_settings, files)


@pytest.mark.parametrize("rest", [None, "", '{"origin":'])
def test_a_lost_state_comes_back_from_a_checkpoint_that_somebody_kept(
    connection_settings: ConnectionSettings,
    database: Database,
    sql: connection,
    files: Files,
    tmp_path: Path,
    rest: str | None,
) -> None:
    append(database, 4)
    made = sign(connection_settings, files)
    assert made is not None
    kept = tmp_path / "kept"
    kept.write_text(made.note)
    state = files.state.read_text()
    files.state.unlink()
    if rest is not None:
        files.state.write_text(rest)
    append(database)

    done = program(connection_settings, files, "recover", kept)

    assert (done.returncode, done.stdout) == (0, made.note), done.stderr
    assert files.state.read_text() == state
    sign(connection_settings, files)
    assert list(published(sql)) == [5, 6]
    assert_all_true(sql, files)


@pytest.mark.tampers
def test_a_state_does_not_come_back_over_another_history(
    connection_settings: ConnectionSettings,
    database: Database,
    sql: connection,
    files: Files,
    tmp_path: Path,
) -> None:
    append(database, 4)
    made = sign(connection_settings, files)
    assert made is not None
    (tmp_path / "kept").write_text(made.note)
    files.state.unlink()
    cut(sql, 4)
    append(database, 3)

    done = program(connection_settings, files, "recover", tmp_path / "kept")

    assert done.returncode == 3
    assert "do not make the root of the checkpoint" in done.stderr
    assert not files.state.exists()


def test_nobody_elses_checkpoint_makes_a_state(
    connection_settings: ConnectionSettings,
    sql: connection,
    files: Files,
    tmp_path: Path,
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    made = sign(connection_settings, files_in(other, sql))
    assert made is not None
    (tmp_path / "kept").write_text(made.note)

    done = program(connection_settings, files, "recover", tmp_path / "kept")

    assert done.returncode == 3
    assert "No key of ours has signed this" in done.stderr


def test_a_state_is_not_made_anew_over_one_of_the_same_size(
    connection_settings: ConnectionSettings, files: Files, tmp_path: Path
) -> None:
    """What the state says was promised, also if it is another root."""
    made = sign(connection_settings, files)
    assert made is not None
    (tmp_path / "kept").write_text(made.note)

    done = program(connection_settings, files, "recover", tmp_path / "kept")

    assert done.returncode == 3
    assert "The state is of 1 entries already, this of 1" in done.stderr


@pytest.mark.tampers
def test_a_state_does_not_come_back_over_a_log_that_is_shorter(
    connection_settings: ConnectionSettings,
    database: Database,
    sql: connection,
    files: Files,
    tmp_path: Path,
) -> None:
    append(database, 4)
    made = sign(connection_settings, files)
    assert made is not None
    (tmp_path / "kept").write_text(made.note)
    files.state.unlink()
    cut(sql, 4)

    done = program(connection_settings, files, "recover", tmp_path / "kept")

    assert done.returncode == 3
    assert "and this database has 4 of proctoring/" in done.stderr


@pytest.mark.parametrize(
    ("is_retired", "size", "is_believed"),
    [(True, 2, True), (True, 3, False), (False, 2, True), (False, 1, False)],
)
def test_a_key_makes_a_state_of_the_trees_that_it_has_signed_alone(
    connection_settings: ConnectionSettings,
    database: Database,
    sql: connection,
    files: Files,
    tmp_path: Path,
    *,
    is_retired: bool,
    size: int,
    is_believed: bool,
) -> None:
    sign(connection_settings, files)
    (retired,) = read_keys(files.keys).signers
    rotate_keys(files.keys, 1)
    append(database)
    sign(connection_settings, files)
    (current,) = read_keys(files.keys).signers
    if size > 2:
        append(database)
        sign(connection_settings, files)
    files.state.unlink()
    text = published(sql)[size].text
    signer = retired if is_retired else current
    (tmp_path / "kept").write_text(Note(text, (signer.sign(text),)).render())

    done = program(connection_settings, files, "recover", tmp_path / "kept")

    assert done.returncode == (0 if is_believed else 3), done.stderr
    refusal = "No key of ours has signed this"
    assert (refusal in done.stderr) is not is_believed


@pytest.mark.tampers
def test_tiles_are_not_made_anew_of_another_history(
    connection_settings: ConnectionSettings,
    database: Database,
    sql: connection,
    files: Files,
) -> None:
    append(database, 5)
    sign(connection_settings, files)
    cut(sql, 4)
    append(database, 7)

    done = program(connection_settings, files, "rebuild-tiles")

    assert done.returncode == 3
    assert "do not make the root that was signed" in done.stderr


@pytest.mark.parametrize(
    ("is_lost", "why"),
    [
        (False, "The state is of 2 entries already, this of 1"),
        (True, "The database has a newer checkpoint, of 2 entries"),
    ],
)
def test_a_state_does_not_go_back(
    connection_settings: ConnectionSettings,
    database: Database,
    files: Files,
    tmp_path: Path,
    *,
    is_lost: bool,
    why: str,
) -> None:
    made = sign(connection_settings, files)
    assert made is not None
    (tmp_path / "kept").write_text(made.note)
    append(database)
    sign(connection_settings, files)
    if is_lost:
        files.state.unlink()

    done = program(connection_settings, files, "recover", tmp_path / "kept")

    assert done.returncode == 3
    assert why in done.stderr


def test_the_first_checkpoint_after_a_rotation_has_both_signatures(
    connection_settings: ConnectionSettings,
    database: Database,
    sql: connection,
    files: Files,
) -> None:
    sign(connection_settings, files)
    (old,) = read_keys(files.keys).verifiers

    new = rotate_keys(files.keys, 1)
    with pytest.raises(CheckpointFileError, match="has not signed yet"):
        rotate_keys(files.keys, 1)
    for _ in range(2):
        append(database)
        sign(connection_settings, files)

    signed_by = {
        size: [bool(verified(note, key)) for key in (old, new)]
        for size, note in published(sql).items()
    }
    assert signed_by == {1: [True, False], 2: [True, True], 3: [False, True]}
    keys = read_keys(files.keys)
    assert [signer.verifier for signer in keys.signers] == [new]
    periods = [(period.from_size, period.to_size) for period in keys.periods]
    assert periods == [(2, None), (0, 2)]
    assert [VerifierKey.parse(period.vkey) for period in keys.periods] == [new, old]


def test_a_damaged_edge_is_noticed_and_mended(
    connection_settings: ConnectionSettings,
    database: Database,
    sql: connection,
    files: Files,
) -> None:
    append_together(database, 300)
    sign(connection_settings, files)
    run(sql, "UPDATE merkle_tiles SET hashes = sha256(hashes) WHERE level = 1")
    append(database)

    sign(connection_settings, files)

    assert list(published(sql)) == [301, 302]
    assert_all_true(sql, files)


def test_tiles_are_a_cache(
    connection_settings: ConnectionSettings,
    database: Database,
    sql: connection,
    files: Files,
) -> None:
    append_together(database, 600)
    sign(connection_settings, files)
    tiles = "SELECT level, tile_index, hashes FROM merkle_tiles ORDER BY 1, 2"
    before = [(level, index, bytes(it)) for level, index, it in run(sql, tiles)]
    run(sql, "DELETE FROM merkle_tiles WHERE tile_index = 0")
    run(sql, "UPDATE merkle_tiles SET hashes = sha256(hashes)")

    done = program(connection_settings, files, "rebuild-tiles")

    assert done.returncode == 0, done.stderr
    assert "601 entries make the root that was signed" in done.stdout
    after = [(level, index, bytes(it)) for level, index, it in run(sql, tiles)]
    assert after == before


@pytest.mark.tampers
def test_the_process_refuses_aloud(
    connection_settings: ConnectionSettings, sql: connection, files: Files
) -> None:
    assert program(connection_settings, files, "once").returncode == 0
    run(sql, "UPDATE checkpoints SET root = sha256('')")

    for command in ("once", "run"):
        done = program(connection_settings, files, command)
        assert done.returncode == 3
        assert done.stderr.startswith("checkpointer: Refused to sign: ")


@pytest.mark.tampers
def test_the_process_reads_all_that_was_signed_unless_it_is_to_be_quick(
    connection_settings: ConnectionSettings,
    database: Database,
    sql: connection,
    files: Files,
) -> None:
    append(database, 5)
    assert program(connection_settings, files, "once").returncode == 0
    rewrite(sql, "UPDATE audit_log SET entity_id = 'x' WHERE seq = 2")

    assert program(connection_settings, files, "once", "--quick").returncode == 0
    for command in ("once", "run"):
        done = program(connection_settings, files, command)
        assert done.returncode == 3
        assert "entry 2: hash" in done.stderr


def test_the_process_says_what_is_missing(
    connection_settings: ConnectionSettings, files: Files, tmp_path: Path
) -> None:
    away = replace(connection_settings, host="127.0.0.1", port=free_port())
    done = program(away, files, "once")
    assert done.returncode == 1
    assert "checkpointer: The database is not to be had: conn" in done.stderr

    done = program(connection_settings, files, "recover", tmp_path / "nowhere")
    assert done.returncode == 1
    assert done.stderr.startswith("checkpointer: A file can not be used: ")


def test_there_is_one_signer_at_a_time(
    connection_settings: ConnectionSettings, files: Files
) -> None:
    with locked(files.state):
        done = program(connection_settings, files, "run")

    assert done.returncode == 1
    assert "Another checkpointer is at work" in done.stderr


def test_keys_are_private_and_never_overwritten(
    connection_settings: ConnectionSettings, files: Files, tmp_path: Path
) -> None:
    secret = files.keys.read_text()

    done = program(connection_settings, files, "keygen")
    assert done.returncode == 1
    assert "rotate` replaces the key" in done.stderr
    assert files.keys.read_text() == secret

    assert files.keys.stat().st_mode & 0o777 == 0o600
    files.keys.chmod(0o640)
    done = program(connection_settings, files, "once")
    assert done.returncode == 1
    assert "chmod 600" in done.stderr
    assert not files.state.exists()

    elsewhere = Files(keys=tmp_path / "none.json", state=files.state)
    done = program(connection_settings, elsewhere, "once")
    assert done.returncode == 1
    assert "keygen` makes one" in done.stderr


def test_a_key_that_is_not_called_as_the_log_signs_nothing(
    connection_settings: ConnectionSettings, sql: connection, tmp_path: Path
) -> None:
    """Witnesses, receipts and policies look for the log's key by the log's name."""
    files = Files(keys=tmp_path / "keys.json", state=tmp_path / "state.json")
    program(connection_settings, files, "keygen", "--name", "exams.example.edu/log")

    done = program(connection_settings, files, "once")

    assert done.returncode == 1
    assert "is called exams.example.edu/log, and the log proctoring/" in done.stderr
    assert published(sql) == {}


def test_a_log_that_was_signed_under_another_name_goes_on(
    connection_settings: ConnectionSettings,
    database: Database,
    sql: connection,
    files: Files,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sign(connection_settings, files)
    files.keys.unlink()
    make_keys(files.keys, "exams.example.edu/log")
    append(database)

    sign(connection_settings, files)

    assert list(published(sql)) == [1, 2]
    assert "is called exams.example.edu/log" in caplog.text


def test_no_command_prints_the_private_key(
    connection_settings: ConnectionSettings, files: Files
) -> None:
    secrets = [str(signer) for signer in read_keys(files.keys).signers]
    for command in (["once"], ["show"], ["rotate"], ["once"], ["--help"]):
        done = program(connection_settings, files, *command)
        assert done.returncode == 0, done.stderr
        assert not any(it in done.stdout + done.stderr for it in secrets)
        assert "PRIVATE" not in done.stdout + done.stderr


@pytest.mark.parametrize("is_signed", [True, False])
def test_a_new_key_speaks_for_no_tree_that_was_signed_without_it(
    connection_settings: ConnectionSettings,
    database: Database,
    files: Files,
    *,
    is_signed: bool,
) -> None:
    size = 0
    if is_signed:
        append(database, 3)
        made = sign(connection_settings, files)
        assert made is not None
        size = made.size

    rotated = program(connection_settings, files, "rotate")

    new, *old = read_keys(files.keys).periods
    assert rotated.stdout == f"{new.vkey}\n"
    assert [(each.from_size, each.to_size) for each in (new, *old)] == [
        (size, None),
        (0, None),
    ]


STAMP = """
    INSERT INTO checkpoint_timestamps
        (size, note, tsa_url, response, stamped_at, is_chain_verified)
    SELECT size, note, 'https://tsa.example', 'x', now(), false FROM checkpoints;
"""


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        (ROLE, "UPDATE audit_log SET payload = NULL"),
        (ROLE, "SELECT audit_initialize('x')"),
        (ROLE, "SELECT * FROM users"),
        (ROLE, "UPDATE checkpoints SET note = 'x'"),
        (ROLE, "UPDATE checkpoints SET root = root"),
        (ROLE, "DELETE FROM checkpoints"),
        (ROLE, "DELETE FROM merkle_tiles"),
        ("proctoring_app", "INSERT INTO checkpoints VALUES (1)"),
        ("proctoring_app", "UPDATE checkpoints SET cosigned_note = 'x'"),
        ("proctoring_app", "UPDATE merkle_tiles SET level = level"),
        ("postgres", "DELETE FROM checkpoints"),
        ("postgres", "TRUNCATE checkpoints CASCADE"),
        (ROLE, "UPDATE checkpoint_timestamps SET stamped_at = now()"),
        (ROLE, "DELETE FROM checkpoint_timestamps"),
        ("proctoring_app", "INSERT INTO checkpoint_timestamps DEFAULT VALUES"),
        ("proctoring_app", "UPDATE checkpoints SET witnessed_at = now()"),
        ("postgres", "TRUNCATE checkpoint_timestamps"),
        ("postgres", STAMP + "UPDATE checkpoint_timestamps SET size = size"),  # noqa: S608
        ("postgres", STAMP + "DELETE FROM checkpoint_timestamps"),  # noqa: S608
    ],
)
def test_nobody_has_more_rights_than_he_needs(
    connection_settings: ConnectionSettings,
    sql: connection,
    files: Files,
    role: str,
    statement: str,
) -> None:
    sign(connection_settings, files)
    if role != "postgres":
        run(sql, f"SET ROLE {role}")

    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        run(sql, statement)


def test_the_documentation_is_where_the_refusal_points() -> None:
    page = PROJECT / "docs" / "decisions" / "0011-checkpoints.md"

    assert "## When it refuses" in page.read_text(encoding="utf-8")
