"""The connection pool, and the kinds of transactions that it lends out."""

import os
import random
import select
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass

import psycopg2
from psycopg2 import extensions

from models.connection_settings import (
    IDLE_CHECK_PATIENCE_SECONDS,
    ConnectionSettings,
)
from models.database_errors import PoolBusyError, translated
from models.transaction import (
    BEGIN_READING,
    BEGIN_WRITING,
    Transaction,
    before_commit,
    patience_for,
)
from models.watched_connection import WatchedConnection
from utils import metrics

IDLE = extensions.TRANSACTION_STATUS_IDLE
# A connection that was idle for longer is asked before it is used; a server that is
# well answers that without reading anything.
IDLE_CHECK_SECONDS = 1.0
LIFETIME_SECONDS = 1800.0


@dataclass(slots=True)
class _Pooled:
    connection: WatchedConnection
    dies: float
    idle_since: float


class Database:
    """A bounded pool that heals itself and survives a fork.

    At most `pool_size` connections; who finds none waits `pool_wait_seconds` and then
    gets PoolBusyError. A connection is opened outside every lock, checked
    before use when it sat idle, and thrown away when anything about it is in doubt.
    """

    def __init__(self, settings: ConnectionSettings) -> None:
        self.settings = settings
        self._patience_seconds = patience_for(settings.statement_timeout_seconds)
        # Whoever compares sees that what answers may be another server by now.
        self.connections_opened = 0
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        """Start empty. psycopg2 never closes a connection of another process."""
        self._pid = os.getpid()
        self._turns = threading.BoundedSemaphore(self.settings.pool_size)
        self._idle: deque[_Pooled] = deque()
        self._waiting = 0
        metrics.POOL_LIMIT.inc(self.settings.pool_size)

    @contextmanager
    def transaction(self, *, is_aside: bool = False) -> Iterator[Transaction]:
        """Write: commit with the queued audit entries, or not at all.

        `is_aside` is for what is noted beside the request's own work (a refusal): it
        does not claim the request's idempotency key. Raises DatabaseUnavailableError
        and ConstraintError.
        """
        with self._connection() as connection:
            tx = Transaction(connection, BEGIN_WRITING, self._patience_seconds)
            yield tx
            if not is_aside and (hook := before_commit.get()) is not None:
                hook(tx)
            tx.finish_writing()

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Read one snapshot. Nothing can be written, and nothing is flushed."""
        with self._connection() as connection:
            tx = Transaction(connection, BEGIN_READING, self._patience_seconds)
            yield tx
            tx.finish_reading()

    @contextmanager
    def read_beside(self) -> Iterator[Transaction]:
        """Read one snapshot on a connection of its own, which is no part of the pool.

        For whoever looks how things stand when all others are lent out. Raises
        DatabaseUnavailableError.
        """
        with translated(), closing(self.settings.connect()) as connection:
            tx = Transaction(connection, BEGIN_READING, self._patience_seconds)
            yield tx
            tx.finish_reading()

    @contextmanager
    def bookkeeping(self) -> Iterator[Transaction]:
        """Run single statements, each of which commits at once and unaudited.

        For rate limits and idempotency keys, which are no part of the record.
        """
        with self._connection() as connection:
            yield Transaction(connection, "", self._patience_seconds)

    @contextmanager
    def _connection(self) -> Iterator[WatchedConnection]:
        if self._pid != os.getpid():
            self._forget()
        turns = self._turns
        if not turns.acquire(blocking=False):
            self._wait_for(turns)
        try:
            with metrics.POOL_IN_USE.track_inprogress(), translated():
                pooled = self._borrow()
                try:
                    yield pooled.connection
                finally:
                    self._give_back(pooled)
        finally:
            turns.release()

    def is_waited_for(self) -> bool:
        """Say whether somebody waits for a connection at this moment."""
        return self._waiting > 0

    def _wait_for(self, turns: threading.BoundedSemaphore) -> None:
        with metrics.POOL_WAITING.track_inprogress(), self._one_more_waiting():
            if turns.acquire(timeout=self.settings.pool_wait_seconds):
                return
        metrics.POOL_TIMEOUTS.inc()
        raise PoolBusyError("every connection is busy")

    @contextmanager
    def _one_more_waiting(self) -> Iterator[None]:
        with self._lock:
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1

    def _borrow(self) -> _Pooled:
        while True:
            try:
                pooled = self._idle.pop()
            except IndexError:
                now = time.monotonic()
                life = LIFETIME_SECONDS * random.uniform(0.8, 1.0)  # noqa: S311
                connection = self.settings.connect()
                self.connections_opened += 1
                return _Pooled(connection, now + life, now)
            if _is_usable(pooled):
                return pooled
            self._discard(pooled.connection)

    def _discard(self, connection: WatchedConnection) -> None:
        _close(connection)
        if connection.is_hung_up:
            # The others lead to the same silence: nobody else is to wait for it.
            self.close()

    def _give_back(self, pooled: _Pooled) -> None:
        connection = pooled.connection
        try:
            if connection.info.transaction_status != IDLE:
                with connection.cursor() as cursor:
                    connection.ask(
                        cursor, "ROLLBACK", patience_seconds=self._patience_seconds
                    )
            is_clean = connection.info.transaction_status == IDLE
        except psycopg2.Error:
            is_clean = False
        if is_clean and not connection.closed:
            pooled.idle_since = time.monotonic()
            self._idle.append(pooled)
        else:
            self._discard(connection)

    def close(self) -> None:
        """Close what is idle. What is lent out is closed when it comes back broken."""
        with suppress(IndexError):
            while True:
                _close(self._idle.pop().connection)


def _is_usable(pooled: _Pooled) -> bool:
    now = time.monotonic()
    connection = pooled.connection
    if connection.closed or now > pooled.dies:
        return False
    try:
        # Nothing is owed to an idle connection: what is there to read is its end.
        if select.select([connection.fileno()], [], [], 0)[0]:
            return False
        if now - pooled.idle_since > IDLE_CHECK_SECONDS:
            with connection.cursor() as cursor:
                connection.ask(
                    cursor, "SELECT 1", patience_seconds=IDLE_CHECK_PATIENCE_SECONDS
                )
    except (OSError, ValueError, psycopg2.Error):
        return False
    return True


def _close(connection: extensions.connection) -> None:
    with suppress(psycopg2.Error):
        connection.close()
