"""What a client kept may come ten minutes after the server noted the attempt's end.

Whoever could not deliver because no server ran loses nothing by it.
"""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from psycopg2.extensions import connection

from models import attempt
from models.attempt import EndedBy
from models.database import Database
from models.principal import Principal
from models.proctoring_report import NewEvent
from services import attempt_ending, audit
from services.attempt_service import AttemptService
from services.deadlines import end_overdue_attempts
from services.proctor_actions import ProctorActions
from services.proctoring_errors import AttemptClosedError
from services.proctoring_service import ProctoringService
from tests.audit_trail import run
from tests.exam_room import ExamRoom
from tests.reports import moment, observed
from tests.waiting import until_somebody_waits_for_a_lock

# Only the log knows when an end was noted.
LET_THE_LOG_AGE = """
    ALTER TABLE audit_log DISABLE TRIGGER ALL;
    UPDATE audit_log SET recorded_at = recorded_at - %s::interval;
    ALTER TABLE audit_log ENABLE TRIGGER ALL
"""


@pytest.fixture
def alice(room: ExamRoom) -> Principal:
    return room.new_student()


@pytest.fixture
def own(room: ExamRoom, alice: Principal, attempts: AttemptService) -> UUID:
    started = attempts.start_attempt(alice, room.exam_id, take_over=False)
    return started.paper.attempt.id


def deliver(
    database: Database, student: Principal, attempt_id: UUID, minutes_ago: float
) -> None:
    event = observed(1, "client.disconnected", occurred_at=moment(minutes=minutes_ago))
    new = NewEvent.model_validate(event | {"attempt_id": str(attempt_id)})
    ProctoringService(database).record_event(student, new)


def end_after_an_outage(
    database: Database, room: ExamRoom, attempt_id: UUID, seconds_left: int = 3600
) -> None:
    """Let the deadline pass, and nobody note it for a quarter of an hour."""
    room.let_time_pass(attempt_id, seconds_left + 15 * 60)
    assert end_overdue_attempts(database) == 1


def let_time_pass(
    sql: connection, room: ExamRoom, attempt_id: UUID, minutes: float
) -> None:
    room.let_time_pass(attempt_id, 60 * minutes)
    run(sql, LET_THE_LOG_AGE, f"{minutes} minutes")


@pytest.fixture
def reopened(
    sql: connection,
    room: ExamRoom,
    own: UUID,
    database: Database,
    actions: ProctorActions,
) -> UUID:
    """An attempt whose end was noted late, an hour ago, and that has five minutes."""
    end_after_an_outage(database, room, own)
    let_time_pass(sql, room, own, 60)
    actions.reopen_attempt(room.admin, own, 300, "the power was out")
    return own


def test_who_could_not_deliver_while_the_server_was_down_delivers_when_it_is_back(
    room: ExamRoom, alice: Principal, own: UUID, database: Database
) -> None:
    end_after_an_outage(database, room, own)

    deliver(database, alice, own, minutes_ago=15.5)

    assert "client.disconnected" in room.observed(own)


def test_what_happened_after_the_deadline_is_refused_whenever_that_was_noted(
    room: ExamRoom, alice: Principal, own: UUID, database: Database
) -> None:
    end_after_an_outage(database, room, own)

    with pytest.raises(AttemptClosedError):
        deliver(database, alice, own, minutes_ago=14.5)


def test_a_delivery_that_waits_for_the_note_comes_in_time(
    sql: connection, room: ExamRoom, alice: Principal, own: UUID, database: Database
) -> None:
    room.let_time_pass(own, 3600 + 15 * 60)
    with ThreadPoolExecutor() as pool:
        with database.transaction() as tx:
            found = attempt.get_for_update(tx, own)
            assert found is not None
            attempt_ending.end(tx, [found], EndedBy.DEADLINE, audit.SYSTEM)
            delivery = pool.submit(deliver, database, alice, own, minutes_ago=15.5)
            until_somebody_waits_for_a_lock(sql)
        delivery.result()

    assert "client.disconnected" in room.observed(own)


@pytest.mark.tampers
def test_the_ten_minutes_count_from_the_note(
    sql: connection, room: ExamRoom, alice: Principal, own: UUID, database: Database
) -> None:
    end_after_an_outage(database, room, own)

    let_time_pass(sql, room, own, 9.5)
    deliver(database, alice, own, minutes_ago=25)
    let_time_pass(sql, room, own, 1)
    with pytest.raises(AttemptClosedError):
        deliver(database, alice, own, minutes_ago=26)

    assert room.observed(own).count("client.disconnected") == 1


@pytest.mark.tampers
def test_a_reopened_attempt_forgets_when_its_first_end_was_noted(
    sql: connection,
    room: ExamRoom,
    alice: Principal,
    reopened: UUID,
    database: Database,
) -> None:
    deliver(database, alice, reopened, minutes_ago=0)

    end_after_an_outage(database, room, reopened, seconds_left=300)
    deliver(database, alice, reopened, minutes_ago=16)
    let_time_pass(sql, room, reopened, 10.5)
    with pytest.raises(AttemptClosedError):
        deliver(database, alice, reopened, minutes_ago=26)

    assert room.observed(reopened).count("client.disconnected") == 2


@pytest.mark.tampers
def test_what_is_voided_as_it_runs_ends_then_whatever_was_noted_before(
    sql: connection,
    room: ExamRoom,
    alice: Principal,
    reopened: UUID,
    database: Database,
    actions: ProctorActions,
) -> None:
    actions.void_attempt(room.admin, reopened, "it went out again")

    deliver(database, alice, reopened, minutes_ago=1)
    let_time_pass(sql, room, reopened, 10.5)
    with pytest.raises(AttemptClosedError):
        deliver(database, alice, reopened, minutes_ago=11)
