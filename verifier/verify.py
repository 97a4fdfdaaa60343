#!/usr/bin/env python3
"""Checks an evidence bundle of one exam attempt. Needs Python 3.8 and nothing else.

    python -I -S verify.py [BUNDLE.zip or folder] [--policy FILE] [--json]

Without a bundle it checks the folder that it lies in. It opens no connection and
writes no file. It exits with 0 if everything that could be checked agrees, 1 if
something was changed, 2 if the bundle is incomplete or can not be read.

It shares no code with the system that made the bundle: docs/evidence-bundle.md says
what stands in which file, and this program reads it by itself. Whoever distrusts the
copy in a bundle takes the one that the examination board has published.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import io
import json
import os
import re
import stat
import struct
import sys
import zipfile
import zlib
from bisect import bisect_left, bisect_right
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from typing import Any, Iterator, Tuple

FORMAT = "proctoring-evidence/1"

MANIFEST = "manifest.json"
ENTRIES = "entries.jsonl"
PROOFS = "proofs.jsonl"
CHECKPOINT = "checkpoint.txt"
EARLIER = "earlier.jsonl"
TIMESTAMPS = "timestamps.jsonl"
POLICY = "policy.txt"
ATTEMPT = "rows/attempt.json"
ANSWERS = "rows/answers.jsonl"
EVENTS = "rows/events.jsonl"
ANALYSES = "rows/analyses.jsonl"
# No other name is ever opened, so no name in a bundle can lead anywhere else.
ALWAYS_THERE = (
    "README.txt",
    "report.html",
    "verify.py",
    ENTRIES,
    ATTEMPT,
    ANSWERS,
    EVENTS,
    ANALYSES,
)
MAX_STAMPS = 8
STAMPS = tuple("tsa/%d" % number for number in range(1, MAX_STAMPS + 1))
STAMP_FILES = tuple(name + end for name in STAMPS for end in (".txt", ".tsr"))
SOMETIMES_THERE = (PROOFS, CHECKPOINT, EARLIER, TIMESTAMPS, *STAMP_FILES, POLICY)
KNOWN = (MANIFEST, *ALWAYS_THERE, *SOMETIMES_THERE)

MIB = 1024 * 1024
MAX_BYTES = 64 * MIB
# With --large: what an operator makes of an attempt of which much is recorded.
MAX_LARGE_BYTES = 1024 * MIB
# What the archive adds to its files: names, sizes, places.
ARCHIVE_BYTES = MIB
MAX_ARCHIVE_FILES = 64
MAX_MANIFEST_BYTES = 64 * 1024
MAX_NOTE_BYTES = 256 * 1024
MAX_POLICY_BYTES = 256 * 1024
# A payload has 1 MiB at most, and JSON may write a byte as six.
MAX_LINE_BYTES = 7 * MIB
MAX_SIGNATURES = 64
# A signature takes milliseconds to check, and a bundle has some for each turn of an
# attempt: its start, its end, and once more for each time that it was reopened.
MAX_EARLIER = 24
MAX_DIGITS = 25
MAX_PROBLEMS = 100

LEAF_PREFIX = b"\x00"
NODE_PREFIX = b"\x01"
ENTRY_TAG = b"PROCTORAUDIT/e1\n"
PAYLOAD_TAG = b"PROCTORAUDIT/p1\n"
STREAM = "main"
NO_HASH = bytes(32)
NULL = b"\xff\xff\xff\xff"
EMPTY_ROOT = hashlib.sha256(b"").digest()
LARGEST_SIZE = 2**63 - 1

# DER, and the names of things in it.
INTEGER, OCTET_STRING, OBJECT, TIME = 0x02, 0x04, 0x06, 0x18
SEQUENCE, SET, TAGGED_0 = 0x30, 0x31, 0xA0
SHA256_ALGORITHM = bytes.fromhex("608648016503040201")
SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
TST_INFO = bytes.fromhex("2a864886f70d0109100104")

ED25519_KEY = 0x01
COSIGNATURE_V1 = 0x04

EXPORTED = "evidence.exported"
ERASED = "data.erased"
STARTED = "attempt.started"
SAVED = "attempt.answers_saved"
OBSERVED = "proctoring.events_recorded"
ANALYSED = "analysis.computed"
TERMINATED = "attempt.terminated"
VOIDED = "attempt.voided"

# What each step of an attempt leaves in its row: a value, or, as a tuple, where the
# payload of the entry has it, or whoever took the step and with which attempt, which
# outlive the payload. What is not named here stays as it was.
ACTOR, SUBJECT = object(), object()
_DEADLINE = {"deadline_at": ("clock", "deadline_at")}
_PAUSES = {"paused_seconds": ("clock", "paused_seconds")}
_EXTENSIONS = {"extended_seconds": ("clock", "extended_seconds")}
_LEFT_BY_END = {
    # It may have come during a pause.
    **_PAUSES,
    "ended_at": ("ended_at",),
    "ended_by": ("ended_by",),
    "end_reason": ("reason",),
    "score": ("score",),
    "max_score": ("max_score",),
    "is_passed": ("is_passed",),
}
STEPS: dict[str, dict[str, Any]] = {
    STARTED: {
        "id": SUBJECT,
        "student_id": ACTOR,
        "exam_id": ("exam_id",),
        "attempt_number": ("attempt_number",),
        "started_at": ("started_at",),
        "status": "in_progress",
        "ended_at": None,
        "ended_by": None,
        "end_reason": None,
        "score": None,
        "max_score": ("max_score",),
        "is_passed": None,
        "review_status": "none",
        "review_note": None,
        "reviewed_by": None,
        **_DEADLINE,
        **_PAUSES,
        **_EXTENSIONS,
    },
    "attempt.resumed": {},
    "attempt.taken_over": {},
    SAVED: {},
    "attempt.paused": {"status": "paused"},
    "attempt.unpaused": {"status": "in_progress", **_DEADLINE, **_PAUSES},
    "attempt.extended": {**_DEADLINE, **_EXTENSIONS},
    "attempt.deadline_moved": _DEADLINE,
    "attempt.submitted": {"status": "submitted", **_LEFT_BY_END},
    "attempt.ended": {"status": "submitted", **_LEFT_BY_END},
    TERMINATED: {"status": "terminated", **_LEFT_BY_END},
    "attempt.reopened": {
        "status": "in_progress",
        "ended_at": None,
        "ended_by": None,
        "end_reason": None,
        "score": None,
        "is_passed": None,
        "review_status": ("review_status", "to"),
        **_DEADLINE,
        **_PAUSES,
        **_EXTENSIONS,
    },
    "attempt.graded": {"score": ("score", "to"), "is_passed": ("is_passed", "to")},
    "attempt.reviewed": {
        "review_status": ("status",),
        "review_note": ("note",),
        "reviewed_by": ACTOR,
    },
    VOIDED: {
        "status": "voided",
        "end_reason": ("reason",),
        "score": None,
        "is_passed": None,
    },
}
# Those of the row that are compared: all that a start leaves in it.
COLUMNS = tuple(STEPS[STARTED])
NUMBERS = ("score", "max_score")
# What staff wrote, which goes when a person is erased whom it mentions.
NOTES = ("end_reason", "review_note")

TAMPERED = "tampered"
INCOMPLETE = "incomplete"
INTERNALLY_CONSISTENT = "internally_consistent"
CONSISTENT_WITH_ANCHOR = "consistent_with_anchor"

EXIT_CODES = {
    CONSISTENT_WITH_ANCHOR: 0,
    INTERNALLY_CONSISTENT: 0,
    TAMPERED: 1,
    INCOMPLETE: 2,
}
MEANINGS = {
    TAMPERED: (
        "Something in this bundle is not what the log recorded. It is named below. Do"
        " not rely on this bundle; ask for a new one, and ask why."
    ),
    INCOMPLETE: (
        "This bundle could not be checked to the end, so it shows nothing either way."
        " What is missing is named below."
    ),
    INTERNALLY_CONSISTENT: (
        "All parts of this bundle agree with each other. That shows that nobody changed"
        " it carelessly. It does NOT show that nobody rewrote the log: whoever controls"
        " the database could have written all of it anew."
    ),
    CONSISTENT_WITH_ANCHOR: (
        "The entries stand in a log whose state was signed by the log and confirmed by"
        " the witnesses of the policy that you trust. Nobody can have"
        " changed or inserted one of them, nor removed one that the entry named above"
        " counts, without the witnesses noticing. Of what came later it says nothing."
    ),
}
NEVER_SHOWN = (
    (
        "That what was recorded is true. The log keeps what the exam client and the"
        " server reported, when, and in which order; a report can be wrong when it is"
        " made."
    ),
    "That nothing else happened. What was never recorded is in no log.",
    "That the person at the keyboard was the person named.",
    "That the witnesses of the policy are independent of whoever runs the system.",
    (
        "That the entries of this attempt are all here, beyond the counts that the"
        " log's own entries state."
    ),
    (
        "That report.html and README.txt say the same as the entries. They are for"
        " reading; what counts is entries.jsonl."
    ),
)


class MalformedError(Exception):
    """A file is not what its format says. The message is for the panel."""


class ChangedError(MalformedError):
    """A signature of a known key does not fit: somebody changed what it covers."""


def plain(value: object, limit: int = 200) -> str:
    """Return text from a bundle as a terminal may show it: one line, no controls."""
    text = str(value)
    if len(text) > limit:
        text = text[:limit] + "..."
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii")
        for each in text
    )


# Ed25519, RFC 8032 section 5.1. All is public here, so time may tell what it likes.

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)

Point = Tuple[int, int, int, int]
IDENTITY: Point = (0, 1, 1, 0)


def add_points(one: Point, other: Point) -> Point:
    a = (one[1] - one[0]) * (other[1] - other[0]) % P
    b = (one[1] + one[0]) * (other[1] + other[0]) % P
    c = 2 * one[3] * other[3] * D % P
    d = 2 * one[2] * other[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def double_point(point: Point) -> Point:
    a = point[0] * point[0] % P
    b = point[1] * point[1] % P
    c = 2 * point[2] * point[2] % P
    h = a + b
    e = h - (point[0] + point[1]) ** 2 % P
    g = a - b
    f = c + g
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def is_identity(point: Point) -> bool:
    return point[0] % P == 0 and (point[1] - point[2]) % P == 0


def decode_point(encoded: bytes) -> Point | None:
    """Return a point, or None for what is none, or is not written in the one way."""
    if len(encoded) != 32:
        return None
    y = int.from_bytes(encoded, "little")
    sign = y >> 255
    y &= (1 << 255) - 1
    if y >= P:
        return None
    u = (y * y - 1) % P
    v = (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    remainder = v * x * x % P
    if remainder != u:
        if remainder != P - u and u != 0:
            return None
        x = x * SQRT_OF_MINUS_ONE % P
        if v * x * x % P != u:
            return None
    if x == 0 and sign:
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


def encode_point(point: Point) -> bytes:
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _base_point() -> Point:
    point = decode_point(((4 * pow(5, P - 2, P)) % P).to_bytes(32, "little"))
    assert point is not None  # noqa: S101 - a constant of the standard.
    return point


BASE = _base_point()


def is_small(point: Point) -> bool:
    """Say whether it is one of the eight points that fit nearly any message."""
    for _ in range(3):
        point = double_point(point)
    return is_identity(point)


def verify_ed25519(public: bytes, message: bytes, signature: bytes) -> bool:
    """Verify strictly: one encoding for each point and number, no small points."""
    if len(signature) != 64:
        return False
    key, commitment = decode_point(public), decode_point(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or commitment is None or scalar >= ORDER:
        return False
    if is_small(key) or is_small(commitment):
        return False
    digest = hashlib.sha512(signature[:32] + public + message).digest()
    challenge = int.from_bytes(digest, "little") % ORDER
    # scalar * BASE - challenge * key, both at once.
    minus_key = (P - key[0], key[1], 1, P - key[3])
    both = add_points(BASE, minus_key)
    found = IDENTITY
    for bit in range(max(scalar.bit_length(), challenge.bit_length()) - 1, -1, -1):
        found = double_point(found)
        in_scalar, in_challenge = scalar >> bit & 1, challenge >> bit & 1
        if in_scalar and in_challenge:
            found = add_points(found, both)
        elif in_scalar:
            found = add_points(found, BASE)
        elif in_challenge:
            found = add_points(found, minus_key)
    return encode_point(found) == signature[:32]


# The Merkle tree of RFC 6962 section 2.1, checked as RFC 9162 section 2.1 says.


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(NODE_PREFIX + left + right).digest()


def verify_inclusion(
    index: int, size: int, leaf: bytes, path: list[bytes], root: bytes
) -> bool:
    """Say whether `leaf` stands at `index` in the tree of this size and root."""
    if not 0 <= index < size or len(leaf) != 32 or len(root) != 32:
        return False
    place, last, found = index, size - 1, leaf
    for sibling in path:
        if len(sibling) != 32 or last == 0:
            return False
        if place & 1 or place == last:
            found = node_hash(sibling, found)
            while not place & 1 and place:
                place >>= 1
                last >>= 1
        else:
            found = node_hash(found, sibling)
        place >>= 1
        last >>= 1
    return last == 0 and found == root


def verify_consistency(  # noqa: C901, PLR0911, PLR0912 - the RFC's steps.
    old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: list[bytes]
) -> bool:
    """Say whether the new tree begins with all that the old one had."""
    if any(len(each) != 32 for each in (*proof, old_root, new_root)):
        return False
    if not 0 <= old_size <= new_size:
        return False
    if old_size == 0 and old_root != EMPTY_ROOT:
        return False
    if old_size == new_size:
        return old_root == new_root and not proof
    if old_size == 0:
        return not proof
    nodes = list(proof)
    if old_size & (old_size - 1) == 0:
        nodes.insert(0, old_root)
    if not nodes:
        return False
    place, last = old_size - 1, new_size - 1
    while place & 1:
        place >>= 1
        last >>= 1
    old_found = new_found = nodes[0]
    for sibling in nodes[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old_found = node_hash(sibling, old_found)
            new_found = node_hash(sibling, new_found)
            while not place & 1 and place:
                place >>= 1
                last >>= 1
        else:
            new_found = node_hash(new_found, sibling)
        place >>= 1
        last >>= 1
    return last == 0 and old_found == old_root and new_found == new_root


# Signed notes, checkpoints, cosignatures and policies as C2SP describes them.


def decode_base64(text: str) -> bytes | None:
    """Decode standard base64, None for what is not written in the one way."""
    try:
        raw = text.encode("ascii")
        decoded = base64.b64decode(raw, validate=True)
    except (ValueError, binascii.Error):
        return None
    return decoded if base64.b64encode(decoded) == raw else None


def is_key_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(map(str.isspace, name))


@dataclass(frozen=True)
class Signature:
    """A line under a note. `value` is what follows the four bytes of the key's id."""

    name: str
    key_id: bytes
    value: bytes


