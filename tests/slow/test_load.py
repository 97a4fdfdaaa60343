"""Two hundred students at once over four processes, and crashes in the middle of it."""

import threading
from collections.abc import Iterator, Mapping

import pytest

from database import embedded
from database.seed import seed_if_empty
from tests.slow.comparison import (
    assert_log_is_whole,
    assert_nothing_is_lost_or_doubled,
    rows,
)
from tests.slow.exam_morning import open_exam, sit_all
from tests.slow.running import RunningApi, kill_postgres, restart_postgres, running_api

STUDENTS = 200
AT_ONCE = 48


@pytest.fixture
def seeded_api(
    durable_dsn: str, database_variables: Mapping[str, str]
) -> Iterator[RunningApi]:
    seed_if_empty(durable_dsn)
    with running_api(database_variables) as api:
        yield api


def test_two_hundred_students_at_once(seeded_api: RunningApi, durable_dsn: str) -> None:
    exam_id, emails = open_exam(seeded_api.url, STUDENTS)

    everything = sit_all(seeded_api.url, exam_id, emails, at_once=AT_ONCE)

    assert_nothing_is_lost_or_doubled(durable_dsn, everything)
    assert_log_is_whole(durable_dsn, seeded_api)
    (deadlocks,) = rows(
        durable_dsn,
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()",
    )
    assert deadlocks == (0,)


def test_a_killed_database_and_a_killed_worker_lose_nothing_acknowledged(
    seeded_api: RunningApi, durable_dsn: str, durable_server: embedded.Server
) -> None:
    exam_id, emails = open_exam(seeded_api.url, STUDENTS // 2)
    is_over = threading.Event()
    downtimes: list[float] = []

    def break_things() -> None:
        # Every few seconds of the students' work, alternately.
        while not is_over.wait(3):
            kill_postgres(durable_server)
            restart_postgres(durable_server)
            downtimes.append(seeded_api.wait_until_healthy())
            if is_over.wait(2):
                break
            seeded_api.kill_a_worker()

    breaker = threading.Thread(target=break_things)
    breaker.start()
    try:
        everything = sit_all(seeded_api.url, exam_id, emails, at_once=AT_ONCE)
    finally:
        is_over.set()
        breaker.join()

    assert downtimes
    assert_nothing_is_lost_or_doubled(durable_dsn, everything)
    assert_log_is_whole(durable_dsn, seeded_api)


def test_the_service_returns_by_itself_after_the_database_was_away(
    seeded_api: RunningApi, durable_server: embedded.Server
) -> None:
    kill_postgres(durable_server)
    with pytest.raises(TimeoutError):
        seeded_api.wait_until_healthy(patience_seconds=1)
    restart_postgres(durable_server)

    assert seeded_api.wait_until_healthy() < 30
