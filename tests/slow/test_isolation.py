"""However transactions run, the log has no gap and no fork.

Sixteen writers, at each isolation level, with savepoints and a third of all
transactions rolled back; straight to PostgreSQL, and through PgBouncer in transaction
mode, where every transaction may get another connection.
"""

import getpass
import random
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final
from uuid import uuid4

import psycopg2
import pytest
from psycopg2.extensions import connection, make_dsn, parse_dsn

from models.connection_settings import ConnectionSettings
from models.database import Database
from models.database_errors import SessionError
from services.audit_verification import verify
from tests.at_once import at_once
from tests.audit_trail import append, run, scalar
from tests.databases import connection_to
from tests.slow.running import answers, find_program, free_port
from tests.waiting import until

WRITERS: Final = 16
TRANSACTIONS: Final = 60
LEVELS: Final = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
INSERT: Final = """
    INSERT INTO users (id, email, email_canonical, full_name, role, password_hash)
    VALUES (%(id)s, %(email)s, %(email)s, 'A', 'student', %(hash)s)
"""
RENAME: Final = "UPDATE users SET full_name = %(name)s WHERE id = %(id)s"
APPEND: Final = (
    "SELECT audit_append_one('user.created', 'user', %(id)s, 'system', NULL, '{}')"
)
APPEND_TWO: Final = """
    SELECT audit_append('{user.created,user.updated}', '{user,user}',
                        ARRAY[%(id)s, %(id)s], '{system,NULL}', '{NULL,NULL}',
                        '{"{}","{}"}')
"""


@pytest.fixture
def pooled(dsn: str, tmp_path: Path) -> Iterator[str]:
    """The DSN of a PgBouncer before the database, with half as many connections."""
    program = find_program("pgbouncer")
    if program is None:
        pytest.skip("pgbouncer is not installed; CI installs it")
    where, port = parse_dsn(dsn), free_port()
    # It refuses to run as root.
    tmp_path.chmod(0o777)
    for folder in tmp_path.parents:
        if folder == Path("/"):
            break
        if folder.owner() == getpass.getuser():
            folder.chmod(folder.stat().st_mode | 0o111)
    settings = tmp_path / "pgbouncer.ini"
    settings.write_text(
        f"""
        [databases]
        * = host={where["host"]} port={where.get("port", "5432")} user={where["user"]}
        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = {port}
        unix_socket_dir =
        auth_type = any
        pool_mode = transaction
        ignore_startup_parameters = options
        default_pool_size = {WRITERS // 2}
        max_client_conn = 100
        """
    )
    as_whom = []
    if getpass.getuser() == "root":
        # Not everybody may connect to the server's socket either.
        socket = Path(where["host"])
        as_whom = ["-u", socket.owner() if socket.is_absolute() else "nobody"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([program, *as_whom, settings], stderr=log)
    try:
        pooled = make_dsn(
            f"host=127.0.0.1 port={port} user={where['user']}", dbname=where["dbname"]
        )
        until(lambda: answers(pooled))
        yield pooled
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize("level", LEVELS)
def test_no_gap_and_no_fork(
    dsn: str, sql: connection, connection_settings: ConnectionSettings, level: str
) -> None:
    _hammer(dsn, sql, connection_settings, level)


@pytest.mark.parametrize("level", LEVELS)
def test_no_gap_and_no_fork_through_a_pooler(
    pooled: str, sql: connection, connection_settings: ConnectionSettings, level: str
) -> None:
    _hammer(pooled, sql, connection_settings, level)


def test_a_pooler_that_leaves_out_what_a_session_needs_is_noticed(pooled: str) -> None:
    """It passes no options on. deploy/logins.sh gives them to the login instead."""
    with (
        closing(Database(connection_to(pooled))) as database,
        pytest.raises(SessionError, match="role"),
    ):
        append(database)


def _hammer(
    dsn: str, sql: connection, settings: ConnectionSettings, level: str
) -> None:
    outcomes = sum(
        at_once([partial(_write, dsn, level, seed) for seed in range(WRITERS)]),
        Counter(),
    )

    found = verify(settings, deep=True)

    assert found.errors == ()
    assert found.entries_checked == 1 + outcomes["one"] + 2 * outcomes["two"]
    assert scalar(sql, "SELECT count(*) FROM users") == (
        outcomes["one"] + outcomes["two"]
    )
    assert scalar(sql, "SELECT count(DISTINCT previous_hash) FROM audit_log") == scalar(
        sql, "SELECT count(*) FROM audit_log"
    )
    # All of it took place, or nothing was proven.
    assert min(outcomes["one"], outcomes["two"], outcomes["rolled back"]) > 0
    if level == "READ COMMITTED":
        # Nobody is refused: who waited sees what he waited for.
        assert outcomes["refused"] == 0


def _write(dsn: str, level: str, seed: int) -> Counter[str]:
    rng = random.Random(seed)
    outcomes: Counter[str] = Counter()
    with closing(psycopg2.connect(dsn)) as session:
        session.autocommit = True
        for _ in range(TRANSACTIONS):
            try:
                outcomes[_transact(session, level, rng)] += 1
            except psycopg2.errors.SerializationFailure:
                run(session, "ROLLBACK")
                outcomes["refused"] += 1
    return outcomes


def _transact(session: connection, level: str, rng: random.Random) -> str:
    """Insert an account, change it in a savepoint, append; or roll all of it back."""
    user_id = str(uuid4())
    given = {
        "id": user_id,
        "email": f"{user_id}@example.edu",
        "name": f"name {rng.random()}",
        "hash": f"$2b$12${'x' * 53}",
    }
    with session.cursor() as cursor:
        cursor.execute(f"BEGIN ISOLATION LEVEL {level}")
        cursor.execute("SET LOCAL ROLE proctoring_app")
        cursor.execute(INSERT, given)
        cursor.execute("SAVEPOINT before")
        cursor.execute(RENAME, given)
        if rng.random() < 0.5:
            # With an entry, whose number somebody else gets.
            cursor.execute(APPEND, given)
            cursor.execute("ROLLBACK TO SAVEPOINT before")
        number = "one" if rng.random() < 0.5 else "two"
        cursor.execute(APPEND if number == "one" else APPEND_TWO, given)
        if rng.random() < 0.3:
            cursor.execute("ROLLBACK")
            return "rolled back"
        cursor.execute("COMMIT")
    return number
