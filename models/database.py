"""The connection pool, and transactions that return typed rows.

Everything that can go wrong between us and PostgreSQL is translated here, once:
`DatabaseUnavailableError` (try again later) and `ConstraintError` (a named rule of
the schema said no). Anything else is a defect.
"""

import logging
import math
import os
import random
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, LiteralString, TypeVar

import psycopg2
from psycopg2 import errorcodes, extensions, extras
from pydantic import TypeAdapter, ValidationError

from models.audit_entry import NewEntry, PendingEntry
from models.watched_connection import WatchedConnection
from utils import metrics

logger = logging.getLogger(__name__)

Row = TypeVar("Row")
Params = Mapping[str, object]

BEGIN_WRITING: LiteralString = "BEGIN; SET LOCAL synchronous_commit = off; "
BEGIN_READING: LiteralString = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "

# Appending locks the head of the log until the commit, so the two travel together and
# no round trip happens under the lock. The commit itself is asynchronous; the record
# that follows is not, and its flush covers all that was written before it: nobody is
# answered before his work is on disk. docs/decisions/0002-fast-commit.md
FLUSH: LiteralString = "SELECT pg_logical_emit_message(true, 'proctoring', '')"
COMMIT_AND_FLUSH: LiteralString = (
    "; COMMIT; " + FLUSH + ", current_setting('proctoring.appended')"
)
APPEND_ONE_AND_COMMIT: LiteralString = (
    "SELECT audit_append_one(%(event_type)s, %(entity_type)s, %(entity_id)s,"
    " %(actor_id)s, %(attempt_id)s, %(payload)s)" + COMMIT_AND_FLUSH
)
APPEND_AND_COMMIT: LiteralString = (
    "SELECT audit_append(%(event_types)s::text[], %(entity_types)s::text[],"
    " %(entity_ids)s::text[], %(actor_ids)s::text[], %(attempt_ids)s::uuid[],"
    " %(payloads)s::text[])" + COMMIT_AND_FLUSH
)
COMMIT_AND_FLUSH_AND_RETURN: LiteralString = (
    COMMIT_AND_FLUSH
    + " AS appended, current_setting('proctoring.returned', true) AS returned"
)
ROLL_BACK_AND_FLUSH: LiteralString = "ROLLBACK; " + FLUSH

# How a session was really begun: a pooler in between may have left out what it was
# asked for (PgBouncer does), and then has to be given it by the login's own defaults.
IN_FORCE: LiteralString = (
    "SELECT name, current_setting(name) FROM unnest(%(names)s::text[]) AS name"
)

TAKE_TIME: LiteralString = (
    "SELECT set_config('statement_timeout', %(milliseconds)s, true)"
)

IDLE = extensions.TRANSACTION_STATUS_IDLE
# A connection that was idle for longer is asked before it is used; a server that is
# well answers that without reading anything.
IDLE_CHECK_SECONDS = 1.0
IDLE_CHECK_PATIENCE_SECONDS = 2.0
LIFETIME_SECONDS = 1800.0

# What audit_guard_suspension raises.
LOG_SUSPENDED = "LG001"
# A statement that ended for one of these reasons may well succeed a moment later.
TRANSIENT = frozenset(
    {
        errorcodes.SERIALIZATION_FAILURE,
        errorcodes.DEADLOCK_DETECTED,
        errorcodes.LOCK_NOT_AVAILABLE,
        errorcodes.READ_ONLY_SQL_TRANSACTION,
        errorcodes.IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    }
)


class DatabaseUnavailableError(Exception):
    """The server is away, or every connection is busy. Trying again may help.

    Whether an interrupted commit took place is unknown: whatever is sent again must
    be idempotent.
    """


class PoolBusyError(DatabaseUnavailableError):
    """Every connection is lent out. The database itself may be well."""


class SessionError(DatabaseUnavailableError):
    """The session is not as it was asked for, so nothing is done in it.

    Without a time limit a statement could last for ever, and without a synchronous
    commit an answer would promise what a crash may take.
    """


class LogSuspendedError(Exception):
    """The log contradicts what was signed of it, so nothing may be appended.

    It stays so until a person has decided: docs/decisions/0013-epochs.md.
    """


class ConstraintError(Exception):
    """A constraint of the schema refused the statement."""

    def __init__(self, constraint: str) -> None:
        super().__init__(constraint)
        self.constraint = constraint


