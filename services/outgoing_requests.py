"""Asking machines of others: witnesses, and authorities of time.

The only outgoing requests of this program. Their addresses come from the
configuration and never from a request; redirects are not followed and proxies of the
environment not used. Whatever is answered, or however slowly, `ask` returns, and soon.
"""

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

# A checkpoint with sixteen signatures of the largest kind fits in it.
MAX_ANSWER_BYTES: Final = 128 * 1024
MAX_CAUSE_LENGTH: Final = 200


@dataclass(frozen=True, slots=True)
class Unreachable:
    """There was no whole answer in time. Whether it was acted upon is unknown."""

    cause: str


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    content_type: str
    body: bytes

    @property
    def text(self) -> str:
        """The body as it may go into logs and onto terminals."""
        return printable(self.body.decode("utf-8", "replace"))


def printable(text: str) -> str:
    shown = "".join(c if c.isprintable() else " " for c in text).strip()
    return shown[:MAX_CAUSE_LENGTH]


def ask(
    method: str,
    url: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    timeout_seconds: float,
) -> Answer | Unreachable:
    """Send one request to an address of the configuration.

    Raises ValueError if that is no address of the web.
    """
    where = urlsplit(url)
    sent = {"User-Agent": "proctoring-log", "Connection": "close", **(headers or {})}
    target = (where.path or "/") + (f"?{where.query}" if where.query else "")
    try:
        with (
            closing(_connection(where, timeout_seconds)) as connection,
            _ended_after(timeout_seconds, connection) as is_over,
        ):
            connection.request(method, target, body, sent)
            response = connection.getresponse()
            read = response.read(MAX_ANSWER_BYTES + 1)
            if len(read) > MAX_ANSWER_BYTES:
                return Unreachable("The answer does not end.")
            if response.length or is_over.is_set():
                return Unreachable("The answer was cut off.")
            content_type = response.headers.get_content_type()
            return Answer(response.status, content_type, read)
    except (OSError, http.client.HTTPException) as error:
        return Unreachable(f"{type(error).__name__}: {error}"[:MAX_CAUSE_LENGTH])


def _connection(
    where: SplitResult, timeout_seconds: float
) -> http.client.HTTPConnection:
    if where.scheme not in ("http", "https") or where.hostname is None:
        raise ValueError(f"{where.geturl()!r} is no address of the web")
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
