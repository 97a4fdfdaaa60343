"""Signing as long as there is something to sign."""

import logging
import signal
import threading
import time
from types import FrameType
from typing import Final

from models.database_errors import DatabaseUnavailableError
from services.checkpointer import Checkpointer, RefusedError
from services.log_watch import LogWatch, Testimony
from services.timestamping import Timestamping
from services.witnessing import Witnessing

logger = logging.getLogger(__name__)

# How often the log's end is looked at, which is one cheap statement.
POLL_SECONDS: Final = 0.1
# After a failure each wait doubles, up to this.
MAX_BACKOFF_SECONDS: Final = 5.0


class Loop:
    """Signs every `interval_seconds` while there is news, and at once what is urgent.

    A database that is away is waited for. Whatever else goes wrong ends the loop.
    """

    def __init__(
        self,
        checkpointer: Checkpointer,
        witnessing: Witnessing,
        timestamping: Timestamping,
        watch: LogWatch,
        *,
        interval_seconds: float,
        is_thorough: bool,
    ) -> None:
        self._checkpointer = checkpointer
        self._witnessing = witnessing
        self._timestamping = timestamping
        self._watch = watch
        self._interval_seconds = interval_seconds
        self._is_thorough = is_thorough
        self._has_begun = False
        self._next_at = 0.0
        self._failures = 0
        self._stopping = threading.Event()

    def stop_on(self, *numbers: signal.Signals) -> None:
        def stop(_number: int, _frame: FrameType | None) -> None:
            self._stopping.set()

        for number in numbers:
            signal.signal(number, stop)

    def run(self) -> None:
        """Raises RefusedError and CheckpointFileError."""
        while not self._stopping.wait(self._pause_seconds()):
            try:
                self.step()
            except DatabaseUnavailableError as error:
                if not self._failures:
                    logger.warning(
                        "waiting for the database", extra={"cause": str(error)}
                    )
                self._failures += 1
            else:
                self._failures = 0
        self._timestamping.close()

    def step(self) -> None:
        """Look once, and sign if it is time. Raises what `run` does."""
        try:
            self._step()
        except RefusedError:
            # The servers have to stop too, whenever it is found.
            compare(self._watch, self._checkpointer)
            raise
        except DatabaseUnavailableError:
            # It may be another one by now, or lack what was promised: begin again.
            self._has_begun = False
            raise

    def _step(self) -> None:
        if not self._has_begun:
            compare(self._watch, self._checkpointer)
            self._checkpointer.begin(is_thorough=self._is_thorough)
            self._witnessing.compare(
                self._checkpointer.size, self._checkpointer.verifiers
            )
            self._witnessing.resume()
            logger.info("signing", extra={"size": self._checkpointer.size})
            # After an interruption everything need not be read once more.
            self._has_begun, self._is_thorough = True, False
        self._timestamping.tick()
        news = self._checkpointer.look()
        now = time.monotonic()
        is_time = news.is_urgent or now >= self._next_at
        made = self._checkpointer.advance(news) if is_time else None
        if made is None:
            self._witnessing.complete()
        else:
            self._next_at = now + self._interval_seconds
            self._witnessing.cosign(made)
        if self._witnessing.is_contradicted:
            # What it has seen of us, if it has, ends this: compare as at the start.
            self._has_begun = False

    def _pause_seconds(self) -> float:
        longest = max(POLL_SECONDS, MAX_BACKOFF_SECONDS)
        return min(POLL_SECONDS * 2.0 ** min(self._failures, 16), longest)


def compare(watch: LogWatch, checkpointer: Checkpointer) -> None:
    """Stop the servers too if the log contradicts what was signed, before we refuse."""
    promised = checkpointer.promised
    if promised is not None:
        watch.know(checkpointer.verifiers)
        watch.check(Testimony("the signer", promised))
