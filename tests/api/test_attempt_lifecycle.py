"""A student's way through an exam, over HTTP: start, resume, save, submit."""

from typing import Any

import pytest
from psycopg2.extensions import connection

from config import Settings
from tests.exams import Json, active, assign, body, create, start
from tests.personas import Api, Persona, open_session
from tests.reports import observed, record

TIMES = {"server_time", "deadline_at", "seconds_remaining"}
# What makes an answer right, or is none of the student's business.
SECRETS = (
    "is_correct",
    "correct",
    "feedback",
    "answer_key",
    "tolerance",
    "risk_score",
    "review_status",
    "review_note",
    "held_by_session",
    "layout",
)


def choose(attempt: Json, number: int, option: int, version: int = 1) -> Json:
    question = attempt["questions"][number]
    return {
        "question_id": question["id"],
        "response": question["options"][option]["id"],
        "client_version": version,
    }


def test_an_exam_from_start_to_receipt(api: Api, alice: Persona, exam: Json) -> None:
    student = api.as_(alice)

    attempt = start(student, exam)
    path = f"/api/exams/attempts/{attempt['id']}"
    right = [
        choose(attempt, 0, 0),
        {
            "question_id": attempt["questions"][1]["id"],
            "response": False,
            "client_version": 1,
        },
    ]
    saved = body(student.put(f"{path}/answers", json={"answers": right}))
    resumed = body(student.get(path))
    receipt = body(student.post(f"{path}/submit"))
    ended = body(student.get(path))

    assert attempt["status"] == "in_progress"
    assert attempt["score"] is None
    assert [q["number"] for q in attempt["questions"]] == [1, 2]
    assert attempt.keys() >= TIMES
    assert TIMES | {"saved"} == saved.keys()
    assert [s["client_version"] for s in saved["saved"]] == [1, 1]
    assert resumed["questions"] == attempt["questions"]
    assert {a["question_id"]: a["response"] for a in resumed["answers"]} == {
        a["question_id"]: a["response"] for a in right
    }
    assert receipt.keys() == {
        "attempt",
        "score",
        "answers_digest",
        "receipt_hash",
        "audit_seq",
    }
    assert receipt["score"] == 3
    assert receipt["attempt"]["is_passed"] is True
    assert len(receipt["receipt_hash"]) == 64
    assert ended["status"] == "submitted"
    assert ended["questions"] == []
    assert ended["answers"] == []
    assert body(student.post(f"{path}/submit")) == receipt


def test_no_reply_to_a_student_contains_a_key(
    api: Api, alice: Persona, exam: Json
) -> None:
    student = api.as_(alice)
    attempt = start(student, exam)
    path = f"/api/exams/attempts/{attempt['id']}"
    replies = [
        student.post(f"/api/exams/{exam['id']}/start"),
        student.get(path),
        student.put(f"{path}/answers", json={"answers": [choose(attempt, 0, 1)]}),
        student.post(f"{path}/submit"),
        student.get(path),
        student.get("/api/exams/attempts"),
    ]

    for reply in replies:
        assert reply.status_code == 200
        for secret in SECRETS:
            assert f'"{secret}"' not in reply.text


@pytest.mark.parametrize("sent", [None, {}, {"take_over": False}])
def test_the_body_of_a_start_may_be_left_out(
    api: Api, alice: Persona, exam: Json, sent: Json | None
) -> None:
    options: Any = {} if sent is None else {"json": sent}

    reply = api.as_(alice).post(f"/api/exams/{exam['id']}/start", **options)

    assert reply.status_code == 201


@pytest.mark.parametrize(
    "sent",
    [
        {"take_over": "yes"},
        {"extra_time_minutes": 60},
        {"deadline_at": "2100-01-01T00:00:00Z"},
        [],
    ],
)
def test_a_start_takes_nothing_else(
    api: Api, alice: Persona, exam: Json, sent: object
) -> None:
    reply = api.as_(alice).post(f"/api/exams/{exam['id']}/start", json=sent)

    assert reply.status_code == 422


def test_starting_again_answers_200_with_the_same_attempt(
    api: Api, alice: Persona, exam: Json
) -> None:
    first = start(api.as_(alice), exam)

    again = body(api.as_(alice).post(f"/api/exams/{exam['id']}/start"), 200)

    assert again["id"] == first["id"]
    assert again["deadline_at"] == first["deadline_at"]