@dataclass(frozen=True)
class Note:
    text: str
    signatures: tuple[Signature, ...]


def parse_note(raw: bytes) -> Note:
    if len(raw) > MAX_NOTE_BYTES:
        raise MalformedError("it is longer than any checkpoint")
    try:
        whole = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedError("it is no UTF-8") from None
    if any(each < " " and each != "\n" for each in whole):
        raise MalformedError("it contains control characters")
    end = whole.rfind("\n\n")
    if end < 0 or not whole.endswith("\n"):
        raise MalformedError("it is no signed note: no empty line before signatures")
    lines = whole[end + 2 : -1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise MalformedError("it has more than %d signatures" % MAX_SIGNATURES)
    return Note(whole[: end + 1], tuple(parse_signature(line) for line in lines))


def parse_signature(line: str) -> Signature:
    parts = line.split(" ")
    value = decode_base64(parts[2]) if len(parts) == 3 else None
    if (
        value is None
        or parts[0] != "\u2014"
        or not is_key_name(parts[1])
        or len(value) < 5
    ):
        raise MalformedError("a signature line is malformed: " + plain(line, 60))
    return Signature(parts[1], value[:4], value[4:])


@dataclass(frozen=True)
class Checkpoint:
    origin: str
    size: int
    root: bytes


def parse_checkpoint(text: str) -> Checkpoint:
    lines = text[:-1].split("\n")
    if len(lines) < 3 or not all(lines):
        raise MalformedError("it is no checkpoint: three lines, none of them empty")
    if not re.fullmatch("0|[1-9][0-9]{0,18}", lines[1]):
        raise MalformedError("its tree size is no number")
    root = decode_base64(lines[2])
    if root is None or len(root) != 32 or int(lines[1]) > LARGEST_SIZE:
        raise MalformedError("its root hash or tree size is malformed")
    return Checkpoint(lines[0], int(lines[1]), root)


@dataclass(frozen=True)
class VerifierKey:
    name: str
    key_id: bytes
    algorithm: int
    public: bytes


def parse_verifier_key(text: str) -> VerifierKey:
    parts = text.split("+", 2)
    material = decode_base64(parts[2]) if len(parts) == 3 else None
    if material is None or len(material) < 2 or not is_key_name(parts[0]):
        raise MalformedError("a key is malformed: " + plain(text, 60))
    # A policy may hold octets that are no UTF-8; as such they are kept.
    name = parts[0].encode("utf-8", "surrogateescape")
    key_id = hashlib.sha256(name + b"\n" + material).digest()[:4]
    if parts[1] != key_id.hex():
        raise MalformedError("the id of a key does not fit it: " + plain(text, 60))
    return VerifierKey(parts[0], key_id, material[0], material[1:])


def cosigned_message(text: str, seconds: int) -> bytes:
    return ("cosignature/v1\ntime %d\n%s" % (seconds, text)).encode("utf-8")


def is_signed(note: Note, key: VerifierKey) -> bool:
    """Say whether a log's key signed. Raises ChangedError for a wrong signature."""
    found = False
    # A line that comes again says nothing new.
    for each in dict.fromkeys(note.signatures):
        if (each.name, each.key_id) == (key.name, key.key_id):
            if not verify_ed25519(key.public, note.text.encode("utf-8"), each.value):
                raise ChangedError("the signature of %s is wrong" % plain(key.name))
            found = True
    return found


def cosigned_at(note: Note, key: VerifierKey) -> int | None:
    """Return when a witness confirmed. Raises ChangedError for a wrong signature."""
    times = []
    for each in dict.fromkeys(note.signatures):
        if (each.name, each.key_id) == (key.name, key.key_id):
            seconds = int.from_bytes(each.value[:8], "big")
            message = cosigned_message(note.text, seconds)
            if (
                len(each.value) != 72
                or seconds > LARGEST_SIZE
                or not verify_ed25519(key.public, message, each.value[8:])
            ):
                raise ChangedError("the cosignature of %s is wrong" % plain(key.name))
            times.append(seconds)
    return min(times) if times else None


@dataclass(frozen=True)
class Group:
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True)
class Policy:
    """Whose signatures count. Names of witnesses and groups have no meaning outside.

    `definitions` are in the order of the file, so each speaks of earlier ones only.
    """

    logs: tuple[VerifierKey, ...]
    definitions: tuple[tuple[str, object], ...]
    quorum: str | None


@dataclass(frozen=True)
class Judgement:
    """What a policy says of a note. `times` has the witnesses that signed, by name."""

    is_log_known: bool
    is_log_signed: bool
    times: dict[str, int]
    is_quorum_met: bool
    missing: tuple[str, ...]
    unsupported: tuple[str, ...]


def parse_policy(raw: bytes) -> Policy:
    if len(raw) > MAX_POLICY_BYTES:
        raise MalformedError("it is longer than any policy")
    if b"\r" in raw:
        raise MalformedError("its lines end as Windows ends them; they must end in LF")
    if re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", raw):
        raise MalformedError("it contains control characters")
    if raw and not raw.endswith(b"\n"):
        raise MalformedError("its last line has no end")
    # Octets above 127 mean nothing but themselves: any way to keep them apart will do.
    logs: list[VerifierKey] = []
    definitions: list[tuple[str, object]] = []
    quorums: list[str] = []
    keys: list[bytes] = []
    members: list[str] = []
    for number, line in enumerate(raw.decode("utf-8", "surrogateescape").split("\n")):
        words = re.split("[ \t]+", line.strip(" \t"))
        if words == [""] or words[0].startswith("#"):
            continue
        with in_line(number + 1):
            _read_policy_line(words, logs, definitions, quorums, keys, members)
    if len(quorums) != 1:
        raise MalformedError("it must have exactly one quorum line")
    quorum = None if quorums[0] == "none" else quorums[0]
    return Policy(tuple(logs), tuple(definitions), quorum)


def _read_policy_line(
    words: list[str],
    logs: list[VerifierKey],
    definitions: list[tuple[str, object]],
    quorums: list[str],
    keys: list[bytes],
    members: list[str],
) -> None:
    known = dict(definitions)
    if words[0] == "log" and len(words) in (2, 3):
        logs.append(_new_key(words[1], keys))
    elif words[0] == "witness" and len(words) in (3, 4):
        definitions.append((_new_name(words[1], known), _new_key(words[2], keys)))
    elif words[0] == "group" and len(words) >= 4:
        name, named = _new_name(words[1], known), tuple(words[3:])
        for each in named:
            if each not in known or each in members:
                raise MalformedError("%s is no free member" % plain(each, 60))
            members.append(each)
        definitions.append((name, Group(_threshold(words[2], len(named)), named)))
    elif words[0] == "quorum" and len(words) == 2:
        if words[1] != "none" and words[1] not in known:
            raise MalformedError("%s is not defined before" % plain(words[1], 60))
        quorums.append(words[1])
    else:
        raise MalformedError("it is no line of a policy")


