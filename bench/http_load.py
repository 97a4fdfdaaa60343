"""A closed-loop HTTP client that costs little: raw sockets, requests made beforehand.

What it costs itself is the same for both sides of a ratio, and is part of both.
"""

import socket
from collections.abc import Callable, Sequence

from bench.at_once import seconds_for


def request_bytes(method: str, path: str, token: str, body: bytes = b"") -> bytes:
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def exchange(connection: socket.socket, request: bytes) -> int:
    """Send one request on a kept-alive connection and return the answer's status."""
    connection.sendall(request)
    received = b""
    while b"\r\n\r\n" not in received:
        received += _receive(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    lowered = head.lower()
    at = lowered.index(b"content-length:") + len(b"content-length:")
    missing = int(lowered[at:].split(b"\r\n", 1)[0]) - len(body)
    while missing > 0:
        missing -= len(_receive(connection))
    return int(head.split(b" ", 2)[1])


def _receive(connection: socket.socket) -> bytes:
    chunk = connection.recv(65536)
    if not chunk:
        raise ConnectionError("the server hung up")
    return chunk


def seconds_to_send(
    port: int, queues: Sequence[Sequence[bytes]], good: frozenset[int]
) -> float:
    """Send every queue over a connection of its own, all at once; say how long it took.

    Raises RuntimeError for an answer whose status is not `good`.
    """

    def prepare(queue: Sequence[bytes]) -> Callable[[], None]:
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def send_all() -> None:
            with connection:
                for request in queue:
                    status = exchange(connection, request)
                    if status not in good:
                        raise RuntimeError(f"an unexpected answer: {status}")

        return send_all

    return seconds_for(queues, prepare)
