"""Reads the audit log from a dump that pg_dump made, without a database.

The file is read once to find where each row is, which takes 16 bytes of memory an
entry; so rows can be had in the order of seq though a dump has them in any.
"""

import re
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import BinaryIO, Final

from models.audit_event import AuditEvent
from models.audit_snapshot import ReadInterruptedError, Receive
from models.audit_surroundings import AUDIT_TABLES
from models.audit_suspension import OriginEntry, Suspension
from models.audit_tree import SignedSize
from models.blockchain_log import Head
from models.copy_text import (
    NO_MORE_ROWS,
    DumpError,
    Values,
    binary,
    binary_row,
    integer,
    time_us,
    values_of,
)
from models.dump_sql import Statements
from utils.instants import from_microseconds

NEEDED: Final = ("audit_log", "audit_head")
ENCODING: Final = re.compile(rb"SET client_encoding = '(?P<name>[^']*)';\n")
COMPLETE: Final = b"-- PostgreSQL database dump complete\n"
EPOCH_OPENED: Final = AuditEvent.EPOCH_OPENED.encode()
DATA_ERASED: Final = AuditEvent.DATA_ERASED.encode()

_TELLING = re.compile(rb"\t(?:%s|%s)\t" % (EPOCH_OPENED, DATA_ERASED))
_SECTION = re.compile(
    rb"COPY public\.(?P<table>[a-z_]+) \((?P<columns>[^)]*)\) FROM stdin;\n"
)


@dataclass(slots=True)
class _Section:
    """Where the rows of a table are: the key of each, and its place in the file."""

    columns: tuple[str, ...]
    key: int
    keys: "array[int]" = field(default_factory=lambda: array("q"))
    places: "array[int]" = field(default_factory=lambda: array("q"))

    def sort(self) -> None:
        """Order by key; equal ones stay in the order of the file."""
        if any(self.keys[i] > self.keys[i + 1] for i in range(len(self.keys) - 1)):
            order = sorted(range(len(self.keys)), key=self.keys.__getitem__)
            self.keys = array("q", (self.keys[i] for i in order))
            self.places = array("q", (self.places[i] for i in order))


class DumpedLog:
    """The log of a dump. It is a `models.audit_source.LogSource`.

    `file` can be sought in. Everything raises DumpError for what pg_dump never writes.
    """

    def __init__(self, file: BinaryIO, taken_at: datetime) -> None:
        self.taken_at = taken_at
        self._file = file
        self._is_complete = False
        # The entries that look as if they opened an epoch, or erased others.
        self._telling: list[int] = []
        self._sections = _find(file, self)
        self.tree = DumpedTree(self)
        for table in NEEDED:
            if table not in self._sections:
                raise DumpError(
                    f"There are no rows of {table} in it: dump all of the database, in"
                    " the plain format and without --inserts."
                )

    @property
    def entries(self) -> int:
        return len(self._sections["audit_log"].keys)

    def heads(self) -> list[Head]:
        """Return where the log ends, the furthest first."""
        return [
            Head(
                log_id=binary(values, "log_id") or b"",
                origin=(values["origin"] or b"").decode(errors="replace"),
                next_seq=integer(values, "next_seq"),
                hash=binary(values, "hash") or b"",
                recorded_at=_moment(values, "recorded_at"),
            )
            for values in reversed(list(self.rows("audit_head")))
        ]

    def origins(self) -> list[OriginEntry]:
        """Return the entries under which origins the log was signed."""
        return [
            OriginEntry(
                seq=seq,
                recorded_at=_moment(values, "recorded_at"),
                actor_id=_text(values, "actor_id"),
                payload=_text(values, "payload"),
            )
            for seq in sorted({0, *self._telling})
            for values in self.rows("audit_log", seq, seq)
            if seq == 0 or values["event_type"] == EPOCH_OPENED
        ]

    def suspension(self) -> Suspension | None:
        """Return what the log is suspended for."""
        head = next(reversed(list(self.rows("audit_head"))), None)
        if head is None or head["suspension"] is None:
            return None
        number = integer(head, "suspension")
        values = next(self.rows("audit_suspensions", number, number), None)
        if values is None:
            raise DumpError("The log is suspended, and the dump does not say for what.")
        return Suspension(
            found_at=_moment(values, "found_at"),
            seen_by=_text(values, "seen_by") or "",
            note=_text(values, "note") or "",
            size=integer(values, "size"),
            root=binary(values, "root") or b"",
            log_size=integer(values, "log_size"),
            log_root=binary(values, "log_root"),
        )

    def strange(self) -> None:
        """Nothing stands between a file and who reads it."""

    def bounds(self) -> tuple[int, int] | None:
        keys = self._sections["audit_log"].keys
        return (keys[0], keys[-1]) if keys else None

    def next_from(self, seq: int) -> int | None:
        keys = self._sections["audit_log"].keys
        place = bisect_left(keys, seq)
        return keys[place] if place < len(keys) else None

    def row(self, seq: int) -> bytes | None:
        values = next(self.rows("audit_log", seq, seq), None)
        return None if values is None else binary_row(values)

    def copy(self, first: int, last: int, receive: Receive) -> None:
        """Send the rows. Raises ReadInterruptedError where the dump was cut off."""
        for values in self.rows("audit_log", first, last):
            receive(binary_row(values))
        keys = self._sections["audit_log"].keys
        if not self._is_complete and keys and last >= keys[-1]:
            raise ReadInterruptedError("the dump was cut off")

    def copy_erasures(self, after: int, receive: Receive) -> None:
        """Send the entries behind `after` that say what was erased."""
        for seq in sorted(set(self._telling)):
            for values in self.rows("audit_log", seq, seq):
                if seq > after and values["event_type"] == DATA_ERASED:
                    receive(binary_row(values))

    def rows(
        self, table: str, first: int | None = None, last: int | None = None
    ) -> Iterator[Values]:
        """Return rows in the order of their keys, from `first` to `last`."""
        section = self._sections.get(table)
        if section is None:
            return
        keys = section.keys
        start = 0 if first is None else bisect_left(keys, first)
        end = len(keys) if last is None else bisect_right(keys, last)
        places = section.places[start:end]
        missing = sorted(AUDIT_TABLES[table].keys() - set(section.columns))
        if places and missing:
            raise DumpError(f"{table} has no column {missing[0]}.")
        for place in places:
            self._file.seek(place)
            yield values_of(self._file.readline(), section.columns)

    def note_telling(self, seq: int) -> None:
        self._telling.append(seq)

    def note_end(self) -> None:
        self._is_complete = True


