"""A line that misbehaves on command: a TCP proxy between us and a real server."""

import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

CHUNK_BYTES = 65_536
# What is looked at when nothing comes: whether the line is to be cut, or to be closed.
TICK_SECONDS = 0.02


@dataclass(slots=True)
class Line:
    """How the line is at this moment. Whoever sets it need not wait for anything."""

    # It takes what is sent and delivers nothing, either way: the kernels acknowledge.
    is_silent: bool = False
    # Only the answers are swallowed: what was asked is done.
    is_deaf: bool = False
    latency_seconds: float = 0.0
    # 0 is no limit. At 200 bytes a second an answer trickles in.
    bytes_per_second: int = 0
    port: int = 0
    _lines: set["_Pair"] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def cut(self) -> int:
        """Reset every connection (RST, both ways). Returns how many there were."""
        with self._lock:
            lines, self._lines = self._lines, set()
        for each in lines:
            each.reset()
        return len(lines)

    def carry(self, pair: "_Pair") -> None:
        with self._lock:
            self._lines.add(pair)
        try:
            pair.carry(self)
        finally:
            with self._lock:
                self._lines.discard(pair)
            pair.close()


@dataclass(eq=False, slots=True)
class _Pair:
    """One connection: what the client has, and what leads on to the server."""

    client: socket.socket
    server: socket.socket
    is_cut: bool = False

    def carry(self, line: Line) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(self.client, selectors.EVENT_READ, self.server)
            ready.register(self.server, selectors.EVENT_READ, self.client)
            while not self.is_cut:
                for key, _ in ready.select(TICK_SECONDS):
                    source, target = key.fileobj, key.data
                    assert isinstance(source, socket.socket)
                    if not self._pass_on(line, source, target):
                        return

    def _pass_on(
        self, line: Line, source: socket.socket, target: socket.socket
    ) -> bool:
        """Carry one piece. Returns False at the end of the stream."""
        slowly = line.bytes_per_second
        try:
            piece = source.recv(max(1, slowly // 50) if slowly else CHUNK_BYTES)
        except OSError:
            return False
        if not piece:
            return False
        if line.latency_seconds:
            time.sleep(line.latency_seconds)
        if slowly:
            time.sleep(len(piece) / slowly)
        if line.is_silent or (line.is_deaf and source is self.server):
            return True
        try:
            target.sendall(piece)
        except OSError:
            return False
        return True

    def reset(self) -> None:
        """Close without a good-bye: SO_LINGER of 0 makes the kernel send RST."""
        self.is_cut = True
        for each in (self.client, self.server):
            with suppress(OSError):
                each.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
                )

    def close(self) -> None:
        for each in (self.client, self.server):
            each.close()


@contextmanager
def line_to(host: str, port: int) -> Iterator[Line]:
    """Listen on 127.0.0.1 and carry to a server; a host with a slash is a socket's."""
    line = Line()
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        line.port = listener.getsockname()[1]
        carriers: list[threading.Thread] = []
        taker = threading.Thread(
            target=_take, args=(listener, line, carriers, host, port)
        )
        taker.start()
        try:
            yield line
        finally:
            # Wakes whoever waits in accept().
            listener.shutdown(socket.SHUT_RDWR)
            taker.join()
            line.cut()
            for each in carriers:
                each.join()


def _take(
    listener: socket.socket,
    line: Line,
    carriers: list[threading.Thread],
    host: str,
    port: int,
) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        try:
            server = _connected(host, port)
        except OSError:
            client.close()
            continue
        pair = _Pair(client, server)
        carrier = threading.Thread(target=line.carry, args=(pair,))
        carriers.append(carrier)
        carrier.start()


def _connected(host: str, port: int) -> socket.socket:
    if not host.startswith("/"):
        return socket.create_connection((host, port), 5)
    server = socket.socket(socket.AF_UNIX)
    server.connect(f"{host}/.s.PGSQL.{port}")
    return server
