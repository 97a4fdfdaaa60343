"""Transactions that return typed rows, and how one commits."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, fields
from typing import Any, LiteralString, TypeVar

from psycopg2 import extensions, extras
from pydantic import TypeAdapter, ValidationError

from models.audit_entry import NewEntry, PendingEntry
from models.database_errors import DatabaseUnavailableError, RowError
from models.watched_connection import WatchedConnection

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

TAKE_TIME: LiteralString = (
    "SELECT set_config('statement_timeout', %(milliseconds)s, true)"
)


def as_json(value: object) -> extras.Json:
    """Mark a parameter as one JSON document (a bare list is an SQL array)."""
    return extras.Json(value)


# Any, twice: dataclasses have no type in common, and their fields keep theirs.
def columns_of(row: Any) -> dict[str, Any]:
    """Return a dataclass as the parameters of a statement. Copies no value."""
    return {each.name: getattr(row, each.name) for each in fields(row)}


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


def patience_for(statement_timeout_seconds: float) -> float:
    """Return how long to wait for an answer in which statements have this limit.

    One message has up to two of them, what is asked and the flush, and a limit of 0 is
    none. The rest is for the way, and for a server that is slow to cancel.
    """
    return 2 * statement_timeout_seconds + 2 if statement_timeout_seconds else math.inf


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
