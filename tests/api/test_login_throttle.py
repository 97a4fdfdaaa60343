"""Guessing is slow, and slows down nobody but the guesser (S20, S21)."""

import unicodedata
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace
from typing import Literal

import psycopg2
import pytest
from flask import Flask
from psycopg2.extensions import connection

from app import create_app
from config import Settings
from middleware.rate_limit import address_and_account
from tests.audit_trail import run
from tests.exams import body
from tests.logins import is_let_in, log_in_from, logged, slug_of
from tests.personas import PASSWORD, Api, Persona

WRONG = "incorrect horse battery staple"
HERE, THERE = "192.0.2.1", "198.51.100.7"
PER_ACCOUNT, PER_ADDRESS = 5, 20


@pytest.mark.parametrize("path", ["login", "register"])
def test_what_is_too_long_for_an_address_is_not_normalized(
    api: Api, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """It takes the square of its length: 120 kB of marks stopped a worker for 28 s."""
    lengths = []

    def normalize(form: Literal["NFC", "NFKC"], text: str) -> str:
        lengths.append(len(text))
        return unicodedata.normalize(form, text)

    monkeypatch.setattr("models.wire.unicodedata", SimpleNamespace(normalize=normalize))
    marks = "\u0315" * 3000 + "\u0300" * 3000
    sent = {"email": f"a{marks}@example.edu", "password": PASSWORD, "full_name": "A"}

    reply = api.as_(None).post(f"/api/auth/{path}", json=sent)

    assert reply.status_code in {401, 403, 422}
    assert max(lengths, default=0) <= 254


@pytest.fixture
def make_api(settings: Settings) -> Callable[[], Api]:
    """How to make another process of the same service."""
    limits = replace(
        settings.rate_limits,
        # Not by the minute, which may end in the middle of a test.
        login_failures=f"{PER_ACCOUNT} per hour",
        login_failures_address=f"{PER_ADDRESS} per hour",
    )
    return lambda: Api(create_app(replace(settings, rate_limits=limits)))


@pytest.fixture
def api(make_api: Callable[[], Api]) -> Api:
    return make_api()


def guess(api: Api, address: str, email: str, times: int = 1) -> Counter[int]:
    return Counter(
        log_in_from(api, address, email, WRONG).status_code for _ in range(times)
    )


def test_a_guesser_is_stopped_and_the_owner_is_not(
    api: Api, alice: Persona, sql: connection
) -> None:
    """S20: a hundred failures from one address."""
    assert guess(api, HERE, alice.email, 100) == {401: PER_ACCOUNT, 429: 95}

    assert log_in_from(api, THERE, alice.email).status_code == 200
    assert is_let_in(api, alice.token), "who sits an exam goes on with it"
    # The log does not grow with the guesser's patience.
    assert len(logged(sql, "auth.login_failed")) == PER_ACCOUNT


def test_a_guesser_who_is_stopped_does_not_learn_what_is_right(
    api: Api, alice: Persona
) -> None:
    guess(api, HERE, alice.email, PER_ACCOUNT)

    response = log_in_from(api, HERE, alice.email, PASSWORD)

    assert response.status_code == 429
    assert slug_of(response) == "too-many-requests"
    assert 1 <= int(response.headers["Retry-After"]) <= 3601


def test_an_account_that_is_not_there_is_limited_alike(api: Api) -> None:
    """S18: or the limit would tell which ones are."""
    assert guess(api, HERE, "nobody@example.edu", 7) == {401: PER_ACCOUNT, 429: 2}


def test_neighbours_of_a_guesser_log_in(
    api: Api, alice: Persona, mallory: Persona
) -> None:
    """S20: a whole school may have one address."""
    guess(api, HERE, alice.email, 7)

    assert log_in_from(api, HERE, mallory.email).status_code == 200


def test_no_two_accounts_share_a_count(app: Flask) -> None:
    counted = set()
    for number in range(1000):
        sent = {"email": f"student{number}@example.edu"}
        with app.test_request_context(json=sent):
            counted.add(address_and_account())

    assert len(counted) == 1000


def test_who_knows_his_password_is_not_counted(api: Api, alice: Persona) -> None:
    """S20: a morning on which everybody logs in through one address."""
    answers = {log_in_from(api, HERE, alice.email).status_code for _ in range(25)}

    assert answers == {200}
    assert guess(api, HERE, alice.email) == {401: 1}


def test_what_is_no_guess_is_not_counted(api: Api, alice: Persona) -> None:
    def send(given: object) -> int:
        return (
            api.as_(None)
            .post(
                "/api/auth/login",
                json=given,
                environ_overrides={"REMOTE_ADDR": HERE},
            )
            .status_code
        )

    answers = {send({"email": alice.email}) for _ in range(PER_ADDRESS + 5)}

    assert answers == {422}
    assert log_in_from(api, HERE, alice.email).status_code == 200


def test_other_spellings_are_the_same_account(api: Api, alice: Persona) -> None:
    spellings = [
        alice.email,
        alice.email.upper(),
        alice.email.capitalize(),
        f" {alice.email}",
        f"{alice.email} ",
    ]
    for each in spellings:
        assert guess(api, HERE, each) == {401: 1}

    assert guess(api, HERE, alice.email.title()) == {429: 1}


def test_trying_one_password_on_many_accounts_is_limited(
    api: Api, alice: Persona
) -> None:
    """S21: each account sees one failure, the address all of them."""
    tried = sum(
        (guess(api, HERE, f"student{number}@example.edu") for number in range(50)),
        Counter(),
    )

    assert tried == {401: PER_ADDRESS, 429: 50 - PER_ADDRESS}
    assert log_in_from(api, HERE, alice.email).status_code == 429
    assert log_in_from(api, THERE, alice.email).status_code == 200
    assert is_let_in(api, alice.token)


def test_who_has_a_network_has_one_address(api: Api, alice: Persona) -> None:
    """Of IPv6 addresses everybody has 18 quintillions."""
    tried = sum(
        (guess(api, f"2001:db8:0:1::{number}", alice.email) for number in range(1, 10)),
        Counter(),
    )

    assert tried == {401: PER_ACCOUNT, 429: 4}
    assert log_in_from(api, "2001:db8:0:2::1", alice.email).status_code == 200


def test_all_processes_count_together(
    make_api: Callable[[], Api], alice: Persona
) -> None:
    """S20, S70: nor does a restart forget."""
    processes = [make_api() for _ in range(3)]

    tried = sum(
        (guess(processes[number % 3], HERE, alice.email) for number in range(9)),
        Counter(),
    )

    assert tried == {401: PER_ACCOUNT, 429: 4}


def test_a_limit_ends_by_itself(api: Api, alice: Persona, sql: connection) -> None:
    """S20: nobody has to unlock anything."""
    guess(api, HERE, alice.email, PER_ACCOUNT)
    run(sql, "UPDATE rate_limits SET expires_at = clock_timestamp()")

    assert body(log_in_from(api, HERE, alice.email))["user"]["id"] == str(alice.id)


def test_a_clock_that_goes_back_stops_nobody_for_longer(
    api: Api, alice: Persona, sql: connection
) -> None:
    """R17: seen from an hour before, a minute's window ends in 61 minutes."""
    guess(api, HERE, alice.email, PER_ACCOUNT)
    run(sql, "UPDATE rate_limits SET expires_at = expires_at + interval '1 hour'")

    assert body(log_in_from(api, HERE, alice.email))["user"]["id"] == str(alice.id)

    # What was counted still counts, for whoever goes on guessing.
    run(sql, "UPDATE rate_limits SET expires_at = expires_at + interval '1 hour'")
    assert guess(api, HERE, alice.email, 2) == {401: 1, 429: 1}


def test_who_is_let_in_is_told_so_though_it_can_not_be_counted(
    api: Api, alice: Persona, dsn: str
) -> None:
    """The database may be lost between the two (seen with kill -9: a 500)."""
    assert log_in_from(api, HERE, alice.email).status_code == 200
    with closing(psycopg2.connect(dsn)) as blocker:
        # Logins are counted when they are answered, by what was the answer.
        assert len(run(blocker, "SELECT key FROM rate_limits FOR UPDATE")) == 1

        answer = log_in_from(api, HERE, alice.email)

    assert answer.status_code == 200
    assert is_let_in(api, body(answer)["access_token"])
