"""What staff does to attempts: ProctorActions."""

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from uuid import UUID

import pytest
from psycopg2.extensions import connection

from models.attempt import Attempt, AttemptStatus, EndedBy, ReviewStatus
from models.attempt_board import Connection
from models.attempt_review import Review
from models.database import Database
from models.exam import ExamStatus
from models.principal import Principal, Role
from services.access import ExamNotFoundError
from services.attempt_errors import (
    AttemptNotFoundError,
    AttemptOverError,
    AttemptStepError,
    ExtensionTooLongError,
)
from services.attempt_service import AttemptService, SentAnswer
from services.exam_service import ExamService
from services.proctor_actions import ManagedAttempt, ProctorActions
from services.review_service import ReviewService
from services.versions import ANY_VERSION
from tests.audit_trail import run
from tests.exam_room import ExamRoom
from utils.instants import rfc3339

Step = Callable[[Principal, UUID, str], ManagedAttempt]


@pytest.fixture
def alice(room: ExamRoom) -> Principal:
    return room.new_student()


@pytest.fixture
def running(room: ExamRoom, alice: Principal, attempts: AttemptService) -> Attempt:
    return attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt


def steps(actions: ProctorActions) -> dict[str, Step]:
    def extend(staff: Principal, attempt_id: UUID, reason: str) -> ManagedAttempt:
        return actions.extend_attempt(staff, attempt_id, 5, reason)

    def reopen(staff: Principal, attempt_id: UUID, reason: str) -> ManagedAttempt:
        return actions.reopen_attempt(staff, attempt_id, 60, reason)

    return {
        "pause": actions.pause_attempt,
        "resume": actions.resume_attempt,
        "extend": extend,
        "terminate": actions.terminate_attempt,
        "reopen": reopen,
        "void": actions.void_attempt,
    }


def shown(actions: ProctorActions, staff: Principal, room: ExamRoom) -> ManagedAttempt:
    """Return the only attempt on the board of the exam."""
    board = actions.list_attempts(
        staff, room.exam_id, status=None, before=None, limit=2
    )
    (only,) = board.items
    return only


def test_a_pause_costs_no_time(
    room: ExamRoom, running: Attempt, actions: ProctorActions
) -> None:
    bob = room.new_proctor()
    paused = actions.pause_attempt(bob, running.id, "fire alarm").attempt
    room.let_time_pass(running.id, 600)
    still = shown(actions, bob, room).attempt

    resumed = actions.resume_attempt(bob, running.id, "all clear").attempt

    assert paused.status is AttemptStatus.PAUSED
    assert still.seconds_remaining == paused.seconds_remaining
    assert resumed.status is AttemptStatus.IN_PROGRESS
    assert 600 <= resumed.paused_seconds <= 610
    assert resumed.seconds_remaining == pytest.approx(paused.seconds_remaining, abs=2)
    assert room.event_types(running.id) == [
        "attempt.started",
        "attempt.paused",
        "attempt.unpaused",
    ]
    assert room.observed(running.id) == [
        "session.started",
        "session.paused",
        "session.resumed",
    ]


def test_a_begun_second_of_a_pause_is_given_back(
    room: ExamRoom, running: Attempt, actions: ProctorActions
) -> None:
    actions.pause_attempt(room.admin, running.id, "fire alarm")

    resumed = actions.resume_attempt(room.admin, running.id, "all clear").attempt

    assert resumed.paused_seconds >= 1


def test_a_paused_attempt_can_be_submitted(
    room: ExamRoom,
    alice: Principal,
    running: Attempt,
    attempts: AttemptService,
    actions: ProctorActions,
) -> None:
    actions.pause_attempt(room.admin, running.id, "fire alarm")
    room.let_time_pass(running.id, 7200)

    receipt = attempts.submit_attempt(alice, running.id)

    assert receipt.attempt.ended_by is EndedBy.STUDENT
    assert receipt.attempt.paused_at is None
    assert receipt.attempt.paused_seconds >= 7200


def test_an_extension_moves_the_deadline_beyond_the_window(
    sql: connection, attempts: AttemptService, actions: ProctorActions
) -> None:
    room = ExamRoom(sql, ends_in="10 minutes")
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt

    extended = actions.extend_attempt(room.admin, own.id, 15, "late start").attempt

    assert (extended.deadline_at - own.deadline_at).total_seconds() == 900
    assert room.event_types(own.id)[-1] == "attempt.extended"


