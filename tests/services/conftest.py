"""Services on this test's own database, and an exam to use them in."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager

import psycopg2
import pytest
from psycopg2.extensions import connection

from models.database import Database
from services.attempt_service import AttemptService
from services.proctor_actions import ProctorActions
from tests.exam_room import ExamRoom
from tests.waiting import until_somebody_waits_for_a_lock

# Lets a use case wait with its locks for its audit entry, and commit at the end.
Uncommitted = Callable[
    [Callable[[], object]], AbstractContextManager[ThreadPoolExecutor]
]


@pytest.fixture
def room(sql: connection) -> ExamRoom:
    return ExamRoom(sql)


@pytest.fixture
def attempts(database: Database) -> AttemptService:
    return AttemptService(database)


@pytest.fixture
def actions(database: Database) -> ProctorActions:
    return ProctorActions(database)


@pytest.fixture
def uncommitted(dsn: str, sql: connection) -> Uncommitted:
    @contextmanager
    def uncommitted(change: Callable[[], object]) -> Iterator[ThreadPoolExecutor]:
        with ThreadPoolExecutor(2) as pool:
            with closing(psycopg2.connect(dsn)) as other, other.cursor() as cursor:
                cursor.execute("SELECT FROM audit_head FOR UPDATE")
                changing = pool.submit(change)
                until_somebody_waits_for_a_lock(sql)
                yield pool
                until_somebody_waits_for_a_lock(sql, waiters=2)
            changing.result()

    return uncommitted
