"""Time given back to all who sit an exam: ExtraTime."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

import psycopg2
import pytest
from psycopg2.extensions import connection

from models.attempt import Attempt, AttemptStatus, EndedBy
from models.database import Database
from models.principal import Principal, Role
from services.access import ExamNotFoundError
from services.assignment_service import Accommodation, AssignmentService
from services.attempt_errors import ExtensionTooLongError
from services.attempt_service import AttemptService
from services.deadlines import end_overdue_attempts
from services.extra_time import ExtraTime, Incident, IncidentTooOldError
from services.proctor_actions import ProctorActions
from tests.at_once import at_once
from tests.audit_trail import run, scalar
from tests.by_hand import stated
from tests.exam_room import ExamRoom
from tests.waiting import until_somebody_waits_for_a_lock

OUTAGE = Incident(name="power", reason="The power was away.", minutes=20, since=None)


@pytest.fixture
def extra_time(database: Database) -> ExtraTime:
    return ExtraTime(database)


def start(attempts: AttemptService, room: ExamRoom, student: Principal) -> Attempt:
    return attempts.start_attempt(student, room.exam_id, take_over=False).paper.attempt


@pytest.fixture
def alice(room: ExamRoom) -> Principal:
    return room.new_student()


@pytest.fixture
def cut_off(
    room: ExamRoom, attempts: AttemptService, database: Database, alice: Principal
) -> Attempt:
    """What the deadline has ended for alice, a quarter of an hour ago."""
    own = start(attempts, room, alice)
    room.let_time_pass(own.id, 3600 + 15 * 60)
    assert end_overdue_attempts(database) == 1
    return own


@pytest.fixture
def outage(sql: connection) -> Incident:
    """One that began twenty minutes ago: who is `cut_off` had five left."""
    return replace(OUTAGE, since=now(sql) - timedelta(minutes=20))


def now(sql: connection) -> datetime:
    found: datetime = scalar(sql, "SELECT clock_timestamp()")
    return found


def entries(sql: connection) -> int:
    return int(scalar(sql, "SELECT count(*) FROM audit_log"))


def test_all_that_run_get_the_time_and_no_other(
    sql: connection,
    room: ExamRoom,
    attempts: AttemptService,
    actions: ProctorActions,
    extra_time: ExtraTime,
) -> None:
    alice, bea, cleo = (room.new_student() for _ in range(3))
    running, paused, done = (start(attempts, room, who) for who in (alice, bea, cleo))
    actions.pause_attempt(room.admin, paused.id, "fire alarm")
    attempts.submit_attempt(cleo, done.id)
    elsewhere = ExamRoom(sql)
    other = start(attempts, elsewhere, elsewhere.new_student())

    granted = extra_time.grant(OUTAGE, room.admin, room.exam_id)

    def gained(student: Principal, before: Attempt) -> timedelta:
        after = attempts.read_attempt(student, before.id).attempt
        return after.deadline_at - before.deadline_at

    assert set(granted.extended) == {running.id, paused.id}
    assert (granted.reopened, granted.already_granted, granted.not_reopened) == (
        [],
        [],
        [],
    )
    assert gained(alice, running) == gained(bea, paused) == timedelta(minutes=20)
    assert gained(cleo, done) == timedelta()
    assert room.event_types(running.id) == ["attempt.started", "attempt.extended"]
    assert room.event_types(other.id) == ["attempt.started"]
    assert room.observed(running.id) == ["session.started", "session.extended"]
    assert scalar(
        sql,
        "SELECT payload::jsonb -> 'attempts' FROM audit_log"
        " WHERE event_type = 'exam.extra_time_granted' AND entity_id = %s",
        str(room.exam_id),
    ) == len(granted.extended)


def test_the_same_incident_again_gives_nothing_and_leaves_no_trace(
    sql: connection, room: ExamRoom, attempts: AttemptService, extra_time: ExtraTime
) -> None:
    alice = room.new_student()
    own = start(attempts, room, alice)
    extra_time.grant(OUTAGE, room.admin, room.exam_id)
    before, written = attempts.read_attempt(alice, own.id).attempt, entries(sql)

    again = extra_time.grant(OUTAGE, room.admin, room.exam_id)

    assert (again.extended, again.already_granted) == ([], [own.id])
    assert attempts.read_attempt(alice, own.id).attempt.deadline_at == (
        before.deadline_at
    )
    assert entries(sql) == written


def test_who_comes_back_late_gets_it_when_it_is_sent_again(
    room: ExamRoom, attempts: AttemptService, extra_time: ExtraTime
) -> None:
    first = start(attempts, room, room.new_student())
    extra_time.grant(OUTAGE, room.admin, room.exam_id)
    late = start(attempts, room, room.new_student())

    again = extra_time.grant(OUTAGE, room.admin, room.exam_id)

    assert (again.extended, again.already_granted) == ([late.id], [first.id])


def test_another_incident_is_made_good_as_well(
    room: ExamRoom, attempts: AttemptService, extra_time: ExtraTime
) -> None:
    alice = room.new_student()
    own = start(attempts, room, alice)
    extra_time.grant(OUTAGE, room.admin, room.exam_id)

    extra_time.grant(replace(OUTAGE, name="fire"), room.admin, room.exam_id)

    after = attempts.read_attempt(alice, own.id).attempt
    assert after.extended_seconds == 2400
    assert after.deadline_at - own.deadline_at == timedelta(minutes=40)


def test_ten_who_press_the_button_at_once_give_it_once(
    room: ExamRoom, attempts: AttemptService, extra_time: ExtraTime
) -> None:
    students = [room.new_student() for _ in range(5)]
    own = [start(attempts, room, student) for student in students]
    press = partial(extra_time.grant, OUTAGE, room.admin, room.exam_id)

    granted = at_once([press] * 10)

    given = [attempt_id for each in granted for attempt_id in each.extended]
    assert sorted(given) == sorted(each.id for each in own)
    for student, before in zip(students, own, strict=True):
        after = attempts.read_attempt(student, before.id).attempt
        assert after.extended_seconds == 1200


def test_who_was_ended_by_the_clock_gets_what_he_had_left(
    sql: connection,
    room: ExamRoom,
    attempts: AttemptService,
    database: Database,
    extra_time: ExtraTime,
) -> None:
    """Twenty minutes of outage; one had five minutes left, one had ended before."""
    alice, bea, cleo = (room.new_student() for _ in range(3))
    cut_off, before, running = (
        start(attempts, room, who) for who in (alice, bea, cleo)
    )
    room.let_time_pass(cut_off.id, 3600 + 15 * 60)
    room.let_time_pass(before.id, 3600 + 30 * 60)
    assert end_overdue_attempts(database) == 2
    outage = replace(OUTAGE, since=now(sql) - timedelta(minutes=20))

    granted = extra_time.grant(outage, room.admin, room.exam_id)

    assert granted.extended == [running.id]
    assert granted.reopened == [cut_off.id]
    own = attempts.read_attempt(alice, cut_off.id).attempt
    assert own.status is AttemptStatus.IN_PROGRESS
    assert own.seconds_remaining == pytest.approx(300, abs=5)
    assert attempts.read_attempt(bea, before.id).attempt.status is (
        AttemptStatus.SUBMITTED
    )
    assert room.event_types(cut_off.id)[-2:] == ["attempt.ended", "attempt.reopened"]

    again = extra_time.grant(outage, room.admin, room.exam_id)

    assert (again.extended, again.reopened) == ([], [])
    assert set(again.already_granted) == {running.id, cut_off.id}


def test_who_is_ended_again_has_had_his_time(
    room: ExamRoom,
    database: Database,
    extra_time: ExtraTime,
    cut_off: Attempt,
    outage: Incident,
) -> None:
    assert extra_time.grant(outage, room.admin, room.exam_id).reopened == [cut_off.id]
    room.let_time_pass(cut_off.id, 600)
    end_overdue_attempts(database)

    again = extra_time.grant(outage, room.admin, room.exam_id)

    assert (again.reopened, again.already_granted) == ([], [cut_off.id])


def test_who_handed_in_himself_is_not_named_as_cut_off(
    sql: connection, room: ExamRoom, attempts: AttemptService, extra_time: ExtraTime
) -> None:
    alice = room.new_student()
    attempts.submit_attempt(alice, start(attempts, room, alice).id)
    outage = replace(OUTAGE, since=now(sql) - timedelta(minutes=20))

    granted = extra_time.grant(outage, room.admin, room.exam_id)

    assert (granted.reopened, granted.not_reopened) == ([], [])


@pytest.mark.parametrize("minutes_over", [15, 55])
def test_whose_time_is_over_and_whom_nobody_has_ended_yet_loses_nothing(
    sql: connection,
    room: ExamRoom,
    attempts: AttemptService,
    extra_time: ExtraTime,
    minutes_over: int,
) -> None:
    """The sweeper of a host that is back has not come to him. He had five minutes."""
    alice = room.new_student()
    own = start(attempts, room, alice)
    room.let_time_pass(own.id, 3600 + minutes_over * 60)
    began = now(sql) - timedelta(minutes=minutes_over + 5)
    outage = replace(OUTAGE, since=began)

    granted = extra_time.grant(outage, room.admin, room.exam_id)

    assert (granted.extended, granted.reopened) == ([], [own.id])
    after = attempts.read_attempt(alice, own.id).attempt
    assert after.seconds_remaining == pytest.approx(300, abs=5)
    types = ["attempt.started", "attempt.ended", "attempt.reopened"]
    assert room.event_types(own.id) == types
    ended_by = (
        "SELECT actor_id || ' ' || (payload::jsonb ->> 'ended_by') FROM audit_log"
        " WHERE event_type = 'attempt.ended'"
    )
    assert scalar(sql, ended_by) == "system deadline"


def test_without_since_nobody_whose_time_is_over_goes_on(
    room: ExamRoom, attempts: AttemptService, extra_time: ExtraTime
) -> None:
    """Here too it makes no difference whether the sweeper was there before."""
    alice, bea = room.new_student(), room.new_student()
    over, running = (start(attempts, room, who) for who in (alice, bea))
    room.let_time_pass(over.id, 3600 + 15 * 60)

    granted = extra_time.grant(OUTAGE, room.admin, room.exam_id)

    assert (granted.extended, granted.reopened) == ([running.id], [])
    ended = attempts.read_attempt(alice, over.id).attempt
    assert (ended.ended_by, ended.ended_at) == (EndedBy.DEADLINE, ended.deadline_at)


def test_one_who_has_no_time_left_keeps_nobody_else_from_it(
    sql: connection,
    room: ExamRoom,
    attempts: AttemptService,
    database: Database,
    extra_time: ExtraTime,
) -> None:
    """His extra time was a mistake, and is taken back after the end."""
    alice, bea = room.new_student(), room.new_student()
    accommodate = partial(
        AssignmentService(database).change_accommodation,
        admin=room.admin,
        exam_id=room.exam_id,
        student_id=alice.id,
    )
    accommodate(Accommodation(extra_time_minutes=60))
    first, second = (start(attempts, room, who) for who in (alice, bea))
    room.let_time_pass(first.id, 7200 + 15 * 60)
    room.let_time_pass(second.id, 3600 + 15 * 60)
    assert end_overdue_attempts(database) == 2
    accommodate(Accommodation(extra_time_minutes=0))
    outage = replace(OUTAGE, since=now(sql) - timedelta(minutes=20))

    granted = extra_time.grant(outage, room.admin, room.exam_id)

    assert granted.not_reopened == [first.id]
    assert granted.reopened == [second.id]


def test_who_sits_another_exam_by_now_is_named_and_left_alone(
    *,
    sql: connection,
    room: ExamRoom,
    attempts: AttemptService,
    extra_time: ExtraTime,
    alice: Principal,
    cut_off: Attempt,
    outage: Incident,
) -> None:
    elsewhere = ExamRoom(sql)
    elsewhere.assign(alice)
    start(attempts, elsewhere, alice)

    granted = extra_time.grant(outage, room.admin, room.exam_id)

    assert granted.not_reopened == [cut_off.id]
    assert granted.reopened == []


def test_more_than_a_day_in_all_is_given_to_nobody(
    sql: connection,
    room: ExamRoom,
    attempts: AttemptService,
    actions: ProctorActions,
    extra_time: ExtraTime,
) -> None:
    own = [start(attempts, room, room.new_student()) for _ in range(2)]
    actions.extend_attempt(room.admin, own[1].id, 1430, "reasons")
    written = entries(sql)

    with pytest.raises(ExtensionTooLongError):
        extra_time.grant(OUTAGE, room.admin, room.exam_id)

    assert entries(sql) == written


@pytest.mark.parametrize("is_over", [False, True])
def test_a_day_in_all_may_be_given(
    *,
    sql: connection,
    room: ExamRoom,
    attempts: AttemptService,
    actions: ProctorActions,
    database: Database,
    extra_time: ExtraTime,
    is_over: bool,
) -> None:
    alice = room.new_student()
    own = start(attempts, room, alice)
    actions.extend_attempt(room.admin, own.id, 1420, "reasons")
    if is_over:
        room.let_time_pass(own.id, 3600 + 1420 * 60 + 60)
        assert end_overdue_attempts(database) == 1
    outage = replace(OUTAGE, since=now(sql) - timedelta(minutes=50))

    granted = extra_time.grant(outage, room.admin, room.exam_id)

    assert (granted.reopened if is_over else granted.extended) == [own.id]
    after = attempts.read_attempt(alice, own.id).attempt
    assert after.extended_seconds == 24 * 3600


def test_who_had_more_left_than_the_incident_gives_gets_what_it_gives(
    sql: connection,
    room: ExamRoom,
    attempts: AttemptService,
    database: Database,
    extra_time: ExtraTime,
) -> None:
    alice = room.new_student()
    own = start(attempts, room, alice)
    room.let_time_pass(own.id, 3600 + 60)
    assert end_overdue_attempts(database) == 1
    outage = replace(OUTAGE, since=now(sql) - timedelta(minutes=50))

    granted = extra_time.grant(outage, room.admin, room.exam_id)

    assert granted.reopened == [own.id]
    after = attempts.read_attempt(alice, own.id).attempt
    assert after.extended_seconds == 60 * OUTAGE.minutes


def test_who_has_had_a_day_more_is_named_and_keeps_nobody_else_from_it(
    *,
    sql: connection,
    room: ExamRoom,
    attempts: AttemptService,
    actions: ProctorActions,
    database: Database,
    extra_time: ExtraTime,
) -> None:
    first, second = (start(attempts, room, room.new_student()) for _ in range(2))
    actions.extend_attempt(room.admin, first.id, 1439, "reasons")
    room.let_time_pass(first.id, 3600 + 1439 * 60 + 15 * 60)
    room.let_time_pass(second.id, 3600 + 15 * 60)
    assert end_overdue_attempts(database) == 2
    outage = replace(OUTAGE, since=now(sql) - timedelta(minutes=20))

    granted = extra_time.grant(outage, room.admin, room.exam_id)

    assert (granted.not_reopened, granted.reopened) == ([first.id], [second.id])


VOIDED = "UPDATE attempts SET status = 'voided', score = NULL, is_passed = NULL"
# Somebody let him go on, and he sat next to somebody else.
TERMINATED = """
    UPDATE attempts
       SET status = 'in_progress', ended_at = NULL, ended_by = NULL, score = NULL,
           is_passed = NULL, paused_seconds = paused_seconds + 900;
    UPDATE attempts
       SET status = 'terminated', ended_at = clock_timestamp(), ended_by = 'proctor',
           end_reason = 'They talked.', review_status = 'queued'
