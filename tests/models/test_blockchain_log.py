"""The audit log's table and functions: what they write, and what they refuse."""

import json
import random
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial

import psycopg2
import pytest
from psycopg2.extensions import connection

from models import blockchain_log
from models.audit_event import AuditEvent
from models.connection_settings import ConnectionSettings
from models.database import Database
from services import audit
from services.audit_verification import verify
from tests.at_once import at_once
from tests.audit_trail import ATTEMPT_ID, append, append_together, run, scalar
from tests.extremes import TEXTS, recorded_at, some_entry
from utils.blockchain_hasher import (
    NO_HASH,
    Entry,
    entry_bytes,
    leaf_hash,
    log_identity,
    payload_commitment,
)

# Prepares a call that appends to the log of a connection.
Appending = Callable[..., Callable[[], object]]

HASH_IN_SQL = """
    SELECT audit_hash(%s, %s, %s, %s, %s, %s::smallint, %s, %s, %s,
                      audit_subject(%s, %s, %s, %s, %s))
"""


def test_the_log_begins_with_the_database(database: Database) -> None:
    with database.read() as tx:
        genesis, head = blockchain_log.get_genesis(tx), blockchain_log.get_head(tx)

    assert genesis is not None
    assert head is not None
    assert genesis.event_type == AuditEvent.LOG_GENESIS
    assert genesis.previous_hash == NO_HASH
    assert genesis.payload is not None
    assert log_identity(genesis.payload.encode()) == head.log_id
    assert json.loads(genesis.payload)["origin"] == head.origin
    assert head.hash == genesis.hash


def test_entries_are_numbered_and_chained(database: Database) -> None:
    numbers = [*append(database, 2), *append_together(database, 3), *append(database)]

    with database.read() as tx:
        entries = blockchain_log.list_all(tx, after=0, limit=100)
        genesis = blockchain_log.get_genesis(tx)
        head = blockchain_log.get_head(tx)
    assert genesis is not None
    assert head is not None
    assert numbers == [1, 2, 3, 4, 5, 6] == [entry.seq for entry in entries]
    assert [entry.previous_hash for entry in entries] == [
        genesis.hash,
        *(entry.hash for entry in entries[:-1]),
    ]
    assert (head.next_seq, head.hash) == (7, entries[-1].hash)


def test_what_is_stored_hashes_to_what_is_stored(
    database: Database, sql: connection
) -> None:
    append_together(database, 3)

    rows = run(
        sql,
        """
        SELECT log_id, seq, previous_hash, xid, flags, schema_version, payload_hash,
               state_hash, attempt_id::text, actor_id, event_type, entity_type,
               entity_id, (extract(epoch FROM audit_log.recorded_at) * 1000000)::bigint,
               payload_salt, payload, audit_log.hash
          FROM audit_log CROSS JOIN audit_head AS head (a, b, c, log_id)
        """,
    )

    assert len(rows) == 4
    for row in rows:
        entry = Entry(
            log_id=bytes(row[0]),
            seq=row[1],
            previous_hash=bytes(row[2]),
            recorded_at_us=row[13],
            xid=row[3],
            flags=row[4],
            schema_version=row[5],
            payload_hash=bytes(row[6]),
            state_hash=bytes(row[7]),
            attempt_id=row[8],
            actor_id=row[9],
            event_type=row[10],
            entity_type=row[11],
            entity_id=row[12],
        )
        assert payload_commitment(bytes(row[14]), row[15].encode()) == bytes(row[6])
        assert leaf_hash(entry_bytes(entry)) == bytes(row[16])


def test_sql_and_python_agree_on_thousands_of_extreme_entries(sql: connection) -> None:
    rng = random.Random(6962)

    for _ in range(3000):
        entry = some_entry(rng)
        in_sql = scalar(
            sql,
            HASH_IN_SQL,
            entry.log_id,
            entry.seq,
            entry.previous_hash,
            recorded_at(entry),
            entry.xid,
            entry.flags,
            entry.schema_version,
            entry.payload_hash,
            entry.state_hash,
            entry.attempt_id,
            entry.actor_id,
            entry.event_type,
            entry.entity_type,
            entry.entity_id,
        )
        assert bytes(in_sql) == leaf_hash(entry_bytes(entry)), entry


def test_sql_and_python_agree_on_commitments(sql: connection) -> None:
    rng = random.Random(8785)
    for text in (*TEXTS, "x" * 1048576):
        salt = rng.randbytes(32)

        in_sql = scalar(sql, "SELECT audit_payload_hash(%s, %s)", salt, text)

        assert bytes(in_sql) == payload_commitment(salt, text.encode())


