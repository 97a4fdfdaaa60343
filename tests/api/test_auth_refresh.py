"""POST /api/auth/refresh."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from uuid import UUID

import jwt
import psycopg2
import pytest
from flask import Flask
from psycopg2.extensions import connection

from app import create_app
from config import Settings
from models.session import Client
from services.tokens import REFRESH, Tokens
from tests.at_once import at_once
from tests.audit_trail import run, scalar
from tests.exams import Json, body
from tests.logins import is_let_in, logged, refresh, slug_of, tokens_of
from tests.personas import Api, Persona
from tests.waiting import until_somebody_waits_for_a_lock
from utils.uuid7 import uuid7

LIVE = "SELECT count(*) FROM refresh_tokens WHERE used_at IS NULL"
NEW_KEY = "qW3eRt5ZuI8oPa1sDf6GhJ9kLyXc2vBn"


def claims_of(token: str) -> Json:
    claims: Json = jwt.decode(token, options={"verify_signature": False})
    return claims


def session_of(given: Json) -> UUID:
    return UUID(claims_of(given["access_token"])["sid"])


def let_seconds_pass(sql: connection, given: Json, seconds: int) -> None:
    """Move all that happened in a session into the past: the database's clock rules."""
    session_id = str(session_of(given))
    run(
        sql,
        "UPDATE refresh_tokens SET issued_at = issued_at - make_interval(secs => %s),"
        " used_at = used_at - make_interval(secs => %s) WHERE session_id = %s",
        seconds,
        seconds,
        session_id,
    )
    run(
        sql,
        "UPDATE sessions SET created_at = created_at - make_interval(secs => %s),"
        " expires_at = expires_at - make_interval(secs => %s) WHERE id = %s",
        seconds,
        seconds,
        session_id,
    )


def assert_ended_by_reuse(api: Api, sql: connection, *given: Json) -> None:
    for each in given:
        assert not is_let_in(api, each["access_token"])
        assert refresh(api, each["refresh_token"]).status_code == 401
    (entry,) = logged(sql, "auth.token_reuse_detected")
    assert entry["entity_id"] == str(session_of(given[0]))
    assert (
        scalar(
            sql,
            "SELECT ended_reason FROM sessions WHERE id = %s",
            str(session_of(given[0])),
        )
        == "token_reuse"
    )


def test_a_refresh_gives_new_tokens_of_the_same_session(
    api: Api, alice: Persona, sql: connection
) -> None:
    first = tokens_of(api, alice)

    response = refresh(api, first["refresh_token"])

    second = body(response)
    assert response.headers["Cache-Control"] == "no-store"
    assert second.keys() == first.keys()
    assert second["user"] == first["user"]
    assert second["refresh_token"] != first["refresh_token"]
    assert session_of(second) == session_of(first)
    assert is_let_in(api, second["access_token"])
    assert scalar(sql, LIVE) == 1
    (entry,) = logged(sql, "auth.token_refreshed")
    assert entry["actor_id"] == str(alice.id)
    assert entry["entity_id"] == str(session_of(first))


def test_who_refreshes_while_his_session_ends_is_out(
    api: Api, alice: Persona, sql: connection, dsn: str
) -> None:
    """Tokens that nobody lets in would be given out, and logged after the end."""
    given = tokens_of(api, alice)

    with closing(psycopg2.connect(dsn)) as ending, ThreadPoolExecutor(1) as pool:
        run(ending, "UPDATE sessions SET ended_at = now(), ended_reason = 'logout'")
        refreshing = pool.submit(refresh, api, given["refresh_token"])
        until_somebody_waits_for_a_lock(sql)
        ending.commit()

    assert slug_of(refreshing.result()) == "invalid-token"
    assert logged(sql, "auth.token_refreshed") == []


def test_who_comes_from_nowhere_is_still_where_he_was(
    app: Flask, api: Api, alice: Persona, sql: connection
) -> None:
    """Behind a unix socket without a proxy nobody has an address."""
    given = tokens_of(api, alice)

    app.extensions["auth"].refresh(given["refresh_token"], Client())

    query = "SELECT host(ip_address) FROM sessions WHERE id = %s"
    assert scalar(sql, query, str(session_of(given))) == "127.0.0.1"


