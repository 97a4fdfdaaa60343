"""The merkle_tiles table: a cache of the tree's hashes, which only ever grow."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString

from models.transaction import Transaction
from utils.tiles import TileId


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    level: int
    tile_index: int
    hashes: bytes

    @property
    def id(self) -> TileId:
        return TileId(self.level, self.tile_index)


GET_MANY: LiteralString = """
    SELECT level, tile_index, hashes
      FROM unnest(%(levels)s::smallint[], %(indexes)s::bigint[])
           AS wanted (level, tile_index)
      JOIN merkle_tiles USING (level, tile_index)
"""

# What is right already is not written again: an untouched tile costs no disk.
STORE: LiteralString = """
    INSERT INTO merkle_tiles (level, tile_index, hashes)
    SELECT * FROM unnest(%(levels)s::smallint[], %(indexes)s::bigint[],
                         %(hashes)s::bytea[])
    ON CONFLICT (level, tile_index) DO UPDATE SET hashes = excluded.hashes
     WHERE merkle_tiles.hashes <> excluded.hashes
"""


def get_many(tx: Transaction, ids: Iterable[TileId]) -> Mapping[TileId, bytes]:
    """Return those of the tiles that are there."""
    wanted = list(ids)
    found = tx.all(
        Tile,
        GET_MANY,
        {
            "levels": [each.level for each in wanted],
            "indexes": [each.index for each in wanted],
        },
    )
    return {tile.id: tile.hashes for tile in found}


def store(tx: Transaction, tiles: Sequence[Tile]) -> int:
    """Write tiles, and return how many were not there or were others."""
    return tx.execute(
        STORE,
        {
            "levels": [tile.level for tile in tiles],
            "indexes": [tile.tile_index for tile in tiles],
            "hashes": [tile.hashes for tile in tiles],
        },
    )