def test_the_session_does_not_change_what_is_hashed(
    dsn: str, connection_settings: ConnectionSettings
) -> None:
    for setting in (
        "client_encoding = LATIN1",
        "bytea_output = escape",
        "timezone = 'Asia/Kolkata'",
        "datestyle = 'German'",
        "search_path = pg_temp",
        "standard_conforming_strings = off",
    ):
        with closing(psycopg2.connect(dsn)) as session:
            session.autocommit = True
            run(session, f"SET {setting}")
            run(
                session,
                "SELECT public.audit_append(ARRAY['user.created'], ARRAY['user'],"
                " ARRAY[chr(233)], ARRAY[NULL::text], ARRAY[NULL::uuid], ARRAY['{}'])",
            )
            run(
                session,
                "SELECT public.audit_append_one('user.created', 'user', chr(233),"
                " NULL, NULL, '{}')",
            )

    found = verify(connection_settings)
    assert (found.valid, found.entries_checked) == (True, 13)


def appending(sql: connection, **changed: object) -> Callable[[], object]:
    """Return a call of audit_append, whose arrays are right but for the changed."""
    arrays: dict[str, object] = {
        "event_types": ["user.created"],
        "entity_types": ["user"],
        "entity_ids": ["1"],
        "actor_ids": [None],
        "attempt_ids": [None],
        "payloads": ["{}"],
    }
    return partial(
        run,
        sql,
        "SELECT audit_append(%s::text[], %s::text[], %s::text[], %s::text[],"
        " %s::uuid[], %s::text[])",
        *(arrays | changed).values(),
    )


def appending_one(sql: connection, **changed: object) -> Callable[[], object]:
    """Return a call of audit_append_one, which is right but for the changed."""
    values: dict[str, object] = {
        "event_type": "user.created",
        "entity_type": "user",
        "entity_id": "1",
        "actor_id": None,
        "attempt_id": None,
        "payload": "{}",
    }
    return partial(
        run,
        sql,
        "SELECT audit_append_one(%s, %s, %s, %s, %s, %s)",
        *(values | changed).values(),
    )


both_ways = pytest.mark.parametrize("appending", [appending, appending_one])


NO_ENTRIES: tuple[dict[str, object], ...] = (
    {"event_types": []},
    {"event_types": None},
    {"event_types": [None]},
    {"event_types": ["no dot"]},
    {"event_types": ["user.created", "user.created"]},
    {"entity_types": [None]},
    {"entity_types": [""]},
    {"entity_ids": [None]},
    {"entity_ids": ["x" * 501]},
    {"entity_ids": ["1", "2"]},
    {"actor_ids": [""]},
    {"actor_ids": []},
    {"attempt_ids": None},
    {"payloads": [None]},
    {"payloads": ["[]"]},
    {"payloads": ["null"]},
    {"payloads": ["{"]},
    {"payloads": ['{"x":"' + "x" * 1048576 + '"}']},
)


def test_what_is_no_entry_is_refused_and_leaves_nothing(sql: connection) -> None:
    accepted = []
    for changed in NO_ENTRIES:
        with suppress(psycopg2.Error):
            appending(sql, **changed)()
            accepted.append(changed)

    assert accepted == []
    assert scalar(sql, "SELECT next_seq FROM audit_head") == 1
    assert scalar(sql, "SELECT count(*) FROM audit_log") == 1


NOT_ONE_ENTRY: tuple[dict[str, object], ...] = (
    {"event_type": None},
    {"event_type": "no dot"},
    {"entity_type": None},
    {"entity_type": ""},
    {"entity_id": None},
    {"entity_id": "x" * 501},
    {"actor_id": ""},
    {"payload": None},
    {"payload": "[]"},
    {"payload": "null"},
    {"payload": "{"},
    {"payload": '{"x":"' + "x" * 1048576 + '"}'},
)


@pytest.mark.parametrize(
    "changed", NOT_ONE_ENTRY, ids=lambda changed: str(changed)[:40]
)
def test_what_is_not_one_entry_is_refused_and_leaves_nothing(
    sql: connection, changed: dict[str, object]
) -> None:
    with pytest.raises(psycopg2.Error):
        appending_one(sql, **changed)()

    assert scalar(sql, "SELECT next_seq FROM audit_head") == 1
    assert scalar(sql, "SELECT count(*) FROM audit_log") == 1


