"""A PostgreSQL that flushes to disk, and the API as gunicorn runs it."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from database import embedded, embedded_home
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
def standby(durable_server: embedded.Server) -> Iterator[embedded.Server]:
    """A second server that follows the first one."""
    home = Path(tempfile.mkdtemp(prefix="proctoring-standby-"))
    home.chmod(0o711)
    settled = embedded_home.settle(home / "postgres")
    account = settled.account
    subprocess.run(
        [
            embedded_home.programs(settled) / "pg_basebackup",
            *("--write-recovery-conf", "--no-sync"),
            *("--checkpoint=fast", "--wal-method=stream"),
            *("--pgdata", settled.data, "--dbname", durable_server.dsn()),
        ],
        check=True,
        cwd=settled.path,
        env={"PATH": os.environ["PATH"]},
        user=account.user,
        group=account.group,
        extra_groups=account.extra_groups,
        timeout=120,
    )
    # A standby needs as much room as its primary has.
    server = embedded.start(home / "postgres", {"max_connections": "200"})
    yield server
    if embedded.stop(server):
        shutil.rmtree(home)


@pytest.fixture
def durable_dsn(durable_server: embedded.Server) -> str:
    """The superuser's DSN of a migrated database on it."""
    dsn = running.create_database(durable_server, f"durable_{uuid4().hex[:12]}")
    migrate(dsn, lambda _: None)
    return dsn


@pytest.fixture
def database_variables(durable_dsn: str) -> Mapping[str, str]:
    return running.database_variables(durable_dsn)


@pytest.fixture
def api(database_variables: Mapping[str, str]) -> Iterator[RunningApi]:
    with running_api(database_variables) as started:
        yield started
