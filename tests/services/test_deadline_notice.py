"""A deadline that is moved back never ends an attempt before its last save."""

import pytest

from models.attempt import Attempt
from models.database import Database
from models.principal import Principal
from services.assignment_service import Accommodation, AssignmentService
from services.attempt_service import AttemptService, SentAnswer
from services.deadlines import end_overdue_attempts
from services.proctor_actions import ProctorActions
from tests.exam_room import ExamRoom

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
    """Who had half a minute left keeps that, and a time that is over stays so."""
    room.let_time_pass(own.id, 90 * 60 - 30)
    short = grant(database, room, alice, 0)
    again = grant(database, room, alice, 0)
    room.let_time_pass(own.id, 45)
    over = grant(database, room, alice, 1)

    assert 28 <= short.seconds_remaining <= 31
    assert again.deadline_at == short.deadline_at
    assert over.is_overdue


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
