"""Whoever holds an attempt and moves to another address is noted, as information."""

import pytest
from psycopg2.extensions import connection
from werkzeug.test import TestResponse

from tests.audit_trail import run
from tests.exams import Json, body, start
from tests.logins import log_in_from
from tests.personas import Api, Persona

HOME, NEIGHBOUR, AWAY = "192.0.2.7", "192.0.99.1", "198.51.100.9"


def refresh_from(api: Api, address: str, given: Json) -> Json:
    response: TestResponse = api.as_(None).post(
        "/api/auth/refresh",
        json={"refresh_token": given["refresh_token"]},
        environ_overrides={"REMOTE_ADDR": address},
    )
    return body(response)


def changes(sql: connection) -> list[tuple[str, str, Json]]:
    rows = run(
        sql,
        "SELECT event_class, severity, payload FROM proctoring_events"
        " WHERE event_type = 'session.ip_changed' ORDER BY received_at",
    )
    return [(event_class, severity, payload) for event_class, severity, payload in rows]


@pytest.mark.parametrize(("address", "is_other"), [(NEIGHBOUR, False), (AWAY, True)])
def test_each_change_is_noted_once(
    api: Api,
    alice: Persona,
    exam: Json,
    sql: connection,
    address: str,
    *,
    is_other: bool,
) -> None:
    given = body(log_in_from(api, HOME, alice.email))
    start(api.as_(given["access_token"]), exam)

    given = refresh_from(api, HOME, given)
    given = refresh_from(api, address, given)
    given = refresh_from(api, address, given)

    noted = ("integrity", "info", {"is_other_network": is_other})
    assert changes(sql) == [noted]

    refresh_from(api, HOME, given)

    assert changes(sql) == [noted, noted]


def test_who_sits_no_exam_may_go_where_he_likes(
    api: Api, alice: Persona, exam: Json, sql: connection
) -> None:
    idle = body(log_in_from(api, HOME, alice.email))
    holding = body(log_in_from(api, HOME, alice.email))
    attempt = start(api.as_(holding["access_token"]), exam)

    # Another login of the same student, which does not hold the attempt.
    refresh_from(api, AWAY, idle)
    body(
        api.as_(holding["access_token"]).post(
            f"/api/exams/attempts/{attempt['id']}/submit"
        )
    )
    refresh_from(api, AWAY, holding)

    assert changes(sql) == []


@pytest.mark.parametrize(("address", "expected"), [(HOME, 0), (AWAY, 1)])
def test_a_device_that_takes_over_may_be_elsewhere(
    api: Api, alice: Persona, exam: Json, sql: connection, address: str, expected: int
) -> None:
    laptop = body(log_in_from(api, HOME, alice.email))
    start(api.as_(laptop["access_token"]), exam)
    spare = body(log_in_from(api, address, alice.email))

    body(
        api.as_(spare["access_token"]).post(
            f"/api/exams/{exam['id']}/start", json={"take_over": True}
        )
    )

    assert len(changes(sql)) == expected


def test_the_event_holds_no_address(
    api: Api, alice: Persona, exam: Json, sql: connection
) -> None:
    given = body(log_in_from(api, HOME, alice.email))
    start(api.as_(given["access_token"]), exam)

    refresh_from(api, AWAY, given)

    stored = run(sql, "SELECT proctoring_events::text FROM proctoring_events")
    logged = run(
        sql,
        "SELECT payload FROM audit_log WHERE event_type = 'proctoring.events_recorded'",
    )
    assert len(stored) == len(logged) == 2
    assert not any(AWAY in text or HOME in text for (text,) in [*stored, *logged])
