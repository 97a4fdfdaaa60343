"""A storm of logins: some wait, the rest are told to come back, nobody else notices."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import bcrypt
import pytest
from psycopg2.extensions import connection

from app import create_app
from config import Settings
from services.passwords import HashingBusyError, PasswordHasher
from tests.at_once import at_once
from tests.audit_trail import run
from tests.exams import body
from tests.logins import is_let_in, log_in, logged, refresh, slug_of, tokens_of
from tests.personas import PASSWORD, Api, Persona
from tests.waiting import until

# Long enough that all who come at once find the first one still at work.
SLOW = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(13)).decode()


def test_as_many_as_there_is_room_for_are_served() -> None:
    """S22: one at work and two who wait; the others are refused."""
    hasher = PasswordHasher(rounds=4, concurrency=1, queue=2)

    def verify() -> bool:
        try:
            return hasher.verify(PASSWORD, SLOW)
        except HashingBusyError:
            return False

    assert sorted(at_once([verify] * 8)) == [False] * 5 + [True] * 3


def test_room_is_made_again() -> None:
    hasher = PasswordHasher(rounds=4, concurrency=1, queue=0)
    at_work = threading.Thread(target=hasher.verify, args=(PASSWORD, SLOW))
    at_work.start()

    def is_full() -> bool:
        try:
            hasher.verify(PASSWORD, None)
        except HashingBusyError:
            return True
        return False

    until(is_full)
    at_work.join()

    assert not is_full()


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no niceness there")
def test_hashing_gives_way_to_every_other_thread() -> None:
    hasher = PasswordHasher(rounds=4, concurrency=1, queue=0)
    before = set(threading.enumerate())

    hasher.verify(PASSWORD, None)

    (hashing,) = set(threading.enumerate()) - before
    ours = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    theirs = os.getpriority(os.PRIO_PROCESS, hashing.native_id or 0)
    assert theirs == min(ours + 10, 19)


def test_what_fails_gives_its_place_back() -> None:
    hasher = PasswordHasher(rounds=4, concurrency=1, queue=0)

    for _ in range(3):
        with pytest.raises(ValueError, match="salt"):
            hasher.verify(PASSWORD, "no hash")

    assert not hasher.verify(PASSWORD, None)


def test_who_is_turned_away_does_not_come_back_with_the_others() -> None:
    waits = {HashingBusyError().retry_after_seconds for _ in range(100)}

    assert waits == {1, 2, 3, 4, 5}


def test_other_routes_answer_while_logins_wait(
    settings: Settings, alice: Persona, mallory: Persona, sql: connection
) -> None:
    """S22."""
    run(sql, "UPDATE users SET password_hash = %s WHERE id = %s", SLOW, str(alice.id))
    api = Api(create_app(replace(settings, hashing_concurrency=1, hashing_queue=1)))

    with ThreadPoolExecutor(6) as pool:
        logins = [pool.submit(log_in, api, alice.email) for _ in range(6)]
        # Four are turned away at once; two are at it for a second or more.
        until(lambda: sum(login.done() for login in logins) >= 4)
        for _ in range(20):
            assert api.as_(mallory).get("/api/auth/me").status_code == 200
        assert sum(login.done() for login in logins) == 4, "it was no storm"
        answers = [login.result() for login in logins]

    assert sorted(each.status_code for each in answers) == [200] * 2 + [503] * 4
    for refused in (each for each in answers if each.status_code == 503):
        assert slug_of(refused) == "too-many-logins"
        assert 1 <= int(refused.headers["Retry-After"]) <= 5
    # Nobody has guessed wrong.
    assert logged(sql, "auth.login_failed") == []


def test_who_is_logged_in_stays_so_while_nobody_can_log_in(
    settings: Settings, alice: Persona, mallory: Persona, sql: connection
) -> None:
    """S22, R14: a refresh hashes no password, so it waits for no place among those."""
    app = create_app(replace(settings, hashing_concurrency=1, hashing_queue=0))
    api = Api(app)
    given = tokens_of(api, mallory)
    run(sql, "UPDATE users SET password_hash = %s WHERE id = %s", SLOW, str(alice.id))

    with ThreadPoolExecutor(1) as pool:
        # Whichever of the two comes first, she gets the only place in the end.
        at_work = pool.submit(
            until, lambda: log_in(api, alice.email).status_code == 200
        )
        until(lambda: log_in(api, mallory.email).status_code == 503)
        for _ in range(2):
            given = body(refresh(api, given["refresh_token"]))
        assert not at_work.done(), "it was no storm"

    assert is_let_in(api, given["access_token"])
    at_work.result()
