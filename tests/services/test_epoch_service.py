"""The ways out when the log contradicts what was signed, none of them silent."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg2.errors import DataError
from psycopg2.extensions import connection

from checkpointer.__main__ import ROLE
from models.connection_settings import ConnectionSettings
from models.database import Database
from services import log_watch
from services.audit_findings import CheckResult, Verification
from services.audit_verification import verify
from services.blockchain_service import BlockchainService
from services.checkpoint_epoch import begin_epoch
from services.checkpoint_files import (
    CheckpointFileError,
    make_keys,
    read_keys,
    read_state,
)
from services.checkpointer import RefusedError
from services.epoch_service import EpochRefusedError, EpochService, Opened
from services.log_watch import LogCheck
from services.witnessing import Witnessing
from tests.at_once import at_once
from tests.audit_trail import append, run, scalar
from tests.checkpoints import assert_all_true, program, published, sign
from tests.old_copies import Witnessed, suspensions, witnessed
from tests.personas import Persona
from utils.checkpoint import Checkpoint
from utils.safe_files import locked
from utils.signed_note import Note, VerifierKey, verified

LOST = "The disk of the first server burnt; the backup is of 9:00."


@pytest.fixture
def log(
    tmp_path: Path,
    connection_settings: ConnectionSettings,
    sql: connection,
    database: Database,
    ada: Persona,
    alice: Persona,
) -> Iterator[Witnessed]:
    """One that was set back to five entries after ten were witnessed."""
    accounts = (ada, alice)
    with witnessed(tmp_path, connection_settings, sql) as made:
        # Each account is an entry too.
        append(database, 3 - len(accounts))
        made.sign()
        append(database, 6)
        made.sign()
        made.set_back(5)
        made.watch(database).check()
        yield made


@pytest.fixture
def epochs(database: Database, log: Witnessed) -> EpochService:
    return EpochService(database, log.watch(database))


@pytest.fixture
def origin(sql: connection) -> str:
    return str(scalar(sql, "SELECT origin FROM audit_head"))


def open_epoch(epochs: EpochService, ada: Persona) -> Opened:
    return epochs.open_epoch(admin_email=ada.email, reason=LOST)


def check(found: Verification, name: str) -> tuple[CheckResult, str]:
    ((result, detail),) = [
        (each.result, each.detail) for each in found.checks if each.name == name
    ]
    return result, detail


def follow(log: Witnessed) -> VerifierKey:
    """Do what the signer's operator does."""
    with closing(Database(replace(log.settings, role=ROLE))) as signing:
        return begin_epoch(signing, log.files).key


def test_an_epoch_begins_with_the_entry_that_says_why(
    database: Database,
    log: Witnessed,
    epochs: EpochService,
    ada: Persona,
    origin: str,
) -> None:
    opened = open_epoch(epochs, ada)

    assert opened == Opened(origin=f"{origin}/epoch-2", seq=5)
    append(database, 2)
    assert suspensions(log.sql) == [(log.witness.key.name, 10, 5, True, 5)]
    summary = BlockchainService(database).summarize()
    assert (summary.origin, summary.suspension) == (opened.origin, None)
    first, second = summary.epochs
    assert (first.number, first.origin, first.first_seq) == (1, origin, 0)
    assert (second.number, second.origin, second.first_seq) == (2, opened.origin, 5)
    assert second.opened_by == str(ada.id)
    assert second.opened is not None
    assert (second.opened.reason, second.opened.agreed_size) == (LOST, 4)
    # The evidence is in the log itself.
    note = Note.parse(second.opened.contradiction.note.encode())
    assert Checkpoint.parse(note.text).size == 10
    assert verified(note, log.witness.key)