def test_who_starts_again_goes_on_with_the_time_as_it_is(
    api: Api, alice: Persona, exam: Json
) -> None:
    """Also with an Idempotency-Key: a kept answer has a clock that stood still."""
    path, key = f"/api/exams/{exam['id']}/start", {"Idempotency-Key": "start-1"}

    first = api.as_(alice).post(path, headers=key)
    again = api.as_(alice).post(path, headers=key)

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.get_json()["id"] == first.get_json()["id"]
    assert again.get_json()["server_time"] > first.get_json()["server_time"]
    body(api.as_(alice).post(f"/api/exams/attempts/{first.get_json()['id']}/submit"))
    assert "questions" not in api.as_(alice).post(path, headers=key).get_json()


def test_an_idempotency_key_gives_another_device_no_paper(
    api: Api, sql: connection, settings: Settings, alice: Persona, exam: Json
) -> None:
    path, key = f"/api/exams/{exam['id']}/start", {"Idempotency-Key": "start-1"}
    body(api.as_(alice).post(path, headers=key), 201)
    helper = api.as_(open_session(sql, settings, alice.id))

    refused = body(helper.post(path, headers=key), 409)

    assert refused["type"] == "/problems/attempt-held-by-another-device"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({}, 200),
        ({"ended_by": "student"}, 200),
        ({"score": 100}, 422),
        ({"status": "x"}, 422),
        ({"ended_by": "admin"}, 422),
        ({"ended_by": None}, 422),
    ],
)
def test_a_submission_says_nothing_about_its_worth(
    api: Api, alice: Persona, exam: Json, sent: Json, status: int
) -> None:
    attempt = start(api.as_(alice), exam)

    reply = api.as_(alice).post(
        f"/api/exams/attempts/{attempt['id']}/submit", json=sent
    )

    assert reply.status_code == status


def test_who_ends_it_as_somebody_else_is_told_as_whom_he_may(
    api: Api, alice: Persona, exam: Json
) -> None:
    attempt = start(api.as_(alice), exam)
    path = f"/api/exams/attempts/{attempt['id']}/submit"

    refused = body(api.as_(alice).post(path, json={"ended_by": "admin"}), 422)

    assert refused["errors"] == [
        {"pointer": "#/ended_by", "detail": "Input should be 'student' or 'deadline'"}
    ]


def test_a_program_whose_clock_is_fast_is_told_when_to_come_back(
    api: Api, alice: Persona, exam: Json
) -> None:
    student = api.as_(alice)
    attempt = start(student, exam)
    path = f"/api/exams/attempts/{attempt['id']}"

    reply = student.post(f"{path}/submit", json={"ended_by": "deadline"})

    refused = body(reply, 409)
    assert refused["type"] == "/problems/deadline-not-reached"
    assert refused["allowed_actions"] == ["submit"]
    left = body(student.get(path))["seconds_remaining"]
    assert left <= int(reply.headers["Retry-After"]) <= left + 3


def test_another_device_takes_over_by_saying_so(
    api: Api, sql: connection, settings: Settings, alice: Persona, exam: Json
) -> None:
    attempt = start(api.as_(alice), exam)
    path = f"/api/exams/{exam['id']}/start"
    answers = f"/api/exams/attempts/{attempt['id']}/answers"
    spare = api.as_(open_session(sql, settings, alice.id))

    refused = body(spare.post(path), 409)
    taken = body(spare.post(path, json={"take_over": True}))
    lost = body(
        api.as_(alice).put(answers, json={"answers": [choose(attempt, 0, 0)]}), 409
    )
    kept = spare.put(answers, json={"answers": [choose(attempt, 0, 0)]})

    assert refused["type"] == "/problems/attempt-held-by-another-device"
    assert refused["allowed_actions"] == ["take_over"]
    assert taken["id"] == attempt["id"]
    assert lost["type"] == "/problems/attempt-held-elsewhere"
    assert kept.status_code == 200


