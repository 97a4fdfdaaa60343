"""Services on this test's own database, and an exam to use them in."""

import pytest
from psycopg2.extensions import connection

from models.database import Database
from services.attempt_service import AttemptService
from services.proctor_actions import ProctorActions
from tests.exam_room import ExamRoom


@pytest.fixture
def room(sql: connection) -> ExamRoom:
    return ExamRoom(sql)


@pytest.fixture
def attempts(database: Database) -> AttemptService:
    return AttemptService(database)


@pytest.fixture
def actions(database: Database) -> ProctorActions:
    return ProctorActions(database)
