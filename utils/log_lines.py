"""Writes the lines of the process log without ever making a request wait for it.

A pipe that nobody empties, or a disk that hangs, blocks whoever writes to it. So that
is one thread of each process; what it can not get rid of is dropped, and counted.
"""

import logging
import os
import select
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Final

from utils import metrics

STANDARD_OUTPUT: Final = 1
STANDARD_ERROR: Final = 2
# Some megabytes, and half a minute of a busy process.
MOST_LINES: Final = 10_000
# Lines are gathered for so long: waking the writer for each would take the
# interpreter's lock from a request each time.
GATHER_SECONDS: Final = 0.02
# How long a process that ends waits for somebody to take its last lines.
LAST_WORDS_SECONDS: Final = 1.0


class LineHandler(logging.Handler):
    """Hands formatted records to a thread that writes them to an open file."""

    def __init__(self, descriptor: int = STANDARD_OUTPUT) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._start_anew()

    def _start_anew(self) -> None:
        """Begin without lines and without a thread, as a forked process does."""
        self._pid = os.getpid()
        self._lines: deque[bytes] = deque()
        self._is_news = threading.Event()
        self._is_written = threading.Event()
        self._is_written.set()
        self._writer: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line, or drop it. Called under the handler's lock."""
        if self._pid != os.getpid():
            self._start_anew()
        if len(self._lines) >= MOST_LINES:
            metrics.LOG_LINES_DROPPED.inc()
            return
        try:
            line = self.format(record).encode() + b"\n"
        except Exception:  # noqa: BLE001 - as every handler of `logging` does
            self.handleError(record)
            return
        self._is_written.clear()
        self._lines.append(line)
        if self._writer is None:
            self._writer = threading.Thread(
                target=self._write_all, name="log-writer", daemon=True
            )
            self._writer.start()
        self._is_news.set()

    def flush(self) -> None:
        """Wait until all is written, or a second. `logging` does it when all ends."""
        if self._pid == os.getpid():
            self._is_written.wait(LAST_WORDS_SECONDS)

    def _write_all(self) -> None:
        while True:
            self._is_news.wait()
            time.sleep(GATHER_SECONDS)
            self._is_news.clear()
            while piece := self._next_piece():
                self._write(piece)
            # Whoever adds a line holds the handler's lock.
            self.acquire()
            if not self._lines:
                self._is_written.set()
            self.release()

    def _next_piece(self) -> bytes:
        """Return whole lines, no more than the kernel writes in one piece.

        The processes of a server share the pipe, and their lines are not to be mixed.
        """
        piece = b""
        with suppress(IndexError):
            while not piece or len(piece) + len(self._lines[0]) <= select.PIPE_BUF:
                piece += self._lines.popleft()
        return piece

    def _write(self, piece: bytes) -> None:
        rest = memoryview(piece)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])
            except OSError:
                # Nobody is there any more, or the disk is full: not our work's fault.
                metrics.LOG_LINES_DROPPED.inc(piece.count(b"\n"))
                return
