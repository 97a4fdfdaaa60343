"""The geometry of C2SP's tlog-tiles: which tile holds which node of a Merkle tree.

A tile holds up to 256 hashes that stand side by side, and so the whole subtree of
height 8 above them. Level 0 has the leaves; each hash of a further level is the root of
a full tile of the level below. A tile of a tree that has grown begins like that of the
tree before.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from utils.merkle import HASH_BYTES, NodeReader, hash_pairs

HEIGHT: Final = 8
WIDTH: Final = 1 << HEIGHT
FULL_TILE_BYTES: Final = WIDTH * HASH_BYTES
# Levels 0 to 7 reach as far as a size of 64 bits.
LEVELS: Final = 8

PATH: Final = re.compile(
    r"(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class TileId:
    level: int
    index: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node is: it is the root of `count` hashes of a tile, from `first` on."""

    tile: TileId
    first: int
    count: int


def place_of(level: int, index: int) -> Place:
    """Find the node over the leaves from index << level to (index + 1) << level."""
    tile_level, height = divmod(level, HEIGHT)
    tile_index, first = divmod(index << height, WIDTH)
    return Place(TileId(tile_level, tile_index), first, 1 << height)


def width_at(size: int, tile: TileId) -> int:
    """Return how many hashes a tile has in a tree of `size` leaves; 0: none yet."""
    hashes = size >> (HEIGHT * tile.level)
    return max(0, min(WIDTH, hashes - tile.index * WIDTH))


def root_of(hashes: bytes | bytearray) -> bytes:
    """Return the root of hashes that stand side by side, a power of 2 of them."""
    row = bytes(hashes)
    while len(row) > HASH_BYTES:
        row = hash_pairs(row)
    return row


def reader(tiles: Mapping[TileId, bytes | bytearray]) -> NodeReader:
    """Read nodes from tiles. It raises LookupError for what they do not hold."""

    def read(level: int, index: int) -> bytes:
        place = place_of(level, index)
        start = place.first * HASH_BYTES
        length = place.count * HASH_BYTES
        hashes = tiles[place.tile][start : start + length]
        if len(hashes) != length:
            raise LookupError(f"{place.tile} is too short")
        return root_of(hashes)

    return read


def tiles_for(compute: Callable[[NodeReader], Result]) -> set[TileId]:
    """Return which tiles `compute` will read, so that one query can fetch them.

    Which nodes a proof consists of does not depend on what is in them.
    """
    wanted: set[TileId] = set()

    def note(level: int, index: int) -> bytes:
        wanted.add(place_of(level, index).tile)
        return bytes(HASH_BYTES)

    compute(note)
    return wanted


def right_edge(size: int) -> list[tuple[int, int]]:
    """Return the (level, index) of the perfect subtrees that make up a tree.

    The largest comes first, as in the compact range of utils.merkle.Frontier.
    """
    return [
        (level, (size >> level) - 1)
        for level in reversed(range(size.bit_length()))
        if size >> level & 1
    ]


def tile_path(index: int, width: int = WIDTH) -> str:
    """Write the end of a tile's address: 1234067 is `x001/x234/067`."""
    parts = [f"{index % 1000:03}"]
    while index >= 1000:  # noqa: PLR2004
        index //= 1000
        parts.insert(0, f"x{index % 1000:03}")
    return "/".join(parts) + ("" if width == WIDTH else f".p/{width}")


def parse_tile_path(text: str) -> tuple[int, int] | None:
    """Read index and width, or return None for what `tile_path` never writes."""
    match = PATH.fullmatch(text)
    if match is None:
        return None
    index = int(match["index"].replace("x", "").replace("/", ""))
    width = WIDTH if match["width"] is None else int(match["width"])
    return (index, width) if tile_path(index, width) == text else None
