"""What may stand in a path where a route leaves it open."""

from werkzeug.routing import BaseConverter


class LineConverter(BaseConverter):
    """One segment of at most 200 characters, none of them a control character.

    Anything else is an address where there is nothing: no name of ours has it, and
    PostgreSQL can't even be asked about NUL.
    """

    regex = r"[^/\x00-\x1f\x7f-\x9f]{1,200}"
    part_isolating = True
