"""What staff does with attempts, over HTTP: watch, help, stop, grade."""

import pytest

from tests.exams import ONE_OF_EACH, Json, active, body, start, watch
from tests.personas import Api, Persona

REASON = {"reason": "a fire alarm"}


@pytest.fixture
def exam(api: Api, ada: Persona, bob: Persona, alice: Persona) -> Json:
    found = active(api.as_(ada), alice.id, questions=ONE_OF_EACH)
    watch(api.as_(ada), found, bob.id)
    return found


@pytest.fixture
def attempt(api: Api, alice: Persona, exam: Json) -> Json:
    return start(api.as_(alice), exam)


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
    assert body(api.as_(alice).post(f"{path}/submit"))["score"] is None

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