def test_each_kind_of_token_is_good_for_one_thing(api: Api, alice: Persona) -> None:
    """S3."""
    given = tokens_of(api, alice)

    assert not is_let_in(api, given["refresh_token"])
    assert refresh(api, given["access_token"]).status_code == 401
    # And neither has cost the session.
    assert is_let_in(api, given["access_token"])
    assert refresh(api, given["refresh_token"]).status_code == 200


def test_a_token_that_is_used_again_ends_its_session(
    api: Api, alice: Persona, sql: connection
) -> None:
    """S9: the thief has R0, the owner R2, or the other way round: both are out."""
    first = tokens_of(api, alice)
    second = body(refresh(api, first["refresh_token"]))
    third = body(refresh(api, second["refresh_token"]))

    replayed = refresh(api, first["refresh_token"])

    assert replayed.status_code == 401
    assert slug_of(replayed) == "token-reused"
    assert_ended_by_reuse(api, sql, first, second, third)
    assert is_let_in(api, alice.token), "his other login has nothing to do with it"


def test_a_second_tab_gets_the_same_successor(
    api: Api, alice: Persona, sql: connection
) -> None:
    """S10: also whoever asks again because the answer was lost on its way."""
    first = tokens_of(api, alice)

    second = body(refresh(api, first["refresh_token"]))
    again = body(refresh(api, first["refresh_token"]))

    assert again["refresh_token"] == second["refresh_token"]
    assert scalar(sql, LIVE) == 1
    assert len(logged(sql, "auth.token_refreshed")) == 1
    third = body(refresh(api, again["refresh_token"]))
    assert is_let_in(api, third["access_token"])


def test_after_ten_seconds_it_is_reuse(
    api: Api, alice: Persona, sql: connection
) -> None:
    """S10."""
    first = tokens_of(api, alice)
    second = body(refresh(api, first["refresh_token"]))
    let_seconds_pass(sql, first, 11)

    assert slug_of(refresh(api, first["refresh_token"])) == "token-reused"
    assert_ended_by_reuse(api, sql, first, second)


def test_of_many_at_once_one_rotates(api: Api, alice: Persona, sql: connection) -> None:
    """S8: one UPDATE finds the token unused; all get the one successor."""
    first = tokens_of(api, alice)

    answers = at_once([lambda: refresh(api, first["refresh_token"])] * 20)

    successors = {body(answer)["refresh_token"] for answer in answers}
    assert len(successors) == 1
    assert scalar(sql, LIVE) == 1
    assert scalar(sql, "SELECT count(*) FROM refresh_tokens") == 2
    assert len(logged(sql, "auth.token_refreshed")) == 1


def test_the_database_keeps_a_session_from_branching(
    api: Api, alice: Persona, sql: connection
) -> None:
    session_id = str(session_of(tokens_of(api, alice)))

    with pytest.raises(psycopg2.errors.UniqueViolation):
        run(
            sql,
            "INSERT INTO refresh_tokens (token_hash, session_id, issued_at)"
            " VALUES (sha256('another'), %s, clock_timestamp())",
            session_id,
        )


def test_a_session_ends_however_often_it_is_refreshed(
    api: Api, alice: Persona, sql: connection
) -> None:
    """S7, S11: seven days from the login."""
    day = 86_400
    given = tokens_of(api, alice)
    session_id = str(session_of(given))
    claims = claims_of(given["refresh_token"])
    assert claims["exp"] - claims["iat"] == 7 * day

    for _ in range(6):
        let_seconds_pass(sql, given, day)
        given = body(refresh(api, given["refresh_token"]))
    assert is_let_in(api, given["access_token"])
    let_seconds_pass(sql, given, day)

    assert slug_of(refresh(api, given["refresh_token"])) == "invalid-token"
    assert not is_let_in(api, given["access_token"])
    assert (
        scalar(
            sql,
            "SELECT expires_at - created_at FROM sessions WHERE id = %s",
            session_id,
        ).days
        == 7
    )


def test_no_access_token_outlives_its_session(
    api: Api, alice: Persona, sql: connection
) -> None:
    given = tokens_of(api, alice)
    let_seconds_pass(sql, given, 7 * 86_400 - 60)

    late = body(refresh(api, given["refresh_token"]))

    assert late["expires_in"] <= 60
    assert (
        claims_of(late["access_token"])["exp"]
        <= (claims_of(late["refresh_token"])["exp"])
    )


