"""How busy the server is, told with every reply, and what is left out first."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace

import psycopg2
import pytest
from flask import Flask
from psycopg2.extensions import connection

from app import create_app
from config import Settings
from services.server_load import Load, ServerLoad
from tests.exams import Json, body, start
from tests.personas import Api, Persona, Speaker
from tests.reports import observed, send, send_many, stored_types
from tests.waiting import until

THREADS = 4


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    """Few threads, that wait for a lock as long as it takes."""
    patient = replace(
        settings.database, lock_timeout_seconds=60, statement_timeout_seconds=60
    )
    made = create_app(replace(settings, server_threads=THREADS, database=patient))
    yield made
    made.extensions["database"].close()


@pytest.fixture
def overload(
    app: Flask, api: Api, ada: Persona, dsn: str
) -> Callable[[], AbstractContextManager[None]]:
    @contextmanager
    def overloaded() -> Iterator[None]:
        """Let an admin wait with all threads but one, until that is noticed."""
        load: ServerLoad = app.extensions["server_load"]
        with (
            ThreadPoolExecutor(THREADS - 1) as pool,
            closing(psycopg2.connect(dsn)) as blocker,
        ):
            with blocker.cursor() as cursor:
                cursor.execute("LOCK TABLE legal_holds IN ACCESS EXCLUSIVE MODE")
            stuck = [
                pool.submit(api.as_(ada).get, "/api/legal-holds")
                for _ in range(THREADS - 1)
            ]
            until(lambda: load.level() is Load.OVERLOADED)
            try:
                yield
            finally:
                blocker.rollback()
        assert [each.result().status_code for each in stuck] == [200] * len(stuck)

    return overloaded


def beat(sequence: int) -> Json:
    return observed(sequence, "session.milestone", payload={})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health/live", 200),
        ("GET", "/api/auth/me", 200),
        ("DELETE", "/api/auth/me", 405),
        ("POST", "/api/auth/login", 415),
        ("GET", "/nowhere", 404),
        ("GET", "/api/users", 403),
        ("POST", "/api/auth/logout", 204),
    ],
)
def test_every_reply_says_how_busy_the_server_is(
    student: Speaker, method: str, path: str, status: int
) -> None:
    reply = student.open(path, method=method)

    assert reply.status_code == status
    assert reply.headers["Backoff"] == "0"


def test_a_program_of_another_origin_may_read_it(settings: Settings) -> None:
    origin = "https://exam.example.edu"
    app = create_app(replace(settings, cors_origins=(origin,)))

    reply = app.test_client().get("/health/live", headers={"Origin": origin})

    assert "Backoff" in reply.headers["Access-Control-Expose-Headers"]


def test_heartbeats_are_left_out_when_there_is_too_much_to_do(
    student: Speaker,
    exam: Json,
    overload: Callable[[], AbstractContextManager[None]],
    sql: connection,
) -> None:
    attempt = start(student, exam)
    with overload():
        refused = send_many(student, attempt, beat(1), beat(2))
        refused_too = send(student, attempt, beat(1))

    for each in (refused, refused_too):
        assert body(each, 503)["type"] == "/problems/heartbeat-not-taken"
        assert 15 <= int(each.headers["Retry-After"]) <= 30
        assert 15 <= int(each.headers["Backoff"]) <= 30
    assert stored_types(sql, attempt) == []
    # Nothing was lost: what was refused is taken when there is room again.
    again = send_many(student, attempt, beat(1), beat(2))
    assert [each["status"] for each in body(again)["results"]] == ["accepted"] * 2
    assert again.headers["Backoff"] == "0"


def test_everything_else_is_always_taken(
    student: Speaker,
    exam: Json,
    overload: Callable[[], AbstractContextManager[None]],
    sql: connection,
) -> None:
    attempt = start(student, exam)
    question = attempt["questions"][1]
    path = f"/api/exams/attempts/{attempt['id']}"
    answer = {"question_id": question["id"], "response": True, "client_version": 1}
    milestone = observed(3, "session.milestone", payload={"milestone": "half"})
    with overload():
        mixed = send_many(student, attempt, beat(1), observed(2))
        single = send(student, attempt, milestone)
        # What is no event is answered as such.
        torn = send_many(student, attempt, beat(4), {"sequence": 5})
        saved = student.put(f"{path}/answers", json={"answers": [answer]})
        resumed = student.get(path)
        receipt = student.post(f"{path}/submit")

    assert [each["status"] for each in body(mixed)["results"]] == ["accepted"] * 2
    assert single.status_code == 201
    assert [e["status"] for e in body(torn)["results"]] == ["accepted", "rejected"]
    assert body(saved)["saved"][0]["client_version"] == 1
    assert body(resumed)["answers"][0]["response"] is True
    assert body(receipt)["attempt"]["status"] == "submitted"
    for each in (mixed, single, torn, saved, resumed, receipt):
        assert int(each.headers["Backoff"]) >= 15
    assert len(stored_types(sql, attempt)) == 4
