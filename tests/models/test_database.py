"""The pool and the transaction, against a real server that misbehaves on request."""

import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from psycopg2.extensions import connection

from models.audit_entry import NewEntry
from models.connection_settings import ConnectionSettings
from models.database import Database
from models.database_errors import ConstraintError, DatabaseUnavailableError
from models.transaction import Transaction
from tests.audit_trail import run
from tests.waiting import until

INSERT_USER = """
    INSERT INTO users (id, email, email_canonical, full_name, role, password_hash)
    VALUES (%(id)s, %(email)s, %(email)s, 'Alice', 'student',
            '$2b$04$' || repeat('a', 53))
"""
COUNT_USERS = "SELECT count(*) FROM users"
COUNT_OTHERS = """
    SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def insert_user(tx: Transaction, email: str = "alice@example.edu") -> UUID:
    user_id = uuid4()
    tx.execute(INSERT_USER, {"id": user_id, "email": email})
    return user_id


def entry() -> NewEntry:
    return NewEntry(
        event_type="user.created",
        entity_type="user",
        entity_id=str(uuid4()),
        actor_id=None,
        attempt_id=None,
        payload="{}",
    )


def scalar(sql: connection, query: str) -> object:
    with sql.cursor() as cursor:
        cursor.execute(query)
        (row,) = cursor.fetchall()
    return row[0]


def test_a_write_and_its_entry_are_committed_together(
    database: Database, sql: connection
) -> None:
    with database.transaction() as tx:
        insert_user(tx)
        first, second = tx.queue_entry(entry()), tx.queue_entry(entry())

    assert second.seq == first.seq + 1
    assert scalar(sql, COUNT_USERS) == 1
    assert scalar(sql, "SELECT max(seq) FROM audit_log") == second.seq


def test_a_write_without_an_entry_is_rolled_back(
    database: Database, sql: connection
) -> None:
    with database.transaction() as tx:
        insert_user(tx)

    assert scalar(sql, COUNT_USERS) == 0


def test_an_exception_rolls_back_the_write_and_its_entry(
    database: Database, sql: connection
) -> None:
    before = scalar(sql, "SELECT count(*) FROM audit_log")
    with pytest.raises(ZeroDivisionError), database.transaction() as tx:
        insert_user(tx)
        tx.queue_entry(entry())
        _ = 1 / 0

    assert scalar(sql, COUNT_USERS) == 0
    assert scalar(sql, "SELECT count(*) FROM audit_log") == before


def test_an_entry_that_can_not_be_appended_takes_the_write_with_it(
    database: Database, sql: connection
) -> None:
    with sql.cursor() as cursor:
        cursor.execute("REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM public")
        cursor.execute(
            "REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM proctoring_app"
        )
    with pytest.raises(Exception, match="audit_append"), database.transaction() as tx:
        insert_user(tx)
        tx.queue_entry(entry())

    assert scalar(sql, COUNT_USERS) == 0


def test_an_entry_has_no_number_before_its_transaction_commits(
    database: Database,
) -> None:
    with database.transaction() as tx:
        pending = tx.queue_entry(entry())
        with pytest.raises(RuntimeError):
            _ = pending.seq

    assert pending.seq >= 0


RECORD_NOTHING = """
    SELECT set_config('proctoring.returned', 'said', false),
           set_config('proctoring.appended', '', false)
