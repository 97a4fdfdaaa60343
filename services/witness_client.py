"""Asking the witnesses that the operator has configured (C2SP tlog-witness).

A witness is another administration's machine: whatever it answers, these functions
return a value.
"""

import base64
import http
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from services.outgoing_requests import Answer, Unreachable, ask, printable
from utils.signed_note import Note, NoteError, Signature

__all__ = [
    "Behind",
    "Cosigned",
    "NeverSeen",
    "Refused",
    "Seen",
    "Unreachable",
    "add_checkpoint",
    "latest",
]

TIMEOUT_SECONDS: Final = 5.0
SIZE: Final = "text/x.tlog.size"
SIZE_LINE: Final = re.compile(rb"(0|[1-9][0-9]{0,18})\n")


@dataclass(frozen=True, slots=True)
class Cosigned:
    """What the witness signed with. Whether by the right key is still to be checked."""

    signatures: tuple[Signature, ...]


@dataclass(frozen=True, slots=True)
class Behind:
    """The witness knows the log at another size, and wants a proof from there."""

    size: int


@dataclass(frozen=True, slots=True)
class Seen:
    """The latest note that the witness cosigned. Nothing in it has been checked."""

    note: Note


@dataclass(frozen=True, slots=True)
class NeverSeen:
    """The witness has never cosigned a checkpoint of this log."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The witness answered, and not with what was asked for."""

    status: int
    detail: str


def add_checkpoint(
    url: str,
    old_size: int,
    proof: Sequence[bytes],
    note: str,
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Cosigned | Behind | Refused | Unreachable:
    """Ask for a cosignature of a checkpoint that extends the one of `old_size`."""
    lines = (f"{base64.b64encode(node).decode()}\n" for node in proof)
    body = f"old {old_size}\n{''.join(lines)}\n{note}".encode()
    answer = _ask("POST", url, "/add-checkpoint", body, timeout_seconds)
    if isinstance(answer, Unreachable):
        return answer
    if answer.status == http.HTTPStatus.CONFLICT and answer.content_type == SIZE:
        size = SIZE_LINE.fullmatch(answer.body)
        return Behind(int(size[1])) if size else _refused(answer, "This is no size.")
    if answer.status != http.HTTPStatus.OK:
        return _refused(answer)
    try:
        known = len(Note.parse(note.encode()).signatures)
        signatures = Note.parse(note.encode() + answer.body).signatures[known:]
    except NoteError as error:
        return _refused(answer, f"These are no signature lines: {error}")
    if not signatures:
        return _refused(answer, "There is no signature in the answer.")
    return Cosigned(signatures)


def latest(
    url: str, origin: str, *, timeout_seconds: float = TIMEOUT_SECONDS
) -> Seen | NeverSeen | Refused | Unreachable:
    """Ask what the witness has seen of a log."""
    path = f"/{sha256(origin.encode()).hexdigest()}/checkpoint"
    answer = _ask("GET", url, path, None, timeout_seconds)
    if isinstance(answer, Unreachable):
        return answer
    if answer.status == http.HTTPStatus.NOT_FOUND:
        return NeverSeen()
    if answer.status != http.HTTPStatus.OK:
        return _refused(answer)
    try:
        return Seen(Note.parse(answer.body))
    except NoteError as error:
        return _refused(answer, f"This is no checkpoint: {error}")


def _ask(
    method: str, url: str, path: str, body: bytes | None, timeout_seconds: float
) -> Answer | Unreachable:
    return ask(method, url.rstrip("/") + path, body, timeout_seconds=timeout_seconds)


def _refused(answer: Answer, detail: str = "") -> Refused:
    return Refused(answer.status, printable(detail) if detail else answer.text)
