"""Closing an exam that many sit, or sat: ExamService.change_status, and ExtraTime."""

from collections.abc import Callable
from decimal import Decimal
from uuid import UUID

import pytest
from psycopg2.extensions import connection
from pydantic import JsonValue

from models import database as database_module
from models.attempt import AttemptStatus, EndedBy
from models.database import Database
from models.exam import ExamStatus
from models.transaction import Params, Transaction
from services.attempt_ending import AT_ONCE
from services.attempt_service import AttemptService, SentAnswer
from services.exam_service import ExamService
from services.extra_time import ExtraTime, Incident
from services.versions import ANY_VERSION, ExpectedVersions, VersionMismatchError
from tests.audit_trail import run, scalar
from tests.exam_room import ExamRoom, end_later
from utils.instants import rfc3339

VOIDED = """
    SELECT entity_type, entity_id, attempt_id::text, actor_id, payload::jsonb
      FROM audit_log WHERE event_type = 'attempt.voided'
"""


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


def test_who_closes_it_has_ended_what_ran(
    sql: connection, room: ExamRoom, attempts: AttemptService, database: Database
) -> None:
    attempts.start_attempt(room.new_student(), room.exam_id, take_over=False)

    ExamService(database).change_status(
        ExamStatus.COMPLETED, ANY_VERSION, room.admin, room.exam_id
    )

    actor = "SELECT actor_id FROM audit_log WHERE event_type = 'attempt.ended'"
    assert scalar(sql, actor) == str(room.admin.id)


def test_each_gets_what_he_has_answered_when_many_end_at_once(
    room: ExamRoom, attempts: AttemptService, database: Database
) -> None:
    alice, bea = room.new_student(), room.new_student()
    own = {
        each.id: attempts.start_attempt(
            each, room.exam_id, take_over=False
        ).paper.attempt.id
        for each in (alice, bea)
    }
    capital, product = room.questions
    right: dict[UUID, JsonValue] = {
        capital.id: str(capital.option_ids[0]),
        product.id: 42,
    }
    # In turn, so that on the disk too the answers of the one lie among the other's.
    for question_id, response in right.items():
        for each in (alice, bea):
            sent = SentAnswer(
                question_id=question_id, response=response, client_version=1
            )
            attempts.save_answers(each, own[each.id], [sent])

    ExamService(database).change_status(
        ExamStatus.COMPLETED, ANY_VERSION, room.admin, room.exam_id
    )

    for each in (alice, bea):
        receipt = attempts.submit_attempt(each, own[each.id])
        assert receipt.score == Decimal(5)
        answered = """
            SELECT payload::jsonb -> 'answered' FROM audit_log
             WHERE event_type = 'attempt.ended' AND attempt_id = %s
        """
        assert room.scalar(answered, str(own[each.id])) == len(right)


def test_what_ran_in_a_cancelled_exam_says_why_it_is_void(
    sql: connection, room: ExamRoom, attempts: AttemptService, database: Database
) -> None:
    student = room.new_student()
    own = attempts.start_attempt(student, room.exam_id, take_over=False).paper.attempt

    ExamService(database).change_status(
        ExamStatus.CANCELLED, ANY_VERSION, room.admin, room.exam_id
    )

    voided = attempts.read_attempt(student, own.id).attempt
    assert (voided.status, voided.ended_by, voided.end_reason) == (
        AttemptStatus.VOIDED,
        EndedBy.EXAM_CLOSED,
        "The exam was cancelled.",
    )
    logged = run(sql, VOIDED)
    said = {
        "previous_status": "in_progress",
        "previous_score": None,
        "reason": "The exam was cancelled.",
        "ended_at": voided.ended_at and rfc3339(voided.ended_at),
        "ended_by": "exam_closed",
    }
    assert logged == [("attempt", str(own.id), str(own.id), str(room.admin.id), said)]