def test_both_ways_of_appending_write_the_same(
    sql: connection, connection_settings: ConnectionSettings
) -> None:
    appending(sql, actor_ids=["system"], attempt_ids=[str(ATTEMPT_ID)])()
    appending_one(sql, actor_id="system", attempt_id=str(ATTEMPT_ID))()

    many, one = run(
        sql,
        "SELECT flags, schema_version, event_type, entity_type, entity_id, actor_id,"
        " attempt_id, payload, state_hash FROM audit_log WHERE seq > 0 ORDER BY seq",
    )
    assert many == one
    ((said,),) = run(sql, "SELECT current_setting('proctoring.appended')")
    seq, _, hash_ = said.partition(":")
    stored = scalar(sql, "SELECT encode(hash, 'hex') FROM audit_log WHERE seq = 2")
    assert (seq, hash_) == ("2", stored)
    assert verify(connection_settings).valid


def test_a_rollback_leaves_no_gap(database: Database) -> None:
    with suppress(ZeroDivisionError), database.transaction() as tx:
        audit.append(tx, AuditEvent.USER_CREATED, "user", "1", actor=None, payload={})
        raise ZeroDivisionError

    assert append(database) == [1]


def test_writers_at_once_get_one_order(
    database: Database, connection_settings: ConnectionSettings
) -> None:
    numbers = at_once([partial(append, database, 20)] * 8)

    assert sorted(sum(numbers, [])) == list(range(1, 161))  # noqa: RUF017
    assert verify(connection_settings).entries_checked == 161


@both_ways
@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_another_isolation_level_fails_rather_than_forks(
    sql: connection, dsn: str, level: str, appending: Appending
) -> None:
    with closing(psycopg2.connect(dsn)) as late:
        run(late, f"SET TRANSACTION ISOLATION LEVEL {level}")
        run(late, "SELECT 1")
        appending(sql)()

        with pytest.raises(psycopg2.errors.SerializationFailure):
            appending(late)()


@both_ways
def test_a_clock_that_went_back_is_flagged_and_time_does_not(
    sql: connection, connection_settings: ConnectionSettings, appending: Appending
) -> None:
    run(sql, "UPDATE audit_head SET recorded_at = recorded_at + interval '1 hour'")

    appending(sql)()

    flags, is_held = run(
        sql,
        "SELECT flags, audit_log.recorded_at = audit_head.recorded_at"
        " FROM audit_log, audit_head WHERE seq = 1",
    )[0]
    assert (flags, is_held) == (1, True)
    assert verify(connection_settings).valid


def test_the_head_is_found_at_once_while_a_backup_holds_old_versions(
    sql: connection, dsn: str
) -> None:
    with closing(psycopg2.connect(dsn)) as backup:
        backup.set_session(isolation_level="REPEATABLE READ")
        run(backup, "SELECT 1")
        run(sql, "SET synchronous_commit = off")
        for _ in range(1500):
            appending(sql)()
        run(sql, "SET enable_seqscan = off")
        ((plan,),) = run(
            sql,
            "EXPLAIN (ANALYZE, BUFFERS, FORMAT json) SELECT hash FROM audit_head"
            " ORDER BY next_seq DESC LIMIT 1",
        )

    pages = scalar(sql, "SELECT pg_relation_size('audit_head') / 8192")
    assert pages > 15
    assert plan[0]["Plan"]["Shared Hit Blocks"] < 8


FORBIDDEN = (
    "UPDATE audit_log SET actor_id = NULL",
    "DELETE FROM audit_log",
    "TRUNCATE audit_log",
    "INSERT INTO audit_log SELECT * FROM audit_log",
    "UPDATE audit_head SET next_seq = 0",
    "DELETE FROM audit_head",
    "TRUNCATE audit_head",
    "INSERT INTO audit_head SELECT * FROM audit_head",
    "ALTER TABLE audit_log DISABLE TRIGGER ALL",
    "DROP TABLE audit_log",
    "DROP FUNCTION audit_append",
    "DROP FUNCTION audit_append_one",
    "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "SET session_replication_role = replica",
)


@pytest.mark.parametrize("role", ["proctoring_app", "proctoring_auditor"])
def test_nobody_but_its_owner_has_a_right_to_write(sql: connection, role: str) -> None:
    run(sql, f"SET ROLE {role}")

    for statement in FORBIDDEN:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            run(sql, statement)


def test_the_auditor_can_read_and_not_append(sql: connection) -> None:
    run(sql, "SET ROLE proctoring_auditor")

    assert scalar(sql, "SELECT count(*) FROM audit_log") == 1
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        appending(sql)()


