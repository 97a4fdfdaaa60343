"""Which of a few numbered files a process counts in.

prometheus-client gives each process a file of its own, by default named after its pid,
and keeps the files of the dead because they have counted too: a server that renews its
workers would have hundreds of them by the evening. Here a process takes the lowest
number that no living one has, and goes on with what is in that file.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from prometheus_client.multiprocess import mark_process_dead

# More processes than anybody starts on one machine.
MAX_SLOTS: Final = 512


class NoSlotError(Exception):
    """Every number is taken, or none can be: the directory is not ours."""


class Slots:
    """The numbers in one directory. A number is taken as long as its lock is held.

    The lock is the kernel's (flock), so that whoever dies gives his number back.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._pid = 0
        self._slot = ""
        self._lock: int | None = None

    def mine(self) -> str:
        """Return this process's number; after a fork, the child takes another one."""
        if self._pid != os.getpid():
            self._take()
        return self._slot

    def forget_the_dead(self) -> None:
        """Remove what processes that are gone had in use when they went."""
        for file in self._directory.glob("slot_*.lock"):
            slot = file.stem.removeprefix("slot_")
            descriptor = self._try_lock(slot)
            if descriptor is not None:
                mark_process_dead(slot, str(self._directory))  # type: ignore[no-untyped-call]
                os.close(descriptor)

    def _take(self) -> None:
        if self._lock is not None:
            # The parent's, which keeps it: both have the same open file.
            os.close(self._lock)
        for number in range(MAX_SLOTS):
            slot = str(number)
            self._lock = self._try_lock(slot)
            if self._lock is not None:
                # What the one before had in use is not in use any more.
                mark_process_dead(slot, str(self._directory))  # type: ignore[no-untyped-call]
                self._pid, self._slot = os.getpid(), slot
                return
        raise NoSlotError(f"no number below {MAX_SLOTS} is free in {self._directory}")

    def _try_lock(self, slot: str) -> int | None:
        """Return what holds the lock, or None if somebody has it."""
        path = self._directory / f"slot_{slot}.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        os.close(descriptor)
        return None
