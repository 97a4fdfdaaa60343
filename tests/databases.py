"""Databases for tests: copies of a template, and how the application sees one."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from psycopg2.extensions import connection, make_dsn, parse_dsn

from config import Settings
from config.config import Environment, RateLimits
from models.connection_settings import ConnectionSettings

# Nothing that a test writes has to survive a power cut, and all workers share a server.
CARELESS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "300",
}

# A careless server lives in memory where there is enough of it: each test makes and
# drops a database of 300 files, and a file system may take longer for these than the
# test does (ext4 without a journal looks for an inode that was not freed just now).
MEMORY = Path("/dev/shm")  # noqa: S108 - the directory of a server, with its own mode.
ENOUGH_BYTES = 4 * 1024**3

MANY = "100000 per minute"


def careless_place() -> Path:
    """Return the directory in which a careless server's home is made."""
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ENOUGH_BYTES:
        return MEMORY
    return Path(tempfile.gettempdir())


@contextmanager
def copy_of(template: str, administrator: connection, server: str) -> Iterator[str]:
    """Make a copy of a database that nobody is connected to; give a superuser's DSN."""
    name = f"test_{uuid4().hex}"
    with administrator.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield make_dsn(server, dbname=name)
        finally:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


def connection_to(dsn: str) -> ConnectionSettings:
    """Say how the application connects to a database."""
    where = parse_dsn(dsn)
    return ConnectionSettings(
        host=where.get("host", "localhost"),
        port=int(where.get("port", "5432")),
        name=where["dbname"],
        user=where["user"],
        password=where.get("password", ""),
        pool_size=8,
    )


def settings_for(database: ConnectionSettings) -> Settings:
    """Production's, but for cheap passwords and limits that tests do not reach."""
    return Settings(
        database=database,
        environment=Environment.TESTING,
        secret_key="kq8Zt1vWc3Rb7Ym5Xn9Lp2Hd4Gf6Js0A",
        jwt_secret_key="0aBc9DeF8gHi7JkL6mNo5PqR4sTu3VwX",
        bcrypt_rounds=4,
        hashing_queue=100,
        rate_limits=RateLimits(
            default=MANY,
            login_failures=MANY,
            login_failures_address=MANY,
            logins=MANY,
            refresh=MANY,
            register=MANY,
            events=MANY,
            data_exports=MANY,
        ),
        # Tests that want the background work do it themselves, when they want it.
        sweeper_interval_seconds=0,
    )
