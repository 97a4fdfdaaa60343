"""Reporting a batch: POST /api/proctoring/events."""

import json
import threading
from functools import partial
from uuid import uuid4

import psycopg2
import pytest
import rfc8785
from psycopg2.extensions import connection
from werkzeug.test import TestResponse

from tests.at_once import at_once
from tests.audit_trail import run
from tests.by_hand import stated
from tests.exams import Json, active, body, start, watch
from tests.personas import Api, Persona
from tests.reports import batches, observed, record, send_many, stored_types


@pytest.fixture
def attempt(api: Api, ada: Persona, alice: Persona) -> Json:
    return start(api.as_(alice), active(api.as_(ada), alice.id))


def test_a_batch_is_one_entry(
    api: Api, alice: Persona, attempt: Json, sql: connection
) -> None:
    events = [observed(number) for number in range(1, 201)]

    reply = record(api.as_(alice), attempt, *events)

    ids = [each["client_event_id"] for each in events]
    assert [each["client_event_id"] for each in reply["results"]] == ids
    assert len({each["audit_seq"] for each in reply["results"]}) == 1
    assert reply["missing_sequences"] == []
    assert reply["server_time"].endswith("Z")
    assert reply["deadline_at"] == attempt["deadline_at"]
    assert 0 < reply["seconds_remaining"] <= 3600
    (entry,) = batches(sql, attempt)
    assert [each["client_event_id"] for each in entry["events"]] == ids
    assert len(stored_types(sql, attempt)) == 200


def test_a_report_tells_how_the_attempt_stands_and_how_often_to_report(
    api: Api, ada: Persona, bob: Persona, alice: Persona
) -> None:
    policy = {"expected_report_interval_seconds": 7.5}
    exam = active(api.as_(ada), alice.id, proctoring=policy)
    watch(api.as_(ada), exam, bob.id)
    attempt = start(api.as_(alice), exam)
    path = f"/api/exams/attempts/{attempt['id']}"
    reason = {"reason": "a fire alarm"}

    replies = [record(api.as_(alice), attempt, observed(1))]
    for number, step in enumerate(("pause", "resume", "terminate"), start=2):
        body(api.as_(bob).post(f"{path}/{step}", json=reason))
        replies.append(record(api.as_(alice), attempt, observed(number)))

    statuses = [reply["status"] for reply in replies]
    assert statuses == ["in_progress", "paused", "in_progress", "terminated"]
    assert {reply["expected_report_interval_seconds"] for reply in replies} == {7.5}


def test_one_bad_event_does_not_lose_the_others(
    api: Api, alice: Persona, attempt: Json, sql: connection
) -> None:
    bad = [
        None,
        "event",
        {"client_event_id": "x"},
        observed(2, "no.such"),
        observed(3, payload={"duration_ms": "long"}),
        observed(-1),
        observed(5, colour="red"),
        observed(6, "session.started"),
    ]
    events = [observed(1), *bad, observed(7, "gaze.away")]

    reply = body(send_many(api.as_(alice), attempt, *events))

    statuses = [each["status"] for each in reply["results"]]
    assert statuses == ["accepted", *["rejected"] * len(bad), "accepted"]
    problems = [each["problem"]["type"] for each in reply["results"][1:-1]]
    assert problems == [
        "/problems/invalid-event",
        "/problems/invalid-event",
        "/problems/invalid-event",
        "/problems/unknown-event-type",
        "/problems/invalid-payload",
        "/problems/invalid-event",
        "/problems/invalid-event",
        "/problems/event-type-not-reportable",
    ]
    assert [each["client_event_id"] for each in reply["results"][1:4]] == [None] * 3
    sequence_problem = reply["results"][6]["problem"]
    assert sequence_problem["status"] == 422
    assert [each["pointer"] for each in sequence_problem["errors"]] == ["#/sequence"]
    assert stored_types(sql, attempt) == ["focus.lost", "gaze.away"]
    assert reply["missing_sequences"] == [2, 3, 4, 5, 6]


