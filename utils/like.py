"""Patterns for SQL's LIKE from what somebody typed."""

import re
from typing import Final

SPECIAL: Final = re.compile(r"[\\%_]")


def prefix_pattern(text: str) -> str:
    """Return the pattern of all that begins with `text`, none of which is special."""
    return SPECIAL.sub(r"\\\g<0>", text) + "%"
