"""Exam morning, measured: real requests through nginx and gunicorn to PostgreSQL.

docs/exam-morning.md says what each scenario is, and what was seen.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.morning import history, storm
from bench.morning.conductor import Outcome, conduct
from bench.morning.report import Record, record_of, show, write
from bench.morning.stage import staged
from bench.morning.timetable import Plan

PROJECT = Path(__file__).resolve().parents[2]
RUNS = PROJECT / ".local" / "morning"
LADDER = (100, 200, 500, 1000, 2000)

SCENARIOS = {
    # All have logged in; they start within a minute, work, and hand in together.
    "morning": Plan(
        name="morning",
        students=1000,
        start_seconds=60,
        work_seconds=90,
        submit_seconds=30,
    ),
    # The same, but all want to start at the stroke of nine.
    "sharp": Plan(
        name="sharp",
        students=1000,
        start_seconds=30,
        rush_seconds=3,
        work_seconds=30,
        submit_seconds=15,
    ),
    # The same with real logins before it, a few more a second than bcrypt allows.
    "doors": Plan(
        name="doors",
        students=300,
        log_in_seconds=60,
        start_seconds=30,
        work_seconds=30,
        submit_seconds=15,
    ),
    # Others log in all at once while the exam is on.
    "storm": Plan(
        name="storm",
        students=1000,
        start_seconds=30,
        work_seconds=60,
        storm_logins=450,
        storm_seconds=60,
    ),
}


def main() -> None:
    options = _parser().parse_args()
    if options.command == "compare":
        sys.exit(compare())
    outcomes = [run(plan, options) for plan in _plans(options)]
    sys.exit(any(outcome.wrong or outcome.unfinished for outcome in outcomes))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in (*SCENARIOS, "ladder"):
        command = commands.add_parser(name)
        if name != "ladder":
            command.add_argument("--students", type=int)
        command.add_argument(
            "--compression",
            type=float,
            default=1.0,
            help="divides the time that students think: 10 is ten times as dense",
        )
        command.add_argument(
            "--impolite",
            action="store_true",
            help="start when they like, and never send less",
        )
        command.add_argument("--seconds", type=float, help="of work")
        command.add_argument("--start-seconds", type=float)
        command.add_argument("--submit-seconds", type=float)
        if name == "storm":
            command.add_argument("--storm-seconds", type=float)
            command.add_argument("--storm-logins", type=int)
        command.add_argument("--workers", type=int, default=2)
        command.add_argument("--rounds", type=int, default=12, help="bcrypt's cost")
        command.add_argument(
            "--keep", action="store_true", help="add a line to bench/history.jsonl"
        )
    commands.add_parser(
        "compare", help="the last run in the history with the one before"
    )
    return parser


def _plans(options: argparse.Namespace) -> list[Plan]:
    name = "morning" if options.command == "ladder" else options.command
    changes = {
        "compression": options.compression,
        "work_seconds": options.seconds,
        "start_seconds": options.start_seconds,
        "submit_seconds": options.submit_seconds,
        "storm_seconds": getattr(options, "storm_seconds", None),
        "storm_logins": getattr(options, "storm_logins", None),
    }
    given = {key: value for key, value in changes.items() if value}
    plan = replace(SCENARIOS[name], is_polite=not options.impolite, **given)
    if options.command == "ladder":
        return [replace(plan, name="ladder", students=count) for count in LADDER]
    return [replace(plan, students=options.students or plan.students)]


def run(plan: Plan, options: argparse.Namespace) -> Outcome:
    extra: Record = {}
    if plan.storm_logins or plan.log_in_seconds:
        extra["bcrypt"] = round(storm.hashes_per_second(options.rounds), 2)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    directory = RUNS / f"{stamp}-{plan.name}-{plan.students}"
    directory.mkdir(parents=True)
    log = directory / "gunicorn.log"
    with staged(plan, rounds=options.rounds, workers=options.workers, log=log) as stage:
        outcome = conduct(stage, plan)
    if plan.storm_logins:
        extra["storm"] = storm.judge(outcome, extra["bcrypt"])
    record = record_of(outcome, extra)
    show(outcome, record)
    print(write(outcome, record, directory))
    if options.keep:
        history.append(record)
    return outcome


def compare() -> int:
    """Return 1 if processor time a request has grown by more than a tenth."""
    found = history.last_two(history.read())
    if found is None:
        print("There are not yet two runs of the same plan on the same machine.")
        return 0
    before, after = found
    table = Table(title=f"{before['commit']} → {after['commit']}")
    for heading in ("figure", "before", "after", "ratio"):
        table.add_column(heading, justify="left" if heading == "figure" else "right")
    is_dearer = False
    for change in history.changes(before, after):
        mark = "red" if change.is_dearer and change.is_steady else ""
        is_dearer |= bool(mark)
        ratio = f"{change.ratio:.2f}"
        table.add_row(
            change.name,
            f"{change.before:.2f}",
            f"{change.after:.2f}",
            ratio,
            style=mark,
        )
    Console().print(table)
    return int(is_dearer)


if __name__ == "__main__":
    main()
