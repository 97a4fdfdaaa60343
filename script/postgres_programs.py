"""Where pg_dump and its like are, in a version that suits the server."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from psycopg2.extensions import parse_dsn

from database.embedded_home import EmbeddedServerError, installed_programs


class ProgramError(Exception):
    """No suitable program is installed, or it failed. The message says which."""


def find(name: str, server_version: int) -> Path:
    """Return the program, at least as new as the server (180001 is 18.1).

    From POSTGRES_BIN if that is set, else from the PATH, else of the embedded server.
    Raises ProgramError.
    """
    if (directory := os.environ.get("POSTGRES_BIN")) is not None:
        places: list[Path | None] = [Path(directory, name)]
    else:
        on_path = shutil.which(name)
        places = [Path(on_path) if on_path else None, _embedded(name)]
    for place in places:
        if place is not None and place.exists() and _major(place) >= server_version:
            return place
    raise ProgramError(
        f"{name} of PostgreSQL {server_version // 10_000} or newer is needed: install"
        " its client programs, or set POSTGRES_BIN to where they are"
    )


def run(program: Path, *arguments: str | Path, dsn: str = "") -> None:
    """Raises ProgramError with what the program says."""
    done = subprocess.run(
        [program, *arguments],
        # Not as an argument: everybody on the machine can read those.
        env={**os.environ, **(connection_variables(dsn) if dsn else {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ProgramError(f"{program.name} failed: {done.stderr.strip()}")


def connection_variables(dsn: str) -> dict[str, str]:
    """Return a DSN as libpq reads it from the environment."""
    given = parse_dsn(dsn)
    names = {
        "host": "PGHOST",
        "port": "PGPORT",
        "dbname": "PGDATABASE",
        "user": "PGUSER",
        "password": "PGPASSWORD",
        "sslmode": "PGSSLMODE",
    }
    return {names[key]: value for key, value in given.items() if key in names}


def _embedded(name: str) -> Path | None:
    try:
        return installed_programs() / name
    except EmbeddedServerError:
        return None


def _major(program: Path) -> int:
    """Return the version as the server counts it, with the newest minor release."""
    said = subprocess.run(
        [program, "--version"], capture_output=True, text=True, check=False
    ).stdout
    found = re.search(r"\) (\d+)", said)
    return int(found[1]) * 10_000 + 9_999 if found else 0
