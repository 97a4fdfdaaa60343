"""The nodes of a Merkle tree over leaves that come many at once.

`utils.merkle.Frontier` takes one leaf after the other; here whole rows are hashed, in
less than half the time, and the tree can be asked for its root at each size in between.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from utils.merkle import HASH_BYTES, hash_pairs, joined, perfect_subtrees


@dataclass(frozen=True, slots=True)
class Row:
    """Hashes of one level that stand side by side; `first` is the index of the first.

    Level 0 are the leaves.
    """

    level: int
    first: int
    hashes: bytes

    @property
    def end(self) -> int:
        return self.first + len(self.hashes) // HASH_BYTES

    def node(self, index: int) -> bytes:
        start = (index - self.first) * HASH_BYTES
        return self.hashes[start : start + HASH_BYTES]


class Subtree:
    """A tree that had `size` leaves, of which `frontier` is left, and that has grown.

    The nodes that can be read are those that the new leaves have made, and those of
    the frontier. Raises ValueError for a frontier of another size.
    """

    def __init__(self, size: int, frontier: Sequence[bytes], leaves: bytes) -> None:
        if len(frontier) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has another frontier")
        self.start = size
        self.size = size + len(leaves) // HASH_BYTES
        self._rows = list(_rows(size, frontier, leaves))

    def node(self, level: int, index: int) -> bytes:
        return self._rows[level].node(index)

    def root(self, size: int) -> bytes:
        """Return the root at this size, which is from `start` to `self.size`."""
        return joined(self.frontier(size))

    def frontier(self, size: int) -> list[bytes]:
        return [self.node(*place) for place in perfect_subtrees(0, size)]

    def new_rows(self, height: int) -> Iterator[Row]:
        """Return each `height` levels the nodes that the new leaves have made."""
        for row in self._rows[::height]:
            # The frontier is not new. It has a node where the size has a bit.
            if self.start >> row.level & 1:
                yield Row(row.level, row.first + 1, row.hashes[HASH_BYTES:])
            else:
                yield row


def _rows(size: int, frontier: Sequence[bytes], leaves: bytes) -> Iterator[Row]:
    """Hash upwards, and put before each row what the frontier has of it."""
    known = list(frontier)
    hashes, level = leaves, 0
    while hashes or size >> level:
        first = size >> level
        if first & 1:
            first -= 1
            hashes = known.pop() + hashes
        yield Row(level, first, hashes)
        hashes = hash_pairs(hashes)
        level += 1


def rows_above(bottom: Row, height: int) -> Iterator[Row]:
    """Return the bottom, and each `height` levels what lies above it and no other."""
    level, first, hashes = bottom.level, bottom.first, bottom.hashes
    while hashes:
        if level % height == 0:
            yield Row(level, first, hashes)
        if first & 1:
            first, hashes = first + 1, hashes[HASH_BYTES:]
        level, first, hashes = level + 1, first >> 1, hash_pairs(hashes)
