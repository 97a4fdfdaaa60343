"""The project's speed as ratios to its limits, all measured in one run.

The machine may be shared and noisy: both sides of a ratio take turns, round by round,
and the median ratio counts. docs/performance.md says what each means.
"""

import argparse
import os
import platform
import secrets
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from bench import chained_commits, evidence, verification
from bench.ingest import BATCH, CONNECTIONS, Ingest, Pace
from bench.stage import fresh_database, seat_students, serving

PARTS = ("gunicorn", "PostgreSQL", "clients")
# A flush takes a fifth of a millisecond on a local NVMe disk, and one or more on what
# servers rent. The second is had by waiting before each flush.
DISKS = {
    "this disk": {},
    "a flush of 1 ms": {"commit_delay": "1000", "commit_siblings": "0"},
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    name: str
    limit_name: str
    unit: str
    target: float
    ours: float
    limit: float
    ratios: Sequence[float]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    parser.add_argument(
        "--strict", action="store_true", help="exit with 1 below a target"
    )
    parser.add_argument(
        "--only", choices=("speed", "evidence"), help="one half; without: both"
    )
    options = parser.parse_args()
    divisor = 10 if options.quick else 1
    is_reached = True
    if options.only != "evidence":
        results, paces = run(options.rounds, divisor)
        show(results)
        show_processor_time(paces)
        is_reached &= all(result.ratio >= result.target for result in results)
    if options.only != "speed":
        Console(stderr=True).print("evidence …")
        figures = evidence.measure(
            1_000_000 // divisor, options.rounds, secrets.token_urlsafe(48)
        )
        show_evidence(figures)
        is_reached &= all(figure.is_reached for figure in figures)
    show_machine()
    if options.strict and not is_reached:
        sys.exit(1)


def run(rounds: int, divisor: int) -> tuple[list[Result], dict[str, list[Pace]]]:
    """Return the ratios, and the rounds of what was also accounted for."""
    jwt_key = secrets.token_urlsafe(48)
    console = Console(stderr=True)
    results = []
    with fresh_database() as dsn:
        students = seat_students(dsn, CONNECTIONS * (1 + rounds), jwt_key)
        with serving(dsn, jwt_key) as api:
            ingest = Ingest(dsn, api, students)
            ingest.singles(50)
            console.print("single events …")
            singles = [ingest.singles(400 // divisor) for _ in range(rounds)]
            console.print("batches of 100 …")
            batches = [ingest.batches(60 // divisor) for _ in range(rounds)]
        paces = {
            "an authenticated POST that does nothing": [r.limit for r in singles],
            "an event": [r.ours for r in singles],
            "the rows of a batch, by psycopg2 alone": [r.limit for r in batches],
            "a batch of 100 events": [r.ours for r in batches],
        }
        results += [
            Result(
                name="POST /api/proctoring/event",
                limit_name="authenticated POST that does nothing",
                unit="requests/s",
                target=0.6,
                ours=_median(singles, lambda r: r.ours.a_second),
                limit=_median(singles, lambda r: r.limit.a_second),
                ratios=[r.ratio for r in singles],
            ),
            Result(
                name="POST /api/proctoring/events, 100 each",
                limit_name="the same rows by psycopg2 alone",
                unit="events/s",
                target=0.6,
                ours=_median(batches, lambda r: r.ours.a_second * BATCH),
                limit=_median(batches, lambda r: r.limit.a_second * BATCH),
                ratios=[r.ratio for r in batches],
            ),
        ]
    for disk, settings in DISKS.items():
        with fresh_database(settings) as dsn:
            console.print(f"chained commits, {disk} …")
            chained = [
                chained_commits.measure(dsn, rounds=1, round_seconds=2 / divisor)
                for _ in range(rounds)
            ]
        results.append(
            Result(
                name=f"chained commits, 8 connections, {disk}",
                limit_name="the same two inserts unchained",
                unit="commits/s",
                target=0.9,
                ours=_median(chained, lambda r: r.chained_per_second),
                limit=_median(chained, lambda r: r.unchained_per_second),
                ratios=[r.ratio for r in chained],
            )
        )
    with fresh_database() as dsn:
        console.print("verifying …")
        verification.fill(dsn, 200_000 // divisor)
        verified = [verification.measure(dsn) for _ in range(rounds)]
        results.append(
            Result(
                name="verify the audit log, one process",
                limit_name="bare hashlib on the same bytes",
                unit="entries/s",
                target=0.35,
                ours=_median(verified, lambda r: r.verified_per_second),
                limit=_median(verified, lambda r: r.hashed_per_second),
                ratios=[r.ratio for r in verified],
            )
        )
    return results, paces


def _median(rounds: Sequence[T], figure: Callable[[T], float]) -> float:
    return statistics.median(figure(each) for each in rounds)


def show(results: Sequence[Result]) -> None:
    console = Console(width=120)
    table = Table(title="Speed, as ratios to the limit measured in the same run")
    for heading in (
        "what",
        "a second",
        "limit",
        "a second",
        "ratio",
        "range",
        "target",
    ):
        table.add_column(heading, justify="right" if heading != "what" else "left")
    for result in results:
        met = "green" if result.ratio >= result.target else "red"
        table.add_row(
            result.name,
            f"{result.ours:,.0f}",
            result.limit_name,
            f"{result.limit:,.0f} {result.unit}",
            f"[{met}]{result.ratio:.2f}[/]",
            f"{min(result.ratios):.2f}-{max(result.ratios):.2f}",
            f"{result.target:.2f}",
        )
    console.print(table)


def show_processor_time(paces: Mapping[str, Sequence[Pace]]) -> None:
    """Which part the time goes to; it drifts less than how many there are a second."""
    table = Table(title="Processor time of each, in ms")
    table.add_column("what")
    for heading in (*PARTS, "together"):
        table.add_column(heading, justify="right")
    for name, rounds in paces.items():
        spent = [statistics.median(p.spent_ms[part] for p in rounds) for part in PARTS]
        table.add_row(name, *(f"{each:.2f}" for each in (*spent, sum(spent))))
    Console(width=120).print(table)


def show_evidence(figures: Sequence[evidence.Figure]) -> None:
    table = Table("what", "seen", "target", title="What the evidence costs")
    for figure in figures:
        met = "green" if figure.is_reached else "red"
        bound = "at most" if figure.is_most else "at least"
        table.add_row(
            figure.name,
            f"[{met}]{figure.seen:,.2f}[/] {figure.unit}",
            f"{bound} {figure.target:,.2f}",
        )
    Console(width=120).print(table)


def show_machine() -> None:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    Console(width=120).print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, commit {commit or 'unknown'}"
    )


if __name__ == "__main__":
    main()
