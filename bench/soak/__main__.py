"""Lets students come and go for half an hour, and fails if anything grows meanwhile.

Memory, descriptors, threads and connections of every part are to be in the end what
they were after the warm-up. docs/soak.md says what was seen.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from bench.morning.conductor import Outcome, conduct
from bench.morning.report import Record, record_of
from bench.morning.report import verdict as wrongs
from bench.morning.stage import Stage, staged
from bench.morning.student import stopwatch
from bench.morning.timetable import Plan
from bench.soak.charts import small_multiples
from bench.soak.readings import Part, Series, readings
from bench.soak.verdict import Verdict, judge
from tests.slow.house import House
from tests.slow.running import database_variables

PROJECT = Path(__file__).resolve().parents[2]
RUNS = PROJECT / ".local" / "soak"
# A leak must not be hidden by new workers.
NEVER_REPLACED = ("--max-requests", "0")
# What a process remembers of an exam grows with its attempts, and it remembers the last
# sixteen (services/analysis_cohort.py): exams are small, come one after another, and
# there have been so many of them when the warm-up ends.
EXAM_STUDENTS = 20
# Of the time; what comes after, until the last ones come no more, is judged.
WARM_UP = 1 / 3


def main() -> None:
    options = _parser().parse_args()
    seconds = options.minutes * 60
    stay = min(seconds / 5, 300.0)
    # As many as keep `students` of them there at a time.
    students = round(options.students * (seconds - stay) / stay)
    plan = Plan(
        name="soak",
        students=students,
        start_seconds=0,
        work_seconds=0,
        come_and_go_seconds=seconds,
        stay_seconds=stay,
        exams=-(-students // EXAM_STUDENTS),
        compression=options.compression,
    )
    sys.exit(run(plan, options.rounds, options.every))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--students", type=int, default=200, help="at a time")
    parser.add_argument(
        "--compression",
        type=float,
        default=4.0,
        help="divides the time that students think: 1 is life",
    )
    parser.add_argument("--rounds", type=int, default=12, help="bcrypt's cost")
    parser.add_argument(
        "--every", type=float, default=5.0, help="seconds between two readings"
    )
    return parser


def run(
    plan: Plan,
    rounds: int,
    every_seconds: float,
    runs: Path = RUNS,
    application: str = "app:app",
) -> int:
    """Return 0 if everything was flat and nothing was lost, else 1."""
    directory = runs / time.strftime("%Y%m%d-%H%M%S")
    directory.mkdir(parents=True)
    with (
        staged(
            plan,
            rounds=rounds,
            workers=2,
            log=directory / "gunicorn.log",
            application=application,
            gunicorn_options=NEVER_REPLACED,
        ) as stage,
        tempfile.TemporaryDirectory() as home,
    ):
        house = House(Path(home), stage.dsn, database_variables(stage.dsn))
        try:
            with (
                house.signing(1.0) as signer,
                readings(
                    parts_of(stage, house, signer.pid), every_seconds, stopwatch()
                ) as series,
            ):
                outcome = conduct(stage, plan)
        finally:
            house.process.kill()
    judged = (WARM_UP * plan.come_and_go_seconds, last_arrival(plan))
    verdicts = judge(list(series.values()), *judged)
    record = record_of(outcome, {"verdicts": [asdict(each) for each in verdicts]})
    show(outcome, verdicts)
    print(write(record, series, plan, judged, directory))
    is_good = all(each.is_flat for each in verdicts)
    return int(not is_good or bool(outcome.wrong) or bool(outcome.unfinished))


def last_arrival(plan: Plan) -> float:
    """Return the second from which on there are fewer and fewer students."""
    return plan.come_and_go_seconds - plan.stay_seconds


def parts_of(stage: Stage, house: House, signer_pid: int) -> list[Part]:
    first = stage.processes()
    return [
        Part("API", first["gunicorn"], with_first=False),
        Part("PostgreSQL", first["PostgreSQL"]),
        Part("nginx", first["nginx"]),
        Part("checkpointer", psutil.Process(signer_pid)),
        Part("witness", psutil.Process(house.process.pid)),
    ]


def show(outcome: Outcome, verdicts: Sequence[Verdict]) -> None:
    console = Console(width=110)
    (seen,) = outcome.phases
    requests = sum(seen.statuses.values())
    table = Table(title=f"{requests:,} requests, {seen.requests_per_second:,.0f}/s")
    for heading in ("what", "earlier", "later", "growth", "highest", ""):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for each in verdicts:
        table.add_row(
            each.name,
            *(
                f"{value:,.1f} {each.unit}"
                for value in (each.earlier, each.later, each.growth, each.highest)
            ),
            "flat" if each.is_flat else "GROWS",
            style="" if each.is_flat else "red",
        )
    console.print(table)
    console.print(f"answers: {seen.statuses}")
    for line in wrongs(outcome):
        console.print(line, style="red" if outcome.wrong else "green", markup=False)


def write(
    record: Record,
    series: Mapping[str, Series],
    plan: Plan,
    judged: tuple[float, float],
    directory: Path,
) -> Path:
    """Write result.json and chart.svg, whose path is returned."""
    record["series"] = [asdict(each) for each in series.values()]
    (directory / "result.json").write_text(json.dumps(record))
    chart = directory / "chart.svg"
    chart.write_text(
        small_multiples(list(series.values()), 0, plan.come_and_go_seconds, judged)
    )
    return chart


if __name__ == "__main__":
    main()
