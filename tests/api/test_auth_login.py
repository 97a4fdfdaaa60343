"""POST /api/auth/login, but for its limits."""

import statistics
import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import bcrypt
import psycopg2
import pytest
from psycopg2.extensions import connection
from werkzeug.test import TestResponse

from app import create_app
from config import Settings
from config.config import Environment
from tests.at_once import at_once
from tests.audit_trail import run, scalar
from tests.by_hand import stated
from tests.exams import Json, body
from tests.logins import is_let_in, log_in, log_in_from, logged, slug_of, tokens_of
from tests.personas import PASSWORD, Api, Persona
from tests.waiting import until_somebody_waits_for_a_lock

WRONG = "incorrect horse battery staple"


def set_hash(sql: connection, persona: Persona, password: str, rounds: int = 4) -> str:
    made = bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds)).decode()
    run(sql, "UPDATE users SET password_hash = %s WHERE id = %s", made, str(persona.id))
    return made


def disable(sql: connection, persona: Persona) -> None:
    run(
        sql,
        stated("UPDATE users SET is_active = false WHERE id = %s"),
        str(persona.id),
    )


def test_a_login_opens_a_session_and_is_logged(
    api: Api, alice: Persona, sql: connection
) -> None:
    response = log_in(api, alice.email, headers={"User-Agent": "Firefox\x1b[31m/1"})

    given = body(response)
    assert given["token_type"] == "Bearer"
    assert given["expires_in"] == 900
    assert given["user"]["id"] == str(alice.id)
    assert "password" not in " ".join(given["user"]).replace("must_change_password", "")
    assert is_let_in(api, given["access_token"])
    (entry,) = logged(sql, "auth.login_succeeded")
    assert entry["actor_id"] == str(alice.id)
    assert entry["entity_type"] == "session"
    assert entry["payload"]["ip_address"] == "127.0.0.1"
    # Nothing that forges a line of a terminal or a log.
    assert entry["payload"]["user_agent"] == "Firefox [31m/1"


def test_tokens_are_kept_by_nobody_on_the_way(api: Api, alice: Persona) -> None:
    """S28: no cookie, so nothing to forge a request with; and no cache."""
    response = log_in(api, alice.email)

    assert response.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in response.headers


def test_a_token_in_a_cookie_is_no_token(api: Api, alice: Persona) -> None:
    """S28."""
    cookie = f"access_token={alice.token}; Authorization=Bearer {alice.token}"

    response = api.as_(None).get("/api/auth/me", headers={"Cookie": cookie})

    assert response.status_code == 401


def test_an_address_is_known_in_any_capitals(api: Api, alice: Persona) -> None:
    assert log_in(api, alice.email.upper()).status_code == 200


def test_a_password_is_the_same_however_it_was_typed(
    api: Api, alice: Persona, sql: connection
) -> None:
    password = "größer als der Ätna"
    set_hash(sql, alice, unicodedata.normalize("NFC", password))

    for form in ("NFC", "NFD"):
        typed = unicodedata.normalize(form, password)
        assert log_in(api, alice.email, typed).status_code == 200


def test_a_password_that_is_too_long_is_wrong_and_not_cut_off(
    api: Api, alice: Persona, sql: connection
) -> None:
    """S15."""
    longest = "0123456789abcdefghijklmnopqrstuvwxyz" * 2
    set_hash(sql, alice, longest)

    assert log_in(api, alice.email, longest).status_code == 200
    assert log_in(api, alice.email, longest + "0").status_code == 401
    assert log_in(api, alice.email, "😀" * 256).status_code == 401


def test_unknown_wrong_and_disabled_get_the_same_answer(
    api: Api, alice: Persona, mallory: Persona, sql: connection
) -> None:
    """S18: status, headers, and all of the body but the name of the request."""
    disable(sql, mallory)
    answers = [
        log_in(api, "nobody@example.edu", PASSWORD),
        log_in(api, alice.email, WRONG),
        log_in(api, mallory.email, PASSWORD),
        log_in(api, mallory.email, WRONG),
        log_in(api, alice.email, "x" * 100),
    ]

    def seen(answer: TestResponse) -> tuple[Json, Json]:
        own = {
            *("X-Request-ID", "traceresponse"),
            *("X-RateLimit-Remaining", "X-RateLimit-Reset"),
        }
        return (
            {**answer.get_json(), "request_id": None},
            {name: value for name, value in answer.headers if name not in own},
        )

    assert {answer.status_code for answer in answers} == {401}
    first, *others = [seen(answer) for answer in answers]
    assert others == [first] * len(others)
    assert first[0]["type"] == "/problems/login-failed"
    assert "WWW-Authenticate" in first[1]


