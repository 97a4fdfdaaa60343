"""An exam under way while something keeps failing: what is lost, and what is said.

Each test counts why students had to send something again: docs/faults.md has what was
seen.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle

import pytest

from database import embedded
from database.seed import seed_if_empty
from tests.fault_proxy import Line, line_to
from tests.slow.comparison import (
    assert_log_is_whole,
    assert_nothing_is_lost_or_doubled,
)
from tests.slow.exam_morning import Acknowledged, open_exam, retries_of, sit_all
from tests.slow.running import (
    RunningApi,
    meanwhile,
    restart_postgres,
    running_api,
    stop_postgres,
)

STUDENTS = 30
ROUNDS = 6
PAUSE_SECONDS = 1.0
# 12 are what a connection waits at the most.
SILENCE_SECONDS = 16.0

Sit = Callable[[RunningApi], list[Acknowledged]]


@pytest.fixture
def sit(durable_dsn: str) -> Sit:
    """How all students sit an exam; afterwards all that was acknowledged is there."""

    def sit_and_compare(api: RunningApi) -> list[Acknowledged]:
        exam_id, emails = open_exam(api.url, STUDENTS)
        everything = sit_all(
            api.url,
            exam_id,
            emails,
            at_once=STUDENTS,
            rounds=ROUNDS,
            pause_seconds=PAUSE_SECONDS,
        )
        assert_nothing_is_lost_or_doubled(durable_dsn, everything)
        return everything

    return sit_and_compare


@contextmanager
def serving(
    variables: Mapping[str, str], dsn: str, **more: object
) -> Iterator[RunningApi]:
    seed_if_empty(dsn)
    with running_api(variables, workers=2, **more) as api:  # type: ignore[arg-type]
        yield api


@contextmanager
def serving_over_a_line(
    variables: Mapping[str, str], dsn: str
) -> Iterator[tuple[RunningApi, Line]]:
    with line_to(variables["DB_HOST"], int(variables["DB_PORT"])) as line:
        far = {**variables, "DB_HOST": "127.0.0.1", "DB_PORT": str(line.port)}
        with serving(far, dsn) as api:
            yield api, line


def test_a_bad_line_to_the_database(
    durable_dsn: str, database_variables: Mapping[str, str], sit: Sit
) -> None:
    """Cut, silent, deaf, slow: each for a moment, in turn, again and again (R5)."""
    kinds = cycle(("cut", "silent", "deaf", "slow"))
    with serving_over_a_line(database_variables, durable_dsn) as (api, line):
        with meanwhile(0.4, lambda: misbehave(line, next(kinds))) as faults:
            everything = sit(api)
        assert_log_is_whole(durable_dsn, api)

    assert len(faults) > 4
    # What fails is 503, which says when to come back, and nothing else.
    assert set(retries_of(everything)) == {"503"}


def misbehave(line: Line, kind: str) -> None:
    line.is_silent = kind == "silent"
    line.is_deaf = kind == "deaf"
    if kind == "slow":
        line.latency_seconds, line.bytes_per_second = 0.05, 20_000
    time.sleep(0.6)
    line.is_silent = line.is_deaf = False
    line.latency_seconds = line.bytes_per_second = 0
    # What was swallowed never comes, so the streams are torn.
    line.cut()


def test_a_database_that_falls_silent(
    durable_dsn: str, database_variables: Mapping[str, str], sit: Sit
) -> None:
    """For longer than we wait; the line stays up all the time (R4)."""
    with serving_over_a_line(database_variables, durable_dsn) as (api, line):
        with ThreadPoolExecutor(1) as pool:
            sitting = pool.submit(sit, api)
            # All have logged in, and are at it.
            time.sleep(5)
            line.is_silent = True
            time.sleep(SILENCE_SECONDS)
            line.is_silent = False
            everything = sitting.result()
        assert_log_is_whole(durable_dsn, api)

    assert set(retries_of(everything)) == {"503"}


def test_restarts_of_the_database(
    durable_dsn: str,
    durable_server: embedded.Server,
    database_variables: Mapping[str, str],
    sit: Sit,
) -> None:
    """`-m fast`, as an update of PostgreSQL does it (R2)."""

    def restart() -> None:
        stop_postgres(durable_server)
        restart_postgres(durable_server)

    with serving(database_variables, durable_dsn) as api:
        with meanwhile(2, restart) as restarts:
            everything = sit(api)
        assert_log_is_whole(durable_dsn, api)

    assert len(restarts) > 1
    assert set(retries_of(everything)) <= {"503"}


def test_workers_that_are_killed(
    durable_dsn: str, database_variables: Mapping[str, str], sit: Sit
) -> None:
    """As the kernel does when memory is short; gunicorn starts others (R10)."""
    with serving(database_variables, durable_dsn) as api:
        with meanwhile(2, api.kill_a_worker) as kills:
            everything = sit(api)
        assert_log_is_whole(durable_dsn, api)

    assert len(kills) > 1
    # Who was being served has lost his connection, and nobody else has noticed.
    assert set(retries_of(everything)) <= {"ConnectionError", "ChunkedEncodingError"}


def test_a_log_that_nobody_reads(
    durable_dsn: str, database_variables: Mapping[str, str], sit: Sit
) -> None:
    """Standard output is a pipe that is full (R23)."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with os.fdopen(reader, "rb"), os.fdopen(writer, "wb", buffering=0) as output:
        while output.write(b"x" * 4096 + b"\n"):
            pass
        os.set_blocking(writer, True)
        talkative = {"LOG_LEVEL": "INFO"}
        with serving(
            database_variables, durable_dsn, environment=talkative, output=output
        ) as api:
            everything = sit(api)
            assert_log_is_whole(durable_dsn, api)

    assert retries_of(everything) == Counter()
