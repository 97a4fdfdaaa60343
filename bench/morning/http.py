"""A small HTTPS client on asyncio, for thousands of connections at little cost.

It shares two cores with what it measures. docs/exam-morning.md has what a request costs
here and in the usual libraries.
"""

import asyncio
import json
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

TIMEOUT_SECONDS = 30.0

# Any: JSON documents, as a client sees them.
Json = Any


class LostError(Exception):
    """No answer came: whether the request was carried out is unknown."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    # Seconds, where the server says so.
    retry_after: float | None
    body: bytes
    # For so many seconds the server asks to be spared what can wait.
    backoff: float = 0.0

    def json(self) -> Json:
        return json.loads(self.body)


class Connection:
    """One kept-alive connection. It carries one request at a time."""

    def __init__(self, port: int, host: str, trust: ssl.SSLContext) -> None:
        self._port = port
        self._host = host
        self._trust = trust
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(
        self, method: str, path: str, body: Json = None, token: str | None = None
    ) -> Answer:
        """Send a request and read its answer. Raises LostError."""
        content = b"" if body is None else json.dumps(body).encode()
        head = [f"{method} {path} HTTP/1.1", f"Host: {self._host}"]
        if token is not None:
            head.append(f"Authorization: Bearer {token}")
        if body is not None:
            head.append("Content-Type: application/json")
        head.append(f"Content-Length: {len(content)}")
        request = "\r\n".join(head).encode() + b"\r\n\r\n" + content
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await self._exchange(request)
        except (OSError, EOFError, ValueError) as error:
            # TimeoutError is an OSError, and IncompleteReadError an EOFError.
            self.hang_up()
            raise LostError(repr(error)) from error

    async def _exchange(self, request: bytes) -> Answer:
        if self._streams is None:
            self._streams = await asyncio.open_connection(
                "127.0.0.1", self._port, ssl=self._trust, server_hostname=self._host
            )
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        lines = head.split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection") == "close":
            self.hang_up()
        after = headers.get("retry-after")
        return Answer(
            status=int(lines[0][9:12]),
            retry_after=float(after) if after else None,
            body=body,
            backoff=float(headers.get("backoff", "0")),
        )

    def hang_up(self) -> None:
        if self._streams is not None:
            with suppress(OSError, RuntimeError):
                self._streams[1].close()
            self._streams = None
