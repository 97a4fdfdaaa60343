"""Who used how much of the processors."""

from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass

import psutil
import psycopg2


@dataclass(frozen=True, slots=True)
class Usage:
    """Seconds of processor time until now, by part, and of the whole machine."""

    parts: Mapping[str, float]
    machine: float

    @classmethod
    def now(cls, parts: Mapping[str, psutil.Process]) -> "Usage":
        """Read the clocks of parts, each named by its first process; and our own."""
        busy = psutil.cpu_times()
        used = {name: _seconds(process) for name, process in parts.items()}
        used["clients"] = sum(psutil.Process().cpu_times()[:2])
        return cls(used, sum(busy) - busy.idle - busy.iowait)

    def since(self, earlier: "Usage") -> dict[str, float]:
        """Return the seconds that each part has used meanwhile."""
        return {name: used - earlier.parts[name] for name, used in self.parts.items()}


def postmaster_of(dsn: str) -> psutil.Process:
    """Return the process whose children are all others of this PostgreSQL."""
    with closing(psycopg2.connect(dsn)) as sql, sql.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (row,) = cursor.fetchall()
        postmaster = psutil.Process(row[0]).parent()
    assert postmaster is not None
    return postmaster


def _seconds(process: psutil.Process) -> float:
    """Add up a family: its living members, and those that it has buried."""
    seconds = 0.0
    for member in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            seconds += sum(member.cpu_times()[:4])
    return seconds
