"""Reads the whole audit log in one snapshot, as the bytes that PostgreSQL sends.

A row arrives in the binary format of COPY: a count of fields, and each field behind
four bytes of length, -1 for NULL. That is also how `ENTRY v1` writes its strings: with
the columns in this order a checker finds the end of an entry lying ready in the row.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from struct import Struct
from typing import Any, Final, LiteralString

import psycopg2
from psycopg2 import errors, extensions, sql

from models.audit_event import AuditEvent
from models.audit_surroundings import (
    AUDIT_TABLES,
    Tables,
    UnreadableTablesError,
    lock,
    strange,
)
from models.audit_suspension import GET as GET_SUSPENSION
from models.audit_suspension import (
    IS_SUSPENDED,
    LIST_ORIGINS,
    OriginEntry,
    Suspension,
)
from models.audit_tree import StoredTree
from models.blockchain_log import LIST_HEADS, Head
from models.connection_settings import ConnectionSettings
from models.database_errors import DatabaseUnavailableError, RowError
from models.transaction import Params, Row, fetch_all

# Three numbers of fixed size come as one field, just as an entry has them: a field less
# is a tenth of a microsecond less, and a log has millions of entries. For the same
# reason a row says first whether all before the payload has its full length: each of
# these fields is then at its place, and nobody need look at nine lengths. A uuid is
# written by PostgreSQL's own function: between uuid and text anybody can put a cast.
COPY: LiteralString = """
    COPY (SELECT coalesce(
                     octet_length(payload_hash) = 32 AND octet_length(state_hash) = 32
                     AND octet_length(previous_hash) = 32 AND octet_length(hash) = 32
                     AND octet_length(payload_salt) = 32
                     AND num_nulls(seq, recorded_at, xid, flags, schema_version) = 0,
                     false),
                 seq, recorded_at,
                 int8send(xid) || int2send(flags) || int4send(schema_version),
                 payload_hash, state_hash, previous_hash, hash,
                 coalesce(octet_length(state), 0),
                 payload_salt || '\\x00000000'::bytea, payload,
                 textin(uuid_out(attempt_id)), actor_id,
                 event_type, entity_type, entity_id, state
            FROM public.audit_log WHERE {which} ORDER BY seq)
    TO STDOUT (FORMAT binary)
