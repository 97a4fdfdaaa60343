"""What the demonstration can be told on the command line."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MIN_STUDENTS = 12
MAX_STUDENTS = 300
MAX_SPEED = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    students: int
    speed: float
    seed: int
    # Leave the server up at the end.
    keep: bool
    # Lines instead of a live table.
    plain: bool
    # Where to draw the final screen.
    svg: Path | None


def parse(arguments: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(
        prog="script/demo",
        description="Three proctored exams, played through HTTP on a server of its "
        "own, many times faster than life.",
    )
    parser.add_argument("--students", type=int, default=60, metavar="N")
    parser.add_argument(
        "--speed", type=float, default=30.0, metavar="X", help="times life (20 to 60)"
    )
    # With seed 8 about as many are caught as on average: bench/demo_seeds.py.
    parser.add_argument("--seed", type=int, default=8, metavar="S")
    parser.add_argument(
        "--keep", action="store_true", help="leave the server up, to look around"
    )
    parser.add_argument(
        "--plain", action="store_true", help="print lines instead of a live table"
    )
    parser.add_argument("--svg", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if not MIN_STUDENTS <= chosen.students <= MAX_STUDENTS:
        parser.error(f"--students must be from {MIN_STUDENTS} to {MAX_STUDENTS}")
    if not 1 <= chosen.speed <= MAX_SPEED:
        parser.error(f"--speed must be from 1 to {MAX_SPEED:g}")
    return Options(
        students=chosen.students,
        speed=chosen.speed,
        seed=chosen.seed,
        keep=chosen.keep,
        plain=chosen.plain,
        svg=chosen.svg,
    )
