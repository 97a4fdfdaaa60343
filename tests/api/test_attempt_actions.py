"""What staff does with attempts, over HTTP: watch, help, stop, grade."""

import pytest
from psycopg2.extensions import connection

from tests.audit_trail import run
from tests.exams import ONE_OF_EACH, Json, active, assign, body, start, step, watch
from tests.personas import Api, Persona

REASON = {"reason": "a fire alarm"}


@pytest.fixture
def exam(api: Api, ada: Persona, bob: Persona, alice: Persona) -> Json:
    found = active(api.as_(ada), alice.id, questions=ONE_OF_EACH)
    watch(api.as_(ada), found, bob.id)
    return found


@pytest.fixture
def path(attempt: Json) -> str:
    return f"/api/exams/attempts/{attempt['id']}"


def test_a_proctor_pauses_resumes_and_extends(
    api: Api, bob: Persona, alice: Persona, attempt: Json, path: str
) -> None:
    proctor = api.as_(bob)
    answer = {
        "question_id": attempt["questions"][4]["id"],
        "response": "Goethe",
        "client_version": 1,
    }

    paused = body(proctor.post(f"{path}/pause", json=REASON))
    refused = body(
        api.as_(alice).put(f"{path}/answers", json={"answers": [answer]}), 409
    )
    twice = body(proctor.post(f"{path}/pause", json=REASON), 409)
    resumed = body(proctor.post(f"{path}/resume", json=REASON))
    extended = body(proctor.post(f"{path}/extend", json=REASON | {"minutes": 5}))

    assert paused["status"] == "paused"
    assert paused["allowed_actions"] == ["resume", "extend", "terminate"]
    assert refused["type"] == "/problems/attempt-paused"
    assert twice["current_status"] == "paused"
    assert twice["allowed_actions"] == ["resume", "extend", "terminate"]
    assert resumed["status"] == "in_progress"
    assert extended["extended_seconds"] == 300
    assert extended["seconds_remaining"] > attempt["seconds_remaining"] + 200


@pytest.mark.parametrize("what", ["extend", "notes"])
def test_who_was_not_answered_and_sends_it_again_gives_it_once(
    api: Api, bob: Persona, attempt: Json, path: str, sql: connection, what: str
) -> None:
    key = {"Idempotency-Key": "the-button"}
    where, sent = {
        "extend": (f"{path}/extend", REASON | {"minutes": 5}),
        "notes": (
            f"/api/proctoring/attempt/{attempt['id']}/notes",
            {"text": "He looks at the ceiling."},
        ),
    }[what]

    first = api.as_(bob).post(where, json=sent, headers=key)
    again = api.as_(bob).post(where, json=sent, headers=key)

    assert first.status_code < 300
    assert again.get_json() == first.get_json()
    assert again.headers["Idempotency-Replayed"] == "true"
    (events,) = run(
        sql,
        "SELECT count(*) FILTER (WHERE event_type = 'session.extended'),"
        " count(*) FILTER (WHERE event_type = 'proctor.note') FROM proctoring_events",
    )
    assert sorted(events) == [0, 1]


def exported_answers(api: Api, student: Persona) -> list[Json]:
    document = body(api.as_(student).get("/api/auth/me/data-export"))
    items: list[Json] = document["sections"]["answers"]["items"]
    return items


def test_who_is_let_go_on_in_an_exam_that_is_over_finds_it_and_all_rules_hold(
    api: Api, ada: Persona, alice: Persona, mallory: Persona, exam: Json, path: str
) -> None:
    """An outage took the end of it; the sweeper was faster than the admin."""
    admin = api.as_(ada)
    assign(admin, exam, mallory.id)
    theirs = start(api.as_(mallory), exam)
    answer = {
        "question_id": theirs["questions"][4]["id"],
        "response": "Goethe",
        "client_version": 1,
    }
    other = f"/api/exams/attempts/{theirs['id']}"
    body(api.as_(mallory).put(f"{other}/answers", json={"answers": [answer]}))
    body(api.as_(mallory).post(f"{other}/submit"))
    step(admin, exam, "completed")
    body(admin.post(f"{path}/reopen", json=REASON | {"extra_seconds": 600}))

    found = body(api.as_(alice).get("/api/exams/available"))["items"]
    assert [each["id"] for each in found] == [exam["id"]]
    answers = exported_answers(api, mallory)
    assert {each["points_awarded"] for each in answers} == {None}
    body(
        admin.patch(
            f"/api/exams/{exam['id']}/assignments/{alice.id}",
            json={"extra_time_minutes": 10},
        )
    )

    body(api.as_(alice).post(f"{path}/submit"))
    assert body(api.as_(alice).get("/api/exams/available"))["items"] == []
    refused = admin.patch(
        f"/api/exams/{exam['id']}/assignments/{alice.id}",
        json={"extra_time_minutes": 20},
    )
    assert body(refused, 409)["type"] == "/problems/exam-closed"
    answers = exported_answers(api, mallory)
    assert {each["points_awarded"] for each in answers} != {None}


