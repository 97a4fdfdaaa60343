"""What the database keeps of the log's tree: checkpoints and tiles."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

from models.transaction import Params


@dataclass(frozen=True, slots=True)
class SignedSize:
    """A checkpoint that is stored. What was signed stands in the note.

    Where NULL stands, there is nothing.
    """

    size: int
    root: bytes
    note: str


NEWEST_CHECKPOINT: LiteralString = (
    "SELECT coalesce(max(size), 0) FROM public.checkpoints"
)

CHECKPOINTS: LiteralString = """
    SELECT size, coalesce(root, ''::bytea), coalesce(note, ''::text)
      FROM public.checkpoints
     WHERE size > %(after)s AND size <= %(until)s ORDER BY size
"""

CHECKPOINT: LiteralString = """
    SELECT size, coalesce(root, ''::bytea), coalesce(note, ''::text)
      FROM public.checkpoints WHERE size = %(size)s
"""

CHECKPOINTS_BEYOND: LiteralString = """
    SELECT count(*), min(size) FROM public.checkpoints WHERE size > %(size)s
"""

# No range has them.
CHECKPOINTS_OF_NOTHING: LiteralString = """
    SELECT count(*) FROM public.checkpoints WHERE size < 1 OR size IS NULL
"""

TILES: LiteralString = """
    SELECT tile_index, coalesce(hashes, ''::bytea) FROM public.merkle_tiles
     WHERE level = %(level)s AND tile_index BETWEEN %(first)s AND %(last)s
"""

# A tile of nothing counts as well, for there is none.
BYTES_BY_LEVEL: LiteralString = """
    SELECT level, sum(greatest(coalesce(octet_length(hashes), 0), 1))
      FROM public.merkle_tiles GROUP BY level
"""

# As many leaves as the tiles know of.
TILED_SIZE: LiteralString = """
    SELECT tile_index, coalesce(octet_length(hashes), 0) FROM public.merkle_tiles
     WHERE level = 0 AND tile_index >= 0 ORDER BY tile_index DESC LIMIT 1
"""


# Runs a query in the snapshot. Any: the SQL decides the types.
Query = Callable[[LiteralString, Params], list[tuple[Any, ...]]]


class StoredTree:
    """The tables of checkpoints and tiles, as the snapshot has them."""

    def __init__(self, query: Query) -> None:
        self._query = query

    def newest_checkpoint(self) -> int:
        """Return the size of the largest checkpoint, or 0."""
        ((size,),) = self._query(NEWEST_CHECKPOINT, {})
        return int(size)

    def checkpoints(self, *, after: int, until: int) -> list[SignedSize]:
        """Return what was signed for sizes greater than `after`, up to `until`."""
        rows = self._query(CHECKPOINTS, {"after": after, "until": until})
        return [SignedSize(*row) for row in rows]

    def checkpoint(self, size: int) -> SignedSize | None:
        rows = self._query(CHECKPOINT, {"size": size})
        return SignedSize(*rows[0]) if rows else None

    def checkpoints_beyond(self, size: int) -> tuple[int, int | None]:
        """Return how many are of more than `size` entries, and the smallest of them."""
        ((count, smallest),) = self._query(CHECKPOINTS_BEYOND, {"size": size})
        return int(count), smallest

    def checkpoints_of_nothing(self) -> int:
        """Return how many name a size that no log has."""
        ((count,),) = self._query(CHECKPOINTS_OF_NOTHING, {})
        return int(count)

    def tiles(
        self, *, level: int, first: int, last: int
    ) -> Sequence[tuple[int, bytes]]:
        """Return the tiles of a level from `first` to `last`, both included."""
        between = {"level": level, "first": first, "last": last}
        return [(index, hashes) for index, hashes in self._query(TILES, between)]

    def bytes_by_level(self) -> Mapping[int | None, int]:
        """Return how much there is at each level, wherever it stands."""
        return {level: int(count) for level, count in self._query(BYTES_BY_LEVEL, {})}

    def tiled_size(self) -> int:
        """Return how many entries the tiles know of, whatever stands in them."""
        rows = self._query(TILED_SIZE, {})
        # Anybody can write a number with which PostgreSQL does not reckon any more.
        return rows[0][0] * 256 + rows[0][1] // 32 if rows else 0