class DumpedTree:
    """The checkpoints and tiles of a dump. It is a `models.audit_source.TreeSource`."""

    def __init__(self, dump: DumpedLog) -> None:
        self._dump = dump

    def newest_checkpoint(self) -> int:
        return max((each.size for each in self._checkpoints(None, None)), default=0)

    def checkpoints(self, *, after: int, until: int) -> list[SignedSize]:
        return list(self._checkpoints(after + 1, until))

    def checkpoint(self, size: int) -> SignedSize | None:
        return next(self._checkpoints(size, size), None)

    def checkpoints_beyond(self, size: int) -> tuple[int, int | None]:
        sizes = [each.size for each in self._checkpoints(size + 1, None)]
        return len(sizes), min(sizes, default=None)

    def checkpoints_of_nothing(self) -> int:
        return sum(1 for _ in self._checkpoints(None, 0))

    def tiles(
        self, *, level: int, first: int, last: int
    ) -> Sequence[tuple[int, bytes]]:
        return [
            (integer(row, "tile_index"), binary(row, "hashes") or b"")
            for row in self._dump.rows("merkle_tiles", first, last)
            if integer(row, "level") == level
        ]

    def bytes_by_level(self) -> Mapping[int | None, int]:
        found: Counter[int | None] = Counter()
        for row in self._dump.rows("merkle_tiles"):
            found[integer(row, "level")] += max(len(binary(row, "hashes") or b""), 1)
        return found

    def tiled_size(self) -> int:
        return max(
            (
                integer(row, "tile_index") * 256
                + len(binary(row, "hashes") or b"") // 32
                for row in self._dump.rows("merkle_tiles")
                if integer(row, "level") == 0
            ),
            default=0,
        )

    def _checkpoints(self, first: int | None, last: int | None) -> Iterator[SignedSize]:
        for row in self._dump.rows("checkpoints", first, last):
            yield SignedSize(
                integer(row, "size"),
                binary(row, "root") or b"",
                (row["note"] or b"").decode(errors="replace"),
            )


# By what the rows of each table are found.
KEYS: Final = {
    "audit_log": "seq",
    "audit_head": "next_seq",
    "audit_suspensions": "id",
    "checkpoints": "size",
    "merkle_tiles": "tile_index",
}


def _find(file: BinaryIO, dump: DumpedLog) -> dict[str, _Section]:
    """Read the file once, and note where the rows are."""
    sections: dict[str, _Section] = {}
    statements = Statements()
    position, is_row, current = 0, False, None
    for line in file:
        if not is_row:
            is_between = statements.is_between
            is_row = statements.read(line)
            # What begins within quotes is no line of pg_dump's, whatever it looks like.
            if is_between:
                current = _begin(sections, line) if is_row else None
                _heed(line, dump)
        elif line == NO_MORE_ROWS:
            is_row = False
        elif current is not None:
            current.keys.append(_key(line, current.key))
            current.places.append(position)
            if _TELLING.search(line) and current is sections.get("audit_log"):
                dump.note_telling(current.keys[-1])
        position += len(line)
    statements.end()
    for section in sections.values():
        section.sort()
    return sections


def _begin(sections: dict[str, _Section], line: bytes) -> _Section | None:
    """Return the section that the line begins, or None if it is of another table."""
    match = _SECTION.fullmatch(line)
    table = "" if match is None else match["table"].decode()
    if match is None or table not in AUDIT_TABLES:
        return None
    if table in sections:
        raise DumpError(f"The rows of {table} stand in it twice.")
    # A name in quotes keeps them: nobody's `payload"` may pass for `payload`.
    columns = tuple(match["columns"].decode(errors="replace").split(", "))
    if KEYS[table] not in columns:
        raise DumpError(f"{table} has no column {KEYS[table]}.")
    sections[table] = _Section(columns, columns.index(KEYS[table]))
    return sections[table]


def _heed(line: bytes, dump: DumpedLog) -> None:
    """Take note of what the line says of the dump itself."""
    if line == COMPLETE:
        dump.note_end()
    elif (match := ENCODING.fullmatch(line)) and match["name"] != b"UTF8":
        raise DumpError("It is not in UTF-8, in which the log is hashed.")


def _moment(values: Values, name: str) -> datetime:
    try:
        return from_microseconds(time_us(values, name))
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _text(values: Values, name: str) -> str | None:
    found = values[name]
    return None if found is None else found.decode(errors="replace")


def _key(line: bytes, column: int) -> int:
    try:
        return integer({"key": line.split(b"\t", column + 1)[column].rstrip()}, "key")
    except (DumpError, IndexError) as error:
        raise DumpError("A row has no number: the dump is damaged.") from error
