"""A small exam morning: the whole of it, and nothing is lost. Never how fast."""

import os
from pathlib import Path

import pytest

from bench.morning import history
from bench.morning.conductor import Outcome, conduct
from bench.morning.report import record_of, write
from bench.morning.stage import staged
from bench.morning.timetable import Plan, draw
from tests.slow.running import find_program

PLAN = Plan(
    name="small",
    students=60,
    log_in_seconds=4,
    start_seconds=4,
    work_seconds=8,
    storm_logins=20,
    storm_seconds=2,
    submit_seconds=4,
    compression=6,
)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    if find_program("nginx") is None and "CI" not in os.environ:
        pytest.skip("nginx is not installed")
    log = tmp_path_factory.mktemp("morning") / "gunicorn.log"
    with staged(PLAN, rounds=4, workers=2, log=log) as stage:
        return conduct(stage, PLAN)


def test_nothing_is_lost_doubled_or_broken(outcome: Outcome) -> None:
    assert list(outcome.wrong) == []
    assert list(outcome.unfinished) == []


def test_every_appointment_was_kept_in_the_end(outcome: Outcome) -> None:
    students, crowd = draw(PLAN)
    drawn = sum(len(timetable) for timetable in [*students, *crowd])
    statuses = {status for each in outcome.samples for status in each.statuses}

    assert len(outcome.samples) == drawn
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