def test_a_verification_tells_of_it_for_ever(
    database: Database, log: Witnessed, epochs: EpochService, ada: Persona
) -> None:
    before = verify(log.settings)
    assert not before.valid
    assert check(before, "checkpoint")[0] is CheckResult.FAILED
    assert "10 entries that we signed, and the log had 5" in before.errors[0].detail

    open_epoch(epochs, ada)
    append(database)

    after = verify(log.settings)
    assert after.valid
    result, detail = check(after, "epoch")
    assert result is CheckResult.PASSED
    assert "epoch 2" in detail
    assert "10 entries that we signed, and the log had 5" in detail
    assert LOST in detail


def test_the_signer_follows_when_he_is_told_to_and_the_witness_too(
    database: Database,
    log: Witnessed,
    epochs: EpochService,
    ada: Persona,
    origin: str,
) -> None:
    old_key = read_keys(log.files.keys).verifiers[0]
    opened = open_epoch(epochs, ada)
    append(database, 2)
    with pytest.raises(RefusedError, match="new-epoch"):
        sign(log.settings, log.files)

    key = follow(log)

    assert key.name == opened.origin
    aside = log.files.state.with_name("state.epoch-1.json")
    old = read_state(aside)
    assert old is not None
    assert (old.origin, old.size) == (origin, 10)
    assert read_keys(log.files.keys).verifiers == (key, old_key)
    # The witness goes on holding against the old origin what it has seen.
    with log.witnessed_anew() as anew:
        signed = anew.sign()
        seen, _ = anew.witness.seen()
        watch = anew.watch(database)
        assert watch.check() is LogCheck.AGREES
    assert {each.origin: each.size for each in seen} == {origin: 10, opened.origin: 8}
    assert Note.parse(signed.note.encode()).text.startswith(f"{opened.origin}\n8\n")
    assert_all_true(log.sql, log.files)


@pytest.mark.parametrize("has_state", [True, False])
def test_the_key_of_a_stranger_begins_no_epoch(
    log: Witnessed, epochs: EpochService, ada: Persona, *, has_state: bool
) -> None:
    """Whoever names another file would replace the key of another log."""
    open_epoch(epochs, ada)
    log.files.keys.unlink()
    make_keys(log.files.keys, "other.example.edu/log")
    if not has_state:
        log.files.state.unlink()
    keys = log.files.keys.read_text()

    with pytest.raises(RefusedError, match="which is no origin of this log"):
        follow(log)

    assert log.files.keys.read_text() == keys
    assert log.files.state.exists() is has_state


def test_the_state_of_another_log_is_not_set_aside(
    log: Witnessed, epochs: EpochService, ada: Persona
) -> None:
    open_epoch(epochs, ada)
    keys, state = log.files.keys.read_text(), read_state(log.files.state)
    assert state is not None
    other = log.files.state.read_text().replace(state.log_id, "ab" * 16)
    log.files.state.write_text(other)

    with pytest.raises(RefusedError, match="is of another log, abab"):
        follow(log)

    assert (log.files.keys.read_text(), log.files.state.read_text()) == (keys, other)


def test_a_key_that_was_retired_before_the_epoch_is_valid_no_longer_for_it(
    log: Witnessed, epochs: EpochService, ada: Persona
) -> None:
    open_epoch(epochs, ada)
    (first,) = read_keys(log.files.keys).periods
    # As if the key had been rotated when the tree had four entries.
    kept = log.files.keys.read_text().replace('"to_size": null', '"to_size": 4', 1)
    log.files.keys.write_text(kept)

    follow(log)

    _, old = read_keys(log.files.keys).periods
    assert old == first.model_copy(update={"to_size": 4})


def test_a_checkpoint_of_an_epoch_that_is_over_makes_no_state(
    log: Witnessed, epochs: EpochService, ada: Persona, tmp_path: Path
) -> None:
    open_epoch(epochs, ada)
    follow(log)
    (tmp_path / "kept").write_text(published(log.sql)[4].render())

    done = program(log.settings, log.files, "recover", tmp_path / "kept")

    assert done.returncode == 3
    assert "The checkpoint is of 4 entries of proctoring/" in done.stderr
    assert not log.files.state.exists()


