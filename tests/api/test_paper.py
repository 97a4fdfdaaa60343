"""GET /api/exams/attempts/<id>/paper: what is asked, with a strong ETag."""

import pytest
from psycopg2.extensions import connection

from config import Settings
from tests.api.test_attempt_lifecycle import SECRETS
from tests.exams import ONE_OF_EACH, Json, active, body, fields_of, start, tag
from tests.personas import Api, Persona, Speaker, open_session

MANY = [
    question | {"text": f"{question['text']} ({number})"}
    for number in range(3)
    for question in ONE_OF_EACH
]


@pytest.fixture
def exam(api: Api, ada: Persona, alice: Persona, mallory: Persona) -> Json:
    return active(
        api.as_(ada),
        *(alice.id, mallory.id),
        questions=MANY,
        shuffle_questions=True,
        shuffle_options=True,
    )


def path_of(attempt: Json) -> str:
    return f"/api/exams/attempts/{attempt['id']}/paper"


def etag_of(student: Speaker, attempt: Json) -> str:
    return student.get(path_of(attempt)).headers["ETag"]


def test_it_is_what_the_start_gave_and_nothing_that_changes(
    student: Speaker, exam: Json
) -> None:
    attempt = start(student, exam)

    reply = student.get(path_of(attempt))

    assert body(reply) == {
        "attempt_id": attempt["id"],
        "questions": attempt["questions"],
    }
    assert reply.headers["ETag"].startswith('"')
    # The next one at a shared computer finds it in no cache.
    assert reply.headers["Cache-Control"] == "no-store"
    assert student.get(path_of(attempt)).data == reply.data
    for secret in SECRETS:
        assert f'"{secret}"' not in reply.text


@pytest.mark.parametrize("prefix", ["", "W/", '"other", '])
def test_who_has_it_is_told_so(student: Speaker, exam: Json, prefix: str) -> None:
    """A proxy that compresses makes the tag a weak one."""
    attempt = start(student, exam)
    etag = etag_of(student, attempt)

    again = student.get(path_of(attempt), headers={"If-None-Match": prefix + etag})

    assert again.status_code == 304
    assert again.data == b""
    assert again.headers["ETag"] == etag


def test_another_students_paper_is_another_one(
    api: Api, student: Speaker, mallory: Persona, exam: Json
) -> None:
    other = api.as_(mallory)
    hers, his = start(student, exam), start(other, exam)
    her_tag = etag_of(student, hers)

    reply = other.get(path_of(his), headers={"If-None-Match": her_tag})

    assert body(reply)["questions"] == his["questions"]
    assert his["questions"] != hers["questions"]
    assert reply.headers["ETag"] != her_tag
    assert body(student.get(path_of(hers)))["questions"] == hers["questions"]


def test_no_tag_opens_what_is_not_yours(
    api: Api, student: Speaker, mallory: Persona, exam: Json
) -> None:
    attempt = start(student, exam)
    stolen = etag_of(student, attempt)

    for etag in (stolen, "*"):
        reply = api.as_(mallory).get(path_of(attempt), headers={"If-None-Match": etag})
        assert body(reply, 404)["type"] == "/problems/attempt-not-found"


def test_it_is_not_shown_once_the_attempt_has_ended(
    student: Speaker, exam: Json
) -> None:
    attempt = start(student, exam)
    etag = etag_of(student, attempt)
    student.post(f"/api/exams/attempts/{attempt['id']}/submit")

    for headers in ({}, {"If-None-Match": etag}):
        reply = student.get(path_of(attempt), headers=headers)
        assert body(reply, 409)["type"] == "/problems/attempt-over"


def test_only_the_device_that_holds_the_attempt_sees_it(
    api: Api,
    student: Speaker,
    alice: Persona,
    exam: Json,
    sql: connection,
    settings: Settings,
) -> None:
    attempt = start(student, exam)
    etag = etag_of(student, attempt)
    telephone = api.as_(open_session(sql, settings, alice.id))

    for headers in ({}, {"If-None-Match": etag}):
        reply = telephone.get(path_of(attempt), headers=headers)
        assert body(reply, 409)["type"] == "/problems/attempt-held-elsewhere"


def test_a_change_of_what_does_not_freeze_changes_no_question(
    api: Api, ada: Persona, student: Speaker, exam: Json
) -> None:
    admin = api.as_(ada)
    attempt = start(student, exam)
    path = f"/api/exams/{exam['id']}"
    frozen = body(admin.get(path))
    admin.put(path, json=fields_of(frozen, title="Nets"), headers=tag(frozen))

    assert body(admin.get(path))["title"] == "Nets"
    assert body(student.get(path_of(attempt)))["questions"] == attempt["questions"]
