"""An attempt takes so many events of clients, and says so when it has them."""

import psycopg2
import pytest
from psycopg2.extensions import connection

from models.proctoring_report import MAX_REPORTED_EVENTS
from tests.audit_trail import run, scalar
from tests.exams import Json, body
from tests.personas import Api, Persona
from tests.reports import observed, record, send, send_many, stored_types


def leave_room(sql: connection, attempt: Json, room: int) -> None:
    """Let it look as if all but so many events had come."""
    run(
        sql,
        "UPDATE attempt_activity SET reported_events = %s WHERE attempt_id = %s",
        MAX_REPORTED_EVENTS - room,
        attempt["id"],
    )


def counted(sql: connection, attempt: Json) -> int:
    return int(
        scalar(
            sql,
            "SELECT reported_events FROM attempt_activity WHERE attempt_id = %s",
            attempt["id"],
        )
    )


def notes(sql: connection, attempt: Json) -> list[Json]:
    rows = run(
        sql,
        "SELECT payload FROM proctoring_events WHERE attempt_id = %s"
        " AND event_type = 'session.milestone'",
        attempt["id"],
    )
    return [row[0] for row in rows]


def test_what_clients_report_is_counted_once(
    api: Api, alice: Persona, attempt: Json, sql: connection
) -> None:
    events = [observed(number) for number in (1, 2, 3)]
    record(api.as_(alice), attempt, *events[:2])

    body(send_many(api.as_(alice), attempt, *events, 17))

    # The start of the attempt is an event as well, and not the client's.
    assert counted(sql, attempt) == 3
    assert notes(sql, attempt) == []


def test_an_event_above_the_limit_loses_no_other(
    api: Api, alice: Persona, attempt: Json, sql: connection
) -> None:
    known = [observed(1), observed(2)]
    record(api.as_(alice), attempt, *known)
    leave_room(sql, attempt, 2)
    new = [observed(number, "gaze.away") for number in (3, 4, 5, 6)]

    reply = body(send_many(api.as_(alice), attempt, *known, *new))

    statuses = [each["status"] for each in reply["results"]]
    assert statuses == [*["duplicate"] * 2, *["accepted"] * 2, *["rejected"] * 2]
    problem = reply["results"][-1]["problem"]
    assert (problem["type"], problem["status"]) == (
        "/problems/event-limit-reached",
        409,
    )
    assert stored_types(sql, attempt) == ["focus.lost"] * 2 + ["gaze.away"] * 2
    assert counted(sql, attempt) == MAX_REPORTED_EVENTS


def test_a_single_event_above_the_limit_is_a_conflict(
    api: Api, alice: Persona, attempt: Json, sql: connection
) -> None:
    first, second = observed(1), observed(2)
    leave_room(sql, attempt, 1)
    stored = body(send(api.as_(alice), attempt, first), 201)

    refused = body(send(api.as_(alice), attempt, second), 409)
    again = body(send(api.as_(alice), attempt, first))

    assert len(notes(sql, attempt)) == 1
    assert refused["type"] == "/problems/event-limit-reached"
    assert refused["current_status"] == "in_progress"
    assert again == stored


def test_the_limit_is_noted_once(
    api: Api, alice: Persona, attempt: Json, sql: connection
) -> None:
    leave_room(sql, attempt, 2)
    student = api.as_(alice)

    known = observed(1)
    record(student, attempt, known)
    before = notes(sql, attempt)
    body(send_many(student, attempt, observed(2), observed(3)))
    body(send_many(student, attempt, known, observed(4)))

    assert before == []
    (note,) = notes(sql, attempt)
    assert note == {"milestone": "event_limit_reached", "limit": MAX_REPORTED_EVENTS}


def test_staff_and_the_server_always_have_room(
    api: Api, ada: Persona, attempt: Json, sql: connection
) -> None:
    leave_room(sql, attempt, 0)
    path = f"/api/exams/attempts/{attempt['id']}"

    body(api.as_(ada).post(f"{path}/pause", json={"reason": "A fire drill."}))
    body(
        api.as_(ada).post(
            f"/api/proctoring/attempt/{attempt['id']}/notes",
            json={"text": "He reports without end."},
        ),
        201,
    )

    assert counted(sql, attempt) == MAX_REPORTED_EVENTS


def test_the_database_keeps_the_limit_by_itself(attempt: Json, sql: connection) -> None:
    leave_room(sql, attempt, 0)

    with pytest.raises(psycopg2.errors.CheckViolation) as refused:
        leave_room(sql, attempt, -1)

    assert (
        refused.value.diag.constraint_name == "attempt_activity_reported_events_check"
    )
