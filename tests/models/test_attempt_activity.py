"""The attempt_activity table, as those who change many of its rows share it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from uuid import UUID

import psycopg2
import pytest
from psycopg2.extensions import connection

from models import attempt_activity
from models.database import Database
from services.attempt_service import AttemptService
from tests.audit_trail import run
from tests.exam_room import ExamRoom
from tests.waiting import until_somebody_waits_for_a_lock

LOCK = "SELECT 1 FROM attempt_activity WHERE attempt_id = %s FOR UPDATE NOWAIT"


@pytest.fixture
def other(dsn: str) -> Iterator[connection]:
    with closing(psycopg2.connect(dsn)) as session:
        yield session


# What it would write leaves no entry, so it is undone.
def test_attempts_are_asked_for_in_one_order(
    sql: connection, other: connection, database: Database
) -> None:
    """Whatever their order on the disk: two at once would wait for each other."""
    room, attempts = ExamRoom(sql), AttemptService(database)
    first, second = sorted(_begun(room, attempts) for _ in range(2))
    # Its row is now behind the other's.
    run(sql, "DELETE FROM attempt_activity WHERE attempt_id = %s", str(first))
    run(sql, "INSERT INTO attempt_activity (attempt_id) VALUES (%s)", str(first))
    run(other, LOCK, str(first))

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(_ask, database, [first, second])
        until_somebody_waits_for_a_lock(sql)
        run(sql, LOCK, str(second))
        other.rollback()
        asked.result()


def _begun(room: ExamRoom, attempts: AttemptService) -> UUID:
    student = room.new_student()
    begun = attempts.start_attempt(student, room.exam_id, take_over=False)
    return begun.paper.attempt.id


def _ask(database: Database, attempt_ids: list[UUID]) -> None:
    with database.transaction() as tx:
        attempt_activity.request_analysis(tx, attempt_ids)
