"""Tests run against a real PostgreSQL; each gets a fresh copy of one template.

TEST_DATABASE_SERVER is the DSN of a superuser on a server to use instead of the
embedded one: TEST_DATABASE_SERVER="host=localhost user=postgres".
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import hypothesis
import psycopg2
import pytest
from flask import Flask
from psycopg2.extensions import connection, make_dsn, parse_dsn

from app import create_app
from checkpointer.__main__ import ROLE
from config import Settings
from database import embedded
from database.migrate import migrate, read_migrations
from models.connection_settings import ConnectionSettings
from models.database import Database
from models.principal import Role
from services.audit_verification import verify
from services.checkpoint_files import Files
from tests.by_hand import ByHand
from tests.checkpoints import files_in
from tests.databases import (
    CARELESS,
    careless_place,
    connection_to,
    copy_of,
    settings_for,
)
from tests.personas import Api, Enrol, Persona, enrol
from tests.scene import Cast, Scene, play, playing

CHANGED_BY_HAND = pytest.StashKey[bool]()

# How fast a shared machine is on a given day proves nothing. What CI tried, anybody can
# try again; at home each run tries something new.
hypothesis.settings.register_profile(
    "proctoring",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("proctoring")


@pytest.fixture(scope="session")
def database_server(testrun_uid: str) -> Iterator[str]:
    """The DSN of a superuser. The workers of one run share one server."""
    if given := os.environ.get("TEST_DATABASE_SERVER"):
        yield given
        return
    home = careless_place() / f"proctoring-test-{testrun_uid}"
    # As root the server is another account, which has to get through here.
    home.mkdir(mode=0o711, exist_ok=True)
    server = embedded.start(home / "postgres", CARELESS)
    yield server.dsn()
    if embedded.stop(server):
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def administrator(database_server: str) -> Iterator[connection]:
    """A superuser's connection in autocommit, for CREATE DATABASE and the like."""
    with closing(psycopg2.connect(database_server, dbname="postgres")) as session:
        session.autocommit = True
        yield session


@pytest.fixture(scope="session")
def template(database_server: str, administrator: connection) -> str:
    """The name of a migrated database that nobody is connected to."""
    known = "".join(migration.sha256 for migration in read_migrations())
    name = f"proctoring_template_{hashlib.sha256(known.encode()).hexdigest()[:12]}"
    with administrator.cursor() as cursor:
        # One worker makes it while the others wait; a torn one is completed.
        cursor.execute("SELECT pg_advisory_lock(1)")
        cursor.execute("SELECT FROM pg_database WHERE datname = %s", [name])
        if cursor.rowcount == 0:
            cursor.execute(f"CREATE DATABASE {name} ENCODING UTF8 TEMPLATE template0")
        migrate(make_dsn(database_server, dbname=name), lambda _: None)
        cursor.execute("SELECT pg_advisory_unlock(1)")
    return name


@pytest.fixture(scope="module")
def scene(
    database_server: str, administrator: connection, template: str
) -> Iterator[Scene]:
    """A database with an exam in full swing, for tests to copy."""
    with copy_of(template, administrator, database_server) as copy:
        cast = play(copy, settings_for(connection_to(copy)))
        yield Scene(template=parse_dsn(copy)["dbname"], cast=cast)


@pytest.fixture
def cast(scene: Scene) -> Cast:
    return scene.cast


@pytest.fixture
def played(
    scene: Scene, database_server: str, administrator: connection
) -> Iterator[str]:
    """The DSN of a copy of the scene, which a test may do anything to."""
    with copy_of(scene.template, administrator, database_server) as copy:
        yield copy


@pytest.fixture(scope="module")
def scene_app(
    scene: Scene, database_server: str, administrator: connection
) -> Iterator[Flask]:
    """The application on one copy of the scene, for tests that hardly change it."""
    with (
        copy_of(scene.template, administrator, database_server) as copy,
        playing(settings_for(connection_to(copy))) as application,
    ):
        yield application


@pytest.fixture
def dsn(
    request: pytest.FixtureRequest,
    database_server: str,
    administrator: connection,
    template: str,
) -> Iterator[str]:
    """The superuser's DSN of a migrated, empty database for this test alone.

    Whatever the test did, the audit chain holds afterwards; a test that breaks it on
    purpose says so: `@pytest.mark.tampers`. So do the rows of other tables, unless the
    test has changed some by hand.
    """
    with copy_of(template, administrator, database_server) as copy:
        yield copy
        if request.node.get_closest_marker("tampers") is None:
            deep = not request.node.stash.get(CHANGED_BY_HAND, False)
            verification = verify(connection_to(copy), deep=deep)
            assert verification.errors == ()
            assert verification.valid


@pytest.fixture
def connection_settings(dsn: str) -> ConnectionSettings:
    """How the application connects to this test's database."""
    return connection_to(dsn)


@pytest.fixture
def database(connection_settings: ConnectionSettings) -> Iterator[Database]:
    with closing(Database(connection_settings)) as pool:
        yield pool


@pytest.fixture
def sql(dsn: str, request: pytest.FixtureRequest) -> Iterator[connection]:
    """A superuser's second connection, in autocommit, to arrange and to observe."""
    with closing(psycopg2.connect(dsn, connection_factory=ByHand)) as observer:
        observer.autocommit = True
        yield observer
        request.node.stash[CHANGED_BY_HAND] = observer.has_changed_rows


@pytest.fixture
def files(tmp_path: Path, sql: connection) -> Files:
    """Where the keys of this database's log are, and what was signed."""
    return files_in(tmp_path, sql)


@pytest.fixture
def signing(connection_settings: ConnectionSettings) -> Iterator[Database]:
    """The database as the checkpointer may use it."""
    with closing(Database(replace(connection_settings, role=ROLE))) as opened:
        yield opened


@pytest.fixture
def settings(connection_settings: ConnectionSettings) -> Settings:
    """Production's, but for cheap passwords and limits that tests do not reach."""
    return settings_for(connection_settings)


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    application = create_app(settings)
    yield application
    application.extensions["database"].close()


@pytest.fixture
def api(app: Flask) -> Api:
    return Api(app)


@pytest.fixture
def enrol_as(sql: connection, settings: Settings) -> Enrol:
    """How to make another account."""
    return lambda name, role: enrol(sql, settings, name, role)


@pytest.fixture
def alice(enrol_as: Enrol) -> Persona:
    """A student."""
    return enrol_as("alice", Role.STUDENT)


@pytest.fixture
def mallory(enrol_as: Enrol) -> Persona:
    """Another student, who tries things."""
    return enrol_as("mallory", Role.STUDENT)


@pytest.fixture
def bob(enrol_as: Enrol) -> Persona:
    """A proctor."""
    return enrol_as("bob", Role.PROCTOR)


@pytest.fixture
def ada(enrol_as: Enrol) -> Persona:
    """An admin."""
    return enrol_as("ada", Role.ADMIN)
