"""Which of a client's events never arrived, by the numbers that it gave them."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

MAX_MISSING: Final = 1000


@dataclass(frozen=True, slots=True)
class Arrived:
    """`missing`: the first holes between `contiguous` and the highest number."""

    contiguous: int
    missing: tuple[int, ...]


def arrived(contiguous: int, above: Iterable[int]) -> Arrived:
    """Return how far the numbers go without a hole, and the holes, at most 1000.

    `contiguous` and all before it have arrived, and those in `above`, in any order.
    """
    numbers = sorted({number for number in above if number > contiguous})
    while_whole = 0
    for number in numbers:
        if number != contiguous + 1:
            break
        contiguous = number
        while_whole += 1
    return Arrived(
        contiguous=contiguous,
        missing=tuple(islice(_holes(contiguous, numbers[while_whole:]), MAX_MISSING)),
    )


def _holes(last: int, numbers: Iterable[int]) -> Iterable[int]:
    for number in numbers:
        yield from range(last + 1, number)
        last = number
