"""Clocks that are wrong: of the host that serves, and of the database itself."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest
import requests
from psycopg2.extensions import connection

from database import embedded
from database.seed import seed_if_empty
from tests.audit_trail import run, scalar
from tests.exams import Json
from tests.reports import observed
from tests.scraped import Scraped
from tests.slow.clocks import Clock, set_wrong, with_own_clock
from tests.slow.comparison import assert_log_is_whole
from tests.slow.exam_morning import PASSWORD, Client, open_exam, sit_exam
from tests.slow.running import RunningApi, running_api
from tests.waiting import until

# What passes between a moment here and its record there, on a busy machine.
SLACK = timedelta(seconds=20)
TEN_MINUTES = 600.0
# By hand, because an exam lasts a minute at least.
END_SOON = """
    ALTER TABLE attempts DISABLE TRIGGER attempts_guard;
    UPDATE attempts SET deadline_at = clock_timestamp() + interval '4 seconds'
     WHERE id = %s;
    ALTER TABLE attempts ENABLE TRIGGER attempts_guard
"""


@contextmanager
def looking_into(dsn: str) -> Iterator[connection]:
    with closing(psycopg2.connect(dsn)) as sql:
        sql.autocommit = True
        yield sql


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def logged_in(api: RunningApi, email: str) -> Client:
    client = Client(api.url)
    client.log_in(email)
    return client


def with_tokens(api: RunningApi, email: str) -> tuple[Client, Json]:
    client = Client(api.url)
    sent = {"email": email, "password": PASSWORD}
    tokens = client.send("POST", "/api/auth/login", sent).json()
    bear(client, tokens)
    return client, tokens


def bear(client: Client, tokens: Json) -> None:
    client.session.headers["Authorization"] = f"Bearer {tokens['access_token']}"


def started(client: Client, exam_id: str) -> Json:
    found: Json = client.send("POST", f"/api/exams/{exam_id}/start", {}).json()
    return found


@pytest.mark.parametrize("seconds", [TEN_MINUTES, -TEN_MINUTES], ids=["fast", "slow"])
def test_a_host_whose_clock_is_wrong_keeps_the_databases_time(
    seconds: float, durable_dsn: str, database_variables: Mapping[str, str]
) -> None:
    """R16: deadlines, logins, receipts, the sweeper, and another host beside it."""
    seed_if_empty(durable_dsn)
    with (
        looking_into(durable_dsn) as sql,
        running_api(database_variables, workers=1) as right,
        running_api(
            database_variables, workers=2, environment=set_wrong(seconds)
        ) as wrong,
    ):
        assert abs(clock_offset(wrong) + seconds) < SLACK.total_seconds()
        assert abs(clock_offset(right)) < SLACK.total_seconds()
        exam_id, (first, second) = open_exam(wrong.url, 2)

        # Logged in with the wrong one he is so with the right one, and the other way.
        client = logged_in(wrong, first)
        other = Client(right.url, session=client.session)
        assert other.send("GET", "/api/auth/me").json()["email"] == first

        before = datetime.now(UTC)
        attempt = started(client, exam_id)
        assert abs(moment(attempt["server_time"]) - before) < SLACK
        assert abs(moment(attempt["started_at"]) - before) < SLACK
        assert abs(moment(attempt["deadline_at"]) - before) < SLACK + timedelta(hours=1)
        # What the client sees now is neither ahead nor late.
        event = observed(1) | {"attempt_id": attempt["id"]}
        client.send("POST", "/api/proctoring/event", event)
        assert (
            scalar(
                sql,
                "SELECT count(*) FROM proctoring_events"
                " WHERE event_type = 'client.clock_skew'",
            )
            == 0
        )

        # Ended at the deadline by either host, not before and not ten minutes later.
        run(sql, END_SOON, attempt["id"])
        status = "SELECT status FROM attempts WHERE id = %s"
        time.sleep(2)
        assert scalar(sql, status, attempt["id"]) == "in_progress"
        until(lambda: scalar(sql, status, attempt["id"]) == "submitted")
        assert scalar(
            sql,
            "SELECT ended_at = deadline_at FROM attempts WHERE id = %s",
            attempt["id"],
        )

        done = sit_exam(wrong.url, second, exam_id, rounds=2)
        assert done.receipt is not None
        newest = scalar(sql, "SELECT max(recorded_at) FROM audit_log")
        assert abs(newest - datetime.now(UTC)) < SLACK
        assert_log_is_whole(durable_dsn, wrong)


def clock_offset(api: RunningApi) -> float:
    text = requests.get(f"{api.url}/metrics", timeout=10).text
    return Scraped(text)("proctoring_clock_offset_seconds")


def test_the_databases_own_clock_goes_back(
    durable_dsn: str,
    durable_server: embedded.Server,
    database_variables: Mapping[str, str],
) -> None:
    """R17: the log's time does not, limits end, and students go on."""
    seed_if_empty(durable_dsn)
    with (
        with_own_clock(durable_server) as clock,
        running_api(
            database_variables,
            workers=2,
            environment={"RATELIMIT_LOGIN_FAILURES": "2 per minute"},
        ) as api,
    ):
        exam_id, (first, second, third, guessed) = open_exam(api.url, 4)
        client = logged_in(api, first)
        attempt = started(client, exam_id)
        save(client, attempt, 1)
        steady, tokens = with_tokens(api, third)
        steady_attempt = started(steady, exam_id)
        assert [guess(api, guessed) for _ in range(3)] == [401, 401, 429]

        # No more than clocks may differ by: nobody notices.
        set_clock(clock, -20, durable_dsn)
        save(client, attempt, 2)

        # A token of the future is refused. Whoever refreshes goes on, as his client
        # does after any 401; whoever logs in again takes his attempt over.
        set_clock(clock, -3600, durable_dsn)
        steady.send("GET", "/api/auth/me", good=(401,))
        shown = {"refresh_token": tokens["refresh_token"]}
        bear(steady, steady.send("POST", "/api/auth/refresh", shown).json())
        save(steady, steady_attempt, 1)
        client = logged_in(api, first)
        take_over = {"take_over": True}
        client.send("POST", f"/api/exams/{exam_id}/start", take_over)
        save(client, attempt, 3)
        other = logged_in(api, second)
        own = started(other, exam_id)
        save(other, own, 1)
        other.send("POST", f"/api/exams/attempts/{own['id']}/submit")
        # He was stopped for a minute, and is not for an hour.
        logged_in(api, guessed)

        set_clock(clock, 0, durable_dsn)

        client.log_in(first)
        client.send("POST", f"/api/exams/{exam_id}/start", take_over)
        save(client, attempt, 4)
        client.send("POST", f"/api/exams/attempts/{attempt['id']}/submit")
        assert_log_is_whole(durable_dsn, api)
        with looking_into(durable_dsn) as sql:
            held, disordered = run(
                sql,
                "SELECT count(*) FILTER (WHERE flags & 1 = 1),"
                "       count(*) FILTER (WHERE recorded_at < before)"
                "  FROM (SELECT flags, recorded_at,"
                "               lag(recorded_at) OVER (ORDER BY seq) AS before"
                "          FROM audit_log) AS entries",
            )[0]
        # What was recorded meanwhile says that its time is not to be believed.
        assert held > 5
        assert disordered == 0


def save(client: Client, attempt: Json, version: int) -> None:
    question = attempt["questions"][0]
    answer = {
        "question_id": question["id"],
        "response": question["options"][0]["id"],
        "client_version": version,
    }
    path = f"/api/exams/attempts/{attempt['id']}/answers"
    client.send("PUT", path, {"answers": [answer]})
    event = observed(version) | {"attempt_id": attempt["id"]}
    # By the database's clock it may lie an hour ahead: refused, and no fault.
    client.send("POST", "/api/proctoring/event", event, good=(201, 422))


def guess(api: RunningApi, email: str) -> int:
    sent = {"email": email, "password": PASSWORD + "?"}
    url = f"{api.url}/api/auth/login"
    return requests.post(url, json=sent, timeout=10).status_code


def set_clock(clock: Clock, seconds: float, dsn: str) -> None:
    clock.set(seconds)
    with looking_into(dsn) as sql:
        shown = scalar(sql, "SELECT clock_timestamp()")
    assert abs(shown - datetime.now(UTC) - timedelta(seconds=seconds)) < SLACK