"""


def test_nothing_follows_a_message_that_has_committed(
    database: Database, sql: connection
) -> None:
    with database.transaction() as tx:
        assert tx.finish_with(RECORD_NOTHING, {}).returned == "said"
        with pytest.raises(RuntimeError, match="is committed"):
            insert_user(tx)

    assert scalar(sql, COUNT_USERS) == 0


def test_a_message_that_commits_takes_no_queued_entry_with_it(
    database: Database, sql: connection
) -> None:
    before = scalar(sql, "SELECT next_seq FROM audit_head")

    with pytest.raises(RuntimeError, match="waits"), database.transaction() as tx:
        tx.queue_entry(entry())
        tx.finish_with(RECORD_NOTHING, {})

    assert scalar(sql, "SELECT next_seq FROM audit_head") == before


def test_a_refused_row_names_its_constraint(database: Database) -> None:
    with pytest.raises(ConstraintError) as refused, database.transaction() as tx:
        insert_user(tx)
        insert_user(tx)

    assert refused.value.constraint == "users_email_canonical_key"


def test_a_read_can_not_write(database: Database, sql: connection) -> None:
    with pytest.raises(DatabaseUnavailableError), database.read() as tx:
        insert_user(tx)

    assert scalar(sql, COUNT_USERS) == 0


def test_every_connection_gives_its_rights_up(database: Database) -> None:
    with database.read() as tx:
        role = tx.scalar("SELECT current_user")
        is_superuser = tx.scalar("SELECT current_setting('is_superuser')")

    assert role == "proctoring_app"
    assert is_superuser == "off"


@pytest.mark.parametrize(
    "forbidden",
    [
        "CREATE TABLE loot (id int)",
        "ALTER TABLE users DISABLE TRIGGER ALL",
        "UPDATE audit_log SET event_type = 'nothing.happened'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "UPDATE proctoring_events SET severity = 'info'",
        "DELETE FROM proctoring_events",
        "TRUNCATE proctoring_events",
        "DELETE FROM attempts",
        "DELETE FROM answers",
        "DELETE FROM users",
        "DELETE FROM sessions",
        "UPDATE sessions SET expires_at = expires_at + interval '1 year'",
        "UPDATE sessions SET user_id = gen_random_uuid()",
        "UPDATE legal_holds SET user_id = NULL",
        "DELETE FROM retention_rules",
        "UPDATE audit_suspensions SET lifted_by = 1",
        "UPDATE audit_head SET suspension = NULL",
        "SELECT audit_states('', '{}', '{}')",
        "UPDATE ai_analyses SET risk_score = 0",
    ],
)
def test_the_application_has_no_right_to(database: Database, forbidden: str) -> None:
    with (
        pytest.raises(Exception, match=r"permission denied|must be owner"),
        database.transaction() as tx,
    ):
        tx.execute(forbidden)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("search_path", "public"),
        ("statement_timeout", "5s"),
        ("lock_timeout", "2s"),
        ("idle_in_transaction_session_timeout", "10s"),
        ("TimeZone", "UTC"),
    ],
)
def test_every_connection_has_its_bounds(
    database: Database, sql: connection, name: str, value: str
) -> None:
    """S71, R8: whatever somebody has made the database's default."""
    other = {"search_path": "pg_temp", "TimeZone": "Asia/Tokyo"}.get(name, "0")
    run_for_all(sql, f"SET {name} = '{other}'")

    with database.bookkeeping() as tx:
        assert tx.scalar("SELECT current_setting(%(name)s)", {"name": name}) == value


def run_for_all(sql: connection, setting: str) -> None:
    """Change a default of this test's database."""
    with sql.cursor() as cursor:
        cursor.execute("SELECT format('ALTER DATABASE %I ', current_database())")
        ((alter,),) = cursor.fetchall()
        cursor.execute(alter + setting)


MIGHTY_ROLES = """
    SELECT rolname FROM pg_roles
     WHERE rolname LIKE 'proctoring%'
       -- Those of deploy/logins.sh are there to log in; another test makes them.
       AND rolname NOT IN ('proctoring_api', 'proctoring_checkpoints')
       AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication
            OR rolbypassrls OR rolcanlogin)
"""
OWNERS = """
    SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class
     WHERE relnamespace = 'public'::regnamespace
"""
DEFINERS = """
    SELECT proname, coalesce(proconfig::text, '') ~ 'search_path=pg_catalog,.*pg_temp"'
      FROM pg_proc
     WHERE pronamespace = 'public'::regnamespace
       AND (prosecdef OR proconfig::text ~ 'search_path')
"""


def test_the_roles_can_do_nothing_but_what_they_are_granted(sql: connection) -> None:
    """S71: groups without a password, none above the rights; the API owns nothing."""
    assert run(sql, MIGHTY_ROLES) == []
    assert ("proctoring_app",) not in run(sql, OWNERS)


