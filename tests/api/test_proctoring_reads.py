"""What staff and the student see of an attempt's proctoring."""

from datetime import timedelta
from urllib.parse import quote

import pytest
from flask import Flask
from psycopg2.extensions import connection

from services.analysis_job import AnalysisJob
from tests.exams import Json, active, body, create, start, watch
from tests.personas import Api, Persona
from tests.reports import moment, observed, record

PERSON = {"duration_ms": 20_000, "confidence": 0.9}


@pytest.fixture
def exam(api: Api, ada: Persona, alice: Persona, bob: Persona) -> Json:
    found = active(api.as_(ada), alice.id)
    watch(api.as_(ada), found, bob.id)
    return found


def analyse(app: Flask) -> None:
    AnalysisJob(app.extensions["database"], spacing=timedelta()).run()


def submit(api: Api, student: Persona, attempt: Json) -> None:
    body(api.as_(student).post(f"/api/exams/attempts/{attempt['id']}/submit"))


def names_of(document: object) -> set[str]:
    """Return every key of a document, at any depth."""
    if isinstance(document, dict):
        return set(document) | names_of(list(document.values()))
    if isinstance(document, list):
        return {name for each in document for name in names_of(each)}
    return set()


def test_an_attempt_at_a_glance(
    api: Api, app: Flask, alice: Persona, bob: Persona, exam: Json, attempt: Json
) -> None:
    events = [observed(1), observed(2), observed(3, "client.low_battery")]
    record(api.as_(alice), attempt, *events)
    analyse(app)

    found = body(api.as_(bob).get(f"/api/proctoring/attempt/{attempt['id']}"))

    assert found["attempt"]["id"] == attempt["id"]
    assert found["attempt"]["student_email"] == alice.email
    assert found["attempt"]["connection"] == "online"
    assert found["exam"] == {
        "id": exam["id"],
        "title": exam["title"],
        "status": "active",
    }
    assert {"event_class": "integrity", "severity": "low", "count": 2} in found[
        "event_counts"
    ]
    assert found["analysis"]["attempt_id"] == attempt["id"]
    assert found["review"]["status"] == "none"
    assert found["review"]["allowed_statuses"] == ["queued", "in_review"]


def test_events_are_listed_as_they_occurred(
    api: Api, alice: Persona, bob: Persona, attempt: Json
) -> None:
    first = observed(2, "gaze.away", occurred_at=moment(seconds=30))
    second = observed(1, occurred_at=moment(seconds=20))
    third = observed(3, "client.freeze", occurred_at=moment(seconds=10))
    reply = record(api.as_(alice), attempt, first, second, third)
    path = f"/api/proctoring/attempt/{attempt['id']}/events"

    listed = body(api.as_(bob).get(path))["items"]

    reported = [each for each in listed if each["sequence"] is not None]
    assert [each["client_event_id"] for each in reported] == [
        each["client_event_id"] for each in (first, second, third)
    ]
    (seq,) = {each["audit_seq"] for each in reply["results"]}
    assert {each["audit_seq"] for each in reported} == {seq}
    # The server's own, with an entry of its own.
    (started,) = [each for each in listed if each["sequence"] is None]
    assert started["event_type"] == "session.started"
    assert started["audit_seq"] < seq


def test_events_are_paged_without_a_gap(
    api: Api, alice: Persona, bob: Persona, attempt: Json
) -> None:
    at = moment()
    events = [observed(number, occurred_at=at) for number in range(1, 8)]
    record(api.as_(alice), attempt, *events)
    path = f"/api/proctoring/attempt/{attempt['id']}/events?type=tab_switch&limit=3"

    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = body(api.as_(bob).get(path + (cursor and f"&cursor={cursor}")))
        seen += [each["client_event_id"] for each in page["items"]]
        cursor = page["next_cursor"]

    assert sorted(seen) == sorted(each["client_event_id"] for each in events)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("type=focus.lost", {1}),
        ("type=tab_switch", {1}),
        ("class=technical", {2}),
        ("severity=high", {3}),
        ("class=integrity&severity=low", {1}),
        ("from={middle}", {3}),
        ("to={middle}&class=integrity", {1}),
    ],
)
def test_events_are_filtered(
    api: Api,
    alice: Persona,
    bob: Persona,
    attempt: Json,
    query: str,
    expected: set[int],
) -> None:
    record(
        api.as_(alice),
        attempt,
        observed(1, occurred_at=moment(minutes=9)),
        observed(2, "client.freeze", occurred_at=moment(minutes=8)),
        observed(3, "devtools.opened", occurred_at=moment(minutes=-1)),
    )
    query = query.format(middle=quote(moment(minutes=-0.5)))

    path = f"/api/proctoring/attempt/{attempt['id']}/events?{query}"
    listed = body(api.as_(bob).get(path))["items"]

    found = {each["sequence"] for each in listed if each["sequence"] is not None}
    assert found == expected


@pytest.mark.parametrize(
    "query",
    [
        "type=no.such",
        "class=guilt",
        "from=yesterday",
        "from=2026-11-24T10:00:00",
        "limit=0",
        "cursor=x",
        "colour=red",
        "type=focus.lost&type=gaze.away",
    ],
)
def test_a_query_that_means_nothing_is_refused(
    api: Api, bob: Persona, attempt: Json, query: str
) -> None:
    path = f"/api/proctoring/attempt/{attempt['id']}/events?{query}"

    body(api.as_(bob).get(path), 422)


