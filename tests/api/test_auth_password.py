"""POST /api/auth/change-password, and having to."""

import unicodedata
from dataclasses import replace
from functools import partial

import pytest
from psycopg2.extensions import connection
from werkzeug.test import TestResponse

from app import create_app
from config import Settings
from tests.at_once import at_once
from tests.audit_trail import run, scalar
from tests.exams import body
from tests.logins import is_let_in, log_in, logged, refresh, slug_of, tokens_of
from tests.personas import PASSWORD, Api, Persona

PATH = "/api/auth/change-password"
NEW = "another horse, the same café"
WRONG = "incorrect horse battery staple"


def change(
    api: Api, who: Persona | str, new: str = NEW, current: str = PASSWORD
) -> TestResponse:
    given = {"current_password": current, "new_password": new}
    return api.as_(who).post(PATH, json=given)


def pointers(response: TestResponse) -> list[str]:
    return [each["pointer"] for each in response.get_json()["errors"]]


def test_a_new_password_ends_the_other_sessions(
    api: Api, alice: Persona, mallory: Persona, sql: connection
) -> None:
    """S13, S23."""
    elsewhere = tokens_of(api, alice)

    assert change(api, alice).status_code == 204

    assert is_let_in(api, alice.token)
    assert not is_let_in(api, elsewhere["access_token"])
    assert refresh(api, elsewhere["refresh_token"]).status_code == 401
    assert is_let_in(api, mallory.token)
    assert log_in(api, alice.email, PASSWORD).status_code == 401
    assert log_in(api, alice.email, NEW).status_code == 200
    (entry,) = logged(sql, "user.password_changed")
    assert entry["actor_id"] == entry["entity_id"] == str(alice.id)
    assert entry["payload"] == {"ended_sessions": 1}


def test_the_current_password_is_needed(
    api: Api, alice: Persona, sql: connection
) -> None:
    """S23."""
    response = change(api, alice, current=WRONG)

    assert response.status_code == 422
    assert slug_of(response) == "wrong-password"
    assert pointers(response) == ["#/current_password"]
    assert log_in(api, alice.email).status_code == 200
    (entry,) = logged(sql, "auth.password_change_refused")
    assert entry["actor_id"] == entry["entity_id"] == str(alice.id)
    assert entry["payload"] == {"session_id": str(alice.session_id)}


@pytest.mark.parametrize(
    "new",
    [
        "short",
        "x7" * 37,
        "StrongPassword123!",
        "alice@example.edu",
        "Alice Example 1",
        PASSWORD,
    ],
)
def test_a_bad_password_is_refused(
    api: Api, alice: Persona, sql: connection, new: str
) -> None:
    """S15, S16; a context of one's own, and no change that is none."""
    response = change(api, alice, new=new)

    assert response.status_code == 422
    assert slug_of(response) == "password-refused"
    assert pointers(response) == ["#/new_password"]
    assert logged(sql, "user.password_changed") == []


def test_the_same_password_typed_otherwise_is_the_same(
    api: Api, alice: Persona
) -> None:
    assert change(api, alice, new=NEW).status_code == 204
    composed, decomposed = (unicodedata.normalize(form, NEW) for form in ("NFC", "NFD"))

    response = change(api, alice, new=decomposed, current=composed)

    assert composed != decomposed
    assert response.status_code == 422
    assert pointers(response) == ["#/new_password"]


def test_who_guesses_at_a_device_that_is_logged_in_is_stopped(
    settings: Settings, alice: Persona, mallory: Persona, sql: connection
) -> None:
    limits = replace(settings.rate_limits, login_failures="3 per minute")
    api = Api(create_app(replace(settings, rate_limits=limits)))

    # Whatever it is, it counts: a right password takes as long to check as a wrong one.
    assert change(api, alice, new="short").status_code == 422
    guesses = [change(api, alice, current=WRONG).status_code for _ in range(4)]

    assert guesses == [422, 422, 429, 429]
    assert len(logged(sql, "auth.password_change_refused")) == 2
    # It is not by trying the right one that he finds out.
    assert change(api, alice).status_code == 429
    assert is_let_in(api, alice.token), "he may go on with his exam"
    assert change(api, mallory).status_code == 204


def test_of_two_changes_at_once_one_takes_place(
    api: Api, alice: Persona, sql: connection
) -> None:
    passwords = ["the first of two horses", "the second of two horses"]

    answers = at_once([partial(change, api, alice, new) for new in passwords])

    assert sorted(answer.status_code for answer in answers) == [204, 422]
    chosen = passwords[[answer.status_code for answer in answers].index(204)]
    assert log_in(api, alice.email, chosen).status_code == 200
    assert len(logged(sql, "user.password_changed")) == 1


def test_who_sends_a_change_again_is_told_that_it_is_done(
    api: Api, alice: Persona, sql: connection
) -> None:
    """The answer to the first was lost."""
    assert change(api, alice).status_code == 204

    again = change(api, alice)

    assert again.status_code == 204
    assert log_in(api, alice.email, NEW).status_code == 200
    assert len(logged(sql, "user.password_changed")) == 1
    assert logged(sql, "auth.password_change_refused") == []


def test_of_one_change_that_is_sent_twice_at_once_both_are_done(
    api: Api, alice: Persona, sql: connection
) -> None:
    answers = at_once([partial(change, api, alice) for _ in range(2)])

    assert [answer.status_code for answer in answers] == [204, 204]
    assert len(logged(sql, "user.password_changed")) == 1
    assert logged(sql, "auth.password_change_refused") == []


@pytest.mark.parametrize(
    "statement",
    [
        # Nobody changed it of late: who says so is guessing.
        """
        UPDATE users SET updated_at = updated_at - interval '11 minutes' WHERE id = %s
        """,
        # Somebody else set it, and it is yet to be changed.
        "UPDATE users SET must_change_password = true WHERE id = %s",
    ],
)
def test_a_guess_at_the_new_password_is_no_way_to_learn_the_present_one(
    api: Api, alice: Persona, sql: connection, statement: str
) -> None:
    assert change(api, alice).status_code == 204
    run(sql, statement, str(alice.id))

    guessed = change(api, alice, current=WRONG)

    assert slug_of(guessed) == "wrong-password"
    assert len(logged(sql, "auth.password_change_refused")) == 1


def test_whose_password_was_set_by_another_must_change_it_first(
    api: Api, ada: Persona, sql: connection
) -> None:
    """S24: until then every route of an admin is closed, and a few are open."""
    run(sql, "UPDATE users SET must_change_password = true")
    speaker = api.as_(ada)

    for path in ("/api/users", "/api/exams", "/api/auth/sessions"):
        refused = speaker.get(path)
        assert refused.status_code == 403
        assert slug_of(refused) == "password-change-required"
    assert body(speaker.get("/api/auth/me"))["must_change_password"]

    assert change(api, ada).status_code == 204

    assert speaker.get("/api/users").status_code == 200
    assert not scalar(sql, "SELECT must_change_password FROM users")


def test_who_must_change_his_password_may_leave_instead(
    api: Api, ada: Persona, sql: connection
) -> None:
    run(sql, "UPDATE users SET must_change_password = true")

    assert api.as_(ada).post("/api/auth/logout").status_code == 204