def test_a_day_is_the_most_that_can_be_given(
    room: ExamRoom, running: Attempt, actions: ProctorActions
) -> None:
    actions.extend_attempt(room.admin, running.id, 1440, "an outage")

    with pytest.raises(ExtensionTooLongError):
        actions.extend_attempt(room.admin, running.id, 1, "one more")


def test_a_terminated_attempt_is_graded_and_queued_for_review(
    room: ExamRoom,
    alice: Principal,
    running: Attempt,
    attempts: AttemptService,
    actions: ProctorActions,
) -> None:
    product = room.questions[1].id
    answer = SentAnswer(question_id=product, response=42, client_version=1)
    attempts.save_answers(alice, running.id, [answer])
    bob = room.new_proctor()

    ended = actions.terminate_attempt(bob, running.id, "a second person").attempt

    assert ended.status is AttemptStatus.TERMINATED
    assert (ended.ended_by, ended.end_reason) == (EndedBy.PROCTOR, "a second person")
    assert ended.review_status is ReviewStatus.QUEUED
    assert ended.score == Decimal(3)
    assert ended.connection is Connection.CLOSED
    reason = """
        SELECT payload::jsonb ->> 'reason' FROM audit_log
         WHERE event_type = 'attempt.terminated'
    """
    assert room.scalar(reason) == "a second person"
    assert room.event_types(running.id)[-1] == "attempt.terminated"
    assert room.observed(running.id)[-1] == "session.terminated"
    with pytest.raises(AttemptOverError):
        attempts.save_answers(alice, running.id, [answer])


def test_who_stops_or_voids_it_late_changes_nothing_about_how_it_ended(
    room: ExamRoom,
    running: Attempt,
    attempts: AttemptService,
    alice: Principal,
    actions: ProctorActions,
) -> None:
    room.let_time_pass(running.id, 3700)
    deadline = room.scalar("SELECT deadline_at FROM attempts WHERE id = %s", running.id)

    with pytest.raises(AttemptStepError, match="over its deadline"):
        actions.terminate_attempt(room.admin, running.id, "a second person")
    voided = actions.void_attempt(room.admin, running.id, "the paper leaked").attempt

    assert (voided.ended_by, voided.ended_at) == (EndedBy.DEADLINE, deadline)
    assert voided.review_status is ReviewStatus.NONE
    assert room.event_types(running.id)[-2:] == ["attempt.ended", "attempt.voided"]
    again = attempts.start_attempt(alice, room.exam_id, take_over=False)
    assert again.paper.attempt.attempt_number == 2


def test_a_review_that_has_begun_goes_on_after_a_termination(
    room: ExamRoom, running: Attempt, actions: ProctorActions, database: Database
) -> None:
    begun = Review(status=ReviewStatus.IN_REVIEW, note="Two voices.")
    ReviewService(database).review_attempt(room.admin, running.id, begun)

    ended = actions.terminate_attempt(room.admin, running.id, "a second person").attempt

    assert ended.review_status is ReviewStatus.IN_REVIEW


def test_a_voided_attempt_is_worth_nothing_and_uses_up_none(
    room: ExamRoom,
    alice: Principal,
    running: Attempt,
    attempts: AttemptService,
    actions: ProctorActions,
) -> None:
    ended = attempts.submit_attempt(alice, running.id).attempt

    voided = actions.void_attempt(room.admin, running.id, "the paper leaked").attempt

    assert voided.status is AttemptStatus.VOIDED
    assert (voided.score, voided.is_passed) == (None, None)
    assert (voided.ended_by, voided.ended_at) == (EndedBy.STUDENT, ended.ended_at)
    logged = """
        SELECT payload::jsonb FROM audit_log WHERE event_type = 'attempt.voided'
    """
    assert room.scalar(logged) == {
        "previous_status": "submitted",
        "previous_score": "0.00",
        "reason": "the paper leaked",
        "ended_at": voided.ended_at and rfc3339(voided.ended_at),
        "ended_by": "student",
    }
    again = attempts.start_attempt(alice, room.exam_id, take_over=False)
    assert again.is_new
    assert again.paper.attempt.attempt_number == 2