def test_a_student_sees_what_is_held_against_him_while_he_writes(
    api: Api, app: Flask, alice: Persona, attempt: Json
) -> None:
    phone = observed(1, "object.phone", payload=PERSON)
    record(api.as_(alice), attempt, phone, observed(2, "client.freeze"))
    analyse(app)

    found = body(api.as_(alice).get(f"/api/proctoring/my-attempt/{attempt['id']}"))

    assert found["status"] == "in_progress"
    assert 0 < found["seconds_remaining"] <= 3600
    (flag,) = found["flags"]
    assert flag["event_type"] == "object.phone"
    assert flag["label"] == "a phone"
    assert flag["factor"] == "forbidden_object"
    assert flag["payload"] == PERSON
    (factor,) = found["analysis"]["factors"]
    assert factor["code"] == "forbidden_object"
    # Its share of the score would tell what the answers are worth.
    assert factor["contribution"] is None
    assert factor["evidence"] == [flag["id"]]
    assert "a phone" in factor["explanation"]
    assert found["analysis"]["risk_score"] is None


def test_a_student_sees_his_score_when_it_is_over(
    api: Api, app: Flask, alice: Persona, attempt: Json
) -> None:
    # He hands in before the time is over that the event claims.
    seen = PERSON | {"consecutive_frames": 10}
    record(api.as_(alice), attempt, observed(1, "object.phone", payload=seen))
    submit(api, alice, attempt)
    analyse(app)

    found = body(api.as_(alice).get(f"/api/proctoring/my-attempt/{attempt['id']}"))

    analysis = found["analysis"]
    assert analysis["risk_score"] == pytest.approx(
        sum(each["contribution"] for each in analysis["factors"])
    )
    assert analysis["risk_score"] > 0
    assert names_of(found).isdisjoint(
        {"questions", "cohort", "similar_attempts", "inputs_hash"}
    )
    # Nobody has said anything yet.
    assert found["review_note"] is None


def test_what_the_exam_allows_is_said_to_weigh_nothing(
    api: Api, ada: Persona, alice: Persona
) -> None:
    rules = {"allowed_events": ["display.multiple"], "ignored_events": ["gaze.away"]}
    exam = active(api.as_(ada), alice.id, proctoring=rules)
    attempt = start(api.as_(alice), exam)
    codes = ("display.multiple", "gaze.away", "focus.lost")
    events = [observed(number, code) for number, code in enumerate(codes, start=1)]
    record(api.as_(alice), attempt, *events)

    found = body(api.as_(alice).get(f"/api/proctoring/my-attempt/{attempt['id']}"))

    assert {each["event_type"]: each["factor"] for each in found["flags"]} == {
        "display.multiple": None,
        "gaze.away": None,
        "focus.lost": "navigation",
    }


def test_a_student_does_not_read_what_staff_wrote(
    api: Api, alice: Persona, bob: Persona, attempt: Json
) -> None:
    note = {"event_type": "object.phone", "text": "A canary in the room."}
    path = f"/api/proctoring/attempt/{attempt['id']}"
    body(api.as_(bob).post(f"{path}/notes", json=note), 201)
    review = {"status": "queued", "note": "Another canary."}
    body(api.as_(bob).put(f"{path}/review", json=review))

    reply = api.as_(alice).get(f"/api/proctoring/my-attempt/{attempt['id']}")

    (flag,) = body(reply)["flags"]
    assert flag["payload"] == {}
    assert body(reply)["review_status"] == "queued"
    assert "canary" not in reply.text
    assert str(bob.id) not in reply.text


def test_a_stranger_sees_nothing_of_it(
    api: Api, mallory: Persona, attempt: Json
) -> None:
    body(api.as_(mallory).get(f"/api/proctoring/my-attempt/{attempt['id']}"), 404)


@pytest.mark.parametrize(
    "what", ["", "/events", "/ai-analysis", "/ai-analysis/history"]
)
def test_a_proctor_of_another_exam_finds_nothing(
    api: Api, ada: Persona, alice: Persona, bob: Persona, what: str
) -> None:
    exam = create(api.as_(ada))
    watch(api.as_(ada), exam, bob.id)
    unwatched = start(api.as_(alice), active(api.as_(ada), alice.id))
    path = f"/api/proctoring/attempt/{unwatched['id']}{what}"

    refused = body(api.as_(bob).get(path), 404)

    assert refused["type"] == "/problems/attempt-not-found"


@pytest.mark.parametrize(
    "what", ["", "/events", "/ai-analysis", "/ai-analysis/history"]
)
def test_a_student_may_not_look_over_the_proctors_shoulder(
    api: Api, alice: Persona, attempt: Json, what: str
) -> None:
    path = f"/api/proctoring/attempt/{attempt['id']}{what}"

    body(api.as_(alice).get(path), 403)


def test_reading_writes_nothing_but_that_staff_has_read(
    api: Api, alice: Persona, bob: Persona, attempt: Json, sql: connection
) -> None:
    record(api.as_(alice), attempt, observed(1))
    with sql.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM audit_log")
        before = cursor.fetchone()

    body(api.as_(bob).get(f"/api/proctoring/attempt/{attempt['id']}"))
    body(api.as_(alice).get(f"/api/proctoring/my-attempt/{attempt['id']}"))

    with sql.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM audit_log WHERE event_type <> 'evidence.viewed'"
        )
        assert cursor.fetchone() == before