def test_nobody_begins_an_epoch_while_the_signer_is_at_work(
    log: Witnessed, epochs: EpochService, ada: Persona
) -> None:
    open_epoch(epochs, ada)
    keys = log.files.keys.read_text()
    with locked(log.files.state):
        done = program(log.settings, log.files, "new-epoch")

    assert done.returncode == 1
    assert "Another checkpointer is at work" in done.stderr
    assert log.files.keys.read_text() == keys


def test_what_the_old_epoch_has_signed_stops_the_new_one_never(
    database: Database, log: Witnessed, epochs: EpochService, ada: Persona
) -> None:
    open_epoch(epochs, ada)
    follow(log)
    with log.witnessed_anew() as anew:
        anew.sign()
        keys = read_keys(log.files.keys).verifiers

        Witnessing(database, [anew.configured]).compare(6, keys)
        with pytest.raises(RefusedError):
            Witnessing(database, [anew.configured]).compare(5, keys)

        # A witness that lies has only the old one's to show.
        with closing(sqlite3.connect(anew.witness.state)) as state, state:
            state.execute(
                "UPDATE latest SET note ="
                " (SELECT note FROM latest ORDER BY origin LIMIT 1)"
            )
        Witnessing(database, [anew.configured]).compare(6, keys)


@pytest.mark.tampers
def test_an_old_copy_of_the_new_epoch_is_found_as_well(
    database: Database, log: Witnessed, epochs: EpochService, ada: Persona
) -> None:
    open_epoch(epochs, ada)
    follow(log)
    with log.witnessed_anew() as anew:
        append(database, 4)
        anew.sign()
        log.set_back(8)

        assert anew.watch(database).check() is LogCheck.CONTRADICTED

        again = EpochService(database, anew.watch(database))
        assert open_epoch(again, ada).origin.endswith("/epoch-3")
        # Which entry has ended which suspension.
        assert [row[-1] for row in suspensions(log.sql)] == [5, 8]


@pytest.mark.tampers
def test_an_old_copy_from_before_the_epoch_is_found_as_well(
    database: Database, log: Witnessed, epochs: EpochService, ada: Persona
) -> None:
    open_epoch(epochs, ada)
    append(database, 20)
    origin = scalar(
        log.sql, "SELECT payload::json ->> 'origin' FROM audit_log WHERE seq = 0"
    )
    log.set_back(5)
    run(log.sql, "UPDATE audit_head SET origin = %s", origin)

    assert log.watch(database).check() is LogCheck.CONTRADICTED


def test_of_two_admins_one_opens_it(
    log: Witnessed, ada: Persona, connection_settings: ConnectionSettings
) -> None:
    def attempt() -> str:
        with closing(Database(connection_settings)) as own:
            try:
                return open_epoch(EpochService(own, log.watch(own)), ada).origin
            except EpochRefusedError as error:
                return str(error)

    answers = sorted(at_once([attempt] * 3))

    assert [answer.startswith("The log is not suspended") for answer in answers] == [
        True,
        True,
        False,
    ]
    assert (
        scalar(
            log.sql,
            "SELECT count(*) FROM audit_log WHERE event_type = 'log.epoch_opened'",
        )
        == 1
    )


@pytest.mark.tampers
def test_only_an_admin_opens_it(
    epochs: EpochService, alice: Persona, log: Witnessed
) -> None:
    for email in (alice.email, "nobody@example.edu", "", "two@signs@example.edu"):
        with pytest.raises(EpochRefusedError, match="active admin"):
            epochs.open_epoch(admin_email=email, reason=LOST)

    assert scalar(log.sql, "SELECT suspension IS NOT NULL FROM audit_head")


@pytest.mark.tampers
def test_an_admin_whose_account_is_disabled_opens_none(
    epochs: EpochService, ada: Persona, log: Witnessed
) -> None:
    run(log.sql, "ALTER TABLE users DISABLE TRIGGER USER")
    run(log.sql, "UPDATE users SET is_active = false WHERE id = %s", str(ada.id))

    with pytest.raises(EpochRefusedError, match="active admin"):
        open_epoch(epochs, ada)

    assert scalar(log.sql, "SELECT suspension IS NOT NULL FROM audit_head")


