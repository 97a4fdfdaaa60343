"""A background thread, which does what no request comes to do.

Jobs take their work with FOR UPDATE SKIP LOCKED, so any number of processes may sweep.
"""

import atexit
import logging
import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from models.database_errors import DatabaseUnavailableError

logger = logging.getLogger(__name__)

# After a failure each wait doubles, up to this: a database that comes back is noticed.
MAX_BACKOFF_SECONDS: Final = 5.0
# How long a process that ends waits for the job that is being done.
STOP_TIMEOUT_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do again and again. `run` returns how many things it did."""

    name: str
    run: Callable[[], int]
    # Not more often than this, in one process.
    every_seconds: float = 0.0


class Sweeper:
    """Does its jobs in turn, every `interval_seconds`, until it is stopped."""

    def __init__(self, jobs: Sequence[Job], interval_seconds: float) -> None:
        self._jobs = tuple(jobs)
        self._interval_seconds = interval_seconds
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        # Jobs whose last run failed: each failure is logged once, not every second.
        self._failing: set[str] = set()
        self._failed_rounds = 0
        self._not_before: dict[str, float] = {}

    def start(self) -> None:
        """Begin to sweep, here and in every process forked from here."""
        in_child = weakref.WeakMethod(self._begin_in_child)
        os.register_at_fork(
            after_in_child=lambda: (begin := in_child()) is not None and begin()
        )
        atexit.register(self.stop)
        self._begin()

    def stop(self) -> None:
        """Let the job that is being done finish, and do no other."""
        atexit.unregister(self.stop)
        self._stopping.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(STOP_TIMEOUT_SECONDS)

    def sweep(self) -> bool:
        """Do each job that is due once, and return whether all went well."""
        is_well = True
        for job in self._jobs:
            if self._stopping.is_set():
                break
            if not self._is_due(job):
                continue
            try:
                done = job.run()
            except DatabaseUnavailableError as error:
                # The other jobs need it too; but perhaps a single statement of this one
                # takes longer than any may, whenever it is tried.
                self._note(job, f"database unavailable: {error}")
                is_well = False
            # The thread's last resort: a defect of one job must not end the others.
            except Exception as error:  # noqa: BLE001
                self._note(job, "failed", error)
                is_well = False
            else:
                self._failing.discard(job.name)
                if done:
                    logger.info("swept", extra={"job": job.name, "done": done})
        return is_well

    def _is_due(self, job: Job) -> bool:
        now = time.monotonic()
        if now < self._not_before.get(job.name, now):
            return False
        self._not_before[job.name] = now + job.every_seconds
        return True

    def _begin(self) -> None:
        self._thread = threading.Thread(
            target=self._run, name="sweeper", daemon=True, args=(self._stopping,)
        )
        self._thread.start()

    def _begin_in_child(self) -> None:
        # No thread survives a fork, and the event's lock may have been held by one.
        if self._thread is not None:
            self._stopping = threading.Event()
            self._begin()

    def _run(self, stopping: threading.Event) -> None:
        while not stopping.wait(self._pause_seconds()):
            self._failed_rounds = 0 if self.sweep() else self._failed_rounds + 1

    def _pause_seconds(self) -> float:
        longest = max(self._interval_seconds, MAX_BACKOFF_SECONDS)
        pause = min(
            self._interval_seconds * 2.0 ** min(self._failed_rounds, 16), longest
        )
        # Processes that were started together drift apart.
        return pause * random.uniform(0.9, 1.1)  # noqa: S311

    def _note(self, job: Job, what: str, error: Exception | None = None) -> None:
        if job.name not in self._failing:
            self._failing.add(job.name)
            logger.error("job %s", what, extra={"job": job.name}, exc_info=error)