def test_a_function_that_guards_or_has_its_owners_rights_looks_where_it_was_told(
    sql: connection,
) -> None:
    """S71: a table of the same name, a temporary one too, deceives none of them."""
    definers = run(sql, DEFINERS)

    assert definers
    assert [name for name, is_pinned in definers if not is_pinned] == []


def test_who_finds_no_connection_waits_and_then_gives_up(
    connection_settings: ConnectionSettings,
) -> None:
    settings = replace(connection_settings, pool_size=1, pool_wait_seconds=0.2)
    with closing(Database(settings)) as database:
        with database.read() as tx, ThreadPoolExecutor(1) as pool:
            tx.scalar("SELECT 1")
            with pytest.raises(DatabaseUnavailableError):
                pool.submit(read_one, database).result()

        assert read_one(database) == 1


def read_one(database: Database) -> object:
    with database.read() as tx:
        return tx.scalar("SELECT 1")


def test_connections_that_died_while_idle_are_never_handed_out(
    database: Database, sql: connection
) -> None:
    barrier = threading.Barrier(5)

    def hold() -> None:
        with database.read() as tx:
            tx.scalar("SELECT 1")
            barrier.wait(10)

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda _: hold(), range(5)))
    killed = scalar(
        sql,
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )

    assert killed == 5
    # A backend that was told to go may take its time.
    until(lambda: scalar(sql, COUNT_OTHERS) == 0)
    assert [read_one(database) for _ in range(8)] == [1] * 8


def test_a_connection_that_dies_in_use_is_reported_and_replaced(
    database: Database, sql: connection
) -> None:
    with pytest.raises(DatabaseUnavailableError), database.transaction() as tx:
        insert_user(tx)
        scalar(
            sql,
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        insert_user(tx, "again@example.edu")

    assert scalar(sql, COUNT_USERS) == 0
    assert read_one(database) == 1


def test_a_statement_that_takes_too_long_is_cut_off(
    connection_settings: ConnectionSettings,
) -> None:
    settings = replace(connection_settings, statement_timeout_seconds=0.1)
    with closing(Database(settings)) as database:
        with pytest.raises(DatabaseUnavailableError), database.read() as tx:
            tx.scalar("SELECT pg_sleep(10)")

        assert read_one(database) == 1


def test_a_lock_of_somebody_else_is_not_waited_for_without_end(
    connection_settings: ConnectionSettings, sql: connection
) -> None:
    """R8."""
    settings = replace(connection_settings, lock_timeout_seconds=0.1)
    with closing(Database(settings)) as database:
        sql.autocommit = False
        with sql.cursor() as cursor:
            cursor.execute("LOCK TABLE users")
        began = time.monotonic()
        with pytest.raises(DatabaseUnavailableError), database.transaction() as tx:
            insert_user(tx)

        assert time.monotonic() - began < settings.statement_timeout_seconds
        sql.rollback()
        sql.autocommit = True
        assert read_one(database) == 1


def test_of_two_who_wait_for_each_other_one_is_told_to_come_back(
    connection_settings: ConnectionSettings, sql: connection
) -> None:
    """R9: PostgreSQL ends one of them after a second, and the other goes on."""
    patient = replace(
        connection_settings, lock_timeout_seconds=20, statement_timeout_seconds=20
    )
    with sql.cursor() as cursor:
        cursor.execute("CREATE TABLE two (id int PRIMARY KEY, n int)")
        cursor.execute("INSERT INTO two VALUES (1, 0), (2, 0)")
        cursor.execute("GRANT ALL ON two TO proctoring_app")
    both_have_one = threading.Barrier(2)

    def add(database: Database, *ids: int) -> bool:
        try:
            with database.transaction() as tx:
                for each in ids:
                    tx.execute(
                        "UPDATE two SET n = n + 1 WHERE id = %(id)s", {"id": each}
                    )
                    if each == ids[0]:
                        both_have_one.wait(10)
                tx.queue_entry(entry())
        except DatabaseUnavailableError:
            return False
        return True

    with closing(Database(patient)) as database, ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda ids: add(database, *ids), [(1, 2), (2, 1)]))

    assert sorted(done) == [False, True]
    assert scalar(sql, "SELECT sum(n) FROM two") == 2