def test_unknown_wrong_and_disabled_take_the_same_time(
    settings: Settings, alice: Persona, mallory: Persona, sql: connection
) -> None:
    """S18, as a ratio, in time of the processor: other tests run beside this one.

    Without a hash for unknown addresses, the first would take a tenth of the others.
    """
    api = Api(create_app(replace(settings, bcrypt_rounds=10)))
    set_hash(sql, alice, PASSWORD, 10)
    set_hash(sql, mallory, PASSWORD, 10)
    disable(sql, mallory)
    cases = {
        "unknown": ("nobody@example.edu", PASSWORD),
        "wrong": (alice.email, WRONG),
        "disabled": (mallory.email, PASSWORD),
    }
    spent: dict[str, list[float]] = {name: [] for name in cases}

    for _ in range(9):
        for name, (email, password) in cases.items():
            begun = time.thread_time()
            assert log_in(api, email, password).status_code == 401
            spent[name].append(time.thread_time() - begun)

    medians = [statistics.median(times) for times in spent.values()]
    assert max(medians) < 1.25 * min(medians), spent


def test_what_fails_is_logged_without_the_address(
    api: Api, alice: Persona, sql: connection
) -> None:
    for email in (alice.email, "Nobody@example.edu", "nobody@EXAMPLE.edu"):
        assert log_in(api, email, WRONG).status_code == 401

    known, unknown, same = logged(sql, "auth.login_failed")
    assert known["entity_id"] == str(alice.id)
    # Whoever types his password into the wrong field does not find it in the log; that
    # somebody tried one address again and again is still seen.
    assert unknown["entity_id"] == same["entity_id"]
    assert "nobody" not in str(unknown).lower()
    assert {each["actor_id"] for each in (known, unknown)} == {None}
    assert WRONG not in str([known, unknown])


@pytest.mark.parametrize("rounds", [5, 6])
def test_a_hash_of_another_cost_is_made_anew_at_login(
    api: Api, alice: Persona, sql: connection, rounds: int
) -> None:
    """S17."""
    before = set_hash(sql, alice, PASSWORD, rounds)

    assert log_in(api, alice.email, WRONG).status_code == 401
    assert scalar(sql, "SELECT password_hash FROM users") == before
    assert log_in(api, alice.email).status_code == 200

    after = scalar(sql, "SELECT password_hash FROM users")
    assert after.startswith("$2b$04$")
    assert [
        each["payload"]["is_rehashed"] for each in logged(sql, "auth.login_succeeded")
    ] == [True]
    assert log_in(api, alice.email).status_code == 200


def test_two_who_find_an_outdated_hash_both_get_in(
    api: Api, alice: Persona, sql: connection
) -> None:
    """S17: the one who comes second has verified a hash that is no more."""
    set_hash(sql, alice, PASSWORD, 5)

    answers = at_once([lambda: log_in(api, alice.email).status_code] * 6)

    assert answers == [200] * 6
    assert logged(sql, "auth.login_failed") == []
    rehashed = [
        each["payload"]["is_rehashed"] for each in logged(sql, "auth.login_succeeded")
    ]
    assert sorted(rehashed) == [False] * 5 + [True]


def test_the_printed_password_opens_nothing_in_production(
    settings: Settings, alice: Persona, sql: connection
) -> None:
    """S24: not even while the database is that of a demonstration."""
    production = replace(settings, environment=Environment.PRODUCTION)
    default = "StrongPassword123!"
    set_hash(sql, alice, default)

    refused = log_in(Api(create_app(production)), alice.email, default)

    assert refused.status_code == 401
    assert slug_of(refused) == "login-failed"
    assert log_in(Api(create_app(settings)), alice.email, default).status_code == 200


def test_who_is_disabled_while_his_password_is_checked_stays_out(
    api: Api, alice: Persona, sql: connection, dsn: str
) -> None:
    with closing(psycopg2.connect(dsn)) as other, ThreadPoolExecutor(1) as pool:
        # The login reads the account as it was, and then waits for this transaction.
        disable(other, alice)
        answer = pool.submit(log_in, api, alice.email)
        until_somebody_waits_for_a_lock(sql)
        other.commit()

        assert answer.result().status_code == 401

    assert scalar(sql, "SELECT count(*) FROM sessions") == 1
    assert len(logged(sql, "auth.login_failed")) == 1


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("2001:db8::7", "2001:db8::7"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("unix:", None),
        ("192.0.2.7, 10.0.0.1", None),
        ("", None),
    ],
)
def test_an_address_is_kept_if_it_is_one(
    api: Api, alice: Persona, sql: connection, address: str, kept: str | None
) -> None:
    given = body(log_in_from(api, address, alice.email))

    (entry,) = logged(sql, "auth.login_succeeded")
    assert entry["payload"]["ip_address"] == kept
    shown = body(api.as_(given["access_token"]).get("/api/auth/sessions"))
    assert [each["ip_address"] for each in shown["items"] if each["is_current"]] == [
        kept
    ]


def test_each_login_is_a_session_of_its_own(api: Api, alice: Persona) -> None:
    one, two = tokens_of(api, alice), tokens_of(api, alice)

    api.as_(one["access_token"]).post("/api/auth/logout")

    assert not is_let_in(api, one["access_token"])
    assert is_let_in(api, two["access_token"])
    assert is_let_in(api, alice.token)
