"""Percentiles, and who used how much of the processors meanwhile."""

import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.morning.journal import Sample
from bench.morning.timetable import Phase
from bench.usage import Usage


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of the sorted values reach."""
    return values[max(0, math.ceil(share * len(values)) - 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Milliseconds from the moment that was drawn to the answer that counts."""

    count: int
    p50: float
    p95: float
    p99: float
    longest: float
    # The last attempt alone, from when it was sent.
    served_p99: float
    # How often the server said: later.
    put_off: int
    failed: int

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> "Latency":
        waited = sorted(1000 * (each.done - each.due) for each in samples)
        served = sorted(1000 * (each.done - each.sent) for each in samples)
        return cls(
            count=len(samples),
            p50=round(percentile(waited, 0.50), 1),
            p95=round(percentile(waited, 0.95), 1),
            p99=round(percentile(waited, 0.99), 1),
            longest=round(waited[-1], 1),
            served_p99=round(percentile(served, 0.99), 1),
            put_off=sum(len(each.statuses) - 1 for each in samples),
            failed=sum(not each.is_good for each in samples),
        )


def statuses_of(samples: Iterable[Sample]) -> dict[str, int]:
    """Count every answer by its status; 0 is none."""
    counted = Counter(status for each in samples for status in each.statuses)
    return {str(status): count for status, count in sorted(counted.items())}


def cores_between(earlier: Usage, later: Usage, phase: Phase) -> dict[str, float]:
    """Return how many cores each part kept busy, and our neighbours."""
    seconds = phase.ends - phase.begins
    cores = {name: used / seconds for name, used in later.since(earlier).items()}
    cores["others"] = (later.machine - earlier.machine) / seconds - sum(cores.values())
    return {name: round(max(0.0, used), 3) for name, used in cores.items()}


def machine() -> dict[str, str | int | float]:
    """Say on what all this was measured."""
    model = "unknown"
    with suppress(OSError), Path("/proc/cpuinfo").open(encoding="ascii") as file:
        names = [line for line in file if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return {
        "cpu": model,
        "cores": os.cpu_count() or 0,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "kernel": os.uname().release,
    }