def test_no_connection_is_left_in_a_transaction(
    database: Database, sql: connection
) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction() as tx:
        insert_user(tx)
        _ = 1 / 0
    read_one(database)

    assert (
        scalar(
            sql,
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND state LIKE 'idle in transaction%'",
        )
        == 0
    )


def test_a_forked_child_opens_connections_of_its_own(database: Database) -> None:
    backend = "SELECT pg_backend_pid()"
    with database.read() as tx:
        parents = tx.scalar(backend)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with database.read() as tx:
            os.write(writer, str(tx.scalar(backend)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    childs = int(os.read(reader, 100))

    with database.read() as tx:
        assert tx.scalar(backend) == parents != childs


def test_a_server_that_is_away_is_reported_at_once(
    connection_settings: ConnectionSettings,
) -> None:
    settings = replace(connection_settings, host="127.0.0.1", port=1)
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailableError):
        read_one(Database(settings))

    assert time.monotonic() - began < settings.connect_timeout_seconds


def test_a_server_that_says_nothing_is_given_up(
    connection_settings: ConnectionSettings,
) -> None:
    """R4: it takes the connection, and that was all."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        settings = replace(
            connection_settings,
            host="127.0.0.1",
            port=silent.getsockname()[1],
            # The least that libpq knows.
            connect_timeout_seconds=2,
        )
        began = time.monotonic()
        with pytest.raises(DatabaseUnavailableError):
            read_one(Database(settings))

    assert time.monotonic() - began < 10


def test_a_server_that_takes_nobody_more_is_reported(
    connection_settings: ConnectionSettings, sql: connection
) -> None:
    """R7: 53300."""
    name = f"guest_{uuid4().hex}"
    run(sql, f"CREATE ROLE {name} LOGIN PASSWORD 'guest' CONNECTION LIMIT 0")
    settings = replace(connection_settings, user=name, password="guest")
    try:
        with pytest.raises(DatabaseUnavailableError) as refused:
            read_one(Database(settings))
    finally:
        run(sql, f"DROP ROLE {name}")

    assert "too many connections" in str(refused.value.__cause__)


def test_a_statement_for_which_there_is_no_room_is_to_be_tried_again(
    connection_settings: ConnectionSettings, sql: connection
) -> None:
    """R7: a limit on files (53400) stands for a disk that is full (53100)."""
    run_for_all(sql, "SET temp_file_limit = '1kB'")
    run_for_all(sql, "SET work_mem = '64kB'")
    with closing(Database(connection_settings)) as database:
        with pytest.raises(DatabaseUnavailableError), database.read() as tx:
            tx.scalar(
                "SELECT count(*) FROM (SELECT g FROM generate_series(1, 99999) g"
                " ORDER BY md5(g::text) OFFSET 1) sorted"
            )

        assert read_one(database) == 1


def test_types_arrive_as_python_means_them(database: Database) -> None:
    with database.read() as tx:
        assert tx.scalar("SELECT '\\x00ff'::bytea") == b"\x00\xff"
        assert tx.scalar("SELECT %(id)s::uuid", {"id": UUID(int=7)}) == UUID(int=7)
        assert tx.scalar("SELECT jsonb_build_object('a', 1)") == {"a": 1}
        assert tx.scalar("SELECT now()").utcoffset().total_seconds() == 0


def test_a_careless_default_of_the_server_does_not_spare_the_flush(
    database: Database, sql: connection
) -> None:
    with sql.cursor() as cursor:
        cursor.execute(
            "SELECT format('ALTER DATABASE %I SET synchronous_commit = off',"
            " current_database())"
        )
        ((statement,),) = cursor.fetchall()
        cursor.execute(statement)

    with database.bookkeeping() as tx:
        assert tx.scalar("SELECT current_setting('synchronous_commit')") == "on"
