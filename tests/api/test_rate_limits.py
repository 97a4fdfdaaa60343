"""Each kind of request has the limit that its setting names (S70)."""

import time
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
import time_machine
from werkzeug.test import TestResponse

from config import Settings
from middleware.rate_limit import PostgresStorage
from tests.databases import connection_to, settings_for
from tests.exams import Json
from tests.personas import PASSWORD, Speaker
from tests.scene import Scene, playing
from tests.writes import WRITES

WRONG_LOGIN: Json = {"email": "alice@example.edu", "password": "not that one"}
WRONG_CHANGE: Json = {
    "current_password": "not that one",
    "new_password": "another horse battery staple",
}
# With it everybody else could be kept from logging in: it has nothing to be guessed.
SAME_CHANGE: Json = {"current_password": PASSWORD, "new_password": PASSWORD}
RIGHT_LOGIN: Json = {"email": "alice@example.edu", "password": PASSWORD}
EXPORT_OF_ANOTHER = "/api/users/{user_id}/data-export?reason=a+letter"


@pytest.fixture
def settings(played: str) -> Settings:
    """Of a copy of the scene, with limits that nobody reaches."""
    return settings_for(connection_to(played))


def assert_two_are_let_through(answers: list[TestResponse]) -> None:
    assert [answer.status_code == 429 for answer in answers] == [False, False, True]
    assert answers[2].get_json()["type"] == "/problems/too-many-requests"
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 3601


@pytest.mark.parametrize(
    ("limit", "endpoint"),
    [
        ("default", "exams.duplicate_exam"),
        ("register", "auth.register"),
        ("refresh", "auth.refresh"),
        ("events", "proctoring.record_event"),
        ("events", "proctoring.record_events"),
    ],
)
def test_of_three_the_third_is_refused(
    settings: Settings, scene: Scene, limit: str, endpoint: str
) -> None:
    limits = replace(settings.rate_limits, **{limit: "2 per hour"})
    with playing(replace(settings, rate_limits=limits)) as app:
        answers = [WRITES[endpoint].send(app, scene.cast) for _ in range(3)]

    assert_two_are_let_through(answers)


def test_who_is_logged_in_is_counted_by_himself(
    settings: Settings, scene: Scene
) -> None:
    """Two thousand students may sit behind one address."""
    limits = replace(settings.rate_limits, default="1 per hour")
    with playing(replace(settings, rate_limits=limits)) as app:
        ask = {
            who: partial(Speaker(app, scene.cast.tokens[who]).get, "/api/auth/me")
            for who in ("alice", "ada")
        }
        answers = [ask[who]().status_code for who in ("alice", "alice", "ada")]

    assert answers == [200, 429, 200]


def test_nobody_is_told_to_come_back_at_once(
    settings: Settings, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window may end while he is being refused."""
    monkeypatch.setattr(PostgresStorage, "get_expiry", lambda *_: time.time() - 0.5)
    limits = replace(settings.rate_limits, default="1 per hour")
    with playing(replace(settings, rate_limits=limits)) as app:
        ask = partial(Speaker(app, scene.cast.tokens["ada"]).get, "/api/exams")
        answers = [ask() for _ in range(2)]

    assert answers[1].status_code == 429
    assert answers[1].headers["Retry-After"] == "1"


def test_a_clock_that_goes_back_makes_no_limit_longer(
    settings: Settings, scene: Scene
) -> None:
    """R17: seen from there, what was counted before ends a day too late."""
    limits = replace(settings.rate_limits, default="2 per hour")
    with playing(replace(settings, rate_limits=limits)) as app:
        ask = partial(Speaker(app, scene.cast.tokens["ada"]).get, "/api/exams")
        first = ask()
        with app.extensions["database"].bookkeeping() as tx:
            tx.execute(
                "UPDATE rate_limits SET expires_at = expires_at + interval '1 d'"
            )
        answers = [first, ask(), ask()]

    assert_two_are_let_through(answers)


def test_a_window_ends_when_it_was_to_end_and_the_next_begins_at_nothing(
    settings: Settings,
) -> None:
    """Who asks once in a while, for hours, would be refused in the end."""
    with playing(settings) as app:
        storage = PostgresStorage(database=app.extensions["database"])

        def hit_after(seconds: int) -> int:
            with app.extensions["database"].bookkeeping() as tx:
                tx.execute(
                    "UPDATE rate_limits"
                    " SET expires_at = expires_at - make_interval(secs => %(seconds)s)",
                    {"seconds": seconds},
                )
            with app.test_request_context():
                return storage.incr("a", 60)

        assert [hit_after(seconds) for seconds in (0, 40, 40, 40)] == [1, 2, 1, 2]


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_host_whose_clock_is_wrong_says_rightly_when_to_come_back(
    settings: Settings, scene: Scene, minutes: int
) -> None:
    """R16: its own clock only says what the database's has said."""
    limits = replace(settings.rate_limits, default="2 per minute")
    with playing(replace(settings, rate_limits=limits)) as app:
        ask = partial(Speaker(app, scene.cast.tokens["ada"]).get, "/api/exams")
        with time_machine.travel(timedelta(minutes=minutes)):
            answers = [ask() for _ in range(3)]

    assert_two_are_let_through(answers)
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 61


@pytest.mark.parametrize(
    ("limit", "who", "path", "sent"),
    [
        ("login_failures", "anonymous", "/api/auth/login", WRONG_LOGIN),
        ("login_failures_address", "anonymous", "/api/auth/login", WRONG_LOGIN),
        ("logins", "anonymous", "/api/auth/login", RIGHT_LOGIN),
        ("login_failures", "alice", "/api/auth/change-password", WRONG_CHANGE),
        ("login_failures", "alice", "/api/auth/change-password", SAME_CHANGE),
        ("data_exports", "alice", "/api/auth/me/data-export", None),
        ("data_exports", "ada", EXPORT_OF_ANOTHER, None),
    ],
)
def test_of_three_passwords_or_exports_the_third_is_refused(
    settings: Settings,
    scene: Scene,
    limit: str,
    who: str,
    path: str,
    sent: Json | None,
) -> None:
    limits = replace(settings.rate_limits, **{limit: "2 per hour"})
    with playing(replace(settings, rate_limits=limits)) as app:
        speaker = Speaker(app, scene.cast.tokens[who])
        path = path.format(**scene.cast.ids)
        ask = speaker.get if sent is None else partial(speaker.post, json=sent)
        answers = [ask(path) for _ in range(3)]

    assert_two_are_let_through(answers)


def test_an_operator_can_forget_one_count_or_all(
    settings: Settings,
) -> None:
    with playing(settings) as app:
        storage = PostgresStorage(database=app.extensions["database"])
        with app.test_request_context():
            assert [storage.incr("a", 60), storage.incr("a", 60)] == [1, 2]
            storage.incr("b", 60)
        with app.test_request_context():
            assert storage.get_expiry("a") > storage.get_expiry("never")
            storage.clear("a")
        with app.test_request_context():
            assert (storage.get("a"), storage.get("b")) == (0, 1)
            storage.reset()
        with app.test_request_context():
            assert storage.get("b") == 0
