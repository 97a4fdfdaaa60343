"""Starting an attempt, and going on with one: AttemptService.start_attempt."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from functools import partial

import psycopg2
import pytest
from psycopg2.extensions import connection

from models.attempt import AttemptStatus
from models.database import Database
from models.exam import ExamStatus
from services.access import ExamNotFoundError
from services.assignment_service import AssignmentService
from services.attempt_errors import (
    AnotherAttemptRunningError,
    ExamNotOpenError,
    NoAttemptsLeftError,
)
from services.attempt_service import AttemptService
from tests.at_once import at_once
from tests.audit_trail import run, scalar
from tests.by_hand import stated
from tests.exam_room import ExamRoom
from tests.services.conftest import Uncommitted
from tests.waiting import WAITERS, until
from utils.instants import rfc3339


def test_an_attempt_starts_with_its_paper(
    room: ExamRoom, attempts: AttemptService
) -> None:
    alice = room.new_student()

    started = attempts.start_attempt(alice, room.exam_id, take_over=False)

    assert started.is_new
    own = started.paper.attempt
    assert own.status is AttemptStatus.IN_PROGRESS
    assert own.attempt_number == 1
    assert own.max_score == Decimal(5)
    assert own.held_by_session == alice.session_id
    assert (own.deadline_at - own.started_at).total_seconds() == 3600
    assert 3590 <= own.seconds_remaining <= 3600
    assert [q.id for q in started.paper.questions] == [q.id for q in room.questions]
    assert started.paper.answers == ()
    assert room.event_types(own.id) == ["attempt.started"]
    assert room.observed(own.id) == ["session.started"]
    assert room.scalar(
        "SELECT frozen_at IS NOT NULL FROM exams WHERE id = %s", room.exam_id
    )


def test_the_entry_of_a_start_says_what_was_begun_and_by_whom(
    sql: connection, room: ExamRoom, attempts: AttemptService
) -> None:
    alice = room.new_student()

    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt

    logged = run(
        sql,
        "SELECT entity_id, actor_id, payload::jsonb - 'started_at' - 'deadline_at'"
        "  FROM audit_log WHERE event_type = 'attempt.started'",
    )
    said = {
        "exam_id": str(room.exam_id),
        # Its first start has frozen it.
        "exam_version": 2,
        "attempt_number": 1,
        "session_id": str(alice.session_id),
        "max_score": "5.00",
        "clock": {
            "deadline_at": rfc3339(own.deadline_at),
            "paused_seconds": 0,
            "extended_seconds": 0,
        },
    }
    assert logged == [(str(own.id), str(alice.id), said)]


def test_starting_again_gives_the_same_attempt_and_writes_nothing(
    room: ExamRoom, attempts: AttemptService
) -> None:
    alice = room.new_student()
    first = attempts.start_attempt(alice, room.exam_id, take_over=False)

    again = attempts.start_attempt(alice, room.exam_id, take_over=False)

    assert not again.is_new
    assert again.paper.attempt.id == first.paper.attempt.id
    assert again.paper.attempt.deadline_at == first.paper.attempt.deadline_at
    assert room.event_types(first.paper.attempt.id) == ["attempt.started"]


def test_twenty_starts_at_once_make_one_attempt(
    room: ExamRoom, attempts: AttemptService
) -> None:
    alice = room.new_student()

    start = partial(attempts.start_attempt, alice, room.exam_id, take_over=False)
    started = at_once([start] * 20)

    assert sum(each.is_new for each in started) == 1
    assert len({each.paper.attempt.id for each in started}) == 1
    assert room.scalar("SELECT count(*) FROM attempts") == 1


def test_twenty_students_start_an_unfrozen_exam_at_once(
    room: ExamRoom, attempts: AttemptService
) -> None:
    students = [room.new_student() for _ in range(20)]

    started = at_once(
        [
            partial(attempts.start_attempt, student, room.exam_id, take_over=False)
            for student in students
        ]
    )

    assert all(each.is_new for each in started)
    assert room.scalar("SELECT count(*) FROM attempts") == 20


def test_a_scheduled_exam_is_opened_by_the_first_who_starts(
    sql: connection, attempts: AttemptService
) -> None:
    room = ExamRoom(sql, status="scheduled")
    students = [room.new_student() for _ in range(8)]

    started = at_once(
        [
            partial(attempts.start_attempt, student, room.exam_id, take_over=False)
            for student in students
        ]
    )

    assert all(each.is_new for each in started)
    assert (
        room.scalar("SELECT status FROM exams WHERE id = %s", room.exam_id) == "active"
    )
    opened = run(
        sql,
        "SELECT entity_type, entity_id, actor_id, payload::jsonb FROM audit_log"
        " WHERE event_type = 'exam.status_changed'",
    )
    said = {"from": "scheduled", "to": "active", "version": 2}
    assert opened == [("exam", str(room.exam_id), "system", said)]


def test_who_starts_while_an_admin_opens_the_exam_freezes_it(
    sql: connection, dsn: str, attempts: AttemptService
) -> None:
    room = ExamRoom(sql, status="scheduled", starts_in="1 hour")
    alice = room.new_student()

    with closing(psycopg2.connect(dsn)) as admin, ThreadPoolExecutor(1) as pool:
        with admin.cursor() as cursor:
            cursor.execute(
                "UPDATE exams SET status = 'active', starts_at = clock_timestamp()"
                " WHERE id = %s",
                [str(room.exam_id)],
            )
        starting = pool.submit(
            attempts.start_attempt, alice, room.exam_id, take_over=False
        )
        until(lambda: starting.done() or bool(scalar(sql, WAITERS)))
        admin.commit()

    assert starting.result().is_new
    assert room.scalar("SELECT count(*) FROM exams WHERE frozen_at IS NOT NULL") == 1


def test_who_starts_while_the_rules_change_is_held_to_the_new_ones(
    sql: connection, dsn: str, attempts: AttemptService
) -> None:
    room = ExamRoom(sql, max_attempts=2)
    alice = room.new_student()
    start = partial(attempts.start_attempt, alice, room.exam_id, take_over=False)
    attempts.submit_attempt(alice, start().paper.attempt.id)

    with closing(psycopg2.connect(dsn)) as admin, ThreadPoolExecutor(1) as pool:
        run(admin, stated("UPDATE exams SET max_attempts = 1"))
        starting = pool.submit(start)
        until(lambda: starting.done() or bool(scalar(sql, WAITERS)))
        admin.commit()

    with pytest.raises(NoAttemptsLeftError):
        starting.result()


@pytest.mark.parametrize(
    ("status", "starts_in", "ends_in", "sentence"),
    [
        ("scheduled", "1 hour", "1 day", "The exam opens at"),
        ("active", "-2 hours", "-1 second", "The exam is over."),
        ("completed", "-2 hours", "-1 hour", "The exam is over."),
        ("draft", "-1 hour", "1 day", "it is draft"),
        ("cancelled", "-1 hour", "1 day", "it is cancelled"),
    ],
)
def test_an_exam_that_is_not_open_refuses(
    sql: connection,
    attempts: AttemptService,
    status: str,
    starts_in: str,
    ends_in: str,
    sentence: str,
) -> None:
    room = ExamRoom(sql, status=status, starts_in=starts_in, ends_in=ends_in)
    alice = room.new_student()

    with pytest.raises(ExamNotOpenError, match=sentence) as refused:
        attempts.start_attempt(alice, room.exam_id, take_over=False)

    assert refused.value.current_status == ExamStatus(status)
    assert room.scalar("SELECT count(*) FROM attempts") == 0
    assert room.scalar("SELECT count(*) FROM exams WHERE frozen_at IS NOT NULL") == 0


def test_an_exam_that_is_being_taken_from_him_does_not_exist(
    uncommitted: Uncommitted,
    room: ExamRoom,
    attempts: AttemptService,
    database: Database,
) -> None:
    # Frozen, so that the two do not meet at the exam.
    attempts.start_attempt(room.new_student(), room.exam_id, take_over=False)
    alice = room.new_student()
    assignments = AssignmentService(database)
    unassign = partial(assignments.unassign_student, room.admin, room.exam_id, alice.id)

    with uncommitted(unassign) as pool:
        started = pool.submit(
            attempts.start_attempt, alice, room.exam_id, take_over=False
        )
    with pytest.raises(ExamNotFoundError):
        started.result()


def test_an_exam_that_is_not_his_does_not_exist(
    sql: connection, room: ExamRoom, attempts: AttemptService
) -> None:
    mallory = ExamRoom(sql).new_student()

    with pytest.raises(ExamNotFoundError):
        attempts.start_attempt(mallory, room.exam_id, take_over=False)


def test_no_more_attempts_than_allowed(
    sql: connection, attempts: AttemptService
) -> None:
    room = ExamRoom(sql, max_attempts=2)
    alice = room.new_student()
    for number in (1, 2):
        own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
        assert own.attempt_number == number
        attempts.submit_attempt(alice, own.id)

    with pytest.raises(NoAttemptsLeftError):
        attempts.start_attempt(alice, room.exam_id, take_over=False)


def test_no_second_exam_while_one_runs(
    sql: connection, room: ExamRoom, attempts: AttemptService
) -> None:
    alice = room.new_student()
    attempts.start_attempt(alice, room.exam_id, take_over=False)
    other = ExamRoom(sql)
    with sql.cursor() as cursor:
        cursor.execute(
            "INSERT INTO exam_assignments (exam_id, student_id) VALUES (%s, %s)",
            [other.exam_id, alice.id],
        )

    with pytest.raises(AnotherAttemptRunningError):
        attempts.start_attempt(alice, other.exam_id, take_over=False)


@pytest.mark.parametrize(
    ("ends_in", "extra_minutes", "multiplier", "minutes"),
    [
        ("1 day", 0, "1", 60),
        ("1 day", 10, "1", 70),
        ("1 day", 0, "1.5", 90),
        ("1 day", 5, "1.25", 80),
        # 61.2: a begun minute is his.
        ("1 day", 0, "1.02", 62),
        # The window cuts off the exam's own time, and no accommodation.
        ("30 minutes", 0, "1", 30),
        ("30 minutes", 15, "1", 45),
        ("30 minutes", 0, "1.5", 60),
    ],
)
def test_the_deadline_counts_window_and_accommodation(
    sql: connection,
    attempts: AttemptService,
    ends_in: str,
    extra_minutes: int,
    multiplier: str,
    minutes: int,
) -> None:
    room = ExamRoom(sql, ends_in=ends_in)
    alice = room.new_student(
        extra_time_minutes=extra_minutes, time_multiplier=Decimal(multiplier)
    )

    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt

    assert own.seconds_remaining == pytest.approx(60 * minutes, abs=10)


def test_the_order_is_the_students_own_and_stays(
    sql: connection, attempts: AttemptService
) -> None:
    many = [
        {
            "kind": "multiple_choice",
            "text": f"Question {number}",
            "points": 1,
            "options": [
                {"text": f"Option {option}", "is_correct": option < 2}
                for option in range(8)
            ],
        }
        for number in range(12)
    ]
    room = ExamRoom(sql, questions=many, shuffle=True)
    alice, bert = room.new_student(), room.new_student()

    hers = attempts.start_attempt(alice, room.exam_id, take_over=False).paper
    his = attempts.start_attempt(bert, room.exam_id, take_over=False).paper
    again = attempts.read_attempt(alice, hers.attempt.id)

    assert again.questions == hers.questions
    assert [q.number for q in hers.questions] == list(range(1, 13))
    assert {q.id for q in hers.questions} == {q.id for q in room.questions}
    assert [q.id for q in hers.questions] != [q.id for q in his.questions]
    as_written = {q.id: q.option_ids for q in room.questions}
    shown = {q.id: [o.id for o in q.options or ()] for q in hers.questions}
    assert shown != as_written
    assert {k: set(v) for k, v in shown.items()} == {
        k: set(v) for k, v in as_written.items()
    }


def test_an_overdue_attempt_makes_room_for_the_next(
    sql: connection, attempts: AttemptService
) -> None:
    room = ExamRoom(sql, max_attempts=2)
    alice = room.new_student()
    first = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    room.let_time_pass(first.id, 3700)

    second = attempts.start_attempt(alice, room.exam_id, take_over=False)

    assert second.is_new
    assert room.event_types(first.id) == ["attempt.started", "attempt.ended"]
