"""Paths that whoever calls a script gives it."""

import os
from pathlib import Path


def given_path(text: str) -> Path:
    """Read a path as whoever called the script means it, which has gone elsewhere."""
    return Path(os.environ.get("STARTED_IN", ""), text)