@pytest.mark.parametrize("status", [ExamStatus.COMPLETED, ExamStatus.CANCELLED])
def test_whose_time_was_over_before_was_ended_by_the_deadline(
    sql: connection,
    room: ExamRoom,
    attempts: AttemptService,
    database: Database,
    status: ExamStatus,
) -> None:
    """As if the sweeper had come to him a moment before the admin did."""
    alice, bea = room.new_student(), room.new_student()
    over, running = (
        attempts.start_attempt(who, room.exam_id, take_over=False).paper.attempt
        for who in (alice, bea)
    )
    room.let_time_pass(over.id, 3700)

    ExamService(database).change_status(status, ANY_VERSION, room.admin, room.exam_id)

    ended = attempts.read_attempt(alice, over.id).attempt
    assert (ended.status, ended.ended_by, ended.ended_at) == (
        AttemptStatus.SUBMITTED,
        EndedBy.DEADLINE,
        ended.deadline_at,
    )
    actor = "SELECT actor_id FROM audit_log WHERE event_type = 'attempt.ended'"
    actor_of_his = actor + " AND attempt_id = %s"
    assert scalar(sql, actor_of_his, over.id) == "system"
    other = attempts.read_attempt(bea, running.id).attempt
    assert other.ended_by is EndedBy.EXAM_CLOSED


def test_those_who_sit_it_wait_no_longer_for_being_many(
    sql: connection, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = statements_to_close(sql, database, monkeypatch, 2)
    many = statements_to_close(sql, database, monkeypatch, 9)

    assert many == few


MANY = AT_ONCE + 5
ENDED = "SELECT count(*) FROM attempts WHERE exam_id = %s AND ended_by = %s"
# An end is the last that happens to these rows: who wrote them ended them.
MOST_AT_ONCE = """
    SELECT max(count)
      FROM (SELECT count(*) FROM attempts WHERE exam_id = %s GROUP BY xmin::text) AS one
"""


def let_many_start(room: ExamRoom, attempts: AttemptService) -> None:
    for _ in range(MANY):
        attempts.start_attempt(room.new_student(), room.exam_id, take_over=False)


def test_many_are_ended_a_portion_at_a_time(
    room: ExamRoom, attempts: AttemptService, database: Database
) -> None:
    """In one transaction two thousand exceeded every limit of time, for ever."""
    let_many_start(room, attempts)

    closed = ExamService(database).change_status(
        ExamStatus.COMPLETED, ANY_VERSION, room.admin, room.exam_id
    )

    assert closed.status is ExamStatus.COMPLETED
    assert room.scalar(ENDED, room.exam_id, "exam_closed") == MANY
    assert room.scalar(MOST_AT_ONCE, room.exam_id) == AT_ONCE


def test_nobody_is_ended_by_a_closing_that_is_refused(
    room: ExamRoom, attempts: AttemptService, database: Database
) -> None:
    let_many_start(room, attempts)

    with pytest.raises(VersionMismatchError):
        ExamService(database).change_status(
            ExamStatus.COMPLETED,
            ExpectedVersions(frozenset({99})),
            room.admin,
            room.exam_id,
        )

    assert room.scalar(ENDED, room.exam_id, "exam_closed") == 0


def cancel(database: Database, room: ExamRoom) -> None:
    ExamService(database).change_status(
        ExamStatus.CANCELLED, ANY_VERSION, room.admin, room.exam_id
    )


def move_end(database: Database, room: ExamRoom) -> None:
    end_later(database, room, minutes=60)


def give_time(database: Database, room: ExamRoom) -> None:
    outage = Incident(name="power", reason="No power.", minutes=5, since=None)
    ExtraTime(database).grant(outage, room.admin, room.exam_id)


@pytest.mark.parametrize("decide", [cancel, move_end, give_time])
def test_so_are_those_whose_time_was_over_while_the_server_was_away(
    room: ExamRoom,
    attempts: AttemptService,
    database: Database,
    decide: Callable[[Database, ExamRoom], None],
) -> None:
    let_many_start(room, attempts)
    room.let_time_pass_for_all(3700)

    decide(database, room)

    assert room.scalar(ENDED, room.exam_id, "deadline") == MANY
    assert room.scalar(MOST_AT_ONCE, room.exam_id) == AT_ONCE