APPEND = """
    SELECT audit_append(ARRAY[%s], ARRAY['log'], ARRAY['all'], ARRAY['system'],
                        ARRAY[NULL::uuid],
                        ARRAY[json_build_object('origin', %s)::text])
"""


@pytest.mark.tampers
def test_the_database_opens_no_epoch_under_the_name_that_is_contradicted(
    log: Witnessed, origin: str
) -> None:
    with pytest.raises(DataError, match="an origin of its own"):
        run(log.sql, APPEND, "log.epoch_opened", origin)

    assert scalar(log.sql, "SELECT suspension IS NOT NULL FROM audit_head")


@pytest.mark.tampers
def test_who_resumes_gives_the_log_no_other_name(log: Witnessed, origin: str) -> None:
    """Under a name that no witness knows nothing would be contradicted."""
    run(log.sql, APPEND, "log.resumed", "proctoring/fresh")

    found = run(log.sql, "SELECT origin, suspension FROM audit_head")
    assert found == [(origin, None)]


def test_there_is_no_new_epoch_without_need(
    database: Database,
    ada: Persona,
    tmp_path: Path,
    sql: connection,
    connection_settings: ConnectionSettings,
) -> None:
    with witnessed(tmp_path, connection_settings, sql) as well:
        epochs = EpochService(database, well.watch(database))

        with pytest.raises(EpochRefusedError, match="not suspended"):
            open_epoch(epochs, ada)
        with pytest.raises(EpochRefusedError, match="not suspended"):
            epochs.resume(admin_email=ada.email, reason=LOST)
        with closing(Database(replace(well.settings, role=ROLE))) as signing:
            sign(well.settings, well.files)
            with pytest.raises(RefusedError, match="nothing to begin"):
                begin_epoch(signing, well.files)


@pytest.mark.tampers
def test_a_log_whose_own_checkpoints_contradict_it_is_no_old_copy(
    epochs: EpochService, ada: Persona, log: Witnessed
) -> None:
    run(
        log.sql,
        "UPDATE checkpoints SET note = replace(note, E'\\n4\\n', E'\\n9\\n')"
        " WHERE size = 4",
    )

    with pytest.raises(EpochRefusedError, match="no old copy"):
        open_epoch(epochs, ada)


@pytest.mark.tampers
def test_it_is_not_resumed_while_something_is_missing(
    epochs: EpochService, ada: Persona
) -> None:
    with pytest.raises(EpochRefusedError, match="does not continue it"):
        epochs.resume(admin_email=ada.email, reason="looks fine")


@pytest.mark.tampers
def test_it_is_not_resumed_while_the_witness_who_missed_it_is_away(
    database: Database, log: Witnessed, ada: Persona
) -> None:
    alone = EpochService(database, log.watch(database, []))

    with pytest.raises(EpochRefusedError, match="does not continue it"):
        alone.resume(admin_email=ada.email, reason="nobody says otherwise")


def put_back(sql: connection, size: int) -> None:
    """Do what somebody does who finds more of the log, on the standby that had it."""
    run(
        sql,
        "INSERT INTO audit_log SELECT * FROM kept"
        " WHERE seq >= (SELECT next_seq FROM audit_head) AND seq < %s",
        size,
    )
    run(sql, "ALTER TABLE audit_head DISABLE TRIGGER audit_head_suspended")
    run(
        sql,
        "UPDATE audit_head SET next_seq = kept.seq + 1, hash = kept.hash,"
        " recorded_at = kept.recorded_at FROM kept WHERE kept.seq = %s",
        size - 1,
    )
    run(sql, "ALTER TABLE audit_head ENABLE ALWAYS TRIGGER audit_head_suspended")


