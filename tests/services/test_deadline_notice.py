"""A deadline that is moved back never ends an attempt before its last save."""

from datetime import timedelta

import pytest
from psycopg2.extensions import connection

from models.attempt import Attempt, EndedBy
from models.database import Database
from models.principal import Principal
from services.assignment_service import Accommodation, AssignmentService
from services.attempt_service import AttemptService, SentAnswer
from services.deadlines import end_overdue_attempts
from services.proctor_actions import ProctorActions
from tests.exam_room import ExamRoom, end_later

NOTICE = 60


def grant(
    database: Database, room: ExamRoom, alice: Principal, minutes: int
) -> Attempt:
    """Give a student so much extra time, and return the running attempt."""
    new = Accommodation(extra_time_minutes=minutes)
    changed = AssignmentService(database).change_accommodation(
        new, room.admin, room.exam_id, alice.id
    )
    assert changed.running_attempt is not None
    return changed.running_attempt


@pytest.fixture
def alice(room: ExamRoom) -> Principal:
    """Somebody with half an hour more than the exam's hour."""
    return room.new_student(extra_time_minutes=30)


@pytest.fixture
def own(room: ExamRoom, alice: Principal, attempts: AttemptService) -> Attempt:
    return attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt


def test_who_has_time_left_without_it_gets_no_notice(
    room: ExamRoom, alice: Principal, own: Attempt, database: Database
) -> None:
    room.let_time_pass(own.id, 30 * 60)

    after = grant(database, room, alice, 0)

    assert (after.deadline_at - after.started_at).total_seconds() == 3600


def test_taking_extra_time_away_leaves_a_minute_to_save(
    room: ExamRoom,
    alice: Principal,
    own: Attempt,
    attempts: AttemptService,
    database: Database,
) -> None:
    room.let_time_pass(own.id, 75 * 60)

    after = grant(database, room, alice, 0)

    assert NOTICE - 1 <= after.seconds_remaining <= NOTICE + 1
    assert end_overdue_attempts(database) == 0
    answer = SentAnswer(question_id=room.questions[1].id, response=42, client_version=1)
    (saved,) = attempts.save_answers(alice, own.id, [answer]).saved
    assert saved.client_version == 1
    room.let_time_pass(own.id, NOTICE + 3)
    assert end_overdue_attempts(database) == 1


def test_a_notice_is_no_extra_time(
    room: ExamRoom, alice: Principal, own: Attempt, database: Database
) -> None:
    """Who had half a minute left keeps that."""
    room.let_time_pass(own.id, 90 * 60 - 30)
    short = grant(database, room, alice, 0)
    again = grant(database, room, alice, 0)

    assert 28 <= short.seconds_remaining <= 31
    assert again.deadline_at == short.deadline_at


@pytest.mark.parametrize("minutes", [0, 120])
def test_a_time_that_is_over_stays_so(
    room: ExamRoom,
    alice: Principal,
    own: Attempt,
    attempts: AttemptService,
    database: Database,
    minutes: int,
) -> None:
    """What is granted afterwards is for another attempt, sweeper or no sweeper."""
    room.let_time_pass(own.id, 95 * 60)
    new = Accommodation(extra_time_minutes=minutes)

    changed = AssignmentService(database).change_accommodation(
        new, room.admin, room.exam_id, alice.id
    )

    assert changed.running_attempt is None
    assert changed.assignment.extra_time_minutes == minutes
    ended = attempts.read_attempt(alice, own.id).attempt
    assert (ended.ended_by, ended.ended_at) == (EndedBy.DEADLINE, ended.deadline_at)
    assert (ended.deadline_at - ended.started_at).total_seconds() == 90 * 60
    assert room.event_types(own.id) == ["attempt.started", "attempt.ended"]


