"""What the log says of who came, went, and was turned away; and what they are told."""

from hashlib import sha256

import pytest
from psycopg2.extensions import connection

from tests.api.test_auth_refresh import let_seconds_pass, session_of
from tests.exams import body
from tests.logins import log_in, logged, refresh, tokens_of
from tests.personas import Api, Persona

HERE, THERE = "192.0.2.7", "192.0.2.8"


def test_who_logs_out_is_logged_with_his_session(
    api: Api, alice: Persona, sql: connection
) -> None:
    api.as_(alice).post("/api/auth/logout")

    assert logged(sql, "auth.logged_out") == [
        {
            "actor_id": str(alice.id),
            "entity_type": "session",
            "entity_id": str(alice.session_id),
            "payload": {},
        }
    ]


def test_who_refreshes_is_logged_with_his_session(
    api: Api, alice: Persona, sql: connection
) -> None:
    given = tokens_of(api, alice)

    refresh(api, given["refresh_token"])

    assert logged(sql, "auth.token_refreshed") == [
        {
            "actor_id": str(alice.id),
            "entity_type": "session",
            "entity_id": str(session_of(given)),
            "payload": {},
        }
    ]


def test_of_a_stolen_token_the_log_says_whose_it_was_and_not_who_came(
    api: Api, alice: Persona, sql: connection
) -> None:
    given = tokens_of(api, alice)
    refresh(api, given["refresh_token"])
    let_seconds_pass(sql, given, 60)

    refused = refresh(api, given["refresh_token"])

    assert logged(sql, "auth.token_reuse_detected") == [
        {
            "actor_id": None,
            "entity_type": "session",
            "entity_id": str(session_of(given)),
            "payload": {"user_id": str(alice.id)},
        }
    ]
    assert body(refused, 401)["detail"] == (
        "This refresh token was used before, so somebody may have copied it. The "
        "session has ended. Log in again."
    )


def test_who_asks_for_what_his_role_may_not_do_is_logged(
    api: Api, alice: Persona, sql: connection
) -> None:
    refused = api.as_(alice).get("/api/users")

    assert logged(sql, "access.denied") == [
        {
            "actor_id": str(alice.id),
            "entity_type": "access",
            "entity_id": "GET /api/users",
            "payload": {"role": "student", "session_id": str(alice.session_id)},
        }
    ]
    assert body(refused, 403)["detail"] == "The role student may not do this."


def test_a_refusal_does_not_use_up_the_key_of_the_request(
    api: Api, alice: Persona, ada: Persona, sql: connection
) -> None:
    """Whoever is refused and then promoted sends the same request again."""
    options = {
        "json": {"title": "Physics", "duration_minutes": 60},
        "headers": {"Idempotency-Key": "the-same-key-0001"},
    }

    first = api.as_(alice).post("/api/exams", **options)
    again = api.as_(alice).post("/api/exams", **options)

    assert (first.status_code, again.status_code) == (403, 403)
    assert len(logged(sql, "access.denied")) == 2
    assert api.as_(ada).post("/api/exams", **options).status_code != 403


def test_the_list_of_sessions_says_when_and_from_where_one_was_used(
    api: Api, alice: Persona, sql: connection
) -> None:
    given = body(log_in(api, alice.email, environ_overrides={"REMOTE_ADDR": HERE}))
    let_seconds_pass(sql, given, 60)
    before = _session(api, given)

    api.as_(None).post(
        "/api/auth/refresh",
        json={"refresh_token": given["refresh_token"]},
        environ_overrides={"REMOTE_ADDR": THERE},
    )

    after = _session(api, given)
    assert (before["ip_address"], after["ip_address"]) == (HERE, THERE)
    assert after["last_used_at"] > before["last_used_at"]


def _session(api: Api, given: dict[str, str]) -> dict[str, str]:
    listed = body(api.as_(given["access_token"]).get("/api/auth/sessions"))["items"]
    (found,) = (each for each in listed if each["id"] == str(session_of(given)))
    return dict(found)


@pytest.mark.parametrize("header", ["", "Basic abc"])
def test_who_sends_no_token_is_told_how(api: Api, header: str) -> None:
    response = api.as_(None).get("/api/auth/me", headers={"Authorization": header})

    assert body(response, 401)["detail"] == (
        "Send an access token as `Authorization: Bearer <token>`."
    )


def test_who_fails_to_log_in_is_logged_by_address_and_pseudonym(
    api: Api, alice: Persona, sql: connection
) -> None:
    for email in (alice.email, "nobody@example.edu", "no-one@example.edu"):
        refused = log_in(api, email, "not his", environ_overrides={"REMOTE_ADDR": HERE})
        assert body(refused, 401)["detail"] == (
            "The e-mail address or the password is wrong."
        )

    known, *others = logged(sql, "auth.login_failed")
    assert known == {
        "actor_id": None,
        "entity_type": "user",
        "entity_id": str(alice.id),
        "payload": {"ip_address": HERE, "is_known": True},
    }
    assert [each["payload"] for each in others] == [
        {"ip_address": HERE, "is_known": False}
    ] * 2
    # So that one can count how often each was tried.
    pseudonyms = {each["entity_id"] for each in others}
    assert len(pseudonyms) == 2
    # And nobody who has the log alone can try out whose they are.
    assert sha256(b"nobody@example.edu").hexdigest() not in pseudonyms


def test_who_has_a_password_of_somebody_else_is_told_to_choose_one(
    api: Api, ada: Persona, alice: Persona
) -> None:
    new = "a password for one day"
    path = f"/api/users/{alice.id}/reset-password"
    api.as_(ada).post(path, json={"new_password": new})
    session = tokens_of(api, alice, new)

    refused = api.as_(session["access_token"]).get("/api/exams/available")

    assert body(refused, 403)["detail"] == (
        "This password was set by somebody else. Choose one of your own with "
        "POST /api/auth/change-password first."
    )