def test_it_is_resumed_when_nothing_is_missing_any_more(
    database: Database,
    tmp_path: Path,
    sql: connection,
    connection_settings: ConnectionSettings,
    ada: Persona,
    alice: Persona,
) -> None:
    with witnessed(tmp_path, connection_settings, sql) as log:
        append(database, 5)
        kept = log_watch.Testimony("a student", Note.parse(log.sign().note.encode()))
        append(database, 2)
        log.sign()
        run(sql, "CREATE TEMPORARY TABLE kept AS SELECT * FROM audit_log")
        log.set_back(5)
        # The witness, who has seen more, is away.
        assert log.watch(database, []).check(kept) is LogCheck.CONTRADICTED
        watch = log.watch(database)
        epochs = EpochService(database, watch)
        put_back(sql, 8)
        with pytest.raises(EpochRefusedError, match="a checkpoint of 10 entries"):
            epochs.resume(admin_email=ada.email, reason="Some was on the standby.")
        put_back(sql, 10)
        with pytest.raises(EpochRefusedError, match="needs no new epoch"):
            open_epoch(epochs, ada)
        with pytest.raises(EpochRefusedError, match="active admin"):
            epochs.resume(admin_email=alice.email, reason="Found on the standby.")

        seq = epochs.resume(admin_email=ada.email, reason="Found on the standby.")

        assert seq == 10
        append(database)
        assert watch.check() is LogCheck.AGREES
        assert suspensions(sql) == [("a student", 8, 5, True, 10)]
        assert len(BlockchainService(database).summarize().epochs) == 1
        log.sign()


@pytest.mark.tampers
def test_a_head_that_was_given_another_name_is_found(
    log: Witnessed, epochs: EpochService, ada: Persona
) -> None:
    """Under a name that no witness knows nothing would be contradicted."""
    open_epoch(epochs, ada)
    run(log.sql, "UPDATE audit_head SET origin = 'proctoring/fresh'")

    found = verify(log.settings)

    assert set(found.errors_by_class) == {"epoch"}
    assert found.errors[0].found == "proctoring/fresh"
    with pytest.raises(RefusedError, match="another origin than its entries"):
        follow(log)


def test_an_interrupted_beginning_is_begun_again(
    log: Witnessed, epochs: EpochService, ada: Persona
) -> None:
    open_epoch(epochs, ada)
    state = log.files.state.read_text()
    key = follow(log)
    # The key was made, and then the machine went down.
    log.files.state.with_name("state.epoch-1.json").unlink()
    log.files.state.write_text(state)

    assert follow(log) == key

    log.files.state.write_text(state)
    with pytest.raises(CheckpointFileError, match="is there already"):
        follow(log)


def test_the_program_says_what_it_begins(
    log: Witnessed, epochs: EpochService, ada: Persona
) -> None:
    refused = program(log.settings, log.files, "once")
    assert refused.returncode == 3
    opened = open_epoch(epochs, ada)

    done = program(log.settings, log.files, "new-epoch")

    assert done.returncode == 0, done.stderr
    assert VerifierKey.parse(done.stdout.strip()).name == opened.origin
    assert LOST in done.stderr
    assert program(log.settings, log.files, "once").stdout.startswith(
        f"{opened.origin}\n6\n"
    )
    shown = program(log.settings, log.files, "show").stdout
    assert "from 0 to 10 entries" in shown
    assert "from 6 to now entries" in shown


def test_the_signer_stops_the_servers_when_he_finds_it_first(
    database: Database,
    tmp_path: Path,
    sql: connection,
    connection_settings: ConnectionSettings,
    ada: Persona,
) -> None:
    """Without any witness: what he has promised is in his state."""
    with witnessed(tmp_path, connection_settings, sql) as log:
        append(database, 8)
        sign(log.settings, log.files)
        log.set_back(5)

        done = program(log.settings, log.files, "once")

        assert done.returncode == 3
        assert "The log has 5 entries, and 10 were signed" in done.stderr
        assert suspensions(sql) == [("the signer", 10, 5, True, None)]
        open_epoch(EpochService(database, log.watch(database, [])), ada)