def test_a_later_end_of_the_exam_revives_nobody(
    sql: connection, attempts: AttemptService, database: Database
) -> None:
    """The window cut his time off, and is moved after that."""
    room = ExamRoom(sql, duration_minutes=60, ends_in="30 minutes")
    alice, bea = room.new_student(), room.new_student()
    over, running = (
        attempts.start_attempt(who, room.exam_id, take_over=False).paper.attempt
        for who in (alice, bea)
    )
    room.let_time_pass(over.id, 31 * 60)

    end_later(database, room, minutes=60)

    ended = attempts.read_attempt(alice, over.id).attempt
    assert (ended.ended_by, ended.ended_at) == (EndedBy.DEADLINE, ended.deadline_at)
    other = attempts.read_attempt(bea, running.id).attempt
    assert other.deadline_at == running.started_at + timedelta(minutes=60)


def test_a_notice_outlasts_a_pause_and_an_extension(
    room: ExamRoom,
    alice: Principal,
    own: Attempt,
    actions: ProctorActions,
    database: Database,
) -> None:
    room.let_time_pass(own.id, 75 * 60)
    grant(database, room, alice, 0)

    actions.pause_attempt(room.admin, own.id, "a fire alarm")
    room.let_time_pass(own.id, 600)
    resumed = actions.resume_attempt(room.admin, own.id, "it was false").attempt
    extended = actions.extend_attempt(room.admin, own.id, 5, "for the fright").attempt

    assert NOTICE - 2 <= resumed.seconds_remaining <= NOTICE + 2
    assert extended.seconds_remaining - resumed.seconds_remaining in {299, 300}


def test_a_paused_attempt_gets_its_notice_when_it_goes_on(
    room: ExamRoom,
    alice: Principal,
    own: Attempt,
    actions: ProctorActions,
    database: Database,
) -> None:
    room.let_time_pass(own.id, 75 * 60)
    actions.pause_attempt(room.admin, own.id, "a fire alarm")
    room.let_time_pass(own.id, 600)

    paused = grant(database, room, alice, 0)
    resumed = actions.resume_attempt(room.admin, own.id, "it was false").attempt

    assert NOTICE - 1 <= paused.seconds_remaining <= NOTICE + 1
    assert NOTICE - 1 <= resumed.seconds_remaining <= NOTICE + 2


def test_what_is_granted_again_is_as_if_nothing_had_been(
    room: ExamRoom, alice: Principal, own: Attempt, database: Database
) -> None:
    room.let_time_pass(own.id, 75 * 60)

    grant(database, room, alice, 0)
    after = grant(database, room, alice, 30)

    assert (after.deadline_at - after.started_at).total_seconds() == 90 * 60


@pytest.fixture
def extended(
    room: ExamRoom,
    alice: Principal,
    own: Attempt,
    actions: ProctorActions,
    database: Database,
) -> Attempt:
    """A minute of notice, and five minutes on top of it."""
    room.let_time_pass(own.id, 75 * 60)
    grant(database, room, alice, 0)
    return actions.extend_attempt(room.admin, own.id, 5, "for the fright").attempt


@pytest.mark.parametrize("minutes", [1, 10, 20])
def test_what_is_granted_during_a_notice_takes_nothing_away(
    room: ExamRoom,
    alice: Principal,
    extended: Attempt,
    database: Database,
    minutes: int,
) -> None:
    after = grant(database, room, alice, minutes)

    # An hour, what was granted, and the five minutes.
    entitled = after.started_at + timedelta(minutes=65 + minutes)
    assert after.deadline_at == max(entitled, extended.deadline_at)


def test_the_same_again_during_a_notice_tells_the_deadline_that_is_stored(
    room: ExamRoom,
    alice: Principal,
    extended: Attempt,
    attempts: AttemptService,
    database: Database,
) -> None:
    told = grant(database, room, alice, 0)

    stored = attempts.read_attempt(alice, extended.id).attempt
    assert told.deadline_at == stored.deadline_at == extended.deadline_at


def test_a_later_end_of_the_exam_during_a_notice_takes_nothing_away(
    room: ExamRoom,
    alice: Principal,
    extended: Attempt,
    attempts: AttemptService,
    database: Database,
) -> None:
    end_later(database, room, minutes=60)

    after = attempts.read_attempt(alice, extended.id).attempt
    assert after.deadline_at == extended.deadline_at
