"""Stores database/seed_data.sql in a database that has no users yet."""

from contextlib import closing
from pathlib import Path

import psycopg2

from database.migrate import ADVISORY_LOCK

SEED_DATA = Path(__file__).parent / "seed_data.sql"


def seed_if_empty(dsn: str) -> bool:
    """Return whether there was nothing. `dsn` is the administrator's."""
    with closing(psycopg2.connect(dsn)) as session:
        # The file begins and ends its transaction itself, as psql needs it.
        session.autocommit = True
        with session.cursor() as cursor:
            # Whoever else starts at this moment finds the users when we are done.
            cursor.execute("SELECT pg_advisory_lock(%s)", [ADVISORY_LOCK])
            cursor.execute("SELECT FROM users LIMIT 1")
            if cursor.rowcount > 0:
                return False
            cursor.execute(SEED_DATA.read_text(encoding="utf-8"))
    return True