def _threshold(word: str, size: int) -> int:
    if word in ("any", "all"):
        return 1 if word == "any" else size
    if not re.fullmatch("[1-9][0-9]{0,3}", word) or int(word) > size:
        raise MalformedError("the threshold does not fit the group")
    return int(word)


def _new_key(text: str, keys: list[bytes]) -> VerifierKey:
    key = parse_verifier_key(text)
    if key.public in keys:
        raise MalformedError("the key comes a second time")
    keys.append(key.public)
    return key


def _new_name(name: str, known: dict[str, object]) -> str:
    if name == "none" or name in known:
        raise MalformedError("the name %s is taken" % plain(name, 60))
    return name


def judge(policy: Policy, note: Note, origin: str) -> Judgement:
    """Apply a policy. Raises ChangedError if a key of it signed something else."""
    unsupported = []
    logs = [key for key in policy.logs if key.name == origin]
    signed = False
    for key in logs:
        if key.algorithm != ED25519_KEY or len(key.public) != 32:
            unsupported.append(key.name)
        elif is_signed(note, key):
            signed = True
    times: dict[str, int] = {}
    met: dict[str, bool] = {}
    missing = []
    for name, definition in policy.definitions:
        if isinstance(definition, Group):
            count = sum(met[each] for each in definition.members)
            met[name] = count >= definition.threshold
        elif isinstance(definition, VerifierKey):
            seconds = None
            if definition.algorithm != COSIGNATURE_V1 or len(definition.public) != 32:
                unsupported.append(definition.name)
            else:
                seconds = cosigned_at(note, definition)
            met[name] = seconds is not None
            if seconds is None:
                missing.append(definition.name)
            else:
                times[definition.name] = seconds
    is_met = policy.quorum is None or met[policy.quorum]
    return Judgement(
        bool(logs), signed, times, is_met, tuple(missing), tuple(unsupported)
    )


# Timestamps of RFC 3161: so much of them as tells what they are over, and when.


@dataclass(frozen=True)
class Stamp:
    """What an answer claims. Nothing says yet that an authority has made it."""

    digest: bytes
    claimed_at: datetime


def read_der(raw: bytes, tag: int) -> tuple[bytes, bytes]:
    """Split a value of this tag from what follows it. Raises MalformedError."""
    if len(raw) < 2 or raw[0] != tag:
        raise MalformedError("it is no timestamp: another thing is where one should be")
    length, start = raw[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(raw[2:start], "big")
        # DER has one way for each length, and no indefinite one.
        if not 3 <= start <= 6 or length < 0x80 or raw[2] == 0:
            raise MalformedError(
                "it is no timestamp: a length is not written as in DER"
            )
    if len(raw) < start + length:
        raise MalformedError("it was cut short")
    return raw[start : start + length], raw[start + length :]


def _read_content(raw: bytes, kind: bytes) -> bytes:
    """Return what is in a ContentInfo of RFC 5652."""
    found, rest = read_der(raw, OBJECT)
    if found != kind:
        raise MalformedError("it is no timestamp: it contains something else")
    content, rest = read_der(rest, TAGGED_0)
    if rest:
        raise MalformedError("it is no timestamp: something follows its content")
    return content


def read_stamp(raw: bytes) -> Stamp:
    """Read a TimeStampResp in DER. Raises MalformedError."""
    response, more = read_der(raw, SEQUENCE)
    status, rest = read_der(response, SEQUENCE)
    granted, _ = read_der(status, INTEGER)
    if granted != b"\x00":
        raise MalformedError("the authority has refused")
    token, after = read_der(rest, SEQUENCE)
    if more or after:
        raise MalformedError("it is no timestamp: something follows it")
    signed, _ = read_der(_read_content(token, SIGNED_DATA), SEQUENCE)
    _, rest = read_der(signed, INTEGER)
    _, rest = read_der(rest, SET)
    inner, _ = read_der(rest, SEQUENCE)
    octets, _ = read_der(_read_content(inner, TST_INFO), OCTET_STRING)
    info, _ = read_der(octets, SEQUENCE)
    _, rest = read_der(info, INTEGER)
    _, rest = read_der(rest, OBJECT)
    imprint, rest = read_der(rest, SEQUENCE)
    _, rest = read_der(rest, INTEGER)
    moment_of_it, _ = read_der(rest, TIME)
    algorithm, hashed = read_der(imprint, SEQUENCE)
    name, _ = read_der(algorithm, OBJECT)
    digest, _ = read_der(hashed, OCTET_STRING)
    if name != SHA256_ALGORITHM or len(digest) != 32:
        raise MalformedError("it is not over a SHA-256")
    return Stamp(digest, _read_time(moment_of_it))


def _read_time(raw: bytes) -> datetime:
    if not re.fullmatch(rb"[0-9]{14}(\.[0-9]{1,9})?Z", raw):
        raise MalformedError("its time is malformed")
    try:
        return datetime.strptime(raw[:14].decode("ascii") + "Z", "%Y%m%d%H%M%S%z")
    except ValueError:
        raise MalformedError("its time is none") from None


# The report: every check, with what it found.


@dataclass(frozen=True)
class Check:
    name: str
    result: str
    detail: str


@dataclass(frozen=True)
class Problem:
    kind: str
    file: str
    entry: int | None
    detail: str


@dataclass
class Report:
    """What was found so far. The verdict is the worst of it."""

    bundle: str
    checks: list[Check] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    more_problems: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    # What others can check who have more than the standard library.
    commands: list[str] = field(default_factory=list)
    is_tampered: bool = False
    is_incomplete: bool = False
    is_anchored: bool = False

    def passed(self, name: str, detail: str) -> None:
        self.checks.append(Check(name, "passed", detail))

    def not_checked(self, name: str, why: str) -> None:
        self.checks.append(Check(name, "not_checked", why))

    def tampered(self, file: str, detail: str, entry: int | None = None) -> None:
        self.is_tampered = True
        self._add(Problem(TAMPERED, file, entry, detail))

    def incomplete(self, file: str, detail: str, entry: int | None = None) -> None:
        self.is_incomplete = True
        self._add(Problem(INCOMPLETE, file, entry, detail))

    def _add(self, problem: Problem) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)
        else:
            self.more_problems += 1

    def conclude(self, name: str, before: int, detail: str) -> None:
        """Note a check as passed, or as failed if problems came since `before`."""
        found = len(self.problems) + self.more_problems - before
        if found:
            said = counted(found, "problem", "problems")
            self.checks.append(Check(name, "failed", said))
        else:
            self.passed(name, detail)

    def count(self) -> int:
        return len(self.problems) + self.more_problems

    @property
    def verdict(self) -> str:
        if self.is_tampered:
            return TAMPERED
        if self.is_incomplete:
            return INCOMPLETE
        return CONSISTENT_WITH_ANCHOR if self.is_anchored else INTERNALLY_CONSISTENT


# Reading the bundle. Whoever made it may be an enemy of the machine that reads it.


def read_bundle(path: str, report: Report, most: int) -> dict[str, bytes]:
    """Return the files of a bundle by name, `most` bytes in all.

    Raises MalformedError.
    """
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            return _read_folder(path, report, most)
        if not stat.S_ISREG(mode):
            raise MalformedError("it is neither a file nor a folder")
        return _read_archive(path, report, most)
    except FileNotFoundError:
        raise MalformedError("there is no such file or folder") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise MalformedError("it can not be read: %s" % plain(reason)) from None


def _read_folder(path: str, report: Report, most: int) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    left = most
    for name in KNOWN:
        place = os.path.join(path, *name.split("/"))
        parts = [os.path.join(path, name.split("/")[0]), place]
        if not os.path.lexists(place):
            continue
        # A link could lead to a file of the panel's own.
        if any(os.path.islink(part) for part in parts) or not os.path.isfile(place):
            raise MalformedError("%s is no ordinary file" % name)
        with open(place, "rb") as file:
            files[name] = file.read(left + 1)
        left -= len(files[name])
        if left < 0:
            raise _too_large(most)
    others = sorted(set(os.listdir(path)) - {name.split("/")[0] for name in KNOWN})
    if others:
        report.not_checked(
            "other files",
            "%d in the folder are no part of the bundle, the first is %s"
            % (len(others), plain(others[0], 60)),
        )
    if not files:
        raise MalformedError("the folder has no file of an evidence bundle")
    return files


def _read_archive(path: str, report: Report, most: int) -> dict[str, bytes]:
    size = os.path.getsize(path)
    if size > most + ARCHIVE_BYTES:
        raise _too_large(most)
    with open(path, "rb") as file:
        raw = file.read(most + ARCHIVE_BYTES + 1)
    report.facts["bundle_sha256"] = hashlib.sha256(raw).hexdigest()
    _require_small_directory(raw)
    files: dict[str, bytes] = {}
    left = most
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.filename not in KNOWN:
                    raise ChangedError(
                        "it has a file that no bundle has: %s"
                        % plain(member.filename, 60)
                    )
                if member.compress_type not in (
                    zipfile.ZIP_STORED,
                    zipfile.ZIP_DEFLATED,
                ):
                    raise MalformedError("it is compressed in an unusual way")
                if member.filename in files:
                    raise ChangedError("it has %s twice" % member.filename)
                if member.file_size > left:
                    raise _too_large(most)
                with archive.open(member) as stream:
                    # Never more than the size that it states, whatever is in there.
                    files[member.filename] = stream.read(left)
                left -= len(files[member.filename])
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        zlib.error,
        struct.error,
        EOFError,
        LookupError,
        NotImplementedError,
        OverflowError,
        RuntimeError,
        ValueError,
    ) as error:
        raise MalformedError(
            "it is no intact ZIP file (%s)" % plain(error, 100)
        ) from None
    return files


