"""Secrets for development: made once, kept outside the repository."""

import os
import secrets
import tempfile
from pathlib import Path

KEPT = Path(__file__).resolve().parent.parent / ".local" / "secrets"


def development_secret(name: str) -> str:
    """Return this checkout's secret of that name, and make it if there is none.

    Several processes that start at once all get the same one: whoever links his file
    first has made it.
    """
    path = KEPT / name
    if not path.exists():
        KEPT.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, draft = tempfile.mkstemp(dir=KEPT)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            Path(draft).unlink()
    return path.read_text()
