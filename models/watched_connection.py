"""Connections that are hung up when the server says nothing for too long.

A statement's time limit is the server's to keep. A host that hangs, or a middlebox that
keeps acknowledging for it, keeps none; TCP sees nothing wrong, and libpq waits for
ever. docs/decisions/0018-silent-database.md
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final
from weakref import WeakSet, finalize

from psycopg2 import extensions

from utils import metrics

logger = logging.getLogger(__name__)

# How late the watchdog may be. Nobody waits for it but who has waited too long anyway.
LOOK_EVERY_SECONDS: Final = 0.25


class WatchedConnection(extensions.connection):
    """A psycopg2 connection whose waits end, with an OperationalError if need be."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: as psycopg2 has it.
        super().__init__(*args, **kwargs)
        self.is_hung_up = False
        self._gives_up_at: float | None = None
        # A descriptor of our own: libpq's may have become another connection's by the
        # time that somebody hangs up.
        self._line = socket.socket(fileno=os.dup(self.fileno()))
        # Like psycopg2's own it is closed with whoever lets go of the connection.
        self._let_go = finalize(self, self._line.close)
        _watchdog.watch(self)

    def ask(
        self,
        cursor: extensions.cursor,
        sql: str,
        params: Mapping[str, object] | None = None,
        *,
        patience_seconds: float,
    ) -> None:
        """Run a statement, and hang up if it is not answered in time."""
        self._gives_up_at = time.monotonic() + patience_seconds
        try:
            cursor.execute(sql, params)
        finally:
            self._gives_up_at = None

    def hang_up_if_late(self, now: float) -> None:
        """End the wait of whoever asked. For the watchdog."""
        gives_up_at = self._gives_up_at
        if gives_up_at is None or now < gives_up_at:
            return
        self._gives_up_at = None
        self.is_hung_up = True
        metrics.DATABASE_FAILURES.labels("silent").inc()
        logger.error("the database says nothing: hung up")
        # Whoever reads sees the end of the stream at once; closing would not wake him.
        with suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._let_go()
        super().close()


class _Watchdog:
    """A thread for each process, which looks at all its connections in turn.

    It has no lock to share with those who ask: they note when they give up, it reads.
    """

    def __init__(self) -> None:
        self.start_anew()

    def start_anew(self) -> None:
        """Begin without a thread: a fork has none of its parent's."""
        self._lock = threading.Lock()
        self._connections: WeakSet[WatchedConnection] = WeakSet()
        self._is_running = False

    def watch(self, connection: WatchedConnection) -> None:
        with self._lock:
            self._connections.add(connection)
            if not self._is_running:
                self._is_running = True
                # A daemon: a process that ends does not wait for it.
                threading.Thread(
                    target=self._look, name="database-watchdog", daemon=True
                ).start()

    def _look(self) -> None:
        while True:
            time.sleep(LOOK_EVERY_SECONDS)
            self._look_once()

    def _look_once(self) -> None:
        # A function of its own, so that nothing keeps a connection from one look to the
        # next: whoever held it then would find it there again, for ever.
        with self._lock:
            connections = list(self._connections)
        now = time.monotonic()
        for connection in connections:
            connection.hang_up_if_late(now)


_watchdog = _Watchdog()
os.register_at_fork(after_in_child=_watchdog.start_anew)
