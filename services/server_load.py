"""Whether this process has more to do than it gets done, from what it knows anyway.

Not how full it is at a moment counts, but for how long there was no moment at which it
was not: a queue that does not go away (RFC 8289 section 3, CoDel's «standing queue»).
docs/decisions/0017-start-rush.md
"""

import random
import time
from collections.abc import Callable
from enum import Enum
from threading import Lock
from typing import Final


class Load(Enum):
    """Each with the seconds, least and most, that a client is asked to leave out."""

    OK = (0, 0)
    # What is not essential had better come later.
    BUSY = (5, 15)
    # What is not essential is not taken.
    OVERLOADED = (15, 30)


# So long a queue stands before it is one. A burst is over by then.
BUSY_AFTER_SECONDS: Final = 0.25
OVERLOADED_AFTER_SECONDS: Final = 2.0


class ServerLoad:
    """Counts requests in flight against the threads there are for them.

    `is_waited_for` says whether somebody waits for a database connection; `clock` gives
    seconds. Safe for threads.
    """

    def __init__(
        self,
        threads: int,
        is_waited_for: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # The last quarter of the threads has work: soon nobody is left for the next.
        self._full_at = threads - threads // 4
        self._is_waited_for = is_waited_for
        self._clock = clock
        self._lock = Lock()
        self._in_flight = 0
        self._full_since: float | None = None

    def begin(self) -> None:
        """Note that a request has come."""
        self._move(1)

    def end(self) -> None:
        """Note that it is done."""
        self._move(-1)

    def level(self) -> Load:
        with self._lock:
            lasting = self._look()
        if lasting < BUSY_AFTER_SECONDS:
            return Load.OK
        return Load.BUSY if lasting < OVERLOADED_AFTER_SECONDS else Load.OVERLOADED

    def backoff_seconds(self) -> int:
        """Say how long to leave out what can wait, to each another time."""
        # Those who are sent away together must not come back together.
        return random.randint(*self.level().value)  # noqa: S311

    def _move(self, step: int) -> None:
        with self._lock:
            self._in_flight += step
            self._look()

    def _look(self) -> float:
        """Return for how many seconds there was always a queue."""
        now = self._clock()
        if self._in_flight < self._full_at and not self._is_waited_for():
            self._full_since = None
            return 0.0
        if self._full_since is None:
            self._full_since = now
        return now - self._full_since