def test_a_batch_of_bad_events_leaves_nothing(
    api: Api, alice: Persona, attempt: Json, sql: connection
) -> None:
    reply = body(send_many(api.as_(alice), attempt, 1, 2, 3))

    assert [each["status"] for each in reply["results"]] == ["rejected"] * 3
    assert batches(sql, attempt) == []


def test_duplicates_are_told_with_their_entry(
    api: Api, alice: Persona, attempt: Json, sql: connection
) -> None:
    events = [observed(number) for number in (1, 2, 3)]
    first = record(api.as_(alice), attempt, *events[:2])

    reply = body(send_many(api.as_(alice), attempt, *events, events[2]))

    statuses = [each["status"] for each in reply["results"]]
    assert statuses == ["duplicate", "duplicate", "accepted", "duplicate"]
    seqs = [each["audit_seq"] for each in reply["results"]]
    assert seqs[:2] == [each["audit_seq"] for each in first["results"]]
    assert seqs[2] == seqs[3] > seqs[0]
    assert [len(batch["events"]) for batch in batches(sql, attempt)] == [2, 1]


def test_an_id_that_names_two_events_is_refused(
    api: Api, alice: Persona, attempt: Json
) -> None:
    event = observed(1)

    reply = body(send_many(api.as_(alice), attempt, event, event | {"sequence": 2}))

    assert [each["status"] for each in reply["results"]] == ["accepted", "rejected"]
    assert reply["results"][1]["problem"]["type"] == "/problems/event-id-reused"


def test_the_same_batch_again_appends_nothing(
    api: Api, alice: Persona, attempt: Json, sql: connection
) -> None:
    events = [observed(number) for number in (1, 2, 3)]
    record(api.as_(alice), attempt, *events)

    reply = body(send_many(api.as_(alice), attempt, *events))

    assert {each["status"] for each in reply["results"]} == {"duplicate"}
    assert len(batches(sql, attempt)) == 1


def test_of_a_batch_that_is_partly_known_the_rest_is_one_entry_in_canonical_form(
    api: Api, alice: Persona, attempt: Json, sql: connection
) -> None:
    payload = {"note": 'ä "}],[{"\u2028\\', "zoom": 1e-7, "confidence": 0.1}
    events = [observed(number, payload=payload) for number in range(1, 6)]
    record(api.as_(alice), attempt, events[1], events[3])

    reply = body(send_many(api.as_(alice), attempt, *events))

    new = ["accepted", "duplicate", "accepted", "duplicate", "accepted"]
    assert [each["status"] for each in reply["results"]] == new
    first, entry = batches(sql, attempt)
    assert entry["session_id"] == first["session_id"]
    assert [each["sequence"] for each in entry["events"]] == [1, 3, 5]
    (text,) = run(
        sql,
        """
        SELECT payload FROM audit_log
         WHERE event_type = 'proctoring.events_recorded' ORDER BY seq DESC LIMIT 1
        """,
    )[0]
    assert rfc8785.dumps(json.loads(text)).decode() == text


def test_holes_are_named_until_they_are_filled(
    api: Api, alice: Persona, attempt: Json
) -> None:
    student = api.as_(alice)

    first = record(student, attempt, observed(1), observed(4))
    second = record(student, attempt, observed(6))
    third = record(student, attempt, observed(2), observed(5))
    fourth = record(student, attempt, observed(3))
    fifth = record(student, attempt, observed(7))

    assert first["missing_sequences"] == [2, 3]
    assert second["missing_sequences"] == [2, 3, 5]
    assert third["missing_sequences"] == [3]
    assert fourth["missing_sequences"] == []
    assert fifth["missing_sequences"] == []


def test_an_endless_hole_is_named_in_part(
    api: Api, alice: Persona, attempt: Json
) -> None:
    reply = record(api.as_(alice), attempt, observed(2**53 - 1))

    assert reply["missing_sequences"] == list(range(1, 1001))


@pytest.mark.parametrize("count", [0, 201])
def test_a_batch_has_one_to_two_hundred_events(
    api: Api, alice: Persona, attempt: Json, count: int
) -> None:
    events = [observed(number) for number in range(1, count + 1)]

    body(send_many(api.as_(alice), attempt, *events), 422)


