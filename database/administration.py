"""How the scripts reach the database: as its administrator, not as the API."""

import os
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values
from psycopg2.extensions import make_dsn


def admin_dsn(environ: Mapping[str, str]) -> str:
    """Build the DSN from the DB_* variables of .env.example.

    DB_ADMIN_USER and DB_ADMIN_PASSWORD name the account that owns the database, if
    the API logs in as another one.
    """
    user = _read(environ, "DB_ADMIN_USER")
    prefix = "DB_ADMIN" if user else "DB"
    return make_dsn(
        host=_read(environ, "DB_HOST") or "localhost",
        port=_read(environ, "DB_PORT") or "5432",
        dbname=_read(environ, "DB_NAME") or "proctoring_db",
        user=user or _read(environ, "DB_USER") or "postgres",
        password=_read(environ, f"{prefix}_PASSWORD"),
        sslmode=_read(environ, "DB_SSLMODE"),
        connect_timeout=5,
    )


def _read(environ: Mapping[str, str], name: str) -> str | None:
    """Read NAME, or the file that NAME_FILE names. Empty counts as absent."""
    if path := environ.get(f"{name}_FILE"):
        return Path(path).read_text(encoding="utf-8").strip() or None
    return environ.get(name, "").strip() or None


def environment() -> dict[str, str]:
    """Return the environment, completed from .env but never overridden by it."""
    from_file = {name: value for name, value in dotenv_values(".env").items() if value}
    return {**from_file, **os.environ}
