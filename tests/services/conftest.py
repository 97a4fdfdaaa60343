"""Services on this test's own database, and an exam to use them in."""

from collections.abc import Iterator

import pytest
from psycopg2.extensions import connection

from models.database import ConnectionSettings, Database
from services.attempt_service import AttemptService
from services.audit_verification import verify
from services.proctor_actions import ProctorActions
from tests.exam_room import ExamRoom


@pytest.fixture
def room(sql: connection) -> ExamRoom:
    return ExamRoom(sql)


@pytest.fixture
def attempts(
    database: Database, connection_settings: ConnectionSettings
) -> Iterator[AttemptService]:
    """The service. Whatever a test did with it, the audit chain holds afterwards."""
    yield AttemptService(database)
    checked = verify(connection_settings)
    assert checked.errors == ()
    assert checked.valid


@pytest.fixture
def actions(database: Database) -> ProctorActions:
    return ProctorActions(database)