def _too_large(most: int) -> MalformedError:
    advice = "; try --large" if most == MAX_BYTES else ""
    return MalformedError("it has more than %d MiB%s" % (most // MIB, advice))


def _require_small_directory(raw: bytes) -> None:
    """Refuse an archive whose table of contents alone would fill the memory."""
    if len(raw) < 22 or raw[-22:-18] != b"PK\x05\x06":
        raise MalformedError("it is no ZIP file, or it was cut short")
    if raw[-42:-38] == b"PK\x06\x07":
        raise MalformedError("it is a ZIP file of the 64-bit kind, which no bundle is")
    number, directory_size = struct.unpack("<HI", raw[-12:-6])
    if number > MAX_ARCHIVE_FILES or directory_size > 64 * 1024:
        raise MalformedError("it has more files than any bundle")


# JSON, read strictly.


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice")
    return found


def _no_constants(text: str) -> Any:
    raise ValueError(text + " is no JSON")


def _bounded_int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError("a number is too long")
    return int(text)


def _bounded_float(text: str) -> float:
    if len(text) > 400:
        raise ValueError("a number is too long")
    return float(text)


def read_json(raw: bytes) -> Any:
    """Read JSON. Any: a document. Raises MalformedError."""
    try:
        return json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_no_doubles,
            parse_constant=_no_constants,
            parse_int=_bounded_int,
            parse_float=_bounded_float,
        )
    except RecursionError:
        raise MalformedError("it is nested too deeply") from None
    except ValueError as error:
        raise MalformedError("it is no proper JSON (%s)" % plain(error, 100)) from None


def write_json(value: object) -> bytes:
    """Write JSON in the one way in which a bundle has it."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode("utf-8")


def read_lines(
    raw: bytes, *, is_strict: bool = True
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read one object a line. Raises MalformedError.

    Strictly means: each is written in the one way, so that no byte can be another.
    """
    if raw and not raw.endswith(b"\n"):
        raise MalformedError("its last line was cut short")
    start, number = 0, 0
    while start < len(raw):
        end = raw.index(b"\n", start)
        number += 1
        with in_line(number):
            found = _read_line(raw[start:end], is_strict=is_strict)
        yield number, found
        start = end + 1


def _read_line(line: bytes, *, is_strict: bool) -> dict[str, Any]:
    if len(line) > MAX_LINE_BYTES:
        raise MalformedError("it is too long")
    found = read_json(line)
    if not isinstance(found, dict):
        raise MalformedError("it is no object")
    if is_strict and _written(found) != line:
        raise MalformedError("it is not written as a bundle is")
    return found


@contextmanager
def in_line(number: int) -> Iterator[None]:
    """Say in which line something is malformed."""
    try:
        yield
    except ChangedError as error:
        raise ChangedError("line %d: %s" % (number, error)) from None
    except MalformedError as error:
        raise MalformedError("line %d: %s" % (number, error)) from None


def _written(value: object) -> bytes:
    try:
        return write_json(value)
    except (ValueError, RecursionError):
        # A lone half of a surrogate pair, which is no text.
        raise MalformedError("it is no text") from None


def is_number(value: object, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def is_hex(value: object, length: int) -> bool:
    return isinstance(value, str) and bool(
        re.fullmatch("[0-9a-f]{%d}" % (2 * length), value)
    )


def is_text(value: object) -> bool:
    return isinstance(value, str)


def is_text_or_null(value: object) -> bool:
    return value is None or isinstance(value, str)


# The manifest and the files that it lists.


@dataclass(frozen=True)
class Manifest:
    attempt_id: str
    log_id: bytes
    origin: str
    exported_by: int
    entries: int
    checkpoint: tuple[int, bytes] | None
    files: dict[str, tuple[int, str]]


MANIFEST_NAMES = {
    "format",
    "attempt_id",
    "log_id",
    "origin",
    "exported_by",
    "entries",
    "checkpoint",
    "files",
}


def read_manifest(raw: bytes) -> Manifest:
    """Read the table of contents. Raises MalformedError."""
    if len(raw) > MAX_MANIFEST_BYTES:
        raise MalformedError("it is too long")
    found = read_json(raw)
    if not isinstance(found, dict) or not is_text(found.get("format")):
        raise MalformedError("it does not say of which format the bundle is")
    if found["format"] != FORMAT:
        raise MalformedError(
            "the bundle is of the format %s, and this program reads %s"
            % (plain(found["format"], 60), FORMAT)
        )
    checkpoint = found.get("checkpoint")
    if (
        set(found) != MANIFEST_NAMES
        or not is_text(found["attempt_id"])
        or not is_hex(found["log_id"], 16)
        or not is_text(found["origin"])
        or not is_number(found["exported_by"], 0, LARGEST_SIZE)
        or not is_number(found["entries"], 0, LARGEST_SIZE)
        or not (checkpoint is None or _is_tree_head(checkpoint))
        or not isinstance(found["files"], list)
    ):
        raise MalformedError("a field is missing, unknown or malformed")
    return Manifest(
        attempt_id=found["attempt_id"],
        log_id=bytes.fromhex(found["log_id"]),
        origin=found["origin"],
        exported_by=found["exported_by"],
        entries=found["entries"],
        checkpoint=None
        if checkpoint is None
        else (checkpoint["size"], bytes.fromhex(checkpoint["root"])),
        files=_read_file_list(found["files"]),
    )


def _is_tree_head(value: object) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"size", "root"}
        and is_number(value["size"], 0, LARGEST_SIZE)
        and is_hex(value["root"], 32)
    )


def _read_file_list(listed: list[Any]) -> dict[str, tuple[int, str]]:
    files: dict[str, tuple[int, str]] = {}
    for each in listed:
        if (
            not isinstance(each, dict)
            or set(each) != {"name", "bytes", "sha256"}
            or not is_text(each["name"])
            or each["name"] not in (*ALWAYS_THERE, *SOMETIMES_THERE)
            or each["name"] in files
            or not is_number(each["bytes"], 0, MAX_LARGE_BYTES)
            or not is_hex(each["sha256"], 32)
        ):
            raise MalformedError("its list of files is malformed")
        files[each["name"]] = (each["bytes"], each["sha256"])
    return files


def check_files(manifest: Manifest, files: dict[str, bytes], report: Report) -> None:
    before = report.count()
    for name in ALWAYS_THERE:
        if name not in manifest.files:
            report.incomplete(name, "the manifest does not list it")
    for name, (size, digest) in manifest.files.items():
        if name not in files:
            report.incomplete(name, "it is not in the bundle")
        elif (
            len(files[name]) != size
            or hashlib.sha256(files[name]).hexdigest() != digest
        ):
            report.tampered(name, "it is not the file that the manifest lists")
    for name in files:
        if name != MANIFEST and name not in manifest.files:
            report.tampered(name, "the manifest does not list it: it was added")
    report.conclude(
        "files",
        before,
        "%s with the size and SHA-256 that the manifest lists"
        % counted(len(manifest.files), "file", "files"),
    )


# Entries of the log.


@dataclass(frozen=True)
class Entry:
    """An entry of the audit log, `ENTRY v1` of docs/decisions/0003."""

    seq: int
    recorded_at_us: int
    xid: int
    flags: int
    schema_version: int
    attempt_id: str | None
    actor_id: str | None
    event_type: str
    entity_type: str
    entity_id: str
    payload: str | None
    payload_salt: bytes | None
    payload_hash: bytes
    state_hash: bytes
    previous_hash: bytes
    hash: bytes


ENTRY_NAMES = set(Entry.__dataclass_fields__)
HASHES = ("payload_hash", "state_hash", "previous_hash", "hash")


def read_entry(found: dict[str, Any]) -> Entry:
    """Give a line its type. Raises MalformedError."""
    if (
        set(found) != ENTRY_NAMES
        or not is_number(found["seq"], 0, LARGEST_SIZE)
        or not is_number(found["recorded_at_us"], -(2**63), 2**63 - 1)
        or not is_number(found["xid"], 0, 2**64 - 1)
        or not is_number(found["flags"], 0, 2**16 - 1)
        or not is_number(found["schema_version"], 0, 2**32 - 1)
        or not all(
            is_text_or_null(found[name])
            for name in ("attempt_id", "actor_id", "payload")
        )
        or not all(
            is_text(found[name]) for name in ("event_type", "entity_type", "entity_id")
        )
        or not all(is_hex(found[name], 32) for name in HASHES)
        or not (found["payload_salt"] is None or is_hex(found["payload_salt"], 32))
    ):
        raise MalformedError("a field is missing, unknown or malformed")
    values = dict(found)
    for name in (*HASHES, "payload_salt"):
        if values[name] is not None:
            values[name] = bytes.fromhex(values[name])
    return Entry(**values)


def prefixed(text: str | None) -> bytes:
    if text is None:
        return NULL
    encoded = text.encode("utf-8")
    return struct.pack(">I", len(encoded)) + encoded


def entry_bytes(entry: Entry, log_id: bytes) -> bytes:
    return (
        ENTRY_TAG
        + log_id
        + struct.pack(">Q", entry.seq)
        + entry.previous_hash
        + struct.pack(
            ">qQHI",
            entry.recorded_at_us,
            entry.xid,
            entry.flags,
            entry.schema_version,
        )
        + entry.payload_hash
        + entry.state_hash
        + prefixed(STREAM)
        + prefixed(entry.attempt_id)
        + prefixed(entry.actor_id)
        + prefixed(entry.event_type)
        + prefixed(entry.entity_type)
        + prefixed(entry.entity_id)
    )


def entry_hash(entry: Entry, log_id: bytes) -> bytes:
    return hashlib.sha256(LEAF_PREFIX + entry_bytes(entry, log_id)).digest()


def payload_commitment(salt: bytes, payload: bytes) -> bytes:
    return hashlib.sha256(
        PAYLOAD_TAG + salt + struct.pack(">Q", len(payload)) + payload
    ).digest()


def check_entries(
    manifest: Manifest, raw: bytes, report: Report
) -> tuple[list[Entry], Erasures]:
    """Check each entry by itself and against its neighbours.

    Returns them all, and which of them say what others have lost.
    """
    before = report.count()
    entries: list[Entry] = []
    try:
        for number, found in read_lines(raw):
            with in_line(number):
                entries.append(read_entry(found))
    except MalformedError as error:
        report.tampered(ENTRIES, str(error))
        report.conclude("entries", before, "")
        return [], Erasures()
    erasures = read_erasures(entries)
    for entry in entries:
        _check_entry(entry, manifest, erasures, report)
    if len(entries) != manifest.entries:
        report.tampered(
            ENTRIES,
            "it has %d entries, and the manifest says %d"
            % (len(entries), manifest.entries),
        )
    report.conclude(
        "entries",
        before,
        "%s with the hashes that they carry, %s"
        % (
            counted(len(entries), "entry", "entries"),
            "and the payloads that are left" if erasures.found else "payloads too",
        ),
    )
    report_erasures(erasures, report)
    _check_order(entries, report)
    return entries, erasures


def names_the_log(entry: Entry) -> bool:
    """The first entry, and those that say that the log goes on under a new name."""
    return entry.seq == 0 or entry.event_type == "log.epoch_opened"


