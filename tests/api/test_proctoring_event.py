"""Reporting one event: POST /api/proctoring/event."""

from typing import Any
from uuid import UUID, uuid4, uuid5

import pytest
from psycopg2.extensions import connection

from tests.at_once import at_once
from tests.exams import Json, active, body, start
from tests.personas import Api, Persona
from tests.reports import batches, moment, observed, send, send_many, stored_types


@pytest.fixture
def attempt(api: Api, ada: Persona, alice: Persona) -> Json:
    return start(api.as_(alice), active(api.as_(ada), alice.id))


def test_an_event_is_stored_and_chained(
    api: Api, alice: Persona, attempt: Json, sql: connection
) -> None:
    event = observed(1)

    found = body(send(api.as_(alice), attempt, event), 201)

    assert found.pop("occurred_at").endswith("Z")
    assert found.pop("received_at").endswith("Z")
    UUID(found.pop("id"))
    seq = found.pop("audit_seq")
    assert found == {
        "attempt_id": attempt["id"],
        "client_event_id": event["client_event_id"],
        "sequence": 1,
        "event_type": "focus.lost",
        "event_class": "integrity",
        "severity": "low",
        "payload": {"duration_ms": 1500},
    }
    with sql.cursor() as cursor:
        cursor.execute(
            "SELECT actor_id, attempt_id::text FROM audit_log WHERE seq = %s", [seq]
        )
        assert cursor.fetchone() == (str(alice.id), attempt["id"])
    (entry,) = batches(sql, attempt)
    assert entry["events"][0]["client_event_id"] == event["client_event_id"]
    assert entry["events"][0]["payload"] == {"duration_ms": 1500}


def test_the_same_event_again_gives_the_same_body(
    api: Api, alice: Persona, attempt: Json, sql: connection
) -> None:
    event = observed(1, payload={"b": 1.5, "a": [True, None, {"z": "ü\n", "y": -3}]})
    first = body(send(api.as_(alice), attempt, event), 201)

    again = body(send(api.as_(alice), attempt, event), 200)

    assert again == first
    assert stored_types(sql, attempt) == ["focus.lost"]
    assert len(batches(sql, attempt)) == 1


@pytest.mark.parametrize("change", [{"sequence": 2}, {"event_type": "gaze.away"}])
def test_the_same_id_for_another_event_is_refused(
    api: Api, alice: Persona, attempt: Json, sql: connection, change: Json
) -> None:
    event = observed(1)
    body(send(api.as_(alice), attempt, event), 201)

    refused = body(send(api.as_(alice), attempt, event | change), 409)

    assert refused["type"] == "/problems/event-id-reused"
    assert stored_types(sql, attempt) == ["focus.lost"]


def test_an_event_sent_by_many_at_once_is_stored_once(
    api: Api, alice: Persona, attempt: Json, sql: connection
) -> None:
    event = observed(1)

    replies = at_once([lambda: send(api.as_(alice), attempt, event)] * 10)

    assert sorted(reply.status_code for reply in replies) == [200] * 9 + [201]
    assert len({reply.text for reply in replies}) == 1
    assert stored_types(sql, attempt) == ["focus.lost"]
    assert len(batches(sql, attempt)) == 1


@pytest.mark.parametrize(
    ("alias", "code"),
    [
        ("tab_switch", "focus.lost"),
        ("face_not_detected", "face.not_visible"),
        ("multiple_faces", "face.multiple"),
        ("fullscreen_exit", "fullscreen.exited"),
        ("copy_paste", "clipboard.paste"),
    ],
)
def test_an_alias_is_stored_under_its_code(
    api: Api, alice: Persona, attempt: Json, alias: str, code: str
) -> None:
    found = body(send(api.as_(alice), attempt, observed(1, alias)), 201)

    assert found["event_type"] == code


def test_severity_follows_from_the_policy(
    api: Api, ada: Persona, alice: Persona
) -> None:
    policy = {"allowed_events": ["object.notes"], "focus_lost_medium_after_seconds": 1}
    exam = active(api.as_(ada), alice.id, proctoring=policy)
    attempt = start(api.as_(alice), exam)

    lost = body(send(api.as_(alice), attempt, observed(1)), 201)
    notes = body(send(api.as_(alice), attempt, observed(2, "object.notes")), 201)

    assert (lost["severity"], notes["severity"]) == ("medium", "info")


