"""A PostgreSQL that flushes to disk, and the API as gunicorn runs it."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from database import embedded
from database.migrate import migrate
from tests.slow import running
from tests.slow.running import RunningApi, running_api


@pytest.fixture
def durable_server() -> Iterator[embedded.Server]:
    """A server of this test's own, with every default that guards its data."""
    home = Path(tempfile.mkdtemp(prefix="proctoring-durable-"))
    # As root the server is another account, which has to get through here.
    home.chmod(0o711)
    server = embedded.start(home / "postgres", {"max_connections": "200"})
    yield server
    if embedded.stop(server):
        shutil.rmtree(home)


@pytest.fixture
def durable_dsn(durable_server: embedded.Server) -> str:
    """The superuser's DSN of a migrated database on it."""
    name = f"durable_{uuid4().hex[:12]}"
    with closing(psycopg2.connect(durable_server.dsn())) as session:
        session.autocommit = True
        with session.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
    dsn = make_dsn(durable_server.dsn(), dbname=name)
    migrate(dsn, lambda _: None)
    return dsn


@pytest.fixture
def database_variables(durable_dsn: str) -> Mapping[str, str]:
    return running.database_variables(durable_dsn)


@pytest.fixture
def api(database_variables: Mapping[str, str]) -> Iterator[RunningApi]:
    with running_api(database_variables) as started:
        yield started
