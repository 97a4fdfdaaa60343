"""Threads that all begin at the same moment."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

T = TypeVar("T")


def at_once(work: Sequence[Callable[[], T]]) -> list[T]:
    """Do each piece of work in a thread of its own, and return what they returned."""
    barrier = Barrier(len(work))

    def begin(piece: Callable[[], T]) -> T:
        barrier.wait()
        return piece()

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(begin, work))