@dataclass
class Erasures:
    """Which entries have lost what they say, and which entry says so of each."""

    legal_bases: dict[int, str] = field(default_factory=dict)
    found: dict[int, int] = field(default_factory=dict)


def read_erasures(entries: list[Entry]) -> Erasures:
    """Read them from entries whose payload is theirs; the hash is checked anyway."""
    erasures = Erasures()
    # One that has lost half of it was not erased by the program that we know.
    empty = sorted(
        each.seq
        for each in entries
        if each.payload is None and each.payload_salt is None
    )
    for entry in entries:
        if (
            entry.event_type != ERASED
            or entry.payload is None
            or entry.payload_salt is None
            or payload_commitment(entry.payload_salt, entry.payload.encode("utf-8"))
            != entry.payload_hash
        ):
            continue
        try:
            payload = read_json(entry.payload.encode("utf-8"))
            ranges = [(first, last) for first, last in payload["entries"]]
            basis = payload["legal_basis"]
        except (MalformedError, KeyError, TypeError, ValueError):
            continue
        if is_text(basis) and all(
            is_number(number, 1, LARGEST_SIZE) for each in ranges for number in each
        ):
            erasures.legal_bases[entry.seq] = basis
            for first, last in united(ranges):
                # An entry is erased by a later one, and by the first that says so.
                start = bisect_left(empty, first)
                end = bisect_right(empty, min(last, entry.seq - 1))
                if start < end:
                    erasures.found.update(dict.fromkeys(empty[start:end], entry.seq))
                    del empty[start:end]
    return erasures


