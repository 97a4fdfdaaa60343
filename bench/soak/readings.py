"""What each part of the system holds, read every few seconds."""

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psutil

MIB = 2**20
# Where PostgreSQL keeps tables and indexes. A backend leaves open those that it has
# met, up to all that there are, and the pool replaces it sooner or later: how many are
# open says how old the backends are.
TABLE_FILE = re.compile(r".*/(base/\d+|global)/\d+(_(fsm|vm|init))?(\.\d+)?")


@dataclass(slots=True)
class Series:
    """One figure over time; `times` are seconds from the beginning."""

    name: str
    unit: str
    times: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def between(self, begins: float, ends: float) -> list[float]:
        """Return the values that were read from `begins` until before `ends`."""
        return [
            value
            for time, value in zip(self.times, self.values, strict=True)
            if begins <= time < ends
        ]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the system: a process and those that it has started."""

    name: str
    first: psutil.Process
    # The first one of gunicorn only minds the others.
    with_first: bool = True

    def members(self) -> list[psutil.Process]:
        children: list[psutil.Process] = self.first.children(recursive=True)
        return [self.first, *children] if self.with_first else children


def descriptors(process: psutil.Process) -> int:
    """Count what a process has open, without the files of tables."""
    of_tables = [
        file for file in process.open_files() if TABLE_FILE.fullmatch(file.path)
    ]
    return process.num_fds() - len(of_tables)


# What is read of each process: name, unit, and how. Of a part it is the mean, because
# PostgreSQL has a process for each connection, and pools open them when they need one.
# Memory that is shared does not count: PostgreSQL's buffers fill up by design.
FIGURES: Sequence[tuple[str, str, Callable[[psutil.Process], float]]] = (
    ("memory", "MiB", lambda process: process.memory_full_info().uss / MIB),
    ("descriptors", "", lambda process: float(descriptors(process))),
    ("threads", "", lambda process: float(process.num_threads())),
)


def read(parts: Sequence[Part]) -> Iterator[tuple[str, str, float]]:
    """Yield (name, unit, value) of each part: how many processes, and each's share."""
    for part in parts:
        members = part.members()
        yield f"{part.name}: processes", "", float(len(members))
        for name, unit, of in FIGURES:
            total = 0.0
            for member in members:
                # A backend of PostgreSQL ends when its connection does.
                with suppress(psutil.NoSuchProcess):
                    total += of(member)
            yield f"{part.name}: {name} of each", unit, total / max(1, len(members))


@contextmanager
def readings(
    parts: Sequence[Part], every_seconds: float, clock: Callable[[], float]
) -> Iterator[Mapping[str, Series]]:
    """Read all parts in a thread while the block runs."""
    series: dict[str, Series] = {}
    is_over = threading.Event()

    def read_on() -> None:
        while not is_over.wait(every_seconds):
            now = clock()
            for name, unit, value in read(parts):
                found = series.setdefault(name, Series(name, unit))
                found.times.append(now)
                found.values.append(value)

    reader = threading.Thread(target=read_on)
    reader.start()
    try:
        yield series
    finally:
        is_over.set()
        reader.join()
