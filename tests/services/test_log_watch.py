"""A server that runs on an old copy of its log finds out, and writes nothing."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import connection

from models import audit_suspension
from models.connection_settings import ConnectionSettings
from models.database import Database
from models.database_errors import LogSuspendedError
from services.checkpoint_files import read_keys
from services.log_watch import LogCheck, LogWatch
from services.witnessing import ConfiguredWitness
from tests.at_once import at_once
from tests.audit_trail import append, append_together, run, scalar
from tests.old_copies import Witnessed, suspensions, witnessed
from tests.waiting import until, until_somebody_waits_for_a_lock
from tests.witnesses import Log, serving
from utils.checkpoint import Checkpoint
from utils.signed_note import COSIGNATURE, ED25519, Note, Signer, verified

NOWHERE = ConfiguredWitness(
    Signer.generate("away.example", COSIGNATURE).verifier, "http://127.0.0.1:9"
)


@pytest.fixture
def log(
    tmp_path: Path, connection_settings: ConnectionSettings, sql: connection
) -> Iterator[Witnessed]:
    with witnessed(tmp_path, connection_settings, sql) as made:
        yield made


def entries(sql: connection) -> int:
    return int(scalar(sql, "SELECT count(*) FROM audit_log"))


def test_a_log_that_goes_on_from_what_was_witnessed_is_written(
    database: Database, log: Witnessed
) -> None:
    append_together(database, 300)
    log.sign()
    append(database, 2)

    assert log.watch(database).check() is LogCheck.AGREES

    append(database)
    assert suspensions(log.sql) == []


@pytest.mark.tampers
def test_nothing_is_written_on_an_old_copy(database: Database, log: Witnessed) -> None:
    append(database, 3)
    log.sign()
    append_together(database, 20)
    signed = log.sign()
    log.set_back(5)

    assert log.watch(database).check() is LogCheck.CONTRADICTED

    with pytest.raises(LogSuspendedError):
        append(database)
    with pytest.raises(LogSuspendedError):
        append_together(database, 2)
    assert entries(log.sql) == 5
    with database.read() as tx:
        found = audit_suspension.get(tx)
    assert found is not None
    assert (found.seen_by, found.log_size) == (log.witness.key.name, 5)
    assert (found.size, found.root, found.log_root) == (signed.size, signed.root, None)
    # The evidence needs no trust in who has written it down.
    note = Note.parse(found.note.encode())
    assert Checkpoint.parse(note.text).root == signed.root
    assert verified(note, read_keys(log.files.keys).verifiers[0])
    assert verified(note, log.witness.key)


@pytest.mark.tampers
def test_what_was_found_is_still_known_when_the_witness_is_away(
    database: Database, log: Witnessed
) -> None:
    append(database, 3)
    log.sign()
    append_together(database, 20)
    log.sign()
    log.set_back(5)
    log.watch(database).check()

    assert log.watch(database, [NOWHERE]).check() is LogCheck.CONTRADICTED


@pytest.mark.tampers
@pytest.mark.parametrize("more", [0, 300], ids=["as long", "longer"])
def test_nothing_is_written_on_a_copy_that_went_on(
    database: Database, log: Witnessed, more: int
) -> None:
    append(database, 9)
    signed = log.sign()
    log.set_back(5)
    append(database, 5 + more)

    assert log.watch(database).check() is LogCheck.CONTRADICTED

    assert suspensions(log.sql) == [
        (log.witness.key.name, signed.size, 10 + more, False, None)
    ]
    with pytest.raises(LogSuspendedError):
        append(database)


@pytest.mark.tampers
def test_nothing_is_written_on_a_log_whose_last_signed_entry_stands_there_twice(
    database: Database, log: Witnessed
) -> None:
    append(database, 9)
    signed = log.sign()
    run(
        log.sql,
        "ALTER TABLE audit_log DISABLE TRIGGER ALL;"  # noqa: S608
        " ALTER TABLE audit_log DROP CONSTRAINT audit_log_pkey;"
        " ALTER TABLE audit_log DROP CONSTRAINT audit_log_previous_hash_key;"
        f" INSERT INTO audit_log SELECT * FROM audit_log WHERE seq = {signed.size - 1}",
    )

    assert log.watch(database).check() is LogCheck.CONTRADICTED


@pytest.mark.tampers
def test_the_end_of_the_log_is_missed_without_a_witness(
    database: Database, log: Witnessed
) -> None:
    """Whoever cuts it off has to remove the checkpoints too."""
    append(database, 9)
    log.sign()
    rows = run(log.sql, "SELECT size, root, note FROM checkpoints")
    log.set_back(5)
    for row in rows:
        run(log.sql, "INSERT INTO checkpoints (size, root, note) VALUES %s", row)

    assert log.watch(database, []).check() is LogCheck.CONTRADICTED

    ((seen_by, *_),) = suspensions(log.sql)
    assert seen_by == "this database"


@pytest.mark.tampers
@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM merkle_tiles",
        "UPDATE merkle_tiles SET hashes = sha256(hashes)",
        "UPDATE merkle_tiles SET hashes = overlay(hashes PLACING sha256('') FROM 1)",
    ],
    ids=["gone", "short", "wrong"],
)
def test_tiles_are_a_cache_that_accuses_nobody(
    database: Database, log: Witnessed, damage: str
) -> None:
    append_together(database, 300)
    log.sign()
    run(log.sql, damage)

    assert log.watch(database).check() is LogCheck.AGREES


def test_a_witness_that_is_away_stops_nothing_and_is_no_confirmation(
    database: Database, log: Witnessed, caplog: pytest.LogCaptureFixture
) -> None:
    append(database)

    assert log.watch(database, [NOWHERE]).check() is LogCheck.NOT_CHECKED

    assert "no witness has confirmed" in caplog.text
    append(database)


@pytest.mark.tampers
def test_one_witness_is_enough(database: Database, log: Witnessed) -> None:
    append(database, 5)
    log.sign()
    log.set_back(3)

    watch = log.watch(database, [NOWHERE, log.configured])

    assert watch.check() is LogCheck.CONTRADICTED


def test_a_witness_of_other_logs_has_nothing_to_say(
    database: Database, log: Witnessed, tmp_path: Path
) -> None:
    other = Log.of_size(50)
    with serving(tmp_path / "other", other) as running:
        running.push(other, 0, 50)
        asked = ConfiguredWitness(running.key, running.url)

        assert log.watch(database, [asked]).check() is LogCheck.NOT_CHECKED

    append(database)


def test_without_the_key_of_the_log_nobody_is_believed(
    database: Database, log: Witnessed
) -> None:
    append(database, 5)
    log.sign()
    stranger = Signer.generate("somebody.example/else", ED25519).verifier

    watch = LogWatch(database, [log.configured], [stranger])

    assert watch.check() is LogCheck.NOT_CHECKED


def by_a_stranger(signer: Signer) -> str:
    """Under our name, with a key of his own."""
    origin = signer.verifier.name
    text = Checkpoint(origin, 10**6, bytes(32)).render()
    return Note(text, (Signer.generate(origin, ED25519).sign(text),)).render()


def with_our_signature_of_something_else(signer: Signer) -> str:
    origin = signer.verifier.name
    signature = signer.sign(Checkpoint(origin, 1, bytes(32)).render())
    text = Checkpoint(origin, 10**6, bytes(32)).render()
    return Note(text, (signature,)).render()


def of_another_log_of_ours(signer: Signer) -> str:
    text = Checkpoint("ours.example/other", 10**6, bytes(32)).render()
    return Note(text, (signer.sign(text),)).render()


def of_no_checkpoint(signer: Signer) -> str:
    text = "a note\n"
    return Note(text, (signer.sign(text),)).render()


def of_nothing(signer: Signer) -> str:
    text = Checkpoint(signer.verifier.name, 0, bytes(32)).render()
    return Note(text, (signer.sign(text),)).render()


@pytest.mark.parametrize(
    "forge",
    [
        by_a_stranger,
        with_our_signature_of_something_else,
        of_another_log_of_ours,
        of_no_checkpoint,
        of_nothing,
        lambda _: "nonsense",
        lambda _: "",
    ],
    ids=range(7),
)
def test_no_witness_can_stop_the_log_by_itself(
    database: Database, log: Witnessed, forge: Callable[[Signer], str]
) -> None:
    lie = forge(read_keys(log.files.keys).signers[0]).encode()

    class Liar(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(lie)))
            self.end_headers()
            self.wfile.write(lie)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Liar) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        liar = ConfiguredWitness(
            log.witness.key, f"http://127.0.0.1:{server.server_port}"
        )
        found = log.watch(database, [liar]).check()
        thread.join()

    assert found is not LogCheck.CONTRADICTED
    append(database)
    assert suspensions(log.sql) == []


@pytest.mark.tampers
def test_of_workers_that_find_it_at_once_one_writes_it_down(
    log: Witnessed, connection_settings: ConnectionSettings, database: Database
) -> None:
    append(database, 9)
    log.sign()
    log.set_back(4)

    def work() -> int:
        with closing(Database(connection_settings)) as own:
            assert log.watch(own).check() is LogCheck.CONTRADICTED
        return 0

    def write() -> int:
        written = 0
        with closing(Database(connection_settings)) as own:
            try:
                while written < 10_000:
                    append(own)
                    written += 1
            except LogSuspendedError:
                return written
        raise AssertionError("nobody was stopped")

    written = at_once([work] * 4 + [write] * 2)

    assert len(suspensions(log.sql)) == 1
    # Whoever was told that his entry is there was told the truth.
    assert entries(log.sql) == 4 + sum(written)
    with pytest.raises(LogSuspendedError):
        append(database)


@pytest.mark.tampers
def test_a_database_that_was_away_may_be_another_one(
    database: Database, log: Witnessed
) -> None:
    append(database, 5)
    log.sign()
    watch = log.watch(database)
    assert watch.check() is LogCheck.AGREES
    log.set_back(3)
    # It is asked every minute only.
    watch.check_if_due()
    assert suspensions(log.sql) == []

    others = (
        " FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    run(log.sql, "SELECT pg_terminate_backend(pid)" + others)
    until(lambda: scalar(log.sql, "SELECT count(*)" + others) == 0)
    with database.read() as tx:
        audit_suspension.is_suspended(tx)
    watch.check_if_due()

    assert len(suspensions(log.sql)) == 1


@pytest.mark.tampers
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_head SET suspension = NULL",
        "UPDATE audit_head SET next_seq = next_seq + 1",
        "DELETE FROM audit_suspensions",
        "TRUNCATE audit_suspensions CASCADE",
    ],
    ids=range(4),
)
def test_not_even_a_superuser_ends_it_by_accident(
    database: Database, log: Witnessed, statement: str
) -> None:
    append(database, 5)
    log.sign()
    log.set_back(3)
    log.watch(database).check()

    with pytest.raises(Exception, match=r"append-only|contradicts what was signed"):
        run(log.sql, statement)

    assert len(suspensions(log.sql)) == 1
    with pytest.raises(LogSuspendedError):
        append(database)


APPEND = """
    SELECT audit_append(ARRAY['attempt.graded'], ARRAY['attempt'], ARRAY['1'],
                        ARRAY['system'], ARRAY[NULL::uuid], ARRAY['{}'])
"""
SUSPEND = """
    SELECT audit_suspend(%s, 'board', '-', 1000, sha256(''), next_seq, NULL)
      FROM audit_head
"""


def test_a_log_that_has_gone_on_in_a_new_epoch_is_not_stopped_for_the_old_one(
    database: Database, log: Witnessed
) -> None:
    assert scalar(log.sql, SUSPEND, "proctoring/over") is False

    assert suspensions(log.sql) == []
    append(database)


@pytest.mark.tampers
def test_who_stops_the_log_waits_for_an_entry_that_is_being_written(
    database: Database, log: Witnessed, dsn: str
) -> None:
    """Else the head would have moved on, and nothing would be stopped."""
    origin = scalar(log.sql, "SELECT origin FROM audit_head")
    with (
        ThreadPoolExecutor() as pool,
        closing(psycopg2.connect(dsn)) as writing,
        closing(psycopg2.connect(dsn)) as stopping,
    ):
        run(writing, APPEND)
        stopped = pool.submit(scalar, stopping, SUSPEND, origin)
        until_somebody_waits_for_a_lock(log.sql)
        writing.commit()
        assert stopped.result(30) is True
        stopping.commit()

    with pytest.raises(LogSuspendedError):
        append(database)
