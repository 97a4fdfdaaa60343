"""The bytes that the audit log hashes: the second, independent implementation.

The first is SQL (`audit_append` in database/migrations/0003_audit_log.sql), which
writes; this one checks. docs/decisions/0003-audit-entry-layout.md gives the layout.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from struct import Struct
from struct import error as StructError  # noqa: N812
from typing import Any, Final

import orjson
import rfc8785
from pydantic import ConfigDict, TypeAdapter

# 16 bytes each. A new layout gets a new tag; an old one is never read differently.
ENTRY_TAG: Final = b"PROCTORAUDIT/e1\n"
PAYLOAD_TAG: Final = b"PROCTORAUDIT/p1\n"
STATE_TAG: Final = b"PROCTORAUDIT/s1\n"
# RFC 6962 section 2.1 tells leaves from inner nodes by their first byte.
LEAF_PREFIX: Final = b"\x00"
STREAM: Final = "main"
NO_HASH: Final = bytes(32)
NULL: Final = b"\xff\xff\xff\xff"

_LENGTH = Struct(">I")
_LONG_LENGTH = Struct(">Q")
# Tag, log id, seq, previous hash, microseconds, xid, flags, schema, two commitments.
HEADER_FORMAT: Final = ">16s16sQ32sqQHI32s32s"
_HEADER = Struct(HEADER_FORMAT)

# Besides JSON's own types it writes UUIDs.
_SORTED: Final = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
)
# orjson writes null for NaN and for infinity; this one raises ValueError.
_strict_encoder = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
)
# Where both may differ from RFC 8785: floats with an exponent or without a fraction
# (1.0 is written 1), integers of 2**53 and above, and keys, which sort otherwise by
# UTF-16 code units than by code points. What only looks so, as a text may, costs time
# and nothing else. Sought where all digits are zeros: a pattern for any digit begins
# anew at each of those of which ids are full, and takes longer than the encoding.
_ZEROS = str.maketrans(dict.fromkeys("123456789", "0"))
_EXPONENT = re.compile(r"0e[-+]?0{1,3}[,}\]]")
_NO_FRACTION = re.compile(r"\.0[,}\]]")
_LARGE: Final = "0" * 16
_DELICATE_CHARACTER = re.compile("[\ud800-\U0010ffff]")

# "constants": by default NaN would quietly become null.
_any: TypeAdapter[Any] = TypeAdapter(
    Any, config=ConfigDict(ser_json_inf_nan="constants")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What one entry hashes, `ENTRY v1`. `recorded_at_us` counts from 1970, UTC."""

    log_id: bytes
    seq: int
    previous_hash: bytes
    recorded_at_us: int
    xid: int
    flags: int
    schema_version: int
    payload_hash: bytes
    state_hash: bytes
    attempt_id: str | None
    actor_id: str | None
    event_type: str
    entity_type: str
    entity_id: str
    stream: str = STREAM


def entry_bytes(entry: Entry) -> bytes:
    """Return the bytes of `ENTRY v1`.

    Raises struct.error for a number that does not fit its field, ValueError for a
    hash of another length.
    """
    for name, value in (
        ("previous_hash", entry.previous_hash),
        ("payload_hash", entry.payload_hash),
        ("state_hash", entry.state_hash),
    ):
        # struct would pad and cut in silence.
        if len(value) != len(NO_HASH):
            raise ValueError(f"{name} has {len(value)} bytes")
    if len(entry.log_id) != len(ENTRY_TAG):
        raise ValueError(f"log_id has {len(entry.log_id)} bytes")
    return _HEADER.pack(
        ENTRY_TAG,
        entry.log_id,
        entry.seq,
        entry.previous_hash,
        entry.recorded_at_us,
        entry.xid,
        entry.flags,
        entry.schema_version,
        entry.payload_hash,
        entry.state_hash,
    ) + b"".join(
        map(
            _prefixed,
            (
                entry.stream,
                entry.attempt_id,
                entry.actor_id,
                entry.event_type,
                entry.entity_type,
                entry.entity_id,
            ),
        )
    )


