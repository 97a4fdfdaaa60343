"""A small exam morning: the whole of it, and nothing is lost. Never how fast."""

import os
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import psycopg2
import pytest

from bench.morning import history
from bench.morning.conductor import Outcome, conduct
from bench.morning.report import record_of, write
from bench.morning.stage import staged
from bench.morning.timetable import Plan, draw
from tests.audit_trail import run
from tests.slow.running import find_program
from utils.start_slots import start_at

PLAN = Plan(
    name="small",
    students=60,
    log_in_seconds=4,
    start_seconds=4,
    rush_seconds=0.5,
    work_seconds=8,
    storm_logins=20,
    storm_seconds=2,
    submit_seconds=4,
    compression=6,
)


# Who started, when, and in which exam.
STARTED = """
    SELECT exams.id::text, student_id::text, started_at, starts_at, ends_at,
           make_interval(mins => duration_minutes)
      FROM attempts JOIN exams ON exams.id = exam_id
"""


@dataclass(frozen=True, slots=True)
class Morning:
    outcome: Outcome
    # By how much each came after the moment that the waiting room gave him.
    after_slot: list[timedelta]


@pytest.fixture(scope="module")
def morning(tmp_path_factory: pytest.TempPathFactory) -> Morning:
    if find_program("nginx") is None and "CI" not in os.environ:
        pytest.skip("nginx is not installed")
    log = tmp_path_factory.mktemp("morning") / "gunicorn.log"
    with staged(PLAN, rounds=4, workers=2, log=log) as stage:
        outcome = conduct(stage, PLAN)
        return Morning(outcome, delays_behind_slots(stage.dsn))


def delays_behind_slots(dsn: str) -> list[timedelta]:
    with closing(psycopg2.connect(dsn)) as sql:
        rows = run(sql, STARTED)
    return [
        started_at
        - start_at(
            UUID(exam_id),
            UUID(student_id),
            starts_at=starts_at,
            ends_at=ends_at,
            duration=duration,
            assigned=PLAN.students,
        )
        for exam_id, student_id, started_at, starts_at, ends_at, duration in rows
    ]


@pytest.fixture(scope="module")
def outcome(morning: Morning) -> Outcome:
    return morning.outcome


def test_each_starts_when_the_waiting_room_says(morning: Morning) -> None:
    assert len(morning.after_slot) == PLAN.students
    # A clock of the clients' own reads a millisecond or two differently.
    assert min(morning.after_slot) > -timedelta(milliseconds=50)


def test_nothing_is_lost_doubled_or_broken(outcome: Outcome) -> None:
    assert list(outcome.wrong) == []
    assert list(outcome.unfinished) == []


def test_every_appointment_was_kept_in_the_end(outcome: Outcome) -> None:
    students, crowd = draw(PLAN)
    drawn = sum(len(timetable) for timetable in [*students, *crowd])
    statuses = {status for each in outcome.samples for status in each.statuses}

    assert len(outcome.samples) + outcome.left_out == drawn
    # On a machine that is too busy, and at the login in any case, the server may ask a
    # client to come back; it never fails, and never leaves anybody without an answer.
    assert statuses <= {200, 201, 429, 503}
    assert all(each.is_good for each in outcome.samples)


def test_a_latency_counts_from_the_moment_that_was_drawn(outcome: Outcome) -> None:
    assert all(each.due <= each.sent <= each.done for each in outcome.samples)


def test_a_run_is_written_down_and_compared(outcome: Outcome, tmp_path: Path) -> None:
    record = record_of(outcome, {})
    page = write(outcome, record, tmp_path)
    path = tmp_path / "history.jsonl"
    history.append(record, path)
    dearer = {**record, "phases": [dict(phase) for phase in record["phases"]]}
    dearer["phases"][0]["cpu_ms_per_request"] *= 1.2
    history.append(dearer, path)

    found = history.last_two(history.read(path))
    assert found is not None
    changes = list(history.changes(*found))

    assert "60 students" in page.read_text()
    assert page.read_text().count("<svg") == 2
    assert [change.name for change in changes if change.is_dearer] == [
        "log in: processor ms/request"
    ]
