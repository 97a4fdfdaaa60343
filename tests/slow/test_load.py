"""Two hundred students at once over four processes, and crashes in the middle of it."""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg2
import pytest

from database import embedded
from database.seed import seed_if_empty
from tests.slow.exam_morning import (
    Acknowledged,
    open_exam,
    sit_exam,
    verify_log,
)
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


def sit_all(api: RunningApi, exam_id: str, emails: Sequence[str]) -> list[Acknowledged]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda email: sit_exam(api.url, email, exam_id), emails))


def rows(dsn: str, query: str) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(dsn)) as session, session.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def assert_nothing_is_lost_or_doubled(
    dsn: str, everything: Sequence[Acknowledged]
) -> None:
    """Compare what was acknowledged with what is there."""
    attempts = rows(dsn, "SELECT id::text, status FROM attempts")
    assert len(attempts) == len(everything)
    assert {str(attempt) for attempt, _ in attempts} == {
        attempt for done in everything for attempt in done.attempt_ids
    }
    assert Counter(status for _, status in attempts) == {"submitted": len(everything)}

    stored = {
        str(event): seq
        for event, seq in rows(
            dsn,
            """
            SELECT e.client_event_id::text, a.seq
              FROM proctoring_events e
              JOIN audit_log a ON a.entity_type = 'event_batch'
                              AND a.entity_id = e.batch_id::text
             WHERE e.sequence IS NOT NULL
            """,
        )
    }
    acknowledged = {
        event: seq for done in everything for event, seq in done.events.items()
    }
    assert stored == acknowledged

    answers = {
        (str(email), str(question)): version
        for email, question, version in rows(
            dsn,
            """
            SELECT u.email, w.question_id, w.client_version
              FROM answers w JOIN attempts a ON a.id = w.attempt_id
              JOIN users u ON u.id = a.student_id
            """,
        )
    }
    assert answers == {
        (done.email, question): version
        for done in everything
        for question, version in done.answers.items()
    }

    receipts = {done.receipt["audit_seq"] for done in everything if done.receipt}
    assert len(receipts) == len(everything)


def assert_log_is_whole(dsn: str, api: RunningApi) -> None:
    verification = verify_log(api.url)
    assert verification["valid"], verification
    assert verification["first_seq"] == 0
    (extent,) = rows(dsn, "SELECT count(*), max(seq) + 1 FROM audit_log")
    assert extent[0] == extent[1]


def test_two_hundred_students_at_once(seeded_api: RunningApi, durable_dsn: str) -> None:
    exam_id, emails = open_exam(seeded_api.url, STUDENTS)

    everything = sit_all(seeded_api, exam_id, emails)

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
        everything = sit_all(seeded_api, exam_id, emails)
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