@pytest.mark.parametrize(
    ("change", "slug", "pointer"),
    [
        ({"event_type": "focus.lots"}, "unknown-event-type", "#/event_type"),
        (
            {"event_type": "session.submitted"},
            "event-type-not-reportable",
            "#/event_type",
        ),
        ({"event_type": "answer.similarity"}, "event-type-not-reportable", None),
        ({"event_type": "proctor.note"}, "event-type-not-reportable", None),
        ({"event_type": "x" * 65}, "invalid-request", "#/event_type"),
        ({"severity": "info"}, "invalid-request", "#/severity"),
        ({"event_class": "technical"}, "invalid-request", "#/event_class"),
        ({"id": str(uuid4())}, "invalid-request", "#/id"),
        ({"sequence": 0}, "invalid-request", "#/sequence"),
        ({"sequence": 2**53}, "invalid-request", "#/sequence"),
        ({"sequence": "1"}, "invalid-request", "#/sequence"),
        ({"sequence": True}, "invalid-request", "#/sequence"),
        ({"client_event_id": "1"}, "invalid-request", "#/client_event_id"),
        ({"occurred_at": "2026-11-24T10:00:00"}, "invalid-request", "#/occurred_at"),
        ({"occurred_at": 1_800_000_000}, "invalid-request", "#/occurred_at"),
        ({"occurred_at": "1800000000"}, "invalid-request", "#/occurred_at"),
        ({"occurred_at": moment(hours=-1)}, "implausible-time", "#/occurred_at"),
        ({"occurred_at": moment(days=1, hours=1)}, "implausible-time", None),
        ({"payload": []}, "invalid-request", "#/payload"),
        ({"payload": {"a": "\u0000"}}, "invalid-request", "#/payload"),
        ({"payload": {"a\u0007": 1}}, "invalid-request", "#/payload"),
        ({"payload": {"a": 2**53}}, "invalid-request", "#/payload"),
        ({"payload": {"a": 1e300}}, "invalid-request", "#/payload"),
        ({"payload": {"a": "ä" * 2048}}, "invalid-request", "#/payload"),
        ({"payload": {"a": [[[[1]]]]}}, "invalid-request", "#/payload"),
        ({"payload": {str(n): n for n in range(51)}}, "invalid-request", "#/payload"),
        ({"payload": {"duration_ms": -1}}, "invalid-payload", "#/payload/duration_ms"),
        ({"payload": {"confidence": "high"}}, "invalid-payload", None),
    ],
)
def test_what_is_no_event_is_refused(  # noqa: PLR0917 - a row of the table.
    api: Api,
    alice: Persona,
    attempt: Json,
    sql: connection,
    change: Json,
    slug: str,
    pointer: str | None,
) -> None:
    refused = body(send(api.as_(alice), attempt, observed(1) | change), 422)

    assert refused["type"] == f"/problems/{slug}"
    if pointer:
        assert pointer in [each["pointer"] for each in refused["errors"]]
    assert stored_types(sql, attempt) == []
    assert batches(sql, attempt) == []


def test_the_largest_payload_is_taken(api: Api, alice: Persona, attempt: Json) -> None:
    # {"a":"…"} has eight bytes besides the text.
    largest = {"a": "ä" * 2044}

    found = body(send(api.as_(alice), attempt, observed(1, payload=largest)), 201)

    assert found["payload"] == largest


def test_an_alike_name_is_suggested(api: Api, alice: Persona, attempt: Json) -> None:
    refused = body(send(api.as_(alice), attempt, observed(1, "focus.lots")), 422)

    assert "focus.lost" in refused["detail"]


def test_a_stranger_finds_no_attempt(
    api: Api, alice: Persona, mallory: Persona, attempt: Json, sql: connection
) -> None:
    missing = {"id": str(uuid4())}

    strange = body(send(api.as_(mallory), attempt, observed(1)), 404)
    absent = body(send(api.as_(alice), missing, observed(1)), 404)

    assert strange["type"] == absent["type"] == "/problems/attempt-not-found"
    assert stored_types(sql, attempt) == []


@pytest.mark.parametrize("who", ["ada", "bob"])
def test_staff_reports_no_events_of_a_client(
    api: Api, attempt: Json, who: str, request: pytest.FixtureRequest
) -> None:
    staff: Any = request.getfixturevalue(who)

    body(send(api.as_(staff), attempt, observed(1)), 403)


def test_a_client_whose_clock_is_ahead_is_noted_once(
    api: Api, alice: Persona, attempt: Json, sql: connection
) -> None:
    for number in (1, 2):
        ahead = observed(number, occurred_at=moment(minutes=-4))
        body(send(api.as_(alice), attempt, ahead), 201)

    with sql.cursor() as cursor:
        cursor.execute(
            """
            SELECT severity, (payload ->> 'skew_seconds')::numeric
              FROM proctoring_events
             WHERE attempt_id = %s AND event_type = 'client.clock_skew'
            """,
            [attempt["id"]],
        )
        ((severity, skew),) = cursor.fetchall()
    assert severity == "low"
    assert 200 < skew <= 240
    noted = [e["event_type"] for b in batches(sql, attempt) for e in b["events"]]
    assert sorted(noted) == ["client.clock_skew", "focus.lost", "focus.lost"]


