"""Asking the witnesses that the operator has configured (C2SP tlog-witness).

The only outgoing requests of this program. Their addresses come from the
configuration and never from a request; redirects are not followed and proxies of the
environment not used. A witness is another administration's machine: whatever it
answers, or however slowly, these functions return a value, and soon.
"""

import base64
import http.client
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Final
from urllib.parse import SplitResult, urlsplit

from utils.signed_note import Note, NoteError, Signature

TIMEOUT_SECONDS: Final = 5.0
# A checkpoint with sixteen signatures of the largest kind fits in it.
MAX_ANSWER_BYTES: Final = 128 * 1024
MAX_DETAIL_LENGTH: Final = 200
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


@dataclass(frozen=True, slots=True)
class Unreachable:
    """There was no whole answer in time. Whether it cosigned is unknown."""

    cause: str


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    content_type: str
    body: bytes

    def refused(self, detail: str = "") -> Refused:
        text = detail or self.body.decode("utf-8", "replace")
        # It goes into logs and onto terminals.
        printable = "".join(c if c.isprintable() else " " for c in text).strip()
        return Refused(self.status, printable[:MAX_DETAIL_LENGTH])


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
        return Behind(int(size[1])) if size else answer.refused("This is no size.")
    if answer.status != http.HTTPStatus.OK:
        return answer.refused()
    try:
        known = len(Note.parse(note.encode()).signatures)
        signatures = Note.parse(note.encode() + answer.body).signatures[known:]
    except NoteError as error:
        return answer.refused(f"These are no signature lines: {error}")
    if not signatures:
        return answer.refused("There is no signature in the answer.")
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
        return answer.refused()
    try:
        return Seen(Note.parse(answer.body))
    except NoteError as error:
        return answer.refused(f"This is no checkpoint: {error}")


def _ask(
    method: str, url: str, path: str, body: bytes | None, timeout_seconds: float
) -> _Answer | Unreachable:
    where = urlsplit(url)
    headers = {"User-Agent": "proctoring-log", "Connection": "close"}
    try:
        with (
            closing(_connection(where, timeout_seconds)) as connection,
            _ended_after(timeout_seconds, connection) as is_over,
        ):
            connection.request(method, where.path.rstrip("/") + path, body, headers)
            response = connection.getresponse()
            read = response.read(MAX_ANSWER_BYTES + 1)
            if len(read) > MAX_ANSWER_BYTES:
                return Unreachable("The answer does not end.")
            if response.length or is_over.is_set():
                return Unreachable("The answer was cut off.")
            content_type = response.headers.get_content_type()
            return _Answer(response.status, content_type, read)
    except (OSError, http.client.HTTPException) as error:
        return Unreachable(f"{type(error).__name__}: {error}"[:MAX_DETAIL_LENGTH])


def _connection(
    where: SplitResult, timeout_seconds: float
) -> http.client.HTTPConnection:
    if where.scheme not in ("http", "https") or where.hostname is None:
        raise ValueError(f"{where.geturl()!r} is no address of a witness")
    if where.scheme == "http":
        return http.client.HTTPConnection(
            where.hostname, where.port or http.client.HTTP_PORT, timeout=timeout_seconds
        )
    return http.client.HTTPSConnection(
        where.hostname,
        where.port or http.client.HTTPS_PORT,
        timeout=timeout_seconds,
        context=ssl.create_default_context(),
    )


@contextmanager
def _ended_after(
    timeout_seconds: float, connection: http.client.HTTPConnection
) -> Iterator[threading.Event]:
    """Connect, and hang up when the time is over.

    A socket's own timeout begins anew with every byte, so whoever sends one a second
    would hold us for ever.
    """
    connection.connect()
    line: socket.socket = connection.sock
    is_over = threading.Event()

    def hang_up() -> None:
        is_over.set()
        # It may have ended by itself.
        with suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(timeout_seconds, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield is_over
    finally:
        timer.cancel()
