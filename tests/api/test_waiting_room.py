"""Before the exam opens: when each student's client is to start, and that it may."""

from datetime import datetime, timedelta

import pytest
from psycopg2.extensions import connection

from config import Settings
from models.principal import Principal
from tests.audit_trail import run, scalar
from tests.exam_room import PASSWORD_HASH, ExamRoom
from tests.exams import Json, body
from tests.personas import Api, Speaker, access_token

# Their window has two seconds.
MANY = 100
ASSIGN_STRANGERS = """
    WITH stranger AS (
        INSERT INTO users (id, email, email_canonical, full_name, role, password_hash)
        SELECT gen_random_uuid(), address, address, 'A stranger', 'student', %s
          FROM generate_series(1, %s) AS n, format('n%%s@example.edu', n) AS address
        RETURNING id)
    INSERT INTO exam_assignments (exam_id, student_id) SELECT %s, id FROM stranger
"""


def assign_strangers(sql: connection, room: ExamRoom, count: int) -> None:
    """Assign so many more, who never come."""
    run(sql, ASSIGN_STRANGERS, PASSWORD_HASH, count, room.exam_id)


def speaker(
    api: Api, settings: Settings, sql: connection, student: Principal
) -> Speaker:
    now = int(scalar(sql, "SELECT extract(epoch FROM clock_timestamp())::bigint"))
    return api.as_(access_token(settings, student.id, student.session_id, now))


def time_of(found: Json, name: str) -> datetime:
    return datetime.fromisoformat(found[name])


def delay_of(found: Json) -> timedelta:
    return time_of(found, "start_at") - time_of(found, "starts_at")


@pytest.mark.parametrize("assigned", [3, MANY])
def test_each_is_told_when_to_start_and_what_time_it_is(
    api: Api, settings: Settings, sql: connection, assigned: int
) -> None:
    room = ExamRoom(sql, status="scheduled", starts_in="1 hour")
    students = [room.new_student() for _ in range(3)]
    assign_strangers(sql, room, assigned - 3)
    details = f"/api/exams/{room.exam_id}/details"

    speakers = [speaker(api, settings, sql, each) for each in students]
    told = [body(each.get(details)) for each in speakers]
    again = [body(each.get(details)) for each in speakers]
    (listed,) = body(speakers[0].get("/api/exams/available"))["items"]

    assert listed["start_at"] == told[0]["start_at"]
    assert [each["start_at"] for each in again] == [each["start_at"] for each in told]
    for each in told:
        assert time_of(each, "server_time") < time_of(each, "starts_at")
        assert timedelta() <= delay_of(each) < timedelta(seconds=assigned / 50)
    slots = {each["start_at"] for each in told}
    assert len(slots) == (len(told) if assigned > 50 else 1)


def test_who_comes_too_early_is_told_how_long_to_wait(
    api: Api, settings: Settings, sql: connection
) -> None:
    room = ExamRoom(sql, status="scheduled", starts_in="1 hour")
    alice = speaker(api, settings, sql, room.new_student())
    assign_strangers(sql, room, 1999)
    told = body(alice.get(f"/api/exams/{room.exam_id}/details"))

    refused = alice.post(f"/api/exams/{room.exam_id}/start")

    assert body(refused, 409)["type"] == "/problems/exam-not-open"
    seconds = int(refused.headers["Retry-After"])
    left = time_of(told, "start_at") - time_of(told, "server_time")
    assert 3590 <= seconds <= 3630
    # Whole seconds, rounded up, and less what has passed between the requests.
    assert abs(left.total_seconds() - seconds) <= 2
    assert scalar(sql, "SELECT count(*) FROM attempts") == 0


@pytest.mark.parametrize("status", ["completed", "cancelled"])
def test_there_is_nothing_to_wait_for_when_it_is_over(
    api: Api, settings: Settings, sql: connection, status: str
) -> None:
    room = ExamRoom(sql, status=status, starts_in="1 hour")
    alice = speaker(api, settings, sql, room.new_student())

    refused = alice.post(f"/api/exams/{room.exam_id}/start")

    assert body(refused, 409)["type"] == "/problems/exam-not-open"
    assert "Retry-After" not in refused.headers


def test_a_slot_binds_nobody(api: Api, settings: Settings, sql: connection) -> None:
    """Two thousand are assigned, so slots go up to half a minute; all may start now."""
    room = ExamRoom(sql, status="scheduled", starts_in="0 seconds")
    students = [room.new_student() for _ in range(5)]
    assign_strangers(sql, room, 1995)
    for student in students:
        his = speaker(api, settings, sql, student)
        found = body(his.get(f"/api/exams/{room.exam_id}/details"))
        assert found["can_start"] is True

        started = body(his.post(f"/api/exams/{room.exam_id}/start"), 201)

        assert started["seconds_remaining"] >= 3595


def test_who_starts_at_his_slot_has_his_full_time(
    api: Api, settings: Settings, sql: connection
) -> None:
    """The window closes 10 seconds after who starts at its beginning is done."""
    room = ExamRoom(sql, starts_in="-4 seconds", ends_in="3606 seconds")
    student = room.new_student()
    assign_strangers(sql, room, 200)
    his = speaker(api, settings, sql, student)
    told = body(his.get(f"/api/exams/{room.exam_id}/details"))
    assert time_of(told, "start_at") <= time_of(told, "server_time")

    own = body(his.post(f"/api/exams/{room.exam_id}/start"), 201)

    full = timedelta(minutes=60)
    assert time_of(own, "deadline_at") - time_of(own, "started_at") == full


def test_where_the_window_is_as_long_as_the_exam_all_start_when_it_opens(
    api: Api, settings: Settings, sql: connection
) -> None:
    room = ExamRoom(sql, status="scheduled", starts_in="1 hour", ends_in="2 hours")
    students = [room.new_student() for _ in range(5)]
    assign_strangers(sql, room, 1995)

    for student in students:
        his = speaker(api, settings, sql, student)
        found = body(his.get(f"/api/exams/{room.exam_id}/details"))
        assert delay_of(found) == timedelta()