class RowError(Exception):
    """A row does not fit the type that it is read as: a defect."""

    def __init__(self, row_type: type[Any], places: Sequence[str]) -> None:
        super().__init__(f"{row_type!r} does not fit at {', '.join(places)}")
        self.places = places


def as_json(value: object) -> extras.Json:
    """Mark a parameter as one JSON document (a bare list is an SQL array)."""
    return extras.Json(value)


def _register_types() -> None:
    extensions.register_adapter(dict, extras.Json)
    extras.register_uuid()  # type: ignore[no-untyped-call]

    def to_bytes(value: str | bytes | None, cursor: extensions.cursor) -> bytes | None:
        found = psycopg2.BINARY(value, cursor)
        return None if found is None else bytes(found)

    extensions.register_type(
        extensions.new_type(psycopg2.BINARY.values, "BYTES", to_bytes)
    )


_register_types()

# What the current request wants done inside its transaction: claim its idempotency key.
before_commit: ContextVar[Callable[["Transaction"], None] | None] = ContextVar(
    "before_commit", default=None
)

_adapters: dict[type[Any], TypeAdapter[Any]] = {}


def _adapter(row_type: type[Row]) -> TypeAdapter[Row]:
    # Building one is slow; using it is not.
    found = _adapters.get(row_type)
    if found is None:
        found = _adapters[row_type] = TypeAdapter(row_type)
    return found


def fetch_all(row_type: type[Row], cursor: extensions.cursor) -> list[Row]:
    """Return the rows of a query that was run. Raises RowError for one that is none."""
    names = [column.name for column in cursor.description or ()]
    validate = _adapter(row_type).validate_python
    try:
        rows = cursor.fetchall()
    except ValueError:
        # PostgreSQL's calendar begins before Python's and ends behind it.
        raise RowError(row_type, ["a time that is out of range"]) from None
    try:
        return [validate(dict(zip(names, row, strict=True))) for row in rows]
    except ValidationError as error:
        what = error.errors(include_input=False, include_url=False)
        places = [".".join(map(str, each["loc"])) for each in what]
        # Without its cause, which shows the value to the log of the process.
        raise RowError(row_type, places) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """Where the database is, and how long anyone waits for it (in seconds)."""

    host: str
    port: int
    name: str
    user: str
    password: str = ""
    sslmode: str = "prefer"
    # What every connection becomes. None keeps the login role (for administration).
    role: str | None = "proctoring_app"
    pool_size: int = 10
    pool_wait_seconds: float = 2.0
    connect_timeout_seconds: int = 3
    statement_timeout_seconds: float = 5.0
    lock_timeout_seconds: float = 2.0

    @property
    def session(self) -> dict[str, str]:
        """What each session asks for, by parameter, in the words that PostgreSQL shows.

        deploy/logins.sh has it once more, for sessions through a pooler.
        """
        asked = {
            "search_path": "public",
            "timezone": "UTC",
            # What waits for the disk must do so whatever the server's default is.
            "synchronous_commit": "on",
            "statement_timeout": _duration(self.statement_timeout_seconds),
            "lock_timeout": _duration(self.lock_timeout_seconds),
            "idle_in_transaction_session_timeout": _duration(10),
        }
        return asked if self.role is None else {**asked, "role": self.role}

    def connect(self) -> WatchedConnection:
        """Open a connection in autocommit. Raises SessionError and psycopg2.Error."""
        asked = self.session
        connection = psycopg2.connect(
            host=self.host,
            port=self.port,
            dbname=self.name,
            user=self.user,
            password=self.password,
            sslmode=self.sslmode,
            connect_timeout=self.connect_timeout_seconds,
            # A server that vanished without a word is noticed in seconds, not hours.
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=10_000,
            application_name="proctoring",
            options=" ".join(
                f"-c {name}={value}"
                for name, value in {**asked, "datestyle": "ISO"}.items()
            ),
            connection_factory=WatchedConnection,
        )
        connection.autocommit = True
        _check_session(connection, asked)
        return connection


