"""Which entries of the log have lost what they say, because a later one says so."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

# The first entry and the last, both included.
Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ErasedEntries:
    """Numbers of entries, as ranges that neither touch nor overlap, in order.

    It travels between processes.
    """

    firsts: tuple[int, ...] = ()
    lasts: tuple[int, ...] = ()

    def __contains__(self, seq: int) -> bool:
        place = bisect_right(self.firsts, seq) - 1
        return place >= 0 and seq <= self.lasts[place]


NOTHING_ERASED: Final = ErasedEntries()


def erased_in(ranges: Iterable[Range]) -> ErasedEntries:
    """Unite ranges, which may come in any order and overlap."""
    firsts: list[int] = []
    lasts: list[int] = []
    for first, last in sorted(ranges):
        if lasts and first <= lasts[-1] + 1:
            lasts[-1] = max(lasts[-1], last)
        elif first <= last:
            firsts.append(first)
            lasts.append(last)
    return ErasedEntries(tuple(firsts), tuple(lasts))


def ranges_of(numbers: Iterable[int]) -> list[Range]:
    """Write numbers of entries, which come in order, as few ranges."""
    ranges: list[Range] = []
    for seq in numbers:
        if ranges and ranges[-1][1] == seq - 1:
            ranges[-1] = ranges[-1][0], seq
        else:
            ranges.append((seq, seq))
    return ranges
