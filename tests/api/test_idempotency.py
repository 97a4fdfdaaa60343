"""An Idempotency-Key: one request, however often it is sent (S67)."""

from collections.abc import Sequence
from functools import partial

import pytest
from psycopg2.extensions import connection
from werkzeug.test import TestResponse

from models import idempotency_key
from models.principal import Role
from tests.at_once import at_once
from tests.audit_trail import run, scalar
from tests.exams import Json, body, entries, new_exam
from tests.logins import slug_of, tokens_of
from tests.personas import Api, Enrol, Persona

KEY = {"Idempotency-Key": "exam-1"}
EXAM: Json = new_exam(title="Once")
AWAY = """
    CREATE FUNCTION away() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'away' USING ERRCODE = 'admin_shutdown'; END $$;
    CREATE TRIGGER away BEFORE UPDATE ON idempotency_keys
        FOR EACH ROW EXECUTE FUNCTION away()
"""
SNOW = b"Snow is white.{T}\n"


def create(api: Api, who: Persona, exam: Json = EXAM) -> TestResponse:
    return api.as_(who).post("/api/exams", json=exam, headers=KEY)


def titles(sql: connection) -> Sequence[object]:
    return [title for (title,) in run(sql, "SELECT title FROM exams ORDER BY title")]


def test_a_storm_of_retries_has_one_effect(
    api: Api, ada: Persona, sql: connection
) -> None:
    answers = at_once([partial(create, api, ada) for _ in range(20)])

    made = [answer for answer in answers if answer.status_code == 201]
    others = [answer for answer in answers if answer.status_code != 201]
    assert made
    assert len({answer.text for answer in made}) == 1
    # Who comes while the first is under way is told to read what came of it, or that
    # all connections are with those who wait for it.
    told = {slug_of(answer) for answer in others}
    assert told <= {"request-already-carried-out", "unavailable"}
    assert titles(sql) == ["Once"]
    assert len(entries(sql, "exam.created")) == 1


def test_who_asks_again_is_told_the_version_again(api: Api, ada: Persona) -> None:
    """He can go on with what he made, also if the first answer was lost."""
    first = create(api, ada)
    again = create(api, ada)

    assert again.headers["Idempotency-Replayed"] == "true"
    assert first.headers["ETag"] == again.headers["ETag"] == '"1"'
    path = f"/api/exams/{again.get_json()['id']}"
    seen = {"If-Match": again.headers["ETag"]}
    assert api.as_(ada).delete(path, headers=seen).status_code == 204


def test_an_answer_that_was_kept_without_headers_is_given_without(
    api: Api, ada: Persona, sql: connection
) -> None:
    """As code before migration 0014 keeps it, which may run beside this one."""
    body(create(api, ada), 201)
    run(sql, "UPDATE idempotency_keys SET headers = DEFAULT")

    again = create(api, ada)

    body(again, 201)
    assert "ETag" not in again.headers


def test_a_key_is_not_good_for_another_body(
    api: Api, ada: Persona, sql: connection
) -> None:
    body(create(api, ada), 201)

    other = create(api, ada, new_exam(title="Twice"))

    assert slug_of(other) == "idempotency-key-reused"
    assert other.status_code == 422
    assert titles(sql) == ["Once"]


def test_a_hold_that_is_ordered_again_is_placed_once(
    api: Api, ada: Persona, alice: Persona, sql: connection
) -> None:
    """Of two, one would go on when the case is closed and the other released."""
    new = {"user_id": str(alice.id), "reason": "lawsuit 3 O 17/26"}
    sent = [
        api.as_(ada).post("/api/legal-holds", json=new, headers=KEY) for _ in range(2)
    ]

    assert body(sent[0], 201) == body(sent[1], 201)
    assert len(entries(sql, "hold.placed")) == 1


