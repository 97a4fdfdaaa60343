"""One device an attempt: who holds it, and how the hold moves."""

from uuid import UUID

import pytest

from models.database import Database
from models.proctoring_report import NewEvents
from services.attempt_errors import (
    AttemptHeldByAnotherDeviceError,
    AttemptHeldElsewhereError,
)
from services.attempt_service import AttemptService, SentAnswer
from services.proctoring_service import ProctoringService
from tests.exam_room import ExamRoom
from tests.reports import observed


def forty_two(room: ExamRoom) -> list[SentAnswer]:
    product = room.questions[1].id
    return [SentAnswer(question_id=product, response=42, client_version=1)]


def holder_of(room: ExamRoom, attempt_id: UUID) -> object:
    return room.scalar("SELECT held_by_session FROM attempts WHERE id = %s", attempt_id)


def test_a_second_device_must_say_that_it_takes_over(
    room: ExamRoom, attempts: AttemptService
) -> None:
    laptop = room.new_student()
    own = attempts.start_attempt(laptop, room.exam_id, take_over=False).paper.attempt
    phone = room.login(laptop.id)

    with pytest.raises(AttemptHeldByAnotherDeviceError) as refused:
        attempts.start_attempt(phone, room.exam_id, take_over=False)

    assert refused.value.allowed_actions == ("take_over",)
    assert holder_of(room, own.id) == laptop.session_id


def test_a_device_without_the_hold_neither_reads_nor_writes(
    room: ExamRoom, attempts: AttemptService
) -> None:
    laptop = room.new_student()
    own = attempts.start_attempt(laptop, room.exam_id, take_over=False).paper.attempt
    phone = room.login(laptop.id)

    with pytest.raises(AttemptHeldElsewhereError):
        attempts.read_attempt(phone, own.id)
    with pytest.raises(AttemptHeldElsewhereError):
        attempts.save_answers(phone, own.id, forty_two(room))
    with pytest.raises(AttemptHeldElsewhereError):
        attempts.submit_attempt(phone, own.id)

    assert room.event_types(own.id) == ["attempt.started"]


def test_taking_over_while_the_other_works_is_evidence(
    room: ExamRoom, attempts: AttemptService
) -> None:
    laptop = room.new_student()
    own = attempts.start_attempt(laptop, room.exam_id, take_over=False).paper.attempt
    phone = room.login(laptop.id)

    started = attempts.start_attempt(phone, room.exam_id, take_over=True)

    assert not started.is_new
    assert started.paper.attempt.id == own.id
    assert holder_of(room, own.id) == phone.session_id
    assert room.event_types(own.id) == ["attempt.started", "attempt.taken_over"]
    assert room.observed(own.id) == ["session.started", "session.concurrent_device"]
    with pytest.raises(AttemptHeldElsewhereError):
        attempts.save_answers(laptop, own.id, forty_two(room))


def test_taking_over_from_a_silent_device_is_no_evidence(
    room: ExamRoom, attempts: AttemptService
) -> None:
    laptop = room.new_student()
    own = attempts.start_attempt(laptop, room.exam_id, take_over=False).paper.attempt
    attempts.save_answers(laptop, own.id, forty_two(room))
    room.let_time_pass(own.id, 61)
    spare = room.login(laptop.id)

    started = attempts.start_attempt(spare, room.exam_id, take_over=True)

    assert [a.response for a in started.paper.answers] == [42]
    assert room.event_types(own.id)[-1] == "attempt.taken_over"
    assert room.observed(own.id) == ["session.started", "session.resumed"]


def test_who_logged_out_can_go_on_with_a_new_login(
    room: ExamRoom, attempts: AttemptService
) -> None:
    before = room.new_student()
    own = attempts.start_attempt(before, room.exam_id, take_over=False).paper.attempt
    room.log_out(before)
    after = room.login(before.id)

    attempts.start_attempt(after, room.exam_id, take_over=False)

    assert holder_of(room, own.id) == after.session_id
    assert room.event_types(own.id) == ["attempt.started", "attempt.resumed"]
    assert room.observed(own.id) == ["session.started", "session.resumed"]


def test_the_exams_policy_says_when_two_are_at_work_at_once(
    room: ExamRoom, attempts: AttemptService
) -> None:
    room.set_policy({"concurrent_device_within_seconds": 2})
    laptop = room.new_student()
    own = attempts.start_attempt(laptop, room.exam_id, take_over=False).paper.attempt
    room.let_time_pass(own.id, 3)

    attempts.start_attempt(room.login(laptop.id), room.exam_id, take_over=True)

    assert room.observed(own.id) == ["session.started", "session.resumed"]


def test_what_another_login_delivers_does_not_make_a_dead_device_look_alive(
    room: ExamRoom, attempts: AttemptService, database: Database
) -> None:
    laptop = room.new_student()
    own = attempts.start_attempt(laptop, room.exam_id, take_over=False).paper.attempt
    room.let_time_pass(own.id, 300)
    spare = room.login(laptop.id)
    kept = NewEvents.model_validate(
        {"attempt_id": str(own.id), "events": [observed(1, "client.power_loss")]}
    )

    ProctoringService(database).record_events(spare, kept)
    attempts.start_attempt(spare, room.exam_id, take_over=True)

    assert "session.concurrent_device" not in room.observed(own.id)
    assert room.observed(own.id)[-1] == "session.resumed"
