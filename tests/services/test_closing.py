"""Closing an exam that many sit: ExamService.change_status."""

import pytest
from psycopg2.extensions import connection

from models import database as database_module
from models.database import Database, Params, Transaction
from models.exam import ExamStatus
from services.attempt_service import AttemptService
from services.exam_service import ExamService
from services.versions import ANY_VERSION
from tests.exam_room import ExamRoom


def statements_to_close(
    sql: connection, database: Database, monkeypatch: pytest.MonkeyPatch, students: int
) -> int:
    """Close an exam that so many sit, and return how often the database was asked."""
    room, attempts = ExamRoom(sql), AttemptService(database)
    for _ in range(students):
        attempts.start_attempt(room.new_student(), room.exam_id, take_over=False)
    asked: list[str] = []

    class Counted(Transaction):
        def _run(self, sql: str, params: Params | None) -> None:
            asked.append(sql)
            super()._run(sql, params)

    with monkeypatch.context() as patched:
        patched.setattr(database_module, "Transaction", Counted)
        ExamService(database).change_status(
            ExamStatus.COMPLETED, ANY_VERSION, room.admin, room.exam_id
        )

    ended = "SELECT count(*) FROM attempts WHERE exam_id = %s AND ended_by = %s"
    assert room.scalar(ended, room.exam_id, "exam_closed") == students
    logged = """
        SELECT count(*)
          FROM proctoring_events AS event
          JOIN audit_log ON entity_type = 'event_batch' AND entity_id = batch_id::text
                        AND audit_log.attempt_id = event.attempt_id
         WHERE event.event_type = 'session.submitted'
           AND audit_log.payload::jsonb #>> '{events,0,id}' = event.id::text
    """
    assert room.scalar(logged) == room.scalar(
        "SELECT count(*) FROM attempts WHERE ended_at IS NOT NULL"
    )
    return len(asked)


def test_those_who_sit_it_wait_no_longer_for_being_many(
    sql: connection, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = statements_to_close(sql, database, monkeypatch, 2)
    many = statements_to_close(sql, database, monkeypatch, 9)

    assert many == few
