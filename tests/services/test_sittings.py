"""What a student sees of his exams: SittingService."""

import pytest
from psycopg2.extensions import connection

from models.database import Database
from models.principal import Principal
from models.sitting import Sitting, StartBlock
from services.attempt_service import AttemptService
from services.proctor_actions import ProctorActions
from services.sitting_service import SittingService
from tests.audit_trail import run
from tests.by_hand import stated
from tests.exam_room import ExamRoom

END_WINDOW = """
    UPDATE exams SET starts_at = clock_timestamp() - interval '2 hours',
                     ends_at = clock_timestamp() - interval '1 minute'
"""


@pytest.fixture
def alice(room: ExamRoom) -> Principal:
    return room.new_student()


@pytest.fixture
def sittings(database: Database) -> SittingService:
    return SittingService(database)


def available(sittings: SittingService, student: Principal) -> list[Sitting]:
    return list(sittings.list_available(student, limit=9, after=None).items)


def test_a_voided_attempt_uses_up_none(
    room: ExamRoom,
    alice: Principal,
    attempts: AttemptService,
    actions: ProctorActions,
    sittings: SittingService,
) -> None:
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    attempts.submit_attempt(alice, own.id)
    used_up = sittings.get_details(alice, room.exam_id)
    assert used_up.blocked_by is StartBlock.NO_ATTEMPTS_LEFT

    actions.void_attempt(room.admin, own.id, "the wrong exam")

    found = sittings.get_details(alice, room.exam_id)
    assert (found.attempts_left, found.can_start) == (1, True)


def test_who_is_paused_still_sits_it(
    room: ExamRoom,
    alice: Principal,
    attempts: AttemptService,
    actions: ProctorActions,
    sittings: SittingService,
) -> None:
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt

    actions.pause_attempt(room.admin, own.id, "fire alarm")

    (found,) = available(sittings, alice)
    assert (found.running_here, found.can_start) == (own.id, True)


def test_an_exam_whose_window_is_over_is_there_for_who_still_sits_it(
    sql: connection,
    room: ExamRoom,
    alice: Principal,
    attempts: AttemptService,
    sittings: SittingService,
) -> None:
    """He has extra time, or was given some back."""
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    run(sql, stated(END_WINDOW))

    (found,) = available(sittings, alice)
    assert (found.running_here, found.can_start) == (own.id, True)
    attempts.submit_attempt(alice, own.id)

    assert available(sittings, alice) == []