@pytest.mark.parametrize(
    ("state", "allowed"),
    [
        ("in_progress", ["pause", "extend", "terminate", "void"]),
        ("paused", ["resume", "extend", "terminate", "void"]),
        ("submitted", ["grade", "void"]),
        ("terminated", ["grade", "reopen", "void"]),
        ("voided", []),
        ("overdue", ["void"]),
    ],
)
def test_every_step_is_taken_or_refused_as_announced(
    sql: connection,
    attempts: AttemptService,
    actions: ProctorActions,
    state: str,
    allowed: list[str],
) -> None:
    for name, step in steps(actions).items():
        room = ExamRoom(sql)
        alice = room.new_student()
        own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
        into: dict[str, Callable[[], object]] = {
            "in_progress": lambda: None,
            "paused": partial(actions.pause_attempt, room.admin, own.id, "so"),
            "submitted": partial(attempts.submit_attempt, alice, own.id),
            "terminated": partial(actions.terminate_attempt, room.admin, own.id, "so"),
            "voided": partial(actions.void_attempt, room.admin, own.id, "so"),
            "overdue": partial(room.let_time_pass, own.id, 3700),
        }
        into[state]()
        assert shown(actions, room.admin, room).allowed_actions == allowed
        before = room.event_types(own.id)

        if name in allowed:
            step(room.admin, own.id, "because")
            # What was overdue is ended first, as the sweeper would.
            steps_taken = 2 if state == "overdue" else 1
            assert len(room.event_types(own.id)) == len(before) + steps_taken
        else:
            with pytest.raises(AttemptStepError) as refused:
                step(room.admin, own.id, "because")
            assert list(refused.value.allowed_actions) == allowed
            assert room.event_types(own.id) == before


def test_a_proctor_of_another_exam_finds_no_attempt(
    sql: connection, room: ExamRoom, running: Attempt, actions: ProctorActions
) -> None:
    eve = ExamRoom(sql).new_proctor()

    for step in steps(actions).values():
        with pytest.raises(AttemptNotFoundError):
            step(eve, running.id, "because")
    with pytest.raises(ExamNotFoundError):
        actions.list_attempts(eve, room.exam_id, status=None, before=None, limit=10)

    assert room.event_types(running.id) == ["attempt.started"]


def test_the_board_shows_who_is_heard_of(
    room: ExamRoom,
    alice: Principal,
    running: Attempt,
    attempts: AttemptService,
    actions: ProctorActions,
) -> None:
    late, missing = room.new_student(), room.new_student()
    for student, silence in ((late, 30), (missing, 50)):
        own = attempts.start_attempt(student, room.exam_id, take_over=False)
        room.let_time_pass(own.paper.attempt.id, silence)
    bob = room.new_proctor()
    board = partial(actions.list_attempts, bob, room.exam_id, status=None)

    first = board(before=None, limit=2)
    assert first.next_key == (first.items[-1].attempt.id,)
    rest = board(before=first.items[-1].attempt.id, limit=2)

    items = [*first.items, *rest.items]
    assert rest.next_key is None
    assert [(m.attempt.student_id, m.attempt.connection) for m in items] == [
        (missing.id, Connection.MISSING),
        (late.id, Connection.LATE),
        (alice.id, Connection.ONLINE),
    ]
    assert items[-1].attempt.id == running.id
    # Voiding is for admins.
    assert items[-1].allowed_actions == ["pause", "extend", "terminate"]
    assert bob.role is Role.PROCTOR
    nobody = actions.list_attempts(
        bob, room.exam_id, status=AttemptStatus.VOIDED, before=None, limit=2
    )
    assert nobody.items == []


PUT_CLOCK_BACK = """
    UPDATE attempts SET paused_at = paused_at + interval '1 hour',
                        ended_at = ended_at + interval '1 hour'
     WHERE id = %s
"""


@pytest.mark.parametrize("then", ["resume", "terminate", "close", "reopen"])
def test_a_pause_that_a_clock_put_back_made_end_before_it_began_took_no_time(
    sql: connection,
    room: ExamRoom,
    running: Attempt,
    actions: ProctorActions,
    database: Database,
    then: str,
) -> None:
    """The database's clock was an hour ahead, and somebody has put it right."""
    if then == "reopen":
        actions.terminate_attempt(room.admin, running.id, "a phone")
    else:
        actions.pause_attempt(room.admin, running.id, "fire alarm")
    run(sql, PUT_CLOCK_BACK, running.id)

    match then:
        case "resume":
            actions.resume_attempt(room.admin, running.id, "it was none")
        case "terminate":
            actions.terminate_attempt(room.admin, running.id, "a phone")
        case "close":
            ExamService(database).change_status(
                ExamStatus.COMPLETED, ANY_VERSION, room.admin, room.exam_id
            )
        case "reopen":
            actions.reopen_attempt(room.admin, running.id, 0, "it was none")

    clock = "SELECT paused_seconds, deadline_at FROM attempts WHERE id = %s"
    assert run(sql, clock, running.id) == [(0, running.deadline_at)]