def test_a_copy_of_the_database_opens_nothing(
    api: Api, alice: Persona, sql: connection
) -> None:
    """S11: neither a token, nor an id from which one could be made."""
    first = tokens_of(api, alice)
    second = body(refresh(api, first["refresh_token"]))

    (dump,) = run(
        sql,
        "SELECT (SELECT string_agg(sessions::text, ' ') FROM sessions)"
        " || (SELECT string_agg(refresh_tokens::text, ' ') FROM refresh_tokens)"
        " || (SELECT string_agg(audit_log::text, ' ') FROM audit_log)",
    )

    assert str(session_of(first)) in dump[0]
    for given in (first, second):
        for token in (given["access_token"], given["refresh_token"]):
            assert token.rpartition(".")[2] not in dump[0]
            assert claims_of(token)["jti"] not in dump[0]


@pytest.mark.parametrize(
    "end",
    [
        "UPDATE users SET is_active = false",
        "UPDATE sessions SET ended_at = now(), ended_reason = 'logout'",
        "UPDATE sessions SET expires_at = created_at + interval '1 microsecond'",
    ],
)
def test_who_is_out_gets_no_more_tokens(
    api: Api, alice: Persona, sql: connection, end: str
) -> None:
    given = tokens_of(api, alice)
    run(sql, end)

    response = refresh(api, given["refresh_token"])

    assert response.status_code == 401
    assert slug_of(response) == "invalid-token"
    assert logged(sql, "auth.token_reuse_detected") == []


def test_a_token_that_was_never_given_costs_nobody_his_session(
    api: Api, alice: Persona, mallory: Persona, settings: Settings
) -> None:
    """Rightly signed, of a session that lasts, and yet in no table."""
    given = tokens_of(api, alice)
    claims = claims_of(given["refresh_token"])
    tokens = Tokens(
        settings.jwt_secret_key, None, access_seconds=900, refresh_seconds=604_800
    )

    def forge(user_id: UUID, session_id: UUID, token_id: str) -> str:
        return tokens.issue(
            REFRESH,
            user_id=user_id,
            session_id=session_id,
            token_id=token_id,
            issued_at=claims["iat"],
            expires_at=claims["exp"],
        )

    for forged in (
        forge(alice.id, session_of(given), "unknown"),
        forge(mallory.id, session_of(given), claims["jti"]),
        forge(alice.id, alice.session_id, claims["jti"]),
        forge(alice.id, uuid7(), claims["jti"]),
    ):
        assert slug_of(refresh(api, forged)) == "invalid-token"

    assert is_let_in(api, given["access_token"])
    assert refresh(api, given["refresh_token"]).status_code == 200


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é" * 10, "x" * 5000])
def test_what_is_no_token_is_refused(api: Api, token: str) -> None:
    assert refresh(api, token).status_code in {401, 422}


def test_a_key_can_be_replaced_under_running_sessions(
    settings: Settings, alice: Persona
) -> None:
    """S27."""
    old = Api(create_app(settings))
    given = tokens_of(old, alice)
    replaced = replace(
        settings,
        jwt_secret_key=NEW_KEY,
        jwt_previous_secret_key=settings.jwt_secret_key,
    )

    new = Api(create_app(replaced))
    assert is_let_in(new, given["access_token"])
    renewed = body(refresh(new, given["refresh_token"]))
    # The second tab's token is of the old key, too.
    again = body(refresh(new, given["refresh_token"]))

    assert again["refresh_token"] == renewed["refresh_token"]
    forgotten = Api(create_app(replace(replaced, jwt_previous_secret_key=None)))
    assert is_let_in(forgotten, renewed["access_token"])
    assert not is_let_in(forgotten, given["access_token"])
    assert refresh(forgotten, given["refresh_token"]).status_code == 401
    assert refresh(forgotten, renewed["refresh_token"]).status_code == 200


def test_who_refreshes_too_often_stops_himself_and_nobody_at_his_address(
    settings: Settings, alice: Persona, mallory: Persona
) -> None:
    limits = replace(settings.rate_limits, refresh="2 per hour")
    api = Api(create_app(replace(settings, rate_limits=limits)))
    hers, his = tokens_of(api, alice), tokens_of(api, mallory)

    assert [refresh(api, "x").status_code for _ in range(3)] == [401, 401, 429]
    # Signed by somebody else, it counts as what it is.
    assert refresh(api, his["refresh_token"][:-4] + "AAAA").status_code == 429
    for _ in range(2):
        his = body(refresh(api, his["refresh_token"]))
    assert refresh(api, his["refresh_token"]).status_code == 429

    assert refresh(api, hers["refresh_token"]).status_code == 200