"""
RANGE: LiteralString = "seq BETWEEN {first} AND {last}"
# An entry is erased by a later one.
ERASURES: LiteralString = "event_type = 'data.erased' AND seq > {after}"
COLUMNS: Final = (
    "is_regular",
    "seq",
    "recorded_at",
    "numbers",
    "payload_hash",
    "state_hash",
    "previous_hash",
    "hash",
    # How many bytes the last field has: so that the end of the entry is found.
    "state_bytes",
    # Behind the salt the upper half of the payload's length, as it is committed to; the
    # lower half stands before the payload anyway.
    "salt",
    "payload",
    "attempt_id",
    "actor_id",
    "event_type",
    "entity_type",
    "entity_id",
    "state",
)
BOUNDS: LiteralString = "SELECT min(seq), max(seq) FROM public.audit_log"
# No range has them, and whoever sorts by number finds them first or last.
IS_UNNUMBERED: LiteralString = (
    "SELECT EXISTS (SELECT FROM public.audit_log WHERE seq IS NULL)"
)
NEXT_FROM: LiteralString = "SELECT min(seq) FROM public.audit_log WHERE seq >= %(seq)s"
# Of this transaction, not of the session, which may be lent by a pooler. How long each
# reading may take is said in front of it.
# A function of `public` that takes exactly a column's type would come before those of
# PostgreSQL. So nothing of it is looked for there.
BEGIN: LiteralString = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
    " SET LOCAL idle_in_transaction_session_timeout = 0;"
    " SET LOCAL statement_timeout = 0;"
    " SET LOCAL search_path = pg_catalog, pg_temp;"
    " SET LOCAL standard_conforming_strings = on"
)
TOO_LONG: Final = "reading took too long"
EXPORT: LiteralString = "SELECT pg_export_snapshot(), clock_timestamp()"
ALLOW: LiteralString = "SELECT set_config('statement_timeout', %(timeout)s, true)"
IMPORT: LiteralString = "SET TRANSACTION SNAPSHOT {snapshot}"

# libpq reads as much at once as its buffer has room for; the buffer grows to hold the
# largest message and never shrinks. A fifth of the time was seen to go with it.
ENLARGE_BUFFER: LiteralString = "SELECT repeat(' ', 1048576)"
WORTH_A_BUFFER: Final = 2000
# Without statistics, as after a restore, PostgreSQL takes a range for a few rows, and
# sorts tens of thousands before it sends one: a third of the time. By the index they
# are in order.
SORT: LiteralString = "SELECT set_config('enable_sort', %(value)s, true)"

HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER: Final = b"\xff\xff"
# How a regular row begins: with the count of its fields, and a true one.
REGULAR: Final = b"\x00\x11\x00\x00\x00\x01\x01"
# Where it has the entry's hash: behind seq, time, numbers and three other hashes, each
# of which comes with four bytes of length.
HASH_IN_ROW: Final = slice(161, 193)
# PostgreSQL counts microseconds from the year 2000.
EPOCH_US: Final = 946_684_800_000_000

NO_MORE: Final[Tables] = {}

_length = Struct(">i")

# Gets the messages of a COPY, each of which is a row but for what `row_of` knows.
Receive = Callable[[bytes], object]


class ReadInterruptedError(Exception):
    """The log was not read to its end: a timeout, or a cancelled query."""


@dataclass(frozen=True, slots=True)
class _Sink:
    """What psycopg2 takes for a file."""

    write: Receive


class Snapshot:
    """One state of the log, however long the reading takes and whoever writes."""

    def __init__(
        self,
        connection: extensions.connection,
        imported: str | None,
        timeout_seconds: float,
        tables: Tables,
    ) -> None:
        self._ends_at = time.monotonic() + timeout_seconds if timeout_seconds else None
        self.tree = StoredTree(self.all)
        self._cursor = connection.cursor()
        self._cursor.execute(BEGIN)
        # Before anything is seen: what the tables are is then known until the end.
        try:
            self._cursor.execute(lock(tables))
        except (errors.UndefinedTable, errors.WrongObjectType) as error:
            self._cursor.execute("ROLLBACK")
            self._cursor.execute(BEGIN)
            raise UnreadableTablesError(strange(self.all, tables)) from error
        self._tables = tables
        if imported is not None:
            self._cursor.execute(sql.SQL(IMPORT).format(snapshot=sql.Literal(imported)))
        self._cursor.execute(EXPORT)
        ((self.name, self.taken_at),) = self._cursor.fetchall()

    name: str
    taken_at: datetime

    def bounds(self) -> tuple[int, int] | None:
        """Return the first and the last seq, or None if the log is empty."""
        ((first, last),) = self.all(BOUNDS, {})
        return None if first is None else (first, last)

    def strange(self) -> list[str]:
        """Say why what is read here may not be what is there; empty if all is plain.

        Raises UnreadableTablesError if it can not be read at all.
        """
        found = strange(self.all, self._tables)
        if self.all(IS_UNNUMBERED, {}) != [(False,)]:
            found.append("public.audit_log has a row without a number")
        return found

    def next_from(self, seq: int) -> int | None:
        """Return the seq of the first entry from `seq` on, or None if there is none."""
        ((found,),) = self.all(NEXT_FROM, {"seq": seq})
        return None if found is None else int(found)

    def heads(self) -> list[Head]:
        """Return where the log ends, the furthest first. Raises RowError."""
        return self._rows(Head, LIST_HEADS, {})

    def origins(self) -> list[OriginEntry]:
        """Return the entries that say its origins. Raises RowError."""
        names = {"epoch_opened": AuditEvent.EPOCH_OPENED}
        return self._rows(OriginEntry, LIST_ORIGINS, names)

    def suspension(self) -> Suspension | None:
        """Return what the log is suspended for. Raises RowError."""
        rows = self._rows(Suspension, GET_SUSPENSION, {})
        if not rows and self.all(IS_SUSPENDED, {}) == [(True,)]:
            raise RowError(Suspension, ["all that it says"])
        return rows[0] if rows else None

    def copy(self, first: int, last: int, receive: Receive) -> None:
        """Send the rows from `first` to `last`, both included, in the order of seq.

        `receive` gets each message as it comes: see `row_of`. Raises
        ReadInterruptedError when they did not all come.
        """
        if last - first > WORTH_A_BUFFER:
            self._cursor.execute(ENLARGE_BUFFER)
        self.all(SORT, {"value": "off"})
        self._copy(
            sql.SQL(RANGE).format(first=sql.Literal(first), last=sql.Literal(last)),
            receive,
        )
        self.all(SORT, {"value": "on"})

    def copy_erasures(self, after: int, receive: Receive) -> None:
        """Send the entries behind `after` that say what was erased, as `copy` does."""
        self._copy(sql.SQL(ERASURES).format(after=sql.Literal(after)), receive)

    def _copy(self, which: sql.Composable, receive: Receive) -> None:
        statement = sql.SQL(COPY).format(which=which)
        with self._in_time():
            self._cursor.copy_expert(statement, _Sink(receive))

    def all(
        self, query: sql.Composable | LiteralString, parameters: Mapping[str, object]
    ) -> list[tuple[Any, ...]]:
        """Return the rows of a query. Raises ReadInterruptedError."""
        with self._in_time():
            self._cursor.execute(query, parameters)
            return self._cursor.fetchall()

    def _rows(
        self, row_type: type[Row], query: LiteralString, parameters: Params
    ) -> list[Row]:
        with self._in_time():
            self._cursor.execute(query, parameters)
            return fetch_all(row_type, self._cursor)

    def row(self, seq: int) -> bytes | None:
        """Return one row, or None if it is not there."""
        messages: list[bytes] = []
        self.copy(seq, seq, messages.append)
        rows = [row for row in map(row_of, messages) if row is not None]
        return rows[0] if rows else None

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        """Let a statement have what is left of the time for all of them."""
        try:
            if self._ends_at is not None:
                left_ms = int((self._ends_at - time.monotonic()) * 1000)
                if left_ms <= 0:
                    raise ReadInterruptedError(TOO_LONG)
                self._cursor.execute(ALLOW, {"timeout": str(left_ms)})
            yield
        except psycopg2.errors.QueryCanceled as error:
            raise ReadInterruptedError(TOO_LONG) from error


@contextmanager
def snapshot(
    settings: ConnectionSettings,
    *,
    timeout_seconds: float = 0,
    imported: str | None = None,
    also: Tables = NO_MORE,
) -> Iterator[Snapshot]:
    """Open a snapshot on a connection of its own; `imported` names another's.

    It is of the log's own tables and `also` of others, none of which anybody can alter
    meanwhile. All that is read of it may take `timeout_seconds`; 0 means no timeout.
    Raises DatabaseUnavailableError, and UnreadableTablesError if one is not there.
    """
    try:
        with closing(settings.connect()) as connection:
            yield Snapshot(
                connection, imported, timeout_seconds, {**AUDIT_TABLES, **also}
            )
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        raise DatabaseUnavailableError("the database did not answer") from error


def row_of(message: bytes) -> bytes | None:
    """Take COPY's header off the first message; return None for what holds no row."""
    row = message.removeprefix(HEADER)
    return None if row == TRAILER else row


def fields_of(row: bytes) -> dict[str, bytes | None]:
    """Take a row apart by its own lengths, for when something is wrong with it."""
    fields: dict[str, bytes | None] = {}
    position = 2
    for name in COLUMNS:
        (length,) = _length.unpack_from(row, position)
        position += _length.size
        if length < 0:
            fields[name] = None
            continue
        fields[name] = row[position : position + length]
        position += length
    return fields


def microseconds(moment: datetime) -> int:
    """Return the whole microseconds since 1970."""
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
