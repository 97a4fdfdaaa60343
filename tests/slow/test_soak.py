"""A soak of a minute: all of it but the verdict, for which a minute is too short."""

import json
import os
from pathlib import Path

import pytest

from bench.morning.timetable import Action, Plan, draw
from bench.soak.__main__ import run
from bench.soak.verdict import Verdict
from tests.slow.running import find_program

OF_EACH = ("memory", "descriptors", "threads")
PLAN = Plan(
    name="short soak",
    students=60,
    exams=3,
    start_seconds=0,
    work_seconds=0,
    come_and_go_seconds=60,
    stay_seconds=12,
    compression=8,
)


def test_students_come_and_go_while_everything_is_read(tmp_path: Path) -> None:
    if find_program("nginx") is None and "CI" not in os.environ:
        pytest.skip("nginx is not installed")

    run(PLAN, rounds=4, every_seconds=1, runs=tmp_path)

    (directory,) = tmp_path.iterdir()
    record = json.loads((directory / "result.json").read_text())
    assert (record["wrong"], record["unfinished"]) == ([], 0)
    judged = {each["name"] for each in record["verdicts"]}
    read = {each["name"]: each["values"] for each in record["series"]}
    for part in ("API", "PostgreSQL", "nginx", "checkpointer", "witness"):
        # It was there all the time, and held something.
        for figure in ("processes", *(f"{each} of each" for each in OF_EACH)):
            assert min(read[f"{part}: {figure}"]) > 0
            assert f"{part}: {figure}" in judged
    assert set(read["API: processes"]) == {2.0}
    # Staff looked on meanwhile, and nobody was put off by it.
    actions = record["phases"][0]["latencies"]
    assert {Action.WATCH, Action.REFRESH, Action.LOG_OUT} <= set(actions)
    assert all(each["failed"] == 0 for each in actions.values())
    assert "<svg" in (directory / "chart.svg").read_text()


def test_a_leak_in_the_application_is_found(tmp_path: Path) -> None:
    if find_program("nginx") is None and "CI" not in os.environ:
        pytest.skip("nginx is not installed")

    leaking = "tests.slow.leaking:make_app()"
    code = run(PLAN, rounds=4, every_seconds=1, runs=tmp_path, application=leaking)

    (directory,) = tmp_path.iterdir()
    record = json.loads((directory / "result.json").read_text())
    judged = {each["name"]: each for each in record["verdicts"]}
    assert code == 1
    for figure in ("memory", "descriptors"):
        found = Verdict(**judged[f"API: {figure} of each"])
        assert not found.is_flat, found
    # What it did for students was right all the same.
    assert record["wrong"] == []


def test_each_stays_for_as_long_and_does_all_of_it() -> None:
    timetables, _ = draw(PLAN)

    assert len(timetables) == PLAN.students
    for timetable in timetables:
        actions = [each.action for each in timetable]
        assert actions[:3] == [Action.LOG_IN, Action.LOOK, Action.START]
        assert actions[-2:] == [Action.SUBMIT, Action.LOG_OUT]
        assert {Action.BEAT, Action.SAVE} <= set(actions)
        assert timetable[-1].at - timetable[0].at == pytest.approx(PLAN.stay_seconds)
        assert timetable[0].at >= 0
        assert timetable[-1].at <= PLAN.come_and_go_seconds
