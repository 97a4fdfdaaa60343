"""Reviews and notes: what humans add to the evidence."""

import pytest
from psycopg2.extensions import connection

from tests import exams
from tests.exams import Json, active, body, entries, start, watch
from tests.personas import Api, Persona


@pytest.fixture
def attempt(api: Api, ada: Persona, alice: Persona, bob: Persona) -> Json:
    exam = active(api.as_(ada), alice.id)
    watch(api.as_(ada), exam, bob.id)
    return start(api.as_(alice), exam)


def submit(api: Api, student: Persona, attempt: Json) -> None:
    body(api.as_(student).post(f"/api/exams/attempts/{attempt['id']}/submit"))


def review(
    api: Api, staff: Persona, attempt: Json, answer: int, status: str, note: str = ""
) -> Json:
    return exams.review(api.as_(staff), attempt, status, note or None, answer)


@pytest.mark.parametrize(
    "steps",
    [
        ["queued", "in_review", "cleared"],
        ["in_review", "confirmed_violation", "in_review", "cleared"],
        ["in_review", "technical_error"],
    ],
)
def test_a_review_takes_its_steps(
    api: Api,
    alice: Persona,
    bob: Persona,
    attempt: Json,
    sql: connection,
    steps: list[str],
) -> None:
    submit(api, alice, attempt)

    found = [review(api, bob, attempt, 200, step, f"It is {step}.") for step in steps]

    assert [each["status"] for each in found] == steps
    assert {each["reviewed_by"] for each in found} == {str(bob.id)}
    logged = entries(sql, "attempt.reviewed")
    assert [each["status"] for each in logged] == steps
    assert [each["previous_status"] for each in logged] == ["none", *steps[:-1]]
    assert logged[-1]["note"] == f"It is {steps[-1]}."


@pytest.mark.parametrize(
    "verdict", ["cleared", "confirmed_violation", "technical_error"]
)
def test_a_second_review_is_somebody_elses(
    api: Api, ada: Persona, alice: Persona, bob: Persona, attempt: Json, verdict: str
) -> None:
    submit(api, alice, attempt)
    review(api, bob, attempt, 200, "in_review")

    asked = review(api, bob, attempt, 200, "needs_second_review", "Is it a phone?")
    refused = review(api, bob, attempt, 409, verdict, "It is.")
    meddled = review(api, ada, attempt, 409, "needs_second_review", "No phone.")
    reworded = review(api, bob, attempt, 200, "needs_second_review", "A phone?")
    decided = review(api, ada, attempt, 200, verdict, "I have looked.")

    assert asked["allowed_statuses"] == reworded["allowed_statuses"] == []
    assert refused["type"] == meddled["type"] == "/problems/second-reviewer-needed"
    assert refused["allowed_actions"] == []
    assert verdict in meddled["allowed_actions"]
    assert (decided["status"], decided["reviewed_by"]) == (verdict, str(ada.id))


def test_each_of_the_staff_is_told_what_he_may_make_of_a_review(
    api: Api, ada: Persona, alice: Persona, bob: Persona, attempt: Json
) -> None:
    submit(api, alice, attempt)
    review(api, bob, attempt, 200, "in_review")
    review(api, bob, attempt, 200, "needs_second_review")

    path = f"/api/proctoring/attempt/{attempt['id']}"
    his, hers = (body(api.as_(who).get(path))["review"] for who in (bob, ada))

    assert his["allowed_statuses"] == []
    assert hers["allowed_statuses"] == [
        "cleared",
        "confirmed_violation",
        "technical_error",
    ]


@pytest.mark.parametrize(
    "verdict", ["cleared", "confirmed_violation", "technical_error"]
)
def test_nobody_is_judged_unread(
    api: Api, alice: Persona, bob: Persona, attempt: Json, verdict: str
) -> None:
    submit(api, alice, attempt)

    refused = review(api, bob, attempt, 409, verdict)

    assert refused["type"] == "/problems/review-step-not-allowed"
    assert refused["current_status"] == "none"
    assert refused["allowed_actions"] == ["queued", "in_review"]


def test_nobody_is_judged_while_he_writes(
    api: Api, bob: Persona, attempt: Json, sql: connection
) -> None:
    review(api, bob, attempt, 200, "in_review")

    refused = review(api, bob, attempt, 409, "confirmed_violation")

    assert refused["allowed_actions"] == ["needs_second_review"]
    assert [each["status"] for each in entries(sql, "attempt.reviewed")] == [
        "in_review"
    ]


def test_the_same_review_again_changes_nothing(
    api: Api, bob: Persona, ada: Persona, attempt: Json, sql: connection
) -> None:
    first = review(api, bob, attempt, 200, "queued", "Look at minute 12.")

    again = review(api, ada, attempt, 200, "queued", "Look at minute 12.")
    changed = review(api, ada, attempt, 200, "queued", "Look at minute 13.")

    assert again == first
    assert changed["reviewed_by"] == str(ada.id)
    assert len(entries(sql, "attempt.reviewed")) == 2


def test_only_staff_of_the_exam_reviews(
    api: Api, ada: Persona, alice: Persona, bob: Persona, mallory: Persona
) -> None:
    unwatched = start(api.as_(alice), active(api.as_(ada), alice.id))

    review(api, bob, unwatched, 404, "queued")
    review(api, mallory, unwatched, 403, "queued")
    review(api, alice, unwatched, 403, "queued")
    review(api, ada, unwatched, 200, "queued")


def note(api: Api, staff: Persona, attempt: Json, answer: int, **given: object) -> Json:
    path = f"/api/proctoring/attempt/{attempt['id']}/notes"
    return body(api.as_(staff).post(path, json=given), answer)


def test_a_proctor_records_what_he_saw(
    api: Api, bob: Persona, attempt: Json, sql: connection
) -> None:
    found = note(api, bob, attempt, 201, text="He asked for water.")
    alarm = note(
        api, bob, attempt, 201, event_type="face.multiple", text="A second face."
    )

    assert found["event_type"] == "proctor.note"
    assert found["event_class"] == "support"
    assert found["sequence"] is None
    assert found["payload"] == {
        "text": "He asked for water.",
        "reported_by": str(bob.id),
    }
    assert (alarm["event_class"], alarm["severity"]) == ("integrity", "high")
    with sql.cursor() as cursor:
        cursor.execute(
            "SELECT actor_id, event_type FROM audit_log WHERE seq = %s",
            [found["audit_seq"]],
        )
        assert cursor.fetchone() == (str(bob.id), "proctoring.events_recorded")


@pytest.mark.parametrize(
    ("given", "slug"),
    [
        ({"event_type": "focus.lost", "text": "x"}, "event-type-not-reportable"),
        ({"event_type": "session.submitted", "text": "x"}, "event-type-not-reportable"),
        ({"event_type": "no.such", "text": "x"}, "unknown-event-type"),
        ({"text": ""}, "invalid-request"),
        ({"text": "x" * 2001}, "invalid-request"),
        ({"text": "\u0000"}, "invalid-request"),
        ({}, "invalid-request"),
    ],
)
def test_a_note_that_is_none_is_refused(
    api: Api, bob: Persona, attempt: Json, given: Json, slug: str
) -> None:
    refused = note(api, bob, attempt, 422, **given)

    assert refused["type"] == f"/problems/{slug}"


def test_students_write_no_notes(api: Api, alice: Persona, attempt: Json) -> None:
    note(api, alice, attempt, 403, text="I was honest.")