def test_an_exam_outside_its_window_says_when(
    api: Api, ada: Persona, alice: Persona
) -> None:
    exam = create(api.as_(ada))
    assign(api.as_(ada), exam, alice.id)

    refused = body(api.as_(alice).post(f"/api/exams/{exam['id']}/start"), 409)

    assert refused["type"] == "/problems/exam-not-open"
    assert refused["current_status"] == "draft"


@pytest.mark.parametrize(
    ("answer", "pointer"),
    [
        ({"client_version": 1, "response": 1}, "#/answers/0/question_id"),
        ({"client_version": -1}, "#/answers/0/client_version"),
        ({"client_version": 2**53}, "#/answers/0/client_version"),
        ({"client_version": True}, "#/answers/0/client_version"),
        ({"response": "nonsense"}, "#/answers/0/response"),
        ({"score": 100}, "#/answers/0/score"),
        ({"is_correct": True}, "#/answers/0/is_correct"),
    ],
)
def test_a_bad_answer_is_named_by_its_pointer(
    api: Api, alice: Persona, exam: Json, answer: Json, pointer: str
) -> None:
    attempt = start(api.as_(alice), exam)
    whole = choose(attempt, 0, 0)
    if "response" in answer and len(answer) > 1:
        del whole["question_id"]

    refused = body(
        api.as_(alice).put(
            f"/api/exams/attempts/{attempt['id']}/answers",
            json={"answers": [whole | answer]},
        ),
        422,
    )

    assert pointer in [error["pointer"] for error in refused["errors"]]


def test_a_save_has_between_one_and_five_hundred_answers(
    api: Api, alice: Persona, exam: Json
) -> None:
    attempt = start(api.as_(alice), exam)
    path = f"/api/exams/attempts/{attempt['id']}/answers"

    for count in (0, 501):
        answers = [choose(attempt, 0, 0)] * count
        assert api.as_(alice).put(path, json={"answers": answers}).status_code == 422


def test_somebody_elses_attempt_does_not_exist(
    api: Api, alice: Persona, mallory: Persona, exam: Json
) -> None:
    attempt = start(api.as_(alice), exam)
    path = f"/api/exams/attempts/{attempt['id']}"
    stranger = api.as_(mallory)

    replies = [
        stranger.post(f"/api/exams/{exam['id']}/start"),
        stranger.get(path),
        stranger.put(f"{path}/answers", json={"answers": [choose(attempt, 0, 0)]}),
        stranger.post(f"{path}/submit"),
    ]

    assert [reply.status_code for reply in replies] == [404] * 4
    assert body(stranger.get("/api/exams/attempts"))["items"] == []


def test_own_attempts_come_in_pages(api: Api, ada: Persona, alice: Persona) -> None:
    exam = active(api.as_(ada), alice.id, max_attempts=3)
    student = api.as_(alice)
    made = []
    for _ in range(3):
        made.append(start(student, exam)["id"])
        student.post(f"/api/exams/attempts/{made[-1]}/submit")

    first = body(student.get("/api/exams/attempts?limit=2"))
    cursor = first["next_cursor"]
    rest = body(student.get(f"/api/exams/attempts?limit=2&cursor={cursor}"))
    other = body(student.get(f"/api/exams/attempts?exam_id={made[0]}"))

    assert [a["id"] for a in first["items"] + rest["items"]] == made[::-1]
    assert rest["next_cursor"] is None
    assert other["items"] == []


def test_a_device_that_lost_its_counter_is_told_where_to_go_on(
    api: Api, alice: Persona, exam: Json
) -> None:
    student = api.as_(alice)
    attempt = start(student, exam)
    record(student, attempt, observed(1), observed(2), observed(5))

    resumed = body(student.get(f"/api/exams/attempts/{attempt['id']}"))

    assert attempt["next_sequence"] == 1
    assert resumed["next_sequence"] == 6


@pytest.mark.parametrize("path", ["start", "submit"])
def test_a_media_type_without_a_body_is_no_body(
    api: Api, alice: Persona, exam: Json, path: str
) -> None:
    student = api.as_(alice)
    attempt = start(student, exam)
    url = {
        "start": f"/api/exams/{exam['id']}/start",
        "submit": f"/api/exams/attempts/{attempt['id']}/submit",
    }[path]

    response = student.post(url, headers={"Content-Type": "application/json"})

    assert response.status_code == 200, response.text