def parse_entry(entry: bytes) -> Entry:
    """Read the bytes of `ENTRY v1`.

    Raises ValueError for what `entry_bytes` never writes.
    """
    try:
        (tag, log_id, seq, previous_hash, time_us, xid, flags, schema, *hashes) = (
            _HEADER.unpack_from(entry)
        )
        texts: list[str | None] = []
        position = _HEADER.size
        while position < len(entry):
            length = entry[position : position + _LENGTH.size]
            position += _LENGTH.size
            if length == NULL:
                texts.append(None)
                continue
            (size,) = _LENGTH.unpack(length)
            texts.append(entry[position : position + size].decode())
            position += size
        stream, attempt_id, actor_id, event_type, entity_type, entity_id = texts
    except StructError as error:
        raise ValueError("an entry is too short") from error
    if tag != ENTRY_TAG or position != len(entry):
        raise ValueError("these are not the bytes of an entry")
    if None in (stream, event_type, entity_type, entity_id):
        raise ValueError("an entry has a stream, a type and an entity")
    payload_hash, state_hash = hashes
    return Entry(
        log_id=log_id,
        seq=seq,
        previous_hash=previous_hash,
        recorded_at_us=time_us,
        xid=xid,
        flags=flags,
        schema_version=schema,
        payload_hash=payload_hash,
        state_hash=state_hash,
        attempt_id=attempt_id,
        actor_id=actor_id,
        event_type=str(event_type),
        entity_type=str(entity_type),
        entity_id=str(entity_id),
        stream=str(stream),
    )


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of an entry, which is its Merkle leaf (RFC 6962 section 2.1)."""
    return sha256(LEAF_PREFIX + entry).digest()


def payload_commitment(salt: bytes, payload: bytes) -> bytes:
    """Return what an entry holds in place of its payload.

    The salt (32 bytes) keeps a short payload from being guessed after it was erased.
    """
    return _commitment(PAYLOAD_TAG, salt, payload)


def state_commitment(salt: bytes, state: bytes | None) -> bytes:
    """Return what an entry holds in place of its lines about other tables' rows."""
    return NO_HASH if state is None else _commitment(STATE_TAG, salt, state)


def _commitment(tag: bytes, salt: bytes, committed: bytes) -> bytes:
    if len(salt) != len(NO_HASH):
        raise ValueError(f"salt has {len(salt)} bytes")
    return sha256(tag + salt + _LONG_LENGTH.pack(len(committed)) + committed).digest()


def log_identity(manifest: bytes) -> bytes:
    """Return the log's id: the first 16 bytes of the genesis manifest's SHA-256."""
    return sha256(manifest).digest()[:16]


class CanonicalJson(str):
    """The RFC 8785 text of a JSON object, as only the functions below make it."""

    __slots__ = ()


def canonical_json(value: object) -> CanonicalJson:
    """Return the RFC 8785 text of what pydantic makes a JSON object of.

    A mapping, a model or a dataclass, with UUIDs, times and decimals as strings.
    Raises ValueError for what has no such text: NaN, integers of 2**53 and above, lone
    surrogates, types that JSON does not know, or anything but an object.
    """
    record = _plain(value)
    if not isinstance(record, dict):
        raise ValueError("a payload is a JSON object")  # noqa: TRY004
    return canonical_json_of_plain(record)


def canonical_json_of_plain(record: Mapping[str, object]) -> CanonicalJson:
    """Do the same for an object of nothing but JSON's own types and UUIDs."""
    try:
        text = orjson.dumps(record, option=_SORTED).decode()
        if "null" in text:
            text = _strict_encoder.encode(_plain(record))
    except orjson.JSONEncodeError:
        # A lone surrogate, an endless integer or depth: it knows how to say so.
        return _by_rfc8785(record)
    # Many times faster, and a test compares the two.
    return _by_rfc8785(record) if _is_delicate(text) else CanonicalJson(text)


def _by_rfc8785(record: object) -> CanonicalJson:
    return CanonicalJson(rfc8785.dumps(_plain(record)).decode())


def _plain(value: object) -> Any:
    return _any.dump_python(value, mode="json")


def _is_delicate(text: str) -> bool:
    digits = text.translate(_ZEROS)
    return (
        _LARGE in digits
        or _EXPONENT.search(digits) is not None
        or _NO_FRACTION.search(text) is not None
        or (not text.isascii() and _DELICATE_CHARACTER.search(text) is not None)
    )


def _prefixed(text: str | None) -> bytes:
    if text is None:
        return NULL
    encoded = text.encode()
    return _LENGTH.pack(len(encoded)) + encoded
