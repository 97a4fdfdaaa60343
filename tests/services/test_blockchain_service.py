"""Every kind of tampering is found, with its place and its class.

All of it is done as superuser with triggers disabled: the tests play the person whom
triggers do not stop.
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace

import psycopg2
import pytest
from psycopg2.extensions import connection

from models.audit_snapshot import Snapshot, row_of, snapshot
from models.audit_surroundings import AUDIT_TABLES
from models.connection_settings import ConnectionSettings
from models.database import Database
from models.database_errors import DatabaseUnavailableError
from services.audit_findings import CheckResult, Verdict, Verification
from services.audit_verification import verify
from services.blockchain_service import BlockchainService
from tests.audit_trail import append, run, scalar
from tests.tampering import allow_everything, rewrite

# Here the chain is broken on purpose.
pytestmark = pytest.mark.tampers

# Behind the genesis there are ten entries.
LAST = 10

COLUMNS = """
    SELECT column_name FROM information_schema.columns
     WHERE table_name = 'audit_log' AND table_schema = 'public'
"""

Verify = Callable[[], Verification]


@pytest.fixture
def check(database: Database, connection_settings: ConnectionSettings) -> Verify:
    """A log of ten entries, and how to verify it."""
    append(database, LAST)
    return lambda: verify(connection_settings)


@pytest.fixture
def tamper(check: Verify, sql: connection) -> Callable[..., None]:
    """Changes the log in spite of all that stands in the way. Wants `check` first."""
    assert check().valid
    allow_everything(sql)

    def change(statement: str, *parameters: object) -> None:
        run(sql, statement, *parameters)

    return change


def errors(found: Verification) -> set[tuple[int, str]]:
    assert not found.valid
    assert found.verdict is Verdict.TAMPERED
    return {(finding.seq, str(finding.reason)) for finding in found.errors}


def checks(found: Verification) -> Mapping[str, CheckResult]:
    return {check.name: check.result for check in found.checks}


# What is done to the victim, and what has to be found. Every column is in it.
MUTATIONS = {
    "seq": ("seq = 50", {(5, "gap"), (11, "gap"), (50, "order"), (11, "head")}),
    "recorded_at": ("recorded_at = recorded_at - interval '1 us'", {(5, "hash")}),
    "xid": ("xid = xid + 1", {(5, "hash")}),
    "flags": ("flags = 2", {(5, "hash")}),
    "schema_version": ("schema_version = 2", {(5, "hash")}),
    "event_type": ("event_type = 'attempt.submitted'", {(5, "hash")}),
    "entity_type": ("entity_type = 'exam'", {(5, "hash")}),
    "entity_id": ("entity_id = entity_id || ' '", {(5, "hash")}),
    "actor_id": ("actor_id = NULL", {(5, "hash")}),
    "attempt_id": ("attempt_id = NULL", {(5, "hash")}),
    "payload": ('payload = \'{"answer": "number 0"}\'', {(5, "payload")}),
    "payload_salt": ("payload_salt = sha256('')", {(5, "payload")}),
    "payload_hash": ("payload_hash = sha256('')", {(5, "hash"), (5, "payload")}),
    "state": ("state = 'exams 5 1 -'", {(5, "state")}),
    "state_hash": ("state_hash = sha256('')", {(5, "hash"), (5, "state")}),
    "previous_hash": (
        "previous_hash = sha256('')",
        {(5, "hash"), (5, "previous_hash")},
    ),
    "hash": ("hash = sha256('')", {(5, "hash"), (6, "previous_hash")}),
}


def test_a_change_of_any_column_is_found(
    tamper: Callable[..., None], check: Verify
) -> None:
    tamper("CREATE TABLE saved AS TABLE audit_log")
    missed = {}

    for column, (change, expected) in MUTATIONS.items():
        tamper(f"UPDATE audit_log SET {change} WHERE seq = 5")  # noqa: S608
        if (found := errors(check())) != expected:
            missed[column] = found
        tamper("TRUNCATE audit_log; INSERT INTO audit_log TABLE saved")

    assert missed == {}
    assert check().valid


def test_no_column_is_left_out(sql: connection) -> None:
    assert {name for (name,) in run(sql, COLUMNS)} == set(MUTATIONS)


# Each is done to a log of eleven entries, 0 to 10.
TAMPERING = {
    "NULL becomes empty": (
        "UPDATE audit_log SET actor_id = '' WHERE seq = 5",
        {(5, "hash")},
    ),
    "a payload is erased": (
        "UPDATE audit_log SET payload = NULL, payload_salt = NULL WHERE seq = 5",
        {(5, "redaction")},
    ),
    "only a salt is erased": (
        "UPDATE audit_log SET payload_salt = NULL WHERE seq = 5",
        {(5, "redaction")},
    ),
    "a column that must not be NULL is": (
        (
            "ALTER TABLE audit_log ALTER state_hash DROP NOT NULL;"
            "UPDATE audit_log SET state_hash = NULL WHERE seq = 5"
        ),
        {(5, "hash"), (5, "state")},
    ),
    "a hash is cut": (
        "UPDATE audit_log SET hash = substring(hash FOR 31) WHERE seq = 5",
        {(5, "hash"), (6, "previous_hash")},
    ),
    "time is infinite": (
        "UPDATE audit_log SET recorded_at = 'infinity' WHERE seq = 5",
        {(5, "hash"), (6, "clock")},
    ),
    "time goes back": (
        "UPDATE audit_log SET recorded_at = '2001-01-01Z' WHERE seq = 5",
        {(5, "hash"), (5, "clock")},
    ),
    "a row in the middle is deleted": (
        "DELETE FROM audit_log WHERE seq = 5",
        {(5, "gap")},
    ),
    "three rows are deleted": (
        "DELETE FROM audit_log WHERE seq BETWEEN 4 AND 6",
        {(4, "gap")},
    ),
    "the last row is deleted": (
        "DELETE FROM audit_log WHERE seq = 10",
        {(10, "head")},
    ),
    "the tail is deleted": ("DELETE FROM audit_log WHERE seq > 6", {(7, "head")}),
    "the genesis is deleted": (
        "DELETE FROM audit_log WHERE seq = 0",
        {(0, "gap"), (0, "genesis")},
    ),
    "the beginning is deleted": (
        "DELETE FROM audit_log WHERE seq < 4",
        {(0, "gap"), (0, "genesis")},
    ),
    "everything is deleted": ("TRUNCATE audit_log", {(0, "genesis"), (0, "head")}),
    "the head is deleted": ("DELETE FROM audit_head", {(10, "head")}),
    "the head is another": (
        "UPDATE audit_head SET hash = sha256('')",
        {(10, "head")},
    ),
    "the head is earlier": ("UPDATE audit_head SET next_seq = 9", {(9, "head")}),
    "the head is of another log": (
        "UPDATE audit_head SET log_id = substring(sha256('') FOR 16)",
        {(0, "head")},
    ),
    "the head has another time": (
        "UPDATE audit_head SET recorded_at = recorded_at - interval '1 us'",
        {(10, "head")},
    ),
    "two rows are swapped": (
        (
            "ALTER TABLE audit_log DROP CONSTRAINT audit_log_pkey;"
            "UPDATE audit_log SET seq = 11 - seq WHERE seq IN (4, 7)"
        ),
        {
            (4, "order"),
            (7, "order"),
            # What stood behind them does not follow any more.
            *((5, "previous_hash"), (8, "previous_hash")),
            *((5, "clock"),),
        },
    ),
    "two payloads are swapped": (
        (
            "UPDATE audit_log SET payload = other.payload,"
            " payload_salt = other.payload_salt FROM audit_log AS other"
            " WHERE audit_log.seq IN (5, 10) AND other.seq = 15 - audit_log.seq"
        ),
        {(5, "payload"), (10, "payload")},
    ),
    "rows are put in another order": (
        (
            "ALTER TABLE audit_log DROP CONSTRAINT audit_log_pkey;"
            "UPDATE audit_log SET seq = CASE seq WHEN 9 THEN 3 ELSE seq + 1 END"
            " WHERE seq BETWEEN 3 AND 9"
        ),
        {
            (3, "order"),
            *((seq, "order") for seq in range(4, 10)),
            (10, "previous_hash"),
        },
    ),
    "a row is inserted": (
        (
            "ALTER TABLE audit_log DROP CONSTRAINT audit_log_pkey;"
            "UPDATE audit_log SET seq = seq + 1 WHERE seq > 5;"
            "INSERT INTO audit_log SELECT 6, recorded_at, xid, flags, schema_version,"
            " event_type, entity_type, entity_id, actor_id, attempt_id, payload,"
            " payload_salt, payload_hash, state_hash, hash, sha256('forged')"
            " FROM audit_log WHERE seq = 5"
        ),
        {
            (6, "hash"),
            # All that was moved to make room.
            *((seq, "order") for seq in range(7, 12)),
            (11, "head"),
        },
    ),
    "a row stands twice": (
        (
            "ALTER TABLE audit_log DROP CONSTRAINT audit_log_pkey;"
            "INSERT INTO audit_log SELECT * FROM audit_log WHERE seq = 5"
        ),
        {(5, "order")},
    ),
    "a row is appended by hand": (
        (
            "INSERT INTO audit_log SELECT 11, recorded_at, xid, flags, schema_version,"
            " event_type, entity_type, entity_id, actor_id, attempt_id, payload,"
            " payload_salt, payload_hash, state_hash, hash, sha256('forged')"
            " FROM audit_log WHERE seq = 10"
        ),
        {(11, "hash"), (11, "head")},
    ),
    "a row gets the largest number": (
        "UPDATE audit_log SET seq = 9223372036854775807 WHERE seq = 5",
        {
            (5, "gap"),
            (2**63 - 1, "order"),
            (11, "head"),
            # It is told part by part, and what is empty is passed over.
            *((11, "gap"), (65_536, "gap"), (2**63 - 65_536, "gap")),
        },
    ),
    "a row comes before the first": (
        (
            "ALTER DOMAIN audit_seq DROP CONSTRAINT audit_seq_check;"
            "UPDATE audit_log SET seq = -1 WHERE seq = 5"
        ),
        {(-1, "order"), (0, "previous_hash"), (0, "clock"), (5, "gap")},
    ),
}


@pytest.mark.parametrize("what", TAMPERING)
def test_tampering_is_found(
    tamper: Callable[..., None], check: Verify, what: str
) -> None:
    statements, expected = TAMPERING[what]

    tamper(statements)

    assert errors(check()) == expected


@pytest.mark.usefixtures("tamper")
def test_a_log_that_was_rewritten_with_its_head_looks_right(
    check: Verify, sql: connection
) -> None:
    before = check()

    rewrite(sql, 5)

    # No log can find this by itself, and the report does not pretend to. Who kept the
    # hash that the log had before sees that it is not there any more.
    after = check()
    assert after.verdict is Verdict.INTERNALLY_CONSISTENT
    assert checks(after)["anchor"] is CheckResult.NOT_CHECKED
    assert before.last_seq == after.last_seq
    assert before.head_hash != after.head_hash


def test_a_log_that_was_rewritten_without_its_head_is_found(
    tamper: Callable[..., None], check: Verify
) -> None:
    tamper(
        """
        UPDATE audit_log SET actor_id = 'somebody else', hash = audit_hash(
                log_id, seq, previous_hash, audit_log.recorded_at, xid, flags,
                schema_version, payload_hash, state_hash, audit_subject(
                    attempt_id::text, 'somebody else', event_type, entity_type,
                    entity_id))
          FROM (SELECT log_id FROM audit_head) AS head WHERE seq = 10
        """
    )

    assert errors(check()) == {(10, "head")}


def test_entries_of_another_log_do_not_fit(
    tamper: Callable[..., None], check: Verify
) -> None:
    tamper(
        """
        TRUNCATE audit_log, audit_head;
        ALTER TABLE audit_log ALTER previous_hash DROP NOT NULL;
        SELECT audit_initialize('another');
        CREATE TABLE saved AS TABLE audit_head
        """
    )
    found = check()
    assert found.valid
    assert found.entries_checked == 1

    # The genesis of one log under the id of another.
    tamper("UPDATE audit_head SET log_id = substring(sha256('') FOR 16)")
    assert errors(check()) == {(0, "head")}
    tamper(
        "UPDATE audit_log SET payload = '{}', payload_salt = sha256(''),"
        " payload_hash = audit_payload_hash(sha256(''), '{}')"
    )
    assert (0, "genesis") in errors(check())


def test_an_intact_log_is_checked_whole(check: Verify) -> None:
    found = check()

    assert found.valid
    assert found.verdict is Verdict.INTERNALLY_CONSISTENT
    assert (found.first_seq, found.last_seq, found.entries_checked) == (0, 10, 11)
    assert found.first_invalid is None
    assert found.errors == ()
    assert {
        name for name, result in checks(found).items() if result is CheckResult.PASSED
    } == {
        *("hash", "previous_hash", "gap", "order", "payload", "redaction", "clock"),
        *("genesis", "head", "state", "epoch", "schema"),
    }
    assert set(checks(found).values()) == {CheckResult.PASSED, CheckResult.NOT_CHECKED}


def test_a_log_that_was_never_begun_is_not_valid(
    tamper: Callable[..., None], check: Verify
) -> None:
    tamper("TRUNCATE audit_log, audit_head")

    found = check()

    assert not found.valid
    assert found.entries_checked == 0


def test_a_range_is_checked_and_says_so(
    tamper: Callable[..., None],
    check: Verify,
    connection_settings: ConnectionSettings,
) -> None:
    assert check().valid
    tamper("UPDATE audit_log SET actor_id = NULL WHERE seq = 5")

    behind = verify(connection_settings, from_seq=6)
    before = verify(connection_settings, from_seq=2, to_seq=4)
    around = verify(connection_settings, from_seq=5, to_seq=5)
    beyond = verify(connection_settings, from_seq=11)

    assert (behind.valid, behind.first_seq, behind.last_seq) == (True, 6, 10)
    assert checks(behind)["head"] is CheckResult.PASSED
    assert (before.valid, before.first_seq, before.last_seq) == (True, 2, 4)
    assert before.entries_checked == 3
    assert checks(before)["head"] is CheckResult.NOT_CHECKED
    assert errors(around) == {(5, "hash")}
    assert (beyond.valid, beyond.verdict) == (False, Verdict.INCOMPLETE)


def test_a_missing_end_of_a_range_is_found(
    tamper: Callable[..., None],
    check: Verify,
    connection_settings: ConnectionSettings,
) -> None:
    assert check().valid
    tamper("DELETE FROM audit_log WHERE seq IN (3, 4)")

    assert errors(verify(connection_settings, from_seq=1, to_seq=4)) == {(3, "gap")}
    assert verify(connection_settings, from_seq=5).valid


def test_processes_find_what_one_finds(
    tamper: Callable[..., None],
    check: Verify,
    connection_settings: ConnectionSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.audit_parts.ENTRIES_PER_PART", 4)
    whole = verify(connection_settings, processes=2)
    assert (whole.valid, whole.entries_checked) == (True, 11)
    assert whole.head_hash == check().head_hash

    tamper(
        "UPDATE audit_log SET actor_id = NULL WHERE seq IN (3, 8);"
        "DELETE FROM audit_log WHERE seq = 5"
    )

    found = verify(connection_settings, processes=2)
    assert errors(found) == {(3, "hash"), (5, "gap"), (8, "hash")}
    assert found.first_invalid is not None
    assert found.first_invalid.seq == 3


def test_reading_that_takes_too_long_is_incomplete_and_not_valid(
    check: Verify, connection_settings: ConnectionSettings, sql: connection, dsn: str
) -> None:
    assert check().valid
    with closing(psycopg2.connect(dsn)) as blocker:
        run(blocker, "BEGIN; LOCK TABLE audit_log IN ACCESS EXCLUSIVE MODE")
        impatient = replace(connection_settings, lock_timeout_seconds=0.05)

        with pytest.raises(DatabaseUnavailableError):
            verify(impatient)

    # The fifth payload takes longer than anybody waits.
    run(
        sql,
        """
        CREATE FUNCTION public.wait() RETURNS text LANGUAGE sql STABLE AS
            'SELECT pg_sleep(60)::text';
        ALTER TABLE audit_log RENAME TO hidden;
        CREATE VIEW audit_log AS
            SELECT seq, recorded_at, xid, flags, schema_version, payload_hash,
                   state_hash, previous_hash, hash, payload_salt, attempt_id, actor_id,
                   event_type, entity_type, entity_id, state,
                   CASE WHEN seq < 5 THEN payload::text ELSE wait() END AS payload
              FROM hidden;
        GRANT SELECT ON audit_log TO proctoring_app
        """,
    )
    found = verify(connection_settings, timeout_seconds=0.3)
    assert not found.valid
    # A view is no table, and that alone is enough.
    assert errors(found) == {(0, "schema")}
    assert checks(found)["hash"] is CheckResult.NOT_CHECKED
    hasty = verify(connection_settings, timeout_seconds=0.001)
    assert (hasty.valid, hasty.verdict) == (False, Verdict.INCOMPLETE)


def test_a_database_that_is_away_is_no_verdict(
    connection_settings: ConnectionSettings,
) -> None:
    with pytest.raises(DatabaseUnavailableError):
        verify(replace(connection_settings, name="does_not_exist"))


def test_a_snapshot_does_not_see_what_comes_later(
    database: Database, connection_settings: ConnectionSettings
) -> None:
    append(database)
    messages: list[bytes] = []

    with snapshot(connection_settings) as log:
        append(database)
        log.copy(0, 100, messages.append)
        assert log.bounds() == (0, 1)
        assert log.row(2) is None

    assert len([row for row in map(row_of, messages) if row is not None]) == 2


def test_entries_come_at_once_before_anybody_has_counted_them(
    sql: connection, connection_settings: ConnectionSettings
) -> None:
    """A restored log has no statistics. Sorting it would need more than the memory."""
    run(
        sql,
        "SELECT audit_append(array_agg('user.created'::text), array_agg('user'::text),"
        " array_agg('1'::text), array_agg('1'::text), array_agg(NULL::uuid),"
        " array_agg('{}'::text)) FROM generate_series(1, 9000)",
    )
    name = connection_settings.name
    run(sql, f"ALTER DATABASE {name} SET work_mem = '1MB'")
    run(sql, f"ALTER DATABASE {name} SET log_temp_files = 0")
    run(sql, f"ALTER DATABASE {name} SET client_min_messages = log")
    # It knows nothing but that there are many, and expects some thousands of any range.
    run(sql, "ANALYZE audit_log")
    run(sql, "DELETE FROM pg_statistic WHERE starelid = 'audit_log'::regclass")
    run(sql, "UPDATE pg_class SET reltuples = 2e5 WHERE oid = 'audit_log'::regclass")

    with closing(connection_settings.connect()) as session:
        log = Snapshot(session, None, 0, AUDIT_TABLES)
        log.copy(0, 9000, len)
        # Only for the entries: other questions may need it.
        assert log.all("SHOW enable_sort", {}) == [("on",)]

    assert session.notices == []


def test_progress_is_told_and_errors_are_counted_beyond_the_hundredth(
    tamper: Callable[..., None],
    sql: connection,
    connection_settings: ConnectionSettings,
) -> None:
    run(
        sql,
        "SELECT audit_append(array_agg('user.created'::text), array_agg('user'::text),"
        " array_agg('1'::text), array_agg('1'::text), array_agg(NULL::uuid),"
        " array_agg('{}'::text)) FROM generate_series(1, 9000)",
    )
    tamper("UPDATE audit_log SET entity_id = '2' WHERE entity_id = '1'")
    told: list[int] = []

    found = verify(connection_settings, progress=told.append)

    assert len(told) == 2
    assert all(4096 <= entries < 4200 for entries in told)
    assert found.errors_by_class == {"hash": 9000}
    assert len(found.errors) == 100
    assert found.first_invalid is not None
    assert found.first_invalid.seq == 11


def test_an_export_holds_every_entry_and_is_recorded(
    database: Database, sql: connection
) -> None:
    append(database, 3)

    exported = list(BlockchainService(database).export("appeal 7"))

    assert [entry.seq for entry in exported] == [0, 1, 2, 3, 4]
    assert exported[-1].event_type == "evidence.exported"
    assert exported[-1].payload == '{"reason":"appeal 7"}'
    assert scalar(sql, "SELECT count(*) FROM audit_log") == 5
