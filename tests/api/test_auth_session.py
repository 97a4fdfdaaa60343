"""Sessions: what carries a request, logging out, and where one is logged in."""

import pytest
from psycopg2.extensions import connection

from config import Settings
from models.principal import Role
from tests.audit_trail import run, scalar
from tests.exams import body
from tests.logins import is_let_in, logged, refresh, slug_of, tokens_of
from tests.personas import Api, Enrol, Persona, access_token

ME = "/api/auth/me"
SESSIONS = "/api/auth/sessions"


def test_everybody_sees_his_own_account(api: Api, enrol_as: Enrol) -> None:
    for role in Role:
        persona = enrol_as(f"{role}-person", role)

        shown = body(api.as_(persona).get(ME))

        assert shown["id"] == str(persona.id)
        assert shown["role"] == role
        assert "password_hash" not in shown


def test_what_is_no_bearer_token_is_refused(api: Api, alice: Persona) -> None:
    """S6."""
    token = alice.token
    deep = "eyJ" + "W" * 3000

    for header in (
        None,
        "",
        "Bearer",
        "Bearer ",
        token,
        f"Bearer  {token}",
        f"Bearer {token} ",
        f"Bearer {token} {token}",
        f"Basic {token}",
        f"Bearer {token}x",
        "Bearer " + "x" * 100_000,
        "Bearer é.ü.ö",
        f"Bearer {deep}.{deep}.{deep}",
        "Bearer ..",
        "Bearer null",
    ):
        headers = {} if header is None else {"Authorization": header}
        response = api.as_(None).get(ME, headers=headers)

        assert response.status_code == 401, header
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="proctoring"'
        assert slug_of(response) in {"not-authenticated", "invalid-token"}

    assert (
        api.as_(None).get(ME, headers={"Authorization": f"bearer {token}"}).status_code
        == 200
    ), "the scheme's case is free"


@pytest.mark.parametrize(
    ("issued_ago", "is_good"),
    [
        (0, True),
        (890, True),
        # It ends with the second in which it has lasted for 900.
        (900, False),
        (901, False),
        # A clock that is ahead of the database's by as much as we bear.
        (-20, True),
        (-60, False),
    ],
)
def test_a_token_lasts_fifteen_minutes(
    api: Api,
    settings: Settings,
    alice: Persona,
    sql: connection,
    *,
    issued_ago: int,
    is_good: bool,
) -> None:
    """S7: by the database's clock, which all processes share."""
    now = scalar(sql, "SELECT floor(extract(epoch FROM clock_timestamp()))::bigint")
    token = access_token(settings, alice.id, alice.session_id, now - issued_ago)

    assert is_let_in(api, token) is is_good


def test_whose_token_has_run_out_is_told_to_refresh_it(
    api: Api, settings: Settings, alice: Persona, sql: connection
) -> None:
    """Who logs in instead is another device to his running attempt."""
    now = scalar(sql, "SELECT floor(extract(epoch FROM clock_timestamp()))::bigint")
    old = access_token(settings, alice.id, alice.session_id, now - 901)

    response = api.as_(old).get("/api/auth/me")

    assert slug_of(response) == "invalid-token"
    assert "Refresh it" in response.text


def test_a_token_speaks_for_the_user_of_its_session_alone(
    api: Api, settings: Settings, alice: Persona, ada: Persona, sql: connection
) -> None:
    """Even under the right key."""
    now = scalar(sql, "SELECT floor(extract(epoch FROM clock_timestamp()))::bigint")

    assert not is_let_in(api, access_token(settings, ada.id, alice.session_id, now))
    assert is_let_in(api, access_token(settings, ada.id, ada.session_id, now))


@pytest.mark.parametrize(
    "end",
    [
        # By an administrator's own hand, which ends no session.
        "UPDATE users SET is_active = false",
        "UPDATE sessions SET ended_at = now(), ended_reason = 'logout'",
        "UPDATE sessions SET expires_at = created_at + interval '1 microsecond'",
    ],
)
def test_a_token_that_has_not_run_out_does_not_outlast_its_session_or_account(
    api: Api, alice: Persona, sql: connection, end: str
) -> None:
    assert is_let_in(api, alice.token)

    run(sql, end)

    assert not is_let_in(api, alice.token)