def test_a_clock_that_is_too_far_ahead_is_noted_though_nothing_is_taken(
    api: Api, alice: Persona, attempt: Json, sql: connection
) -> None:
    """Nothing else would say why this student's client is not heard of."""
    far = {"hours": -2}
    for number in (1, 2):
        ahead = observed(number, occurred_at=moment(**far))
        refused = body(send(api.as_(alice), attempt, ahead), 422)
        assert refused["type"] == "/problems/implausible-time"
    mixed = [observed(1), observed(2, occurred_at="2199-12-31T00:00:00Z")]
    results = body(send_many(api.as_(alice), attempt, *mixed))["results"]
    assert [each["status"] for each in results] == ["accepted", "rejected"]

    with sql.cursor() as cursor:
        cursor.execute(
            """
            SELECT sequence, severity, (payload ->> 'skew_seconds')::numeric
              FROM proctoring_events
             WHERE attempt_id = %s AND event_type = 'client.clock_skew'
            """,
            [attempt["id"]],
        )
        ((sequence, severity, skew),) = cursor.fetchall()
    assert (sequence, severity) == (None, "low")
    assert 7100 < skew <= 7200
    assert stored_types(sql, attempt) == ["focus.lost"]


def test_who_knows_the_id_of_the_servers_note_makes_the_log_say_nothing_false(
    api: Api, alice: Persona, attempt: Json, sql: connection
) -> None:
    taken = str(uuid5(UUID(attempt["id"]), "client.clock_skew"))

    ahead = observed(1, client_event_id=taken, occurred_at=moment(minutes=-4))
    body(send(api.as_(alice), attempt, ahead), 201)

    logged = [e["id"] for b in batches(sql, attempt) for e in b["events"]]
    with sql.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM proctoring_events WHERE id = ANY (%s::uuid[])",
            [logged],
        )
        assert cursor.fetchone() == (len(logged),)


def test_what_happened_before_the_end_may_come_late(
    api: Api, alice: Persona, attempt: Json, sql: connection
) -> None:
    before = observed(1)
    body(api.as_(alice).post(f"/api/exams/attempts/{attempt['id']}/submit"))

    late = body(send(api.as_(alice), attempt, before), 201)

    assert late["audit_seq"] > 0
    assert stored_types(sql, attempt) == ["focus.lost"]


def end_long_ago(sql: connection, attempt: Json, minutes: int) -> None:
    with sql.cursor() as cursor:
        cursor.execute("ALTER TABLE attempts DISABLE TRIGGER attempts_guard")
        cursor.execute(
            """
            UPDATE attempts
               SET status = 'submitted', ended_by = 'student',
                   started_at = started_at - %(by)s::interval,
                   deadline_at = deadline_at - %(by)s::interval,
                   ended_at = clock_timestamp() - %(by)s::interval
             WHERE id = %(id)s
            """,
            {"by": f"{minutes} minutes", "id": attempt["id"]},
        )
        cursor.execute("ALTER TABLE attempts ENABLE TRIGGER attempts_guard")


def test_what_happened_after_the_end_is_refused(
    api: Api, alice: Persona, attempt: Json, sql: connection
) -> None:
    end_long_ago(sql, attempt, minutes=9)

    refused = body(send(api.as_(alice), attempt, observed(1)), 409)
    taken = send(api.as_(alice), attempt, observed(1, occurred_at=moment(minutes=10)))

    assert refused["type"] == "/problems/attempt-closed"
    assert refused["current_status"] == "submitted"
    assert taken.status_code == 201


def test_ten_minutes_after_the_end_nothing_new_is_taken(
    api: Api, alice: Persona, attempt: Json, sql: connection
) -> None:
    known = observed(1, occurred_at=moment(minutes=11))
    first = body(send(api.as_(alice), attempt, known), 201)
    end_long_ago(sql, attempt, minutes=11)

    refused = body(
        send(api.as_(alice), attempt, observed(2, occurred_at=moment(minutes=12))), 409
    )
    again = body(send(api.as_(alice), attempt, known), 200)

    assert refused["type"] == "/problems/attempt-closed"
    assert again == first


def test_nothing_is_stored_without_its_entry(
    api: Api, alice: Persona, attempt: Json, sql: connection
) -> None:
    with sql.cursor() as cursor:
        cursor.execute(
            "REVOKE EXECUTE ON FUNCTION audit_append_one FROM proctoring_app"
        )

    reply = send(api.as_(alice), attempt, observed(1))

    assert reply.status_code == 500
    assert stored_types(sql, attempt) == []