def united(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the same numbers, none of them in two ranges."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        elif first <= last:
            found.append((first, last))
    return found


def report_erasures(erasures: Erasures, report: Report) -> None:
    erased = Counter(erasures.found.values())
    for by in sorted(erased):
        report.not_checked(
            "payload erased",
            "%s: entry %d says on which legal basis: %s. Their hashes were checked"
            % (
                counted(erased[by], "entry has lost its text", "entries have lost it"),
                by,
                plain(erasures.legal_bases[by], 200),
            ),
        )


def _check_entry(
    entry: Entry, manifest: Manifest, erasures: Erasures, report: Report
) -> None:
    if entry_hash(entry, manifest.log_id) != entry.hash:
        report.tampered(
            ENTRIES, "its fields do not have the hash that it carries", entry.seq
        )
    if entry.seq in erasures.found:
        pass
    elif entry.payload is None or entry.payload_salt is None:
        report.incomplete(
            ENTRIES,
            "its payload is not there, so nobody can read it, and no entry says why",
            entry.seq,
        )
    elif (
        payload_commitment(entry.payload_salt, entry.payload.encode("utf-8"))
        != entry.payload_hash
    ):
        report.tampered(
            ENTRIES, "its payload is not the one that was recorded", entry.seq
        )
    if entry.event_type == ERASED or names_the_log(entry):
        return
    if entry.attempt_id != manifest.attempt_id:
        report.tampered(ENTRIES, "it is of another attempt", entry.seq)


def _check_order(entries: list[Entry], report: Report) -> None:
    before = report.count()
    links = 0
    for earlier, later in zip(entries, entries[1:]):
        if later.seq <= earlier.seq:
            report.tampered(ENTRIES, "it stands in the wrong place", later.seq)
            continue
        if later.recorded_at_us < earlier.recorded_at_us:
            report.tampered(
                ENTRIES, "it is dated before the entry that precedes it", later.seq
            )
        if later.seq == earlier.seq + 1:
            links += 1
            if later.previous_hash != earlier.hash:
                report.tampered(
                    ENTRIES, "it does not continue the entry before it", later.seq
                )
    report.conclude(
        "order",
        before,
        "numbers and times go forward; %s the one right before"
        % counted(links, "entry continues", "entries continue"),
    )
    report.not_checked(
        "whole chain",
        "most neighbours of these entries concern other people, so they are not in this"
        " bundle; only proofs of inclusion in a checkpoint stand for them",
    )


def check_genesis(
    manifest: Manifest, entries: list[Entry], report: Report
) -> tuple[str, ...]:
    """The first entry of the log names it, and its hash is part of every entry.

    Returns the names under which it was signed: after an incident it has a new one.
    """
    before = report.count()
    origins: list[str] = []
    if not entries or entries[0].seq != 0:
        report.incomplete(ENTRIES, "the log's first entry, which names it, is missing")
    elif entries[0].event_type != "log.genesis" or entries[0].previous_hash != NO_HASH:
        report.tampered(ENTRIES, "it is no beginning of a log", 0)
    elif entries[0].payload is not None:
        payload = entries[0].payload.encode("utf-8")
        try:
            named = read_json(payload)
        except MalformedError as error:
            report.tampered(ENTRIES, "its payload: %s" % error, 0)
            named = {}
        if hashlib.sha256(payload).digest()[:16] != manifest.log_id:
            report.tampered(MANIFEST, "its log id is not the one of the first entry")
        elif not isinstance(named, dict) or not is_text(named.get("origin")):
            report.tampered(ENTRIES, "it does not name the log", 0)
        else:
            origins = [named["origin"], *_read_epochs(named["origin"], entries, report)]
            if origins[-1] != manifest.origin:
                report.tampered(MANIFEST, "its origin is not the one of the entries")
    report.conclude(
        "identity",
        before,
        "all entries are of the log %s, %s"
        % (plain(manifest.origin, 80), manifest.log_id.hex()),
    )
    return tuple(origins) or (manifest.origin,)


def _read_epochs(origin: str, entries: list[Entry], report: Report) -> list[str]:
    """Return the later names of the log, each of which an entry explains."""
    before = report.count()
    origins: list[str] = []
    for entry in entries:
        if entry.seq == 0 or not names_the_log(entry) or entry.payload is None:
            continue
        try:
            opened = read_json(entry.payload.encode("utf-8"))
        except MalformedError as error:
            report.tampered(ENTRIES, "its payload: %s" % error, entry.seq)
            continue
        previous = origins[-1] if origins else origin
        if (
            not isinstance(opened, dict)
            or not is_text(opened.get("origin"))
            or not is_text(opened.get("reason"))
            or opened.get("previous_origin") != previous
        ):
            report.tampered(ENTRIES, "its epoch does not follow", entry.seq)
            continue
        origins.append(opened["origin"])
        report.not_checked(
            "what was lost before entry %d" % entry.seq,
            "the log did not hold all that it had signed, and went on as %s. The reason"
            " that was given: %s"
            % (plain(opened["origin"], 80), plain(opened["reason"])),
        )
    if origins:
        said = counted(len(origins) + 1, "epoch", "epochs")
        report.conclude(
            "epochs", before, said + ", each opened by an entry that says so"
        )
    return origins


# What binds the entries to the state of the whole log.


@dataclass(frozen=True)
class Trust:
    """The policy that counts. `is_given` tells one from outside the bundle."""

    policy: Policy | None
    is_given: bool


def check_checkpoint(
    manifest: Manifest,
    origins: tuple[str, ...],
    files: dict[str, bytes],
    trust: Trust,
    report: Report,
) -> Checkpoint | None:
    """Check the signed state of the log, and return it."""
    if CHECKPOINT not in files:
        why = "this bundle has no checkpoint: none had been made for its entries"
        if manifest.checkpoint is not None:
            report.incomplete(CHECKPOINT, "the manifest speaks of it")
        elif trust.is_given:
            report.incomplete(CHECKPOINT, "the policy wants one, and " + why)
        for name in ("checkpoint", "inclusion", "signatures"):
            report.not_checked(name, why)
        return None
    before = report.count()
    found: Checkpoint | None = None
    note: Note | None = None
    try:
        note = parse_note(files[CHECKPOINT])
        found = parse_checkpoint(note.text)
    except MalformedError as error:
        report.tampered(CHECKPOINT, str(error))
    if found is not None and manifest.checkpoint != (found.size, found.root):
        report.tampered(CHECKPOINT, "it is not the one that the manifest speaks of")
    if found is not None and found.origin not in origins:
        report.tampered(CHECKPOINT, "it is of another log, %s" % plain(found.origin))
    report.conclude(
        "checkpoint",
        before,
        ""
        if found is None
        else "the log had %s then" % counted(found.size, "entry", "entries"),
    )
    if found is None or note is None:
        return None
    _check_signatures(found, note, trust, report)
    return found


def _check_signatures(
    found: Checkpoint, note: Note, trust: Trust, report: Report
) -> None:
    if trust.policy is None:
        report.not_checked(
            "signatures", "nobody said whose signatures count: give a --policy"
        )
        return
    before = report.count()
    try:
        judgement = judge(trust.policy, note, found.origin)
    except ChangedError as error:
        report.tampered(CHECKPOINT, str(error))
        report.conclude("signatures", before, "")
        return
    lacks = _what_is_missing(judgement)
    who = ", ".join(
        "%s at %s" % (plain(name, 80), moment(seconds * 1000000))
        for name, seconds in sorted(judgement.times.items())
    )
    report.facts["witnesses"] = {
        plain(name, 80): seconds for name, seconds in judgement.times.items()
    }
    if not trust.is_given:
        said = "it fits" if not lacks else "it does not fit (%s)" % lacks
        report.not_checked(
            "signatures",
            "%s the policy that lies in the bundle, but keys that come with a bundle"
            " prove nothing: give a --policy from elsewhere" % said,
        )
        return
    if lacks:
        report.incomplete(CHECKPOINT, "your policy is not satisfied: " + lacks)
        report.conclude("signatures", before, "")
        return
    if trust.policy.quorum is None:
        report.not_checked(
            "witnesses",
            "signed by the log, but your policy asks for no witness: whoever has the"
            " log's key could have signed another history",
        )
        return
    report.passed("signatures", "signed by the log and confirmed by " + who)
    report.is_anchored = True


def _what_is_missing(judgement: Judgement) -> str:
    lacks = []
    if not judgement.is_log_known:
        lacks.append("it does not know this log")
    elif not judgement.is_log_signed:
        lacks.append("the log has not signed")
    if not judgement.is_quorum_met:
        names = ", ".join(plain(name, 60) for name in judgement.missing)
        lacks.append("its quorum of witnesses is not there; not heard of: " + names)
    if lacks and judgement.unsupported:
        names = ", ".join(plain(name, 60) for name in judgement.unsupported)
        lacks.append("this program can not read the kind of key of " + names)
    return "; ".join(lacks)


def _read_hashes(value: object) -> list[bytes]:
    if (
        not isinstance(value, list)
        or len(value) > 128
        or not all(is_hex(each, 32) for each in value)
    ):
        raise MalformedError("a proof is malformed")
    return [bytes.fromhex(each) for each in value]


def read_paths(raw: bytes) -> dict[int, list[bytes]]:
    """Read the inclusion proofs, by entry. Raises MalformedError."""
    paths: dict[int, list[bytes]] = {}
    for number, line in read_lines(raw):
        with in_line(number):
            seq = line.get("seq")
            if set(line) != {"seq", "path"} or not is_number(seq, 0, LARGEST_SIZE):
                raise MalformedError("it is no proof")
            if int(line["seq"]) in paths:
                raise MalformedError("the entry has a proof already")
            paths[int(line["seq"])] = _read_hashes(line["path"])
    return paths


def check_inclusion(
    files: dict[str, bytes], entries: list[Entry], found: Checkpoint, report: Report
) -> None:
    """Every entry before the checkpoint's end has a proof that it is in the log."""
    before = report.count()
    if PROOFS not in files:
        report.incomplete(PROOFS, "it is not in the bundle")
        report.conclude("inclusion", before, "")
        return
    paths: dict[int, list[bytes]] = {}
    try:
        paths = read_paths(files[PROOFS])
    except MalformedError as error:
        report.tampered(PROOFS, str(error))
    covered = [entry for entry in entries if entry.seq < found.size]
    for entry in covered:
        path = paths.pop(entry.seq, None)
        if path is None:
            report.incomplete(PROOFS, "there is no proof for it", entry.seq)
        elif not verify_inclusion(entry.seq, found.size, entry.hash, path, found.root):
            report.tampered(
                PROOFS, "the checkpoint's log does not have it at this place", entry.seq
            )
    for seq in sorted(paths):
        report.tampered(PROOFS, "there is a proof without its entry", seq)
    report.conclude(
        "inclusion",
        before,
        "%d of %d entries are proven to stand in the log of the checkpoint"
        % (len(covered), len(entries)),
    )
    _note_newer([entry for entry in entries if entry.seq >= found.size], report)


def _note_newer(newer: list[Entry], report: Report) -> None:
    if not newer:
        return
    shown = ["%d (%s)" % (each.seq, plain(each.event_type, 60)) for each in newer[:10]]
    report.not_checked(
        "newer entries",
        "%d newer than the checkpoint: %s" % (len(newer), ", ".join(shown)),
    )
    # Of nothing that is newer can anybody tell whether all of it is here.
    report.is_anchored = False
    report.not_checked(
        "anchor",
        "a bundle that is made a little later will have them covered",
    )


def check_earlier(
    files: dict[str, bytes],
    found: Checkpoint,
    origins: tuple[str, ...],
    trust: Trust,
    entries: list[Entry],
    report: Report,
) -> None:
    """Older checkpoints show that the log only grew, and by when entries were there."""
    if EARLIER not in files:
        return
    before = report.count()
    if files[EARLIER].count(b"\n") > MAX_EARLIER:
        report.tampered(EARLIER, "it has more lines than any bundle has")
        report.conclude("history", before, "")
        return
    count = 0
    largest = -1
    seen: list[str] = []
    try:
        for number, line in read_lines(files[EARLIER]):
            with in_line(number):
                old, times = _read_earlier(line, largest, found, origins, trust)
            count += 1
            largest = old.size
            if times:
                covered = sum(entry.seq < old.size for entry in entries)
                said = counted(covered, "entry", "entries")
                seen.append("%s by %s" % (said, moment(times[0] * 1000000)))
    except MalformedError as error:
        report.tampered(EARLIER, str(error))
    report.conclude(
        "history",
        before,
        "the log has only grown since %s%s"
        % (
            counted(count, "earlier checkpoint", "earlier checkpoints"),
            "; witnesses had seen " + ", ".join(seen) if seen else "",
        ),
    )


def _read_earlier(
    line: dict[str, Any],
    largest: int,
    found: Checkpoint,
    origins: tuple[str, ...],
    trust: Trust,
) -> tuple[Checkpoint, list[int]]:
    """Return an older checkpoint, and when trusted witnesses confirmed it.

    `largest` is the size of the one before it, so none comes twice.
    """
    if set(line) != {"checkpoint", "proof"} or not is_text(line["checkpoint"]):
        raise MalformedError("it is no earlier checkpoint")
    note = parse_note(line["checkpoint"].encode("utf-8"))
    old = parse_checkpoint(note.text)
    if old.size <= largest:
        raise MalformedError("it is not larger than the one before it")
    proof = _read_hashes(line["proof"])
    if old.origin not in origins or not verify_consistency(
        old.size, found.size, old.root, found.root, proof
    ):
        raise ChangedError("the log of the checkpoint does not continue it")
    if trust.policy is None:
        return old, []
    judgement = judge(trust.policy, note, old.origin)
    counts = trust.is_given and not _what_is_missing(judgement)
    return old, sorted(judgement.times.values()) if counts else []


def check_timestamps(
    files: dict[str, bytes],
    found: Checkpoint | None,
    trust: Trust,
    entries: list[Entry],
    report: Report,
) -> None:
    """See what the answers of authorities are over. Who made them is for OpenSSL."""
    if TIMESTAMPS not in files and not any(name in files for name in STAMP_FILES):
        report.not_checked("timestamps", "this bundle has none of an authority of time")
        return
    if found is None:
        report.not_checked("timestamps", "there is no checkpoint that would bind them")
        return
    before = report.count()
    spoken_of: list[str] = []
    said: list[str] = []
    try:
        for number, line in read_lines(files.get(TIMESTAMPS, b"")):
            with in_line(number):
                stamped = _read_stamp_line(line, spoken_of)
                spoken_of.append(stamped[0])
            said += _check_stamp(stamped, files, found, trust, entries, report)
    except MalformedError as error:
        report.tampered(TIMESTAMPS, str(error))
    for name in STAMP_FILES:
        if name in files and name[:-4] not in spoken_of:
            report.tampered(name, "no line of %s speaks of it" % TIMESTAMPS)
    report.conclude(
        "timestamps",
        before,
        "they are over states of this log: " + "; ".join(said),
    )
    if said:
        report.not_checked(
            "signatures of timestamps",
            "this program can not check by whom they were made, so it believes none of"
            " these times. OpenSSL can: see below",
        )


def _read_stamp_line(
    line: dict[str, Any], spoken_of: list[str]
) -> tuple[str, list[bytes]]:
    if (
        set(line) != {"name", "proof", "tsa"}
        or line["name"] not in STAMPS
        or line["name"] in spoken_of
        or not is_text(line["tsa"])
    ):
        raise MalformedError("it is no timestamp of this bundle")
    return str(line["name"]), _read_hashes(line["proof"])


def _check_stamp(
    stamped: tuple[str, list[bytes]],
    files: dict[str, bytes],
    found: Checkpoint,
    trust: Trust,
    entries: list[Entry],
    report: Report,
) -> list[str]:
    """Return what a timestamp claims, or nothing if it is not over this log."""
    name, proof = stamped
    text, answer = name + ".txt", name + ".tsr"
    for each in (text, answer):
        if each not in files:
            report.incomplete(each, "it is not in the bundle")
            return []
    try:
        note = parse_note(files[text])
        old = parse_checkpoint(note.text)
        if old.origin != found.origin or not verify_consistency(
            old.size, found.size, old.root, found.root, proof
        ):
            raise ChangedError("the log of the checkpoint does not continue it")
        if trust.policy is not None:
            # A wrong signature under a name that counts is a forgery.
            judge(trust.policy, note, old.origin)
    except MalformedError as error:
        report.tampered(text, str(error))
        return []
    try:
        stamp = read_stamp(files[answer])
    except MalformedError as error:
        report.tampered(answer, str(error))
        return []
    if stamp.digest != hashlib.sha256(files[text]).digest():
        report.tampered(answer, "it is over another text than " + text)
        return []
    covered = sum(entry.seq < old.size for entry in entries)
    claimed = stamp.claimed_at.strftime("%Y-%m-%d %H:%M:%S UTC")
    report.facts.setdefault("timestamps", []).append(
        {"file": answer, "size": old.size, "claimed_at": claimed}
    )
    report.commands.append(
        "openssl ts -verify -data %s -in %s -CAfile CA.pem" % (text, answer)
    )
    return [
        "%s, with %s, claims to be of %s"
        % (answer, counted(covered, "entry", "entries"), claimed)
    ]


# What the entries say, against what else the bundle says.


@dataclass(frozen=True)
class Cell:
    """What a column of the attempt's row must hold, and the entry that left it so.

    `unknown` says why nobody can tell. An erasure, the entry `emptied_by`, may have
    made it null.
    """

    entry: int
    value: Any = None
    unknown: str | None = None
    emptied_by: int | None = None


@dataclass
class Course:
    """What the attempt's entries, one after the other, make of its row.

    The status follows from their types, so it is known even when they were erased.
    """

    cells: dict[str, Cell] = field(default_factory=dict)

    def cell(self, name: str) -> Cell:
        return self.cells.get(name, Cell(0, unknown="no entry says it"))

    def follow(self, entry: Entry, payload: dict[str, Any] | None) -> None:
        """Take one step. Without a payload, what it would say is not known."""
        kind = entry.event_type
        if kind not in STEPS:
            if kind.startswith("attempt."):
                why = "entry %d is of a kind that this program does not know"
                for name in COLUMNS:
                    self.cells[name] = Cell(entry.seq, unknown=why % entry.seq)
            return
        if kind == VOIDED and self.cell("status").value in ("in_progress", "paused"):
            # It ran until then. What ended before is as its end has left it.
            for name in ("ended_at", "ended_by"):
                self.cells[name] = _read_cell(entry, payload, (name,))
        if kind == TERMINATED and self.cell("review_status").value == "none":
            # Whoever was stopped gets a review, without an entry of its own.
            self.cells["review_status"] = Cell(entry.seq, "queued")
        for name, left in STEPS[kind].items():
            # How much there is to earn never changes. A later entry has it from the
            # row, where somebody may have edited it by then.
            if name != "max_score" or self.cell(name).unknown is not None:
                self.cells[name] = _read_cell(entry, payload, left)

    def empty_notes(self, seq: int) -> None:
        """Note an erasure of a person, which may have emptied what mentions him."""
        for name in NOTES:
            if self.cell(name).value is not None:
                self.cells[name] = replace(self.cells[name], emptied_by=seq)


def _read_cell(entry: Entry, payload: dict[str, Any] | None, left: Any) -> Cell:
    """Return what a step leaves in a column, which STEPS says."""
    if left is ACTOR:
        return Cell(entry.seq, entry.actor_id)
    if left is SUBJECT:
        return Cell(entry.seq, entry.attempt_id)
    if not isinstance(left, tuple):
        return Cell(entry.seq, left)
    if payload is None:
        return Cell(entry.seq, unknown="entry %d has lost what it said" % entry.seq)
    # Under a name, or under the second within the first.
    found: Any = payload
    for name in left:
        # An entry of another version may lack it.
        if not isinstance(found, dict) or name not in found:
            return _unsaid(entry)
        found = found[name]
    return Cell(entry.seq, found)


def _unsaid(entry: Entry) -> Cell:
    return Cell(entry.seq, unknown="entry %d does not say it" % entry.seq)


@dataclass
class Recorded:
    """What the entries say of the things that the rows show."""

    started: dict[str, Any] | None = None
    course: Course = field(default_factory=Course)
    # (batch, event) to the digest of the event as it was recorded.
    events: dict[tuple[str, str], bytes] = field(default_factory=dict)
    # Question to its newest version and the digest of the response.
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    analyses: dict[str, dict[str, Any]] = field(default_factory=dict)
    sequences: set[int] = field(default_factory=set)
    # Entries without a payload: (type, entity).
    emptied: set[tuple[str, str]] = field(default_factory=set)
    exports: dict[int, dict[str, Any]] = field(default_factory=dict)

    def has_lost(self, kind: str) -> bool:
        return any(each == kind for each, _ in self.emptied)

    def add_events(self, batch: str, events: list[dict[str, Any]]) -> None:
        for event in events:
            self.events[batch, str(event["id"])] = digest_of(event)
            if is_number(event["sequence"], 1, LARGEST_SIZE):
                self.sequences.add(event["sequence"])

    def add_answers(self, answers: list[dict[str, Any]]) -> None:
        for answer in answers:
            question, version = str(answer["question_id"]), answer["client_version"]
            if not is_number(version, 0, LARGEST_SIZE):
                raise MalformedError("a version is no number")
            if version > self.answers.get(question, (-1, b""))[0]:
                self.answers[question] = (version, digest_of(answer["response"]))

    def add_export(self, seq: int, payload: dict[str, Any]) -> None:
        if not is_number(payload["last_entry"], 0, LARGEST_SIZE):
            raise MalformedError("a number is none")
        self.exports[seq] = payload


def digest_of(value: object) -> bytes:
    return hashlib.sha256(_written(value)).digest()


def read_payloads(entries: list[Entry], erasures: Erasures, report: Report) -> Recorded:
    recorded = Recorded()
    erasing = set(erasures.found.values())
    for entry in entries:
        if entry.seq in erasing and entry.entity_type == "user":
            recorded.course.empty_notes(entry.seq)
        if entry.payload is None:
            recorded.emptied.add((entry.event_type, entry.entity_id))
            recorded.course.follow(entry, None)
            continue
        try:
            payload = read_json(entry.payload.encode("utf-8"))
            _read_payload(entry, payload, recorded)
        except (MalformedError, KeyError, TypeError) as error:
            report.tampered(
                ENTRIES,
                "its payload is not what its type has (%s)" % plain(error, 100),
                entry.seq,
            )
    return recorded


def _read_payload(entry: Entry, payload: dict[str, Any], recorded: Recorded) -> None:
    if not isinstance(payload, dict):
        raise MalformedError("it is no object")
    recorded.course.follow(entry, payload)
    kind = entry.event_type
    if kind == STARTED:
        recorded.started = payload
    elif kind == OBSERVED:
        recorded.add_events(entry.entity_id, payload["events"])
    elif kind == SAVED:
        recorded.add_answers(payload["answers"])
    elif kind == ANALYSED:
        recorded.analyses[entry.entity_id] = payload
    elif kind == EXPORTED:
        recorded.add_export(entry.seq, payload)


def check_completeness(
    manifest: Manifest,
    entries: list[Entry],
    recorded: Recorded,
    found: Checkpoint | None,
    report: Report,
) -> None:
    """An attempt has a beginning, its client counts, and exports say what was there."""
    before = report.count()
    if recorded.started is None and not recorded.has_lost(STARTED):
        report.incomplete(ENTRIES, "no entry says that the attempt was started")
    if manifest.exported_by not in recorded.exports:
        report.incomplete(
            ENTRIES, "the entry about the making of this bundle is missing"
        )
    own = sorted(each.seq for each in entries if each.attempt_id == manifest.attempt_id)
    for seq, payload in recorded.exports.items():
        stated, last = payload.get("entries"), payload["last_entry"]
        here = bisect_right(own, last)
        if here != stated:
            report.tampered(
                ENTRIES,
                "it says that the attempt had %s entries up to entry %s, and %d are"
                " here" % (plain(stated, 30), last, here),
                seq,
            )
    uncounted = _what_is_uncounted(own, recorded, found)
    if uncounted and report.count() == before:
        report.is_anchored = False
        report.not_checked("completeness", uncounted)
    else:
        report.conclude(
            "completeness",
            before,
            "the attempt has its beginning, and as many entries as the log said when it"
            " was exported (%s)" % counted(len(recorded.exports), "time", "times"),
        )
    _say_as_of_when(entries, recorded, found, report)
    _check_counter(recorded, report)


def _say_as_of_when(
    entries: list[Entry], recorded: Recorded, found: Checkpoint | None, report: Report
) -> None:
    """Date the bundle: it can have been cut back to any export that is in it."""
    if not recorded.exports:
        return
    newest = max(recorded.exports)
    last = recorded.exports[newest]["last_entry"]
    recorded_at_us = next(each.recorded_at_us for each in entries if each.seq == newest)
    report.facts["as_of"] = {
        "entry": newest,
        "recorded_at": moment(recorded_at_us),
        "counts_up_to": last,
    }
    if found is None or newest >= found.size:
        return
    here = sum(last < each.seq < found.size for each in entries)
    if here < found.size - 1 - last:
        report.not_checked(
            "what came later",
            "entry %d counts the entries of this attempt up to entry %d, and the log of"
            " the checkpoint goes on to entry %d: nothing here shows whether some of"
            " those are of this attempt too. A new bundle would"
            % (newest, last, found.size - 1),
        )


def _what_is_uncounted(
    own: list[int], recorded: Recorded, found: Checkpoint | None
) -> str | None:
    """Say why nobody can tell that all entries are here, or None if one can.

    An entry that no checkpoint covers proves no count: whoever takes entries out of a
    bundle writes it anew, with a hash that fits.
    """
    proven = [seq for seq in recorded.exports if found and seq < found.size]
    if not proven:
        return (
            "no checkpoint covers an entry that counts those of the attempt, so"
            " whoever had this bundle could have taken entries out of it"
        )
    newest = max(proven)
    last = recorded.exports[newest]["last_entry"]
    later = len(own) - bisect_right(own, last) - (newest > last)
    if not later:
        return None
    return (
        "entry %d counts those up to entry %d, and all of them are here; nothing that a"
        " checkpoint covers counts those that came later, of which %d are here"
        % (newest, last, later)
    )


def _check_counter(recorded: Recorded, report: Report) -> None:
    holes = _holes(sorted(recorded.sequences))
    if recorded.has_lost(OBSERVED):
        report.not_checked(
            "client's counter", "some of what the exam client observed was erased"
        )
    elif holes:
        report.not_checked(
            "client's counter",
            "the exam client numbered its observations, and these numbers are not on"
            " record (lost on the way, refused, or never sent): " + holes,
        )
    elif recorded.sequences:
        report.passed(
            "client's counter",
            "its observations 1 to %d are all here" % max(recorded.sequences),
        )


def _holes(numbers: list[int]) -> str:
    found = []
    expected = 1
    for number in numbers:
        if number > expected:
            last = number - 1
            found.append(
                str(expected) if last == expected else "%d to %d" % (expected, last)
            )
        expected = number + 1
    more = ", ..." if len(found) > 10 else ""
    return ", ".join(found[:10]) + more


def check_rows(files: dict[str, bytes], recorded: Recorded, report: Report) -> None:
    """The tables that the application works with must say what the log recorded."""
    before = report.count()
    for name, check in (
        (ATTEMPT, _check_attempt),
        (EVENTS, _check_events),
        (ANSWERS, _check_answers),
        (ANALYSES, _check_analyses),
    ):
        if name not in files:
            continue
        try:
            check(files[name], recorded, report)
        except MalformedError as error:
            report.tampered(name, str(error))
        except (KeyError, TypeError, InvalidOperation):
            report.tampered(name, "a field is missing or malformed")
    report.conclude(
        "rows",
        before,
        "the attempt, %s, %s and %s in rows/ as the entries have them"
        % (
            counted(len(recorded.events), "event", "events"),
            counted(len(recorded.answers), "answer", "answers"),
            counted(len(recorded.analyses), "analysis", "analyses"),
        ),
    )
    report.not_checked(
        "other columns of rows/",
        "names, question texts, points of single answers, comments, the explanations"
        " of analyses, and of the attempt when it was paused and when reviewed, are for"
        " reading; only entries.jsonl is evidence",
    )


def _check_attempt(raw: bytes, recorded: Recorded, report: Report) -> None:
    row = read_json(raw)
    if not isinstance(row, dict):
        raise MalformedError("it is no object")
    unknown: dict[str, list[str]] = {}
    for name in COLUMNS:
        cell, found = recorded.course.cell(name), row[name]
        if cell.unknown is not None:
            unknown.setdefault(cell.unknown, []).append(name)
        elif found is None and cell.emptied_by is not None:
            why = "entry %d may have emptied it" % cell.emptied_by
            unknown.setdefault(why, []).append(name)
        elif not _is_same(name, found, cell.value):
            report.tampered(
                ATTEMPT, "%s differs from what was recorded" % name, cell.entry
            )
    if unknown:
        report.not_checked(
            ATTEMPT,
            "nobody can tell what it must say of "
            + "; ".join(
                "%s (%s)" % (", ".join(names), why) for why, names in unknown.items()
            ),
        )


def _is_same(name: str, found: object, recorded: object) -> bool:
    if name not in NUMBERS or found is None or recorded is None:
        return _written(found) == _written(recorded)
    return Decimal(str(found)) == Decimal(str(recorded))


def _check_events(raw: bytes, recorded: Recorded, report: Report) -> None:
    left = dict(recorded.events)
    for _, row in read_lines(raw, is_strict=False):
        batch = row.pop("batch_id")
        if (OBSERVED, str(batch)) in recorded.emptied:
            continue
        expected = left.pop((str(batch), str(row["id"])), None)
        if expected is None:
            report.tampered(EVENTS, "no entry has the event " + plain(row["id"], 60))
        elif digest_of(row) != expected:
            report.tampered(
                EVENTS, "the event %s differs from its entry" % plain(row["id"], 60)
            )
    for _, event in sorted(left):
        report.tampered(EVENTS, "the event %s is missing" % plain(event, 60))


def _check_answers(raw: bytes, recorded: Recorded, report: Report) -> None:
    if recorded.has_lost(SAVED):
        report.not_checked(ANSWERS, "what the student saved was erased")
        return
    left = dict(recorded.answers)
    for _, row in read_lines(raw, is_strict=False):
        question = str(row["question_id"])
        expected = left.pop(question, None)
        if expected != (row["client_version"], digest_of(row["response"])):
            report.tampered(
                ANSWERS,
                "the answer to question %s is not the last that was saved"
                % plain(question, 60),
            )
    for question in sorted(left):
        report.tampered(
            ANSWERS, "the answer to question %s is missing" % plain(question, 60)
        )


def _check_analyses(raw: bytes, recorded: Recorded, report: Report) -> None:
    left = dict(recorded.analyses)
    for _, row in read_lines(raw, is_strict=False):
        if (ANALYSED, str(row["id"])) in recorded.emptied:
            continue
        expected = left.pop(str(row["id"]), None)
        if expected is None or any(
            row[name] != expected[name]
            for name in ("model_version", "is_official", "risk_level", "inputs_hash")
        ):
            same = False
        else:
            same = all(
                Decimal(str(row[name])) == Decimal(str(expected[name]))
                for name in ("risk_score", "confidence")
            )
        if not same:
            report.tampered(
                ANALYSES,
                "the analysis %s differs from its entry" % plain(row["id"], 60),
            )
    for analysis in sorted(left):
        report.tampered(ANALYSES, "the analysis %s is missing" % plain(analysis, 60))


def counted(number: int, thing: str, things: str) -> str:
    return "%d %s" % (number, thing if number == 1 else things)


def moment(microseconds: int) -> str:
    """Write a time for people: UTC, to the second."""
    try:
        found = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(
            microseconds=microseconds
        )
    except OverflowError:
        return "%d microseconds since 1970" % microseconds
    return found.strftime("%Y-%m-%d %H:%M:%S UTC")


def read_trust(  # noqa: PLR0911 - one return for each way to be given a policy.
    files: dict[str, bytes],
    policy_path: str | None,
    fingerprint: str | None,
    report: Report,
) -> Trust:
    """Decide whose signatures count: the user's policy, or one that he confirmed."""
    if policy_path is not None:
        try:
            with open(policy_path, "rb") as file:
                raw = file.read(MAX_POLICY_BYTES + 1)
            policy = parse_policy(raw)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            report.incomplete(policy_path, "it can not be read: " + plain(reason))
            return Trust(None, is_given=True)
        except MalformedError as error:
            report.incomplete(policy_path, "it is no policy: %s" % error)
            return Trust(None, is_given=True)
        report.facts["policy_sha256"] = hashlib.sha256(raw).hexdigest()
        return Trust(policy, is_given=True)
    if POLICY not in files:
        if fingerprint is not None:
            report.incomplete(POLICY, "there is none in the bundle to confirm")
        return Trust(None, is_given=fingerprint is not None)
    found = hashlib.sha256(files[POLICY]).hexdigest()
    report.facts["policy_sha256"] = found
    try:
        policy = parse_policy(files[POLICY])
    except MalformedError as error:
        report.tampered(POLICY, "it is no policy: %s" % error)
        return Trust(None, is_given=fingerprint is not None)
    if fingerprint is None:
        return Trust(policy, is_given=False)
    if fingerprint.lower() != found:
        report.tampered(POLICY, "its fingerprint is %s, not the one you gave" % found)
    return Trust(policy, is_given=True)


def examine(
    path: str,
    policy_path: str | None = None,
    fingerprint: str | None = None,
    *,
    most: int = MAX_BYTES,
) -> Report:
    """Check a bundle of at most `most` bytes, and return all that was found."""
    report = Report(path)
    try:
        files = read_bundle(path, report, most)
    except ChangedError as error:
        report.tampered(path, str(error))
    except MalformedError as error:
        report.incomplete(path, str(error))
    else:
        check_bundle(files, policy_path, fingerprint, report)
    return report


def check_bundle(
    files: dict[str, bytes],
    policy_path: str | None,
    fingerprint: str | None,
    report: Report,
) -> None:
    if MANIFEST not in files:
        report.incomplete(MANIFEST, "it is not in the bundle")
        return
    try:
        manifest = read_manifest(files[MANIFEST])
    except MalformedError as error:
        report.incomplete(MANIFEST, str(error))
        return
    report.facts["attempt_id"] = plain(manifest.attempt_id, 80)
    report.facts["log_id"] = manifest.log_id.hex()
    report.facts["origin"] = plain(manifest.origin)
    check_files(manifest, files, report)
    entries, erasures = check_entries(manifest, files.get(ENTRIES, b""), report)
    report.facts["entries"] = len(entries)
    if not entries:
        report.incomplete(ENTRIES, "no entry could be read")
        return
    origins = check_genesis(manifest, entries, report)
    trust = read_trust(files, policy_path, fingerprint, report)
    found = check_checkpoint(manifest, origins, files, trust, report)
    if found is not None:
        check_inclusion(files, entries, found, report)
        check_earlier(files, found, origins, trust, entries, report)
    check_timestamps(files, found, trust, entries, report)
    before = report.count()
    recorded = read_payloads(entries, erasures, report)
    if report.count() == before:
        check_completeness(manifest, entries, recorded, found, report)
        check_rows(files, recorded, report)
    else:
        report.not_checked("rows", "the payloads of the entries can not be read")


# Saying it.


def as_document(report: Report) -> dict[str, Any]:
    return {
        "verdict": report.verdict,
        "exit_code": EXIT_CODES[report.verdict],
        "meaning": MEANINGS[report.verdict],
        "bundle": plain(report.bundle, 500),
        **report.facts,
        "checks": [
            {"name": each.name, "result": each.result, "detail": each.detail}
            for each in report.checks
        ],
        "problems": [
            {
                "kind": each.kind,
                "file": each.file,
                "entry": each.entry,
                "detail": each.detail,
            }
            for each in report.problems
        ],
        "more_problems": report.more_problems,
        "commands": report.commands,
        "never_shown": list(NEVER_SHOWN),
        "verifier_sha256": own_sha256(),
    }


def as_text(report: Report) -> str:
    facts = report.facts
    lines = ["Evidence bundle: " + plain(report.bundle, 500)]
    for name, label in (
        ("attempt_id", "Attempt"),
        ("origin", "Log"),
        ("bundle_sha256", "SHA-256 of the bundle"),
        ("policy_sha256", "SHA-256 of the policy"),
    ):
        if name in facts:
            lines.append("%s: %s" % (label, facts[name]))
    if "as_of" in facts:
        lines.append(
            "As of: entry %(entry)d, of %(recorded_at)s, which counts the entries of"
            " the attempt up to entry %(counts_up_to)d" % facts["as_of"]
        )
    lines += ["", "VERDICT: " + report.verdict.replace("_", " ").upper(), ""]
    lines += wrapped(MEANINGS[report.verdict], "  ")
    lines += [*_problem_lines(report), *_check_lines(report)]
    if report.commands:
        lines += ["", "How to check the signatures of timestamps"]
        lines += wrapped(
            "Unpack the bundle, enter the folder, put the root certificates of the"
            " authority, from elsewhere, into CA.pem, and run:",
            "  ",
        )
        # As they are to be typed: not broken into lines.
        lines += ["", *("    " + each for each in report.commands)]
    lines += ["", "What no check of this kind can show"]
    for sentence in NEVER_SHOWN:
        lines += wrapped(sentence, "  - ")
    lines += ["", "This program has the SHA-256 %s." % own_sha256()]
    if not report.is_anchored:
        lines += wrapped(
            "Keys that lie in a bundle prove nothing by themselves. Give the policy"
            " that the examination board has published (--policy FILE), or its"
            " fingerprint (--policy-sha256 FINGERPRINT).",
            "",
        )
    return "\n".join(lines) + "\n"


def _problem_lines(report: Report) -> Iterator[str]:
    if report.problems:
        yield from ("", "What is wrong")
    for each in report.problems:
        place = plain(each.file, 200)
        if each.entry is not None:
            place += ", entry %d" % each.entry
        yield from wrapped("%s: %s" % (place, each.detail), "  - ")
    if report.more_problems:
        yield "  - and %d more" % report.more_problems


def _check_lines(report: Report) -> Iterator[str]:
    marks = {"passed": "ok", "failed": "WRONG"}
    for title, results in (
        ("What was checked", ("passed", "failed")),
        ("What was not checked, and why", ("not_checked",)),
    ):
        chosen = [each for each in report.checks if each.result in results]
        if chosen:
            yield from ("", title)
        for check in chosen:
            mark = "  %-5s " % marks.get(check.result, "-")
            yield from wrapped("%s: %s" % (check.name, check.detail), mark)


def wrapped(text: str, first: str, width: int = 88) -> list[str]:
    lines, line = [], first
    indent = " " * len(first)
    is_empty = True
    for word in text.split(" "):
        if not is_empty and len(line) + 1 + len(word) > width:
            lines.append(line)
            line, is_empty = indent, True
        line += word if is_empty else " " + word
        is_empty = False
    return [*lines, line]


def own_sha256() -> str:
    try:
        with open(__file__, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return "unknown"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description="Checks an evidence bundle of one exam attempt, without a network."
    )
    parser.add_argument(
        "bundle",
        nargs="?",
        help="the ZIP file or the folder; else the folder that this program lies in",
    )
    parser.add_argument("--policy", help="whose signatures count, from elsewhere")
    parser.add_argument(
        "--policy-sha256",
        metavar="FINGERPRINT",
        help="what the policy in the bundle must be, as you know it from elsewhere",
    )
    parser.add_argument(
        "--large",
        action="store_true",
        help="read up to %d MiB instead of %d; takes several times as much memory"
        % (MAX_LARGE_BYTES // MIB, MAX_BYTES // MIB),
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    chosen = parser.parse_args(arguments)
    path = chosen.bundle or os.path.dirname(os.path.abspath(__file__))
    try:
        report = examine(
            path,
            chosen.policy,
            chosen.policy_sha256,
            most=MAX_LARGE_BYTES if chosen.large else MAX_BYTES,
        )
    except MemoryError:
        report = Report(path)
        report.incomplete(path, "it is too large for this machine")
    except Exception as error:  # noqa: BLE001 - no panel can read a traceback.
        report = Report(path)
        report.incomplete(
            path, "this program does not understand it (%s)" % type(error).__name__
        )
    # A terminal that lacks a letter shows its number instead of an error.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if chosen.json:
        print(json.dumps(as_document(report), indent=2, ensure_ascii=False))
    else:
        print(as_text(report), end="")
    return EXIT_CODES[report.verdict]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
