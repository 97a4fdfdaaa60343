"""Several threads that begin together, and how long they take."""

import threading
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

Work = TypeVar("Work")


def seconds_for(
    pieces: Iterable[Work], prepare: Callable[[Work], Callable[[], None]]
) -> float:
    """Do each piece in a thread of its own, and return the seconds from first to last.

    `prepare` runs in the thread before the clock starts (to connect), and returns what
    is timed. Raises the first error of any thread.
    """
    errors: list[Exception] = []
    queue = list(pieces)
    barrier = threading.Barrier(len(queue) + 1)

    def run(piece: Work) -> None:
        try:
            timed = prepare(piece)
            barrier.wait()
            timed()
        except Exception as error:  # noqa: BLE001 - raised again below, by the caller.
            errors.append(error)
            barrier.abort()
            return
        barrier.wait()

    threads = [threading.Thread(target=run, args=(piece,)) for piece in queue]
    for thread in threads:
        thread.start()
    seconds = 0.0
    try:
        barrier.wait()
        began = time.perf_counter()
        barrier.wait()
        seconds = time.perf_counter() - began
    except threading.BrokenBarrierError:
        pass
    for thread in threads:
        thread.join()
    for error in errors:
        if not isinstance(error, threading.BrokenBarrierError):
            raise error
    return seconds
