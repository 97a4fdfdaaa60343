"""Reads what PostgreSQL's COPY writes as text, and makes the binary rows of it.

A dump is such text. Checked is what `models.audit_snapshot` describes, so that there is
one checker for both.
"""

import re
from collections.abc import Callable, Mapping
from struct import Struct
from struct import error as BadStructError  # noqa: N812
from typing import Final

from models.audit_snapshot import COLUMNS, EPOCH_US
from utils.merkle import HASH_BYTES

NULL: Final = b"\\N"
NO_MORE_ROWS: Final = b"\\.\n"
MICROSECONDS_A_DAY: Final = 86_400_000_000
MAX_INT8: Final = 2**63 - 1
DAYS_TO_1970: Final = 719_468

_NUMBER = re.compile(rb"-?[0-9]{1,19}")
_ESCAPED = re.compile(rb"\\([0-7]{1,3}|x[0-9A-Fa-f]{1,2}|.)", re.DOTALL)
_NAMED: Final = dict(zip(b"bfnrtv", b"\b\f\n\r\t\v", strict=True))
_BYTEA_ESCAPED = re.compile(rb"\\([0-7]{3}|\\)")
_TIME = re.compile(
    rb"(?P<year>\d{4,6})-(?P<month>\d\d)-(?P<day>\d\d)"
    rb" (?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)(?:\.(?P<fraction>\d{1,6}))?"
    rb"(?P<sign>[+-])(?P<off_hour>\d\d)(?::(?P<off_minute>\d\d))?"
    rb"(?::(?P<off_second>\d\d))?(?P<bc> BC)?"
)

_int2, _int4, _int8 = Struct(">h"), Struct(">i"), Struct(">q")

# What a row says, by column; None for NULL.
Values = Mapping[str, bytes | None]


class DumpError(Exception):
    """This is no dump that can be verified; the message says why."""


def values_of(line: bytes, columns: tuple[str, ...]) -> dict[str, bytes | None]:
    """Take a line of COPY apart. Raises DumpError."""
    fields = line.rstrip(b"\n").split(b"\t")
    if len(fields) != len(columns):
        raise DumpError(f"A row has {len(fields)} fields, not {len(columns)}.")
    return {
        name: None if field == NULL else _unescaped(field)
        for name, field in zip(columns, fields, strict=True)
    }


def _unescaped(field: bytes) -> bytes:
    if b"\\" not in field:
        return field
    return _ESCAPED.sub(_character, field)


def _character(match: re.Match[bytes]) -> bytes:
    found = match[1]
    if found[:1] == b"x" and len(found) > 1:
        return bytes([int(found[1:], 16)])
    if found[:1].isdigit():
        return bytes([int(found, 8) & 255])
    return bytes([_NAMED.get(found[0], found[0])])


def binary_row(values: Values) -> bytes:
    """Return the row as COPY (FORMAT binary) sends it. Raises DumpError."""
    try:
        fields = [_ENCODERS.get(name, _as_text(name))(values) for name in COLUMNS]
    except (ValueError, OverflowError, TypeError, BadStructError) as error:
        raise DumpError(f"A row is malformed: {error}.") from error
    return _int2.pack(len(fields)) + b"".join(
        _int4.pack(-1) if field is None else _int4.pack(len(field)) + field
        for field in fields
    )


def integer(values: Values, name: str) -> int:
    """Return a number of PostgreSQL's largest type. Raises DumpError, also for NULL."""
    text = values[name] or b""
    found = int(text) if _NUMBER.fullmatch(text) else None
    if found is None or not ~MAX_INT8 <= found <= MAX_INT8:
        raise DumpError(f"{name} is no number.")
    return found


def binary(values: Values, name: str) -> bytes | None:
    """Return a bytea, in either of its formats. Raises DumpError."""
    text = values[name]
    if text is None:
        return None
    if text.startswith(b"\\x"):
        try:
            return bytes.fromhex(text[2:].decode("ascii"))
        except ValueError as error:
            raise DumpError(f"{name} is no bytea.") from error
    return _BYTEA_ESCAPED.sub(
        lambda match: b"\\" if match[1] == b"\\" else bytes([int(match[1], 8) & 255]),
        text,
    )


def time_us(values: Values, name: str) -> int:
    """Return the microseconds since 1970 of a timestamptz, in any time zone."""
    text = values[name]
    if text in {b"infinity", b"-infinity"}:
        # As PostgreSQL has them, whose epoch is the year 2000.
        return (MAX_INT8 if text == b"infinity" else ~MAX_INT8) + EPOCH_US
    match = _TIME.fullmatch(text or b"")
    if match is None:
        raise DumpError(f"{name} is no time.")
    part = {
        key: int(found)
        for key, found in match.groupdict(b"0").items()
        if (key not in {"sign", "bc", "fraction"})
    }
    year = part["year"] if match["bc"] is None else 1 - part["year"]
    days = _days(year, part["month"], part["day"])
    seconds = part["hour"] * 3600 + part["minute"] * 60 + part["second"]
    offset = (
        part["off_hour"] * 3600 + part["off_minute"] * 60 + part["off_second"]
    ) * (-1 if match["sign"] == b"-" else 1)
    fraction = int((match["fraction"] or b"0").ljust(6, b"0"))
    return days * MICROSECONDS_A_DAY + (seconds - offset) * 1_000_000 + fraction


def _days(year: int, month: int, day: int) -> int:
    """Count days since 1970 in the Gregorian calendar, which has no first year."""
    # Years that begin in March have their leap day at the end.
    year -= month <= 2  # noqa: PLR2004
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146_097 + day_of_era - DAYS_TO_1970


def _numbers(values: Values) -> bytes:
    return (
        _int8.pack(integer(values, "xid"))
        + _int2.pack(integer(values, "flags"))
        + _int4.pack(integer(values, "schema_version"))
    )


def _as_text(name: str) -> Callable[[Values], bytes | None]:
    return lambda values: values[name]


def _as_binary(name: str) -> Callable[[Values], bytes | None]:
    return lambda values: binary(values, name)


def _recorded_at(values: Values) -> bytes:
    return (time_us(values, "recorded_at") - EPOCH_US).to_bytes(8, signed=True)


def _is_regular(values: Values) -> bytes:
    """Say what models/audit_snapshot.py lets PostgreSQL say."""
    hashes = ("payload_hash", "state_hash", "previous_hash", "hash", "payload_salt")
    numbers = ("seq", "recorded_at", "xid", "flags", "schema_version")
    return bytes(
        [
            all(len(binary(values, name) or b"") == HASH_BYTES for name in hashes)
            and all(values[name] is not None for name in numbers)
        ]
    )


def _salt(values: Values) -> bytes | None:
    salt = binary(values, "payload_salt")
    return None if salt is None else salt + bytes(4)


# For the columns that are no text. A column that is added as text needs nothing here.
_ENCODERS: Final[Mapping[str, Callable[[Values], bytes | None]]] = {
    "is_regular": _is_regular,
    "seq": lambda values: _int8.pack(integer(values, "seq")),
    "recorded_at": _recorded_at,
    "numbers": _numbers,
    "state_bytes": lambda values: _int4.pack(len(values["state"] or b"")),
    "salt": _salt,
    **{
        name: _as_binary(name)
        for name in ("payload_hash", "state_hash", "previous_hash", "hash")
    },
}
