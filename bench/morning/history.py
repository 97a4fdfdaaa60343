"""What earlier mornings measured, a line each, and what has become dearer since."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.morning.report import Record

HISTORY = Path(__file__).resolve().parents[1] / "history.jsonl"
# By so much a figure may grow before it is called dearer.
TOLERATED = 1.10


@dataclass(frozen=True, slots=True)
class Change:
    """A figure of the earlier run, and of the later one."""

    name: str
    before: float
    after: float
    # Processor time does not depend on neighbours; a latency does.
    is_steady: bool

    @property
    def ratio(self) -> float:
        return self.after / self.before

    @property
    def is_dearer(self) -> bool:
        return self.ratio > TOLERATED


def append(record: Record, path: Path = HISTORY) -> None:
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")


def read(path: Path = HISTORY) -> list[Record]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def last_two(records: Sequence[Record]) -> tuple[Record, Record] | None:
    """Return the last run and the one before it of the same plan and machine."""
    if not records:
        return None
    later = records[-1]
    like = [
        each
        for each in records[:-1]
        if (each["plan"], each["machine"]) == (later["plan"], later["machine"])
    ]
    return (like[-1], later) if like else None


def changes(before: Record, after: Record) -> Iterator[Change]:
    for was, now in zip(before["phases"], after["phases"], strict=True):
        name = now["phase"]["name"]
        yield Change(
            f"{name}: processor ms/request",
            was["cpu_ms_per_request"],
            now["cpu_ms_per_request"],
            is_steady=True,
        )
        for action, found in now["latencies"].items():
            if action in was["latencies"]:
                earlier = was["latencies"][action]["p95"]
                name_of_it = f"{name}: {action}, p95 ms"
                yield Change(name_of_it, earlier, found["p95"], is_steady=False)