def test_logging_out_ends_both_tokens_at_once(
    api: Api, alice: Persona, sql: connection
) -> None:
    """S12."""
    given = tokens_of(api, alice)
    speaker = api.as_(given["access_token"])

    assert speaker.post("/api/auth/logout").status_code == 204

    assert not is_let_in(api, given["access_token"])
    assert slug_of(refresh(api, given["refresh_token"])) == "invalid-token"
    assert speaker.post("/api/auth/logout").status_code == 401
    assert is_let_in(api, alice.token)
    (entry,) = logged(sql, "auth.logged_out")
    assert entry["actor_id"] == str(alice.id)


def test_one_sees_where_one_is_logged_in(
    api: Api, alice: Persona, mallory: Persona
) -> None:
    given = [tokens_of(api, alice) for _ in range(3)]
    tokens_of(api, mallory)
    speaker = api.as_(given[1]["access_token"])

    first = body(speaker.get(f"{SESSIONS}?limit=3"))
    rest = body(speaker.get(f"{SESSIONS}?limit=3&cursor={first['next_cursor']}"))

    assert [each["is_current"] for each in first["items"]] == [False, True, False]
    assert [each["id"] for each in rest["items"]] == [str(alice.session_id)]
    assert rest["next_cursor"] is None
    assert {each["ip_address"] for each in first["items"]} == {"127.0.0.1"}


def test_a_session_can_be_ended_from_another(
    api: Api, alice: Persona, sql: connection
) -> None:
    given = tokens_of(api, alice)
    path = f"{SESSIONS}/{alice.session_id}"

    assert api.as_(given["access_token"]).delete(path).status_code == 204

    assert not is_let_in(api, alice.token)
    assert is_let_in(api, given["access_token"])
    (entry,) = logged(sql, "auth.session_ended")
    assert entry["entity_id"] == str(alice.session_id)
    assert api.as_(given["access_token"]).delete(path).status_code == 404


def test_the_session_of_another_is_not_there(
    api: Api, alice: Persona, mallory: Persona, ada: Persona
) -> None:
    """S31."""
    for stranger in (mallory, ada):
        response = api.as_(stranger).delete(f"{SESSIONS}/{alice.session_id}")

        assert response.status_code == 404
        assert slug_of(response) == "session-not-found"

    assert is_let_in(api, alice.token)


def test_all_other_sessions_end_together(
    api: Api, alice: Persona, mallory: Persona, sql: connection
) -> None:
    given = [tokens_of(api, alice) for _ in range(2)]

    assert api.as_(alice).delete(SESSIONS).status_code == 204

    assert [is_let_in(api, each["access_token"]) for each in given] == [False] * 2
    assert [refresh(api, each["refresh_token"]).status_code for each in given] == [
        401
    ] * 2
    assert is_let_in(api, alice.token)
    assert is_let_in(api, mallory.token)
    (entry,) = logged(sql, "auth.session_ended")
    assert entry["payload"] == {"ended_sessions": 2}


def test_a_session_that_has_expired_is_over_without_anybody_ending_it(
    api: Api, alice: Persona, sql: connection
) -> None:
    given = [tokens_of(api, alice) for _ in range(2)]
    run(
        sql,
        "UPDATE sessions SET created_at = created_at - interval '8 days',"
        " expires_at = expires_at - interval '8 days' WHERE id = %s",
        str(alice.session_id),
    )
    speaker = api.as_(given[0]["access_token"])

    assert len(body(speaker.get(SESSIONS))["items"]) == 2
    assert speaker.delete(f"{SESSIONS}/{alice.session_id}").status_code == 404
    assert speaker.delete(SESSIONS).status_code == 204
    (entry,) = logged(sql, "auth.session_ended")
    assert entry["payload"] == {"ended_sessions": 1}


def test_a_role_comes_from_the_database(
    api: Api, ada: Persona, sql: connection
) -> None:
    """S13, S14: even a change that no service made takes effect at once."""
    run(sql, "UPDATE users SET role = 'student' WHERE id = %s", str(ada.id))

    assert api.as_(ada).get("/api/users").status_code == 403
