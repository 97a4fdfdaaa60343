"""Having a checkpoint of each day stamped by authorities of time.

A witness says what the log was when it looked; a timestamp says that the log was so at
the latest then, by the word of somebody who knows nothing of exams. It is done beside
the signing, which never waits for it.
"""

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from models import checkpoint_timestamp
from models.checkpoint_timestamp import NewTimestamp
from models.database import Database
from services.timestamp_client import (
    TIMEOUT_SECONDS,
    Authority,
    TimestampError,
    stamp,
)

logger = logging.getLogger(__name__)

DAY_SECONDS: Final = 86_400.0
# After a failure an authority is left alone for so long.
PAUSE_SECONDS: Final = 300.0
# How often the database is asked whether a day is over.
LOOK_SECONDS: Final = 10.0


@dataclass(slots=True)
class _Asked:
    authority: Authority
    silent_until: float = 0.0


class Timestamping:
    """Has the newest checkpoint stamped, once each interval by each authority."""

    def __init__(
        self,
        database: Database,
        authorities: Sequence[Authority],
        *,
        interval_seconds: float = DAY_SECONDS,
        pause_seconds: float = PAUSE_SECONDS,
        look_seconds: float = LOOK_SECONDS,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._database = database
        self._asked = [_Asked(authority) for authority in authorities]
        self._interval_seconds = interval_seconds
        self._pause_seconds = pause_seconds
        self._look_seconds = look_seconds
        self._timeout_seconds = timeout_seconds
        self._thread = ThreadPoolExecutor(1, "timestamps")
        self._work: Future[Sequence[NewTimestamp]] | None = None
        self._next_at = 0.0
        self._is_closing = threading.Event()

    def tick(self) -> None:
        """See to it that somebody does what is due. Returns at once."""
        if not self._asked or time.monotonic() < self._next_at:
            return
        if self._work is not None:
            if not self._work.done():
                return
            # Whatever it was, the checkpoints go on, and it is tried again.
            if (error := self._work.exception()) is not None:
                logger.error("no timestamps", extra={"cause": repr(error)})
        self._next_at = time.monotonic() + self._look_seconds
        self._work = self._thread.submit(self.stamp)

    def close(self) -> None:
        """End with the question that is open, if there is one."""
        self._is_closing.set()
        self._thread.shutdown(cancel_futures=True)

    def stamp(self) -> Sequence[NewTimestamp]:
        """Ask every authority that is due, and store what holds; return that.

        Raises DatabaseUnavailableError.
        """
        made = [
            self._stamp(each) for each in self._asked if not self._is_closing.is_set()
        ]
        return [each for each in made if each is not None]

    def _stamp(self, asked: _Asked) -> NewTimestamp | None:
        if time.monotonic() < asked.silent_until:
            return None
        url = asked.authority.url
        with self._database.read() as tx:
            due = checkpoint_timestamp.get_due(
                tx, url, interval_seconds=self._interval_seconds
            )
        if due is None:
            return None
        try:
            found = stamp(
                asked.authority,
                due.note.encode(),
                timeout_seconds=self._timeout_seconds,
            )
        except TimestampError as error:
            asked.silent_until = time.monotonic() + self._pause_seconds
            logger.warning("no timestamp", extra={"url": url, "cause": str(error)})
            return None
        made = NewTimestamp(
            size=due.size,
            note=due.note,
            tsa_url=url,
            response=found.response,
            stamped_at=found.stamped_at,
            is_chain_verified=found.is_chain_verified,
        )
        with self._database.bookkeeping() as tx:
            checkpoint_timestamp.insert(tx, made)
        logger.info("stamped", extra={"url": url, "size": due.size})
        return made