@pytest.mark.parametrize("replication_role", ["origin", "replica"])
def test_triggers_refuse_even_a_superuser(
    sql: connection, replication_role: str
) -> None:
    run(sql, f"SET session_replication_role = {replication_role}")

    for statement in (
        "UPDATE audit_log SET actor_id = NULL",
        # As an erasure does, which only the log's own function may.
        "UPDATE audit_log SET payload = NULL, payload_salt = NULL, state = NULL",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "DELETE FROM audit_head",
        "TRUNCATE audit_head",
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="append-only"):
            run(sql, statement)


def test_no_replication_role_gets_past_a_trigger_of_the_log(sql: connection) -> None:
    passable = run(
        sql,
        "SELECT tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid"
        " WHERE relowner = 'proctoring_audit'::regrole AND NOT tgisinternal"
        "   AND tgenabled <> 'A'",
    )

    assert passable == []


def test_beginning_again_changes_nothing(sql: connection) -> None:
    before = scalar(sql, "SELECT log_id FROM audit_head")

    assert scalar(sql, "SELECT audit_initialize('another')") is False
    assert scalar(sql, "SELECT log_id FROM audit_head") == before


def test_beginning_at_once_begins_once(sql: connection, dsn: str) -> None:
    forget_the_log(sql)

    def begin() -> object:
        with closing(psycopg2.connect(dsn)) as session:
            session.autocommit = True
            return scalar(session, "SELECT audit_initialize('new')")

    assert sorted(map(bool, at_once([begin] * 6))) == [False] * 5 + [True]
    assert scalar(sql, "SELECT count(*) FROM audit_log") == 1
    assert scalar(sql, "SELECT count(*) FROM audit_head") == 1


@pytest.mark.tampers
def test_a_log_without_its_head_is_not_begun_anew(
    database: Database, sql: connection
) -> None:
    append(database)
    run(sql, "ALTER TABLE audit_head DISABLE TRIGGER ALL; DELETE FROM audit_head")

    with pytest.raises(psycopg2.Error, match="damaged"):
        run(sql, "SELECT audit_initialize('new')")
    with pytest.raises(psycopg2.Error, match="no head"):
        appending(sql)()


def forget_the_log(sql: connection) -> None:
    run(
        sql,
        "ALTER TABLE audit_head DISABLE TRIGGER ALL;"
        " ALTER TABLE audit_log DISABLE TRIGGER ALL;"
        " TRUNCATE audit_head, audit_log;"
        " ALTER TABLE audit_head ENABLE TRIGGER ALL;"
        " ALTER TABLE audit_log ENABLE TRIGGER ALL",
    )


SUSPEND = "SELECT audit_suspend({}, 'server', '-', 1, {}, 1, hash) FROM audit_head; "
OTHER_ROOT = "sha256('other')"


def test_a_log_is_suspended_for_a_contradiction_only(sql: connection) -> None:
    with pytest.raises(psycopg2.errors.CheckViolation):
        run(sql, SUSPEND.format("origin", "hash"))


def test_who_looked_at_another_epoch_suspends_nothing(sql: connection) -> None:
    assert not scalar(sql, SUSPEND.format("'another/log'", OTHER_ROOT))


def test_a_new_epoch_has_a_name_of_its_own(sql: connection) -> None:
    """Or witnesses would take it for the old one, and call it a fork."""
    append = """
        SELECT audit_append_one('log.epoch_opened', 'log', '1', NULL, NULL,
                                json_build_object('origin', origin)::text)
          FROM audit_head
    """
    with pytest.raises(psycopg2.errors.InvalidParameterValue, match="of its own"):
        run(sql, SUSPEND.format("origin", OTHER_ROOT) + append)


def test_trails_come_in_order_and_only_of_what_was_asked(database: Database) -> None:
    append(database, 3)
    with database.transaction() as tx:
        audit.append(
            tx, AuditEvent.USER_CREATED, "user", "9", actor=audit.SYSTEM, payload={}
        )

    with database.read() as tx:
        of_attempt = blockchain_log.list_by_attempt(tx, ATTEMPT_ID, after=1, limit=9)
        of_entity = blockchain_log.list_by_entity(tx, "user", "9", after=-1, limit=9)
        of_type = blockchain_log.list_by_event_type(
            tx, AuditEvent.ATTEMPT_ANSWERS_SAVED, after=-1, limit=2
        )
        counts = blockchain_log.count_by_event_type(tx)

    assert [entry.seq for entry in of_attempt] == [2, 3]
    assert [(entry.seq, entry.actor_id) for entry in of_entity] == [(4, "system")]
    assert [entry.seq for entry in of_type] == [1, 2]
    assert {count.event_type: count.entries for count in counts} == {
        AuditEvent.ATTEMPT_ANSWERS_SAVED: 3,
        AuditEvent.LOG_GENESIS: 1,
        AuditEvent.USER_CREATED: 1,
    }