"""


@pytest.mark.parametrize("decision", [VOIDED, TERMINATED], ids=["voided", "terminated"])
def test_what_staff_has_decided_at_this_very_moment_stands(
    *,
    sql: connection,
    dsn: str,
    room: ExamRoom,
    extra_time: ExtraTime,
    cut_off: Attempt,
    outage: Incident,
    decision: str,
) -> None:
    """His time ran out; since he was found, something else has become of him."""
    with closing(psycopg2.connect(dsn)) as other, ThreadPoolExecutor(1) as pool:
        run(other, "SELECT FROM attempts WHERE id = %s FOR UPDATE", cut_off.id)
        granting = pool.submit(extra_time.grant, outage, room.admin, room.exam_id)
        until_somebody_waits_for_a_lock(sql)
        run(other, stated(decision))
        other.commit()

    assert granting.result().not_reopened == [cut_off.id]
    assert "attempt.reopened" not in room.event_types(cut_off.id)


@pytest.mark.parametrize(
    "reason",
    [
        "UPDATE attempt_activity SET is_evidence_erased = true",
        "UPDATE exams SET status = 'archived'",
    ],
    ids=["erased", "archived"],
)
def test_who_can_not_go_on_is_named_and_nothing_else_fails(
    sql: connection,
    room: ExamRoom,
    extra_time: ExtraTime,
    cut_off: Attempt,
    outage: Incident,
    reason: str,
) -> None:
    run(sql, "UPDATE exams SET status = 'completed'")
    run(sql, stated(reason))

    granted = extra_time.grant(outage, room.admin, room.exam_id)

    assert (granted.not_reopened, granted.reopened) == ([cut_off.id], [])


def test_ones_own_attempt_is_left_to_another_admin(
    sql: connection,
    room: ExamRoom,
    extra_time: ExtraTime,
    alice: Principal,
    cut_off: Attempt,
    outage: Incident,
) -> None:
    run(sql, stated("UPDATE users SET role = 'admin' WHERE id = %s"), alice.id)

    by_her = extra_time.grant(outage, replace(alice, role=Role.ADMIN), room.exam_id)
    by_another = extra_time.grant(outage, room.admin, room.exam_id)

    assert (by_her.not_reopened, by_her.reopened) == ([cut_off.id], [])
    assert (by_another.not_reopened, by_another.reopened) == ([], [cut_off.id])


def test_a_second_that_had_begun_is_given_whole(
    sql: connection,
    room: ExamRoom,
    attempts: AttemptService,
    extra_time: ExtraTime,
    alice: Principal,
    cut_off: Attempt,
) -> None:
    ended_at = scalar(sql, "SELECT ended_at FROM attempts")
    outage = replace(OUTAGE, since=ended_at - timedelta(seconds=299.5))

    extra_time.grant(outage, room.admin, room.exam_id)

    assert attempts.read_attempt(alice, cut_off.id).attempt.extended_seconds == 300


@pytest.mark.parametrize("hours", [-0.01, 24.01])
def test_an_incident_of_last_week_or_of_tomorrow_reopens_nothing(
    sql: connection, room: ExamRoom, extra_time: ExtraTime, hours: float
) -> None:
    incident = replace(OUTAGE, since=now(sql) - timedelta(hours=hours))

    with pytest.raises(IncidentTooOldError):
        extra_time.grant(incident, room.admin, room.exam_id)


def test_an_exam_that_is_not_there_is_not_found(
    room: ExamRoom, extra_time: ExtraTime
) -> None:
    nowhere: UUID = uuid4()

    with pytest.raises(ExamNotFoundError):
        extra_time.grant(OUTAGE, room.admin, nowhere)
