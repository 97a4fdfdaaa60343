"""A Merkle tree that grows from the entries of the log, as they are checked."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Self

from models.audit_snapshot import HASH_IN_ROW, Snapshot, fields_of, row_of
from models.merkle_tile import Tile
from services.audit_check import RangeCheck
from services.audit_findings import Finding
from services.erasure_reading import read_erased_entries
from utils.blockchain_hasher import NO_HASH, log_identity
from utils.merkle import HASH_BYTES, Frontier
from utils.tiles import (
    FULL_TILE_BYTES,
    HEIGHT,
    LEVELS,
    TileId,
    reader,
    right_edge,
    root_of,
    width_at,
)

# So much is read between two writes of tiles: 2 MB of hashes.
ENTRIES_AT_ONCE: Final = 65_536

# Is given the tiles that are complete, or that end the tree.
StoreTiles = Callable[[Sequence[Tile]], object]


class BrokenLogError(Exception):
    """Entries do not follow from those before them; the message says which."""


class GrowingTree:
    """The right edge of a tree: on each level the tile that is not full yet."""

    def __init__(self) -> None:
        self._edges = [bytearray() for _ in range(LEVELS)]
        self._full: list[Tile] = []

    @classmethod
    def resume(
        cls, size: int, frontier: Sequence[bytes], tiles: Mapping[TileId, bytes]
    ) -> Self | None:
        """Go on where `frontier` ends; None if `tiles` are not those of that tree."""
        tree = cls()
        tree._edges = [
            bytearray(tiles.get(tile, b"")[: width_at(size, tile) * HASH_BYTES])
            for tile in edge_tiles(size)
        ]
        if tree.size != size or tree.frontier() != tuple(frontier):
            return None
        return tree

    @property
    def size(self) -> int:
        # What stands on the edges are the digits of the size, to the base of 256.
        return sum(
            len(edge) // HASH_BYTES << HEIGHT * level
            for level, edge in enumerate(self._edges)
        )

    def append(self, leaf: bytes) -> None:
        edge = self._edges[0]
        edge += leaf
        if len(edge) == FULL_TILE_BYTES:
            self._carry()

    def _carry(self) -> None:
        size = self.size
        for level, edge in enumerate(self._edges):
            if len(edge) < FULL_TILE_BYTES:
                return
            index = (size >> HEIGHT * (level + 1)) - 1
            self._full.append(Tile(level=level, tile_index=index, hashes=bytes(edge)))
            self._edges[level + 1] += root_of(edge)
            edge.clear()

    def take_full_tiles(self) -> list[Tile]:
        """Return the tiles that have become full since this was last asked."""
        full, self._full = self._full, []
        return full

    def partial_tiles(self) -> list[Tile]:
        return [
            Tile(level=tile.level, tile_index=tile.index, hashes=bytes(edge))
            for tile, edge in zip(edge_tiles(self.size), self._edges, strict=True)
            if edge
        ]

    def frontier(self) -> tuple[bytes, ...]:
        """Return the roots of the perfect subtrees, as Frontier has them."""
        size = self.size
        read = reader(dict(zip(edge_tiles(size), self._edges, strict=True)))
        return tuple(read(level, index) for level, index in right_edge(size))

    def root(self) -> bytes:
        return Frontier.restore(self.size, self.frontier()).root()


def edge_tiles(size: int) -> list[TileId]:
    """Return for each level the tile that the next hash belongs to."""
    return [TileId(level, size >> HEIGHT * (level + 1)) for level in range(LEVELS)]


def grow(
    tree: GrowingTree,
    log: Snapshot,
    log_id: bytes,
    *,
    last_hash: bytes,
    until: int,
    store: StoreTiles,
) -> bytes:
    """Check the entries from the tree's end to before `until`, and append their hashes.

    `last_hash` is of the tree's last entry, which is read and checked again. Returns
    that of the new last one. Raises BrokenLogError, and then the tree is of no more
    use, nor after any other failure; full tiles may have been stored, which harms
    nobody: a tree that goes on otherwise writes them anew.
    """
    size = tree.size
    check = RangeCheck(
        log_id,
        max(0, size - 1),
        previous_hash=NO_HASH if size <= 1 else None,
        previous_time_us=None,
        erased=read_erased_entries(log, log_id, max(0, size - 1)),
    )
    if size:
        _check_last_again(check, log, size - 1, last_hash)
    else:
        _check_genesis(log, log_id)
    check_row, append, hash_ = check.receive, tree.append, HASH_IN_ROW

    def receive(message: bytes) -> None:
        row = row_of(message)
        if row is not None:
            check_row(row)
            append(row[hash_])

    for first in range(size, until, ENTRIES_AT_ONCE):
        log.copy(first, min(first + ENTRIES_AT_ONCE, until) - 1, receive)
        _refuse(check.result.findings)
        store(tree.take_full_tiles())
    result = check.finish(until - 1)
    _refuse(result.findings)
    if result.last_hash is None:
        raise BrokenLogError("no entry was read")
    store(tree.partial_tiles())
    return result.last_hash


def _check_last_again(
    check: RangeCheck, log: Snapshot, seq: int, last_hash: bytes
) -> None:
    row = log.row(seq)
    if row is None:
        raise BrokenLogError(f"entry {seq} is not there any more")
    if fields_of(row)["hash"] != last_hash:
        raise BrokenLogError(f"entry {seq} has another hash than when it was signed")
    check.receive(row)
    _refuse(check.result.findings)


def _check_genesis(log: Snapshot, log_id: bytes) -> None:
    row = log.row(0)
    if row is None or log_identity(fields_of(row)["payload"] or b"") != log_id:
        raise BrokenLogError("entry 0 is not the manifest of this log")


def _refuse(findings: Sequence[Finding]) -> None:
    if findings:
        first = findings[0]
        raise BrokenLogError(f"entry {first.seq}: {first.reason}: {first.detail}")