def _duration(seconds: float) -> str:
    """Return a length of time as PostgreSQL shows it, in its largest whole unit."""
    milliseconds = int(seconds * 1000)
    for unit, size in (("h", 3_600_000), ("min", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0"


def patience_for(statement_timeout_seconds: float) -> float:
    """Return how long to wait for an answer in which statements have this limit.

    One message has up to two of them, what is asked and the flush, and a limit of 0 is
    none. The rest is for the way, and for a server that is slow to cancel.
    """
    return 2 * statement_timeout_seconds + 2 if statement_timeout_seconds else math.inf


def _check_session(connection: WatchedConnection, asked: Mapping[str, str]) -> None:
    with connection.cursor() as cursor:
        connection.ask(
            cursor,
            IN_FORCE,
            {"names": list(asked)},
            patience_seconds=IDLE_CHECK_PATIENCE_SECONDS,
        )
        found = dict(cursor.fetchall())
    lost = {name: found[name] for name in asked if found[name] != asked[name]}
    if lost:
        connection.close()
        logger.error("a session without what it was asked for", extra={"found": lost})
        raise SessionError(f"the session has {lost}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a function did that appended its entries itself, and has been committed.

    `first_seq` is None if there was nothing to append. `returned` is what the function
    said in this setting: one that says nothing leaves what was there, or None.
    """

    first_seq: int | None
    returned: str | None


class Transaction:
    """An open transaction. Its statements commit or roll back together."""

    def __init__(
        self,
        connection: WatchedConnection,
        begin: LiteralString,
        patience_seconds: float,
    ) -> None:
        self._connection = connection
        self._patience_seconds = patience_seconds
        self._cursor = connection.cursor()
        # Sent in front of the first statement, which saves a round trip.
        self._begin: LiteralString = begin
        self._entries: list[tuple[NewEntry, PendingEntry]] = []
        self._is_finished = False

    def execute(self, sql: LiteralString, params: Params | None = None) -> int:
        """Run a statement and return how many rows it touched."""
        self._run(sql, params)
        return self._cursor.rowcount

    def all(
        self, row_type: type[Row], sql: LiteralString, params: Params | None = None
    ) -> list[Row]:
        """Return every row as a `row_type`. Raises RowError for one that is none."""
        self._run(sql, params)
        return fetch_all(row_type, self._cursor)

    def one_or_none(
        self, row_type: type[Row], sql: LiteralString, params: Params | None = None
    ) -> Row | None:
        rows = self.all(row_type, sql, params)
        if len(rows) > 1:
            raise LookupError(f"expected at most one row, got {len(rows)}")
        return rows[0] if rows else None

    def one(
        self, row_type: type[Row], sql: LiteralString, params: Params | None = None
    ) -> Row:
        row = self.one_or_none(row_type, sql, params)
        if row is None:
            raise LookupError("expected one row, got none")
        return row

    def scalar(self, sql: LiteralString, params: Params | None = None) -> Any:
        """Return the only column of the only row. Any: the SQL decides its type."""
        self._run(sql, params)
        rows = self._cursor.fetchall()
        if len(rows) != 1 or len(rows[0]) != 1:
            raise LookupError("expected one row of one column")
        return rows[0][0]

    def take_time(self, seconds: int) -> None:
        """Let the statements of this transaction run for so long."""
        self.execute(TAKE_TIME, {"milliseconds": str(seconds * 1000)})
        self._patience_seconds = patience_for(seconds)

    def queue_entry(self, entry: NewEntry) -> PendingEntry:
        """Promise an audit entry, which the commit will append."""
        pending = PendingEntry()
        self._entries.append((entry, pending))
        return pending

    def finish_with(self, sql: LiteralString, params: Params) -> Finished:
        """Call a function that appends its entry itself, and commit, in one message.

        If it has something to say besides, it leaves that in the setting
        `proctoring.returned`. Nothing can be done in this transaction afterwards.
        """
        if self._entries or before_commit.get() is not None:
            raise RuntimeError("something else waits for this transaction's commit")
        self.flush(sql + COMMIT_AND_FLUSH_AND_RETURN, params)
        self._is_finished = True
        ((_, appended, returned),) = self._cursor.fetchall()
        return Finished(
            first_seq=_first_seq(appended) if appended else None, returned=returned
        )

    def finish_writing(self) -> None:
        """Append, commit and flush; or, without an entry, undo and flush.

        A block that queued no entry changed nothing that may stay. It may have seen
        what another has committed but not yet flushed, hence the flush.
        """
        if self._is_finished:
            return
        if not self._entries:
            if not self._begin:
                self.flush(ROLL_BACK_AND_FLUSH)
            return
        self.flush(*_append([entry for entry, _ in self._entries]))
        ((_, appended),) = self._cursor.fetchall()
        first_seq = _first_seq(appended)
        for offset, (_, pending) in enumerate(self._entries):
            pending.settle(first_seq + offset)

    def flush(self, sql: LiteralString = FLUSH, params: Params | None = None) -> None:
        """Run a message that ends with the flush, and believe it only if it waited.

        Somebody who cancels a statement that waits for a synchronous standby does not
        undo it: PostgreSQL commits without the standby, and says so in a warning alone.
        """
        del self._connection.notices[:]
        self._run(sql, params)
        if self._connection.notices:
            raise DatabaseUnavailableError("; ".join(self._connection.notices).strip())

    def finish_reading(self) -> None:
        if not self._begin:
            self._run("COMMIT", None)

    def _run(self, sql: LiteralString, params: Params | None) -> None:
        if self._is_finished:
            raise RuntimeError("this transaction is committed")
        begin, self._begin = self._begin, ""
        self._connection.ask(
            self._cursor, begin + sql, params, patience_seconds=self._patience_seconds
        )


def _first_seq(appended: str) -> int:
    """Read what the functions that append say of it: "first seq:last hash"."""
    return int(appended.partition(":")[0])


def _append(entries: Sequence[NewEntry]) -> tuple[LiteralString, Params]:
    """Return the statement that appends the entries and commits."""
    if len(entries) == 1:
        (entry,) = entries
        return APPEND_ONE_AND_COMMIT, {
            "event_type": entry.event_type,
            "entity_type": entry.entity_type,
            "entity_id": entry.entity_id,
            "actor_id": entry.actor_id,
            "attempt_id": entry.attempt_id,
            "payload": entry.payload,
        }
    return APPEND_AND_COMMIT, {
        "event_types": [entry.event_type for entry in entries],
        "entity_types": [entry.entity_type for entry in entries],
        "entity_ids": [entry.entity_id for entry in entries],
        "actor_ids": [entry.actor_id for entry in entries],
        "attempt_ids": [entry.attempt_id for entry in entries],
        "payloads": [entry.payload for entry in entries],
    }


@dataclass(slots=True)
class _Pooled:
    connection: WatchedConnection
    dies: float
    idle_since: float


class Database:
    """A bounded pool that heals itself and survives a fork.

    At most `pool_size` connections; who finds none waits `pool_wait_seconds` and then
    gets PoolBusyError. A connection is opened outside every lock, checked
    before use when it sat idle, and thrown away when anything about it is in doubt.
    """

    def __init__(self, settings: ConnectionSettings) -> None:
        self.settings = settings
        self._patience_seconds = patience_for(settings.statement_timeout_seconds)
        # Whoever compares sees that what answers may be another server by now.
        self.connections_opened = 0
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        """Start empty. psycopg2 never closes a connection of another process."""
        self._pid = os.getpid()
        self._turns = threading.BoundedSemaphore(self.settings.pool_size)
        self._idle: deque[_Pooled] = deque()
        self._waiting = 0
        metrics.POOL_LIMIT.inc(self.settings.pool_size)

    @contextmanager
    def transaction(self, *, is_aside: bool = False) -> Iterator[Transaction]:
        """Write: commit with the queued audit entries, or not at all.

        `is_aside` is for what is noted beside the request's own work (a refusal): it
        does not claim the request's idempotency key. Raises DatabaseUnavailableError
        and ConstraintError.
        """
        with self._connection() as connection:
            tx = Transaction(connection, BEGIN_WRITING, self._patience_seconds)
            yield tx
            if not is_aside and (hook := before_commit.get()) is not None:
                hook(tx)
            tx.finish_writing()

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Read one snapshot. Nothing can be written, and nothing is flushed."""
        with self._connection() as connection:
            tx = Transaction(connection, BEGIN_READING, self._patience_seconds)
            yield tx
            tx.finish_reading()

    @contextmanager
    def read_beside(self) -> Iterator[Transaction]:
        """Read one snapshot on a connection of its own, which is no part of the pool.

        For whoever looks how things stand when all others are lent out. Raises
        DatabaseUnavailableError.
        """
        with _translated(), closing(self.settings.connect()) as connection:
            tx = Transaction(connection, BEGIN_READING, self._patience_seconds)
            yield tx
            tx.finish_reading()

    @contextmanager
    def bookkeeping(self) -> Iterator[Transaction]:
        """Run single statements, each of which commits at once and unaudited.

        For rate limits and idempotency keys, which are no part of the record.
        """
        with self._connection() as connection:
            yield Transaction(connection, "", self._patience_seconds)

    @contextmanager
    def _connection(self) -> Iterator[WatchedConnection]:
        if self._pid != os.getpid():
            self._forget()
        turns = self._turns
        if not turns.acquire(blocking=False):
            self._wait_for(turns)
        try:
            with metrics.POOL_IN_USE.track_inprogress(), _translated():
                pooled = self._borrow()
                try:
                    yield pooled.connection
                finally:
                    self._give_back(pooled)
        finally:
            turns.release()

    def is_waited_for(self) -> bool:
        """Say whether somebody waits for a connection at this moment."""
        return self._waiting > 0

    def _wait_for(self, turns: threading.BoundedSemaphore) -> None:
        with metrics.POOL_WAITING.track_inprogress(), self._one_more_waiting():
            if turns.acquire(timeout=self.settings.pool_wait_seconds):
                return
        metrics.POOL_TIMEOUTS.inc()
        raise PoolBusyError("every connection is busy")

    @contextmanager
    def _one_more_waiting(self) -> Iterator[None]:
        with self._lock:
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1

    def _borrow(self) -> _Pooled:
        while True:
            try:
                pooled = self._idle.pop()
            except IndexError:
                now = time.monotonic()
                life = LIFETIME_SECONDS * random.uniform(0.8, 1.0)  # noqa: S311
                connection = self.settings.connect()
                self.connections_opened += 1
                return _Pooled(connection, now + life, now)
            if _is_usable(pooled):
                return pooled
            self._discard(pooled.connection)

    def _discard(self, connection: WatchedConnection) -> None:
        _close(connection)
        if connection.is_hung_up:
            # The others lead to the same silence: nobody else is to wait for it.
            self.close()

    def _give_back(self, pooled: _Pooled) -> None:
        connection = pooled.connection
        try:
            if connection.info.transaction_status != IDLE:
                with connection.cursor() as cursor:
                    connection.ask(
                        cursor, "ROLLBACK", patience_seconds=self._patience_seconds
                    )
            is_clean = connection.info.transaction_status == IDLE
        except psycopg2.Error:
            is_clean = False
        if is_clean and not connection.closed:
            pooled.idle_since = time.monotonic()
            self._idle.append(pooled)
        else:
            self._discard(connection)

    def close(self) -> None:
        """Close what is idle. What is lent out is closed when it comes back broken."""
        with suppress(IndexError):
            while True:
                _close(self._idle.pop().connection)


def _is_usable(pooled: _Pooled) -> bool:
    now = time.monotonic()
    connection = pooled.connection
    if connection.closed or now > pooled.dies:
        return False
    try:
        # Nothing is owed to an idle connection: what is there to read is its end.
        if select.select([connection.fileno()], [], [], 0)[0]:
            return False
        if now - pooled.idle_since > IDLE_CHECK_SECONDS:
            with connection.cursor() as cursor:
                connection.ask(
                    cursor, "SELECT 1", patience_seconds=IDLE_CHECK_PATIENCE_SECONDS
                )
    except (OSError, ValueError, psycopg2.Error):
        return False
    return True


def _close(connection: extensions.connection) -> None:
    with suppress(psycopg2.Error):
        connection.close()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        with _without_rows():
            yield
    except psycopg2.IntegrityError as error:
        raise ConstraintError(error.diag.constraint_name or "unnamed") from error
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        metrics.DATABASE_FAILURES.labels("away").inc()
        logger.warning("database unavailable", extra={"cause": _in_one_line(error)})
        raise DatabaseUnavailableError("the database did not answer") from error
    except psycopg2.Error as error:
        if error.pgcode == LOG_SUSPENDED:
            raise LogSuspendedError from error
        if error.pgcode in TRANSIENT:
            metrics.DATABASE_FAILURES.labels("busy").inc()
            raise DatabaseUnavailableError("the database is busy") from error
        # A bare DatabaseError without a code is no answer of the server's at all:
        # psycopg2 says so when the connection breaks in the middle of a message.
        if type(error) is psycopg2.DatabaseError and error.pgcode is None:
            metrics.DATABASE_FAILURES.labels("away").inc()
            raise DatabaseUnavailableError("the database hung up") from error
        raise


@contextmanager
def _without_rows() -> Iterator[None]:
    """Leave of a refusal its first line.

    The others say what is in the row, "Failing row contains (…)": answers, hashes of
    passwords. Whatever is not expected gets into the log of the process.
    """
    try:
        yield
    except psycopg2.Error as error:
        if error.diag.message_primary is not None:
            error.args = (f"{error.pgcode}: {error.diag.message_primary}",)
        raise


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())