def test_termination_and_voiding(
    api: Api, ada: Persona, bob: Persona, alice: Persona, exam: Json, path: str
) -> None:
    ended = body(api.as_(bob).post(f"{path}/terminate", json=REASON))
    forbidden = api.as_(bob).post(f"{path}/void", json=REASON)
    late = body(api.as_(alice).post(f"{path}/submit"), 409)
    voided = body(api.as_(ada).post(f"{path}/void", json=REASON))

    assert ended["status"] == "terminated"
    assert ended["review_status"] == "queued"
    assert ended["end_reason"] == REASON["reason"]
    assert forbidden.status_code == 403
    assert late["type"] == "/problems/attempt-over"
    assert voided["status"] == "voided"
    assert voided["allowed_actions"] == []
    assert start(api.as_(alice), exam)["attempt_number"] == 2


def test_the_board_of_an_exam(
    api: Api, bob: Persona, alice: Persona, exam: Json, attempt: Json
) -> None:
    board = f"/api/exams/{exam['id']}/attempts"

    (shown,) = body(api.as_(bob).get(board))["items"]
    ended = body(api.as_(bob).get(f"{board}?status=submitted"))

    assert shown["id"] == attempt["id"]
    assert shown["student_id"] == str(alice.id)
    assert shown["student_email"] == alice.email
    assert shown["connection"] == "online"
    assert shown["risk_score"] is None
    assert shown["answered_count"] == 0
    assert ended["items"] == []
    assert api.as_(bob).get(f"{board}?status=sleeping").status_code == 422


def test_an_essay_is_graded_by_hand(
    api: Api, bob: Persona, alice: Persona, attempt: Json, path: str
) -> None:
    essay = attempt["questions"][5]["id"]
    written = {"question_id": essay, "response": "SYN, then…", "client_version": 3}
    body(api.as_(alice).put(f"{path}/answers", json={"answers": [written]}))
    early = body(api.as_(bob).get(f"{path}/answers"), 409)
    board = f"/api/exams/{attempt['exam_id']}/attempts?ungraded=true"
    assert body(api.as_(bob).get(board))["items"] == []
    assert body(api.as_(alice).post(f"{path}/submit"))["score"] is None
    (waiting,) = body(api.as_(bob).get(board))["items"]
    assert (waiting["id"], waiting["allowed_actions"]) == (attempt["id"], ["grade"])

    shown = body(api.as_(bob).get(f"{path}/answers"))
    graded = body(
        api.as_(bob).put(
            f"{path}/grades",
            json={"grades": [{"question_id": essay, "points": 4.5, "comment": "OK"}]},
        )
    )
    too_many = body(
        api.as_(bob).put(
            f"{path}/grades", json={"grades": [{"question_id": essay, "points": 5.5}]}
        ),
        422,
    )

    # Until it is over the keys are for admins alone.
    assert early["type"] == "/problems/attempt-step-not-allowed"
    assert shown["questions"][0]["question"]["options"][0]["is_correct"] is True
    assert shown["questions"][0]["answer"] is None
    assert shown["questions"][5]["answer"]["response"] == "SYN, then…"
    assert graded["attempt"]["score"] == 4.5
    assert graded["questions"][5]["answer"]["graded_by"] == str(bob.id)
    assert [error["pointer"] for error in too_many["errors"]] == ["#/grades/0/points"]
    assert body(api.as_(alice).get(path))["score"] == 4.5
    assert body(api.as_(bob).get(board))["items"] == []


@pytest.mark.parametrize(
    ("step", "sent", "pointer"),
    [
        ("pause", {}, "#/reason"),
        ("pause", {"reason": ""}, "#/reason"),
        ("pause", {"reason": "x" * 2001}, "#/reason"),
        ("pause", {"reason": "so", "status": "voided"}, "#/status"),
        ("extend", {"reason": "so"}, "#/minutes"),
        ("extend", {"reason": "so", "minutes": 0}, "#/minutes"),
        ("extend", {"reason": "so", "minutes": 1441}, "#/minutes"),
        ("extend", {"reason": "so", "minutes": 1.5}, "#/minutes"),
    ],
)
def test_a_step_needs_its_reason(
    api: Api, bob: Persona, path: str, step: str, sent: Json, pointer: str
) -> None:
    refused = body(api.as_(bob).post(f"{path}/{step}", json=sent), 422)

    assert [error["pointer"] for error in refused["errors"]] == [pointer]


@pytest.mark.parametrize("points", [-1, 1000.5, 1.005, True, "5", None])
def test_points_are_bounded_decimals(
    api: Api, bob: Persona, attempt: Json, path: str, points: object
) -> None:
    grade = {"question_id": attempt["questions"][5]["id"], "points": points}

    refused = body(api.as_(bob).put(f"{path}/grades", json={"grades": [grade]}), 422)

    assert [error["pointer"] for error in refused["errors"]] == ["#/grades/0/points"]