@pytest.mark.parametrize("other", ["?mode=replace", "", "?mode=append&dry_run=true"])
def test_a_key_is_not_good_for_another_query(
    api: Api, ada: Persona, other: str
) -> None:
    path = f"/api/exams/{body(create(api, ada), 201)['id']}/questions"
    headers = KEY | {"Content-Type": "text/plain"}

    first, second, again = (
        api.as_(ada).post(f"{path}/import{query}", data=SNOW, headers=headers)
        for query in ("?mode=append", other, "?mode=append")
    )

    assert second.status_code == 422
    assert slug_of(second) == "idempotency-key-reused"
    assert again.headers["Idempotency-Replayed"] == "true"
    asked = body(api.as_(ada).get(path))["items"]
    assert len(asked) == body(first, 201)["question_count"]


def test_work_whose_answer_was_never_kept_is_not_done_again(
    api: Api, ada: Persona, sql: connection
) -> None:
    """The process died between the commit and the keeping of the answer."""
    body(create(api, ada), 201)
    run(sql, "UPDATE idempotency_keys SET status = NULL, body = NULL")

    again = create(api, ada)

    assert again.status_code == 409
    assert slug_of(again) == "request-already-carried-out"
    assert titles(sql) == ["Once"]


def test_an_answer_that_can_not_be_kept_is_given_all_the_same(
    api: Api, ada: Persona, sql: connection
) -> None:
    """The database is lost right after the commit, or all connections are busy."""
    run(sql, AWAY)

    first, again = create(api, ada), create(api, ada)

    assert body(first, 201)["title"] == "Once"
    assert slug_of(again) == "request-already-carried-out"
    assert titles(sql) == ["Once"]


def test_what_was_refused_may_be_tried_again_with_its_key(
    api: Api, ada: Persona, sql: connection
) -> None:
    body(create(api, ada, new_exam(duration_minutes=-1)), 422)

    body(create(api, ada), 201)

    assert titles(sql) == ["Once"]


@pytest.mark.parametrize(("hours", "made"), [(23, 1), (25, 2)])
def test_a_key_is_remembered_for_a_day(
    api: Api, ada: Persona, sql: connection, hours: int, made: int
) -> None:
    body(create(api, ada), 201)
    run(
        sql,
        "UPDATE idempotency_keys SET created_at = created_at - make_interval(hours"
        " => %s)",
        hours,
    )

    body(create(api, ada), 201)

    assert scalar(sql, "SELECT count(*) FROM exams") == made


def test_after_a_day_a_key_is_as_new(
    api: Api, ada: Persona, sql: connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of what came with it before is left, until there is another answer."""
    body(create(api, ada), 201)
    run(sql, "UPDATE idempotency_keys SET created_at = created_at - interval '25 h'")
    other = new_exam(title="Twice")

    with monkeypatch.context() as lost:
        lost.setattr(idempotency_key, "keep", lambda *_, **__: None)
        body(create(api, ada, other), 201)

    assert slug_of(create(api, ada)) == "idempotency-key-reused"
    assert slug_of(create(api, ada, other)) == "request-already-carried-out"
    assert titles(sql) == ["Once", "Twice"]


def test_a_key_is_of_one_login(api: Api, ada: Persona) -> None:
    """What one device was given is not handed to another."""
    first = body(create(api, ada), 201)

    elsewhere = api.as_(tokens_of(api, ada)["access_token"])
    second = elsewhere.post("/api/exams", json=EXAM, headers=KEY)

    assert body(second, 201)["id"] != first["id"]


def test_a_key_is_of_one_user(
    api: Api, ada: Persona, enrol_as: Enrol, sql: connection
) -> None:
    """Another admin's key of the same text is another key."""
    other = enrol_as("grace", Role.ADMIN)

    first = body(create(api, ada), 201)
    second = body(create(api, other), 201)

    assert first["id"] != second["id"]
    assert titles(sql) == ["Once", "Once"]


def test_a_key_is_of_one_address(api: Api, ada: Persona) -> None:
    """The same key on another path asks for something else."""
    exam = body(create(api, ada), 201)

    copy = body(
        api.as_(ada).post(f"/api/exams/{exam['id']}/duplicate", headers=KEY), 201
    )

    assert copy["id"] != exam["id"]