def test_a_batch_may_be_larger_than_other_bodies_but_not_endless(
    api: Api, alice: Persona, attempt: Json
) -> None:
    text = {"a": "x" * 4000}
    large = [observed(number, payload=text) for number in range(1, 101)]
    too_large = [observed(number, payload=text) for number in range(101, 261)]

    record(api.as_(alice), attempt, *large)
    body(send_many(api.as_(alice), attempt, *too_large), 413)


def test_a_stranger_finds_no_attempt(
    api: Api, mallory: Persona, attempt: Json, sql: connection
) -> None:
    refused = body(send_many(api.as_(mallory), attempt, observed(1)), 404)

    assert refused["type"] == "/problems/attempt-not-found"
    assert stored_types(sql, attempt) == []


def test_batches_that_overlap_are_stored_once(
    api: Api, alice: Persona, attempt: Json, sql: connection
) -> None:
    events = [observed(number) for number in range(1, 41)]
    windows = [events[first : first + 20] for first in range(0, 21, 2)] * 2

    replies = at_once(
        [partial(send_many, api.as_(alice), attempt, *window) for window in windows]
    )

    accepted = [
        each["client_event_id"]
        for reply in replies
        for each in body(reply)["results"]
        if each["status"] == "accepted"
    ]
    assert sorted(accepted) == sorted(each["client_event_id"] for each in events)
    logged = [
        each["client_event_id"]
        for batch in batches(sql, attempt)
        for each in batch["events"]
    ]
    assert sorted(logged) == sorted(accepted)
    assert record(api.as_(alice), attempt, observed(41))["missing_sequences"] == []


def test_a_report_waits_for_a_submission_and_then_knows_of_it(
    api: Api, alice: Persona, attempt: Json, dsn: str, sql: connection
) -> None:
    replies: list[TestResponse] = []
    submission = psycopg2.connect(dsn)
    with submission.cursor() as cursor:
        cursor.execute(
            stated(
                """
                UPDATE attempts
                   SET status = 'submitted', ended_by = 'student',
                       ended_at = clock_timestamp() - interval '11 minutes'
                 WHERE id = %s
                """
            ),
            [attempt["id"]],
        )
    report = threading.Thread(
        target=lambda: replies.append(send_many(api.as_(alice), attempt, observed(1)))
    )
    report.start()
    while not _somebody_waits(sql):
        pass
    submission.commit()
    submission.close()
    report.join()

    assert body(replies[0], 409)["type"] == "/problems/attempt-closed"
    assert stored_types(sql, attempt) == []


def _somebody_waits(sql: connection) -> bool:
    with sql.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        return cursor.fetchone() == (True,)


def test_reports_and_a_submission_at_once_lose_nothing(
    api: Api, alice: Persona, attempt: Json, sql: connection
) -> None:
    events = [observed(number) for number in range(1, 9)]

    student = api.as_(alice)
    submit = partial(student.post, f"/api/exams/attempts/{attempt['id']}/submit")
    reports = [partial(send_many, student, attempt, event) for event in events]

    replies = at_once([*reports, submit])

    assert [reply.status_code for reply in replies] == [200] * 9
    accepted = [
        result["client_event_id"]
        for reply in replies[:-1]
        for result in reply.get_json()["results"]
        if result["status"] == "accepted"
    ]
    logged = [
        each["client_event_id"]
        for batch in batches(sql, attempt)
        for each in batch["events"]
    ]
    assert sorted(accepted) == sorted(logged)
    assert len(stored_types(sql, attempt)) == len(accepted) == 8


def test_event_types_can_be_listed(api: Api, alice: Persona) -> None:
    listed = body(api.as_(alice).get("/api/proctoring/event-types"))

    by_code = {each["code"]: each for each in listed["items"]}
    assert by_code["focus.lost"]["event_class"] == "integrity"
    assert "tab_switch" in by_code["focus.lost"]["aliases"]
    assert by_code["session.submitted"]["reporters"] == ["server"]
    assert "duration_ms" in listed["payload_keys"]


def test_who_is_not_logged_in_lists_nothing(api: Api) -> None:
    body(api.as_(None).get("/api/proctoring/event-types"), 401)
    body(send_many(api.as_(None), {"id": str(uuid4())}, observed(1)), 401)
