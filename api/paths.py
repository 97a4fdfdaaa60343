"""What may stand in a path where a route leaves it open."""

from collections.abc import Mapping
from typing import Any

from werkzeug.routing import BaseConverter, ValidationError

from utils.tiles import WIDTH, parse_tile_path, tile_path

# What JSON can hold exactly.
MAX_SEQ = 2**53 - 1


class LineConverter(BaseConverter):
    """One segment of at most 200 characters, none of them a control character.

    Anything else is an address where there is nothing: no name of ours has it, and
    PostgreSQL can't even be asked about NUL.
    """

    regex = r"[^/\x00-\x1f\x7f-\x9f]{1,200}"
    part_isolating = True


class SeqConverter(BaseConverter):
    """The number of an audit entry."""

    regex = "0|[1-9][0-9]{0,15}"
    part_isolating = True

    def to_python(self, value: str) -> int:
        if (seq := int(value)) > MAX_SEQ:
            raise ValidationError
        return seq


class TileLevelConverter(BaseConverter):
    """A level of a Merkle tree's tiles, 0 to 63."""

    regex = "[1-5]?[0-9]|6[0-3]"
    part_isolating = True

    def to_python(self, value: str) -> int:
        return int(value)


class TileConverter(BaseConverter):
    """Index and width of a tile, as tlog-tiles writes them: `x001/234`, `067.p/17`."""

    regex = r"(?:x[0-9]{3}/){0,5}[0-9]{3}(?:\.p/[1-9][0-9]{0,2})?"
    part_isolating = False

    def to_python(self, value: str) -> tuple[int, int]:
        found = parse_tile_path(value)
        if found is None:
            raise ValidationError
        return found

    # Any: so werkzeug says it.
    def to_url(self, value: Any) -> str:
        index, width = value
        return tile_path(index, WIDTH if width is None else width)


CONVERTERS: Mapping[str, type[BaseConverter]] = {
    "default": LineConverter,
    "seq": SeqConverter,
    "level": TileLevelConverter,
    "tile": TileConverter,
}
