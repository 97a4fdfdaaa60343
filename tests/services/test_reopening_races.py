"""An attempt is reopened while an admin changes what its deadline is computed from.

The change has been made and waits to be committed, with its locks.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from uuid import UUID

import pytest
from psycopg2.extensions import connection

from models import attempt
from models.attempt import Attempt
from models.database import Database
from models.exam import ExamStatus
from services.assignment_service import Accommodation, AssignmentService
from services.attempt_errors import ExamNotOpenError, StudentSitsAnotherError
from services.attempt_service import AttemptService
from services.deadlines import end_overdue_attempts
from services.exam_service import ExamService
from services.extra_time import ExtraTime, Granted, Incident
from services.proctor_actions import ProctorActions
from services.versions import ANY_VERSION
from tests.audit_trail import scalar
from tests.exam_room import ExamRoom
from tests.services.conftest import Uncommitted

# Reopens an attempt of the exam in one of the two ways.
Reopening = Callable[[Attempt], object]


@pytest.fixture
def ended(room: ExamRoom, attempts: AttemptService, database: Database) -> Attempt:
    """An attempt whose time ran out five minutes ago."""
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    room.let_time_pass(own.id, 3600 + 300)
    assert end_overdue_attempts(database) == 1
    return read(database, own.id)


@pytest.fixture(params=["reopen", "extra-time"])
def reopening(
    request: pytest.FixtureRequest,
    sql: connection,
    room: ExamRoom,
    actions: ProctorActions,
    database: Database,
) -> Reopening:
    if request.param == "reopen":
        return lambda ended: actions.reopen_attempt(
            room.admin, ended.id, 600, "an outage"
        )
    since = scalar(sql, "SELECT clock_timestamp() - interval '15 minutes'")
    outage = Incident(name="power", reason="an outage", minutes=60, since=since)
    return lambda _: ExtraTime(database).grant(outage, room.admin, room.exam_id)


def read(database: Database, attempt_id: UUID) -> Attempt:
    with database.read() as tx:
        found = attempt.get(tx, attempt_id)
    assert found is not None
    return found


def test_extra_time_that_is_granted_meanwhile_is_not_lost(
    uncommitted: Uncommitted,
    room: ExamRoom,
    ended: Attempt,
    reopening: Reopening,
    database: Database,
) -> None:
    grant = partial(
        AssignmentService(database).change_accommodation,
        Accommodation(extra_time_minutes=30),
        room.admin,
        room.exam_id,
        ended.student_id,
    )

    with uncommitted(grant) as pool:
        reopened = pool.submit(reopening, ended)
    reopened.result()

    after = read(database, ended.id)
    assert after.is_running
    entitled = 90 * 60 + after.paused_seconds + after.extended_seconds
    assert after.deadline_at - after.started_at == timedelta(seconds=entitled)


def test_who_starts_another_exam_at_this_moment_sits_that_one(
    *,
    uncommitted: Uncommitted,
    sql: connection,
    room: ExamRoom,
    ended: Attempt,
    attempts: AttemptService,
    reopening: Reopening,
    database: Database,
) -> None:
    elsewhere = ExamRoom(sql)
    alice = room.login(ended.student_id)
    elsewhere.assign(alice)
    begin = partial(attempts.start_attempt, alice, elsewhere.exam_id, take_over=False)

    with uncommitted(begin) as pool:
        reopened = pool.submit(reopening, ended)
    try:
        found = reopened.result()
    except StudentSitsAnotherError:
        pass
    else:
        assert isinstance(found, Granted)
        assert found.not_reopened == [ended.id]

    assert not read(database, ended.id).is_running


def test_nothing_goes_on_in_an_exam_that_is_being_archived(
    uncommitted: Uncommitted,
    room: ExamRoom,
    ended: Attempt,
    actions: ProctorActions,
    database: Database,
) -> None:
    step = partial(
        ExamService(database).change_status,
        expected=ANY_VERSION,
        admin=room.admin,
        exam_id=room.exam_id,
    )
    step(ExamStatus.COMPLETED)

    with uncommitted(partial(step, ExamStatus.ARCHIVED)) as pool:
        reopened = pool.submit(
            actions.reopen_attempt, room.admin, ended.id, 600, "an outage"
        )
    with pytest.raises(ExamNotOpenError):
        reopened.result()

    assert not read(database, ended.id).is_running
