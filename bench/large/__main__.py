"""Times every endpoint on ten thousand events and on ten million, in turn.

docs/performance.md says what was seen. The application runs in this process, without
HTTP in between, which would only make both sides more alike.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psycopg2
from psycopg2.extensions import make_dsn
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench.large.requests import Ask, reads, writes
from bench.morning.measures import machine, percentile
from database import embedded
from database.migrate import migrate
from tests.audit_trail import run
from tests.checkpoints import files_in
from tests.databases import connection_to, settings_for
from tests.everything import sign_everything
from tests.many_rows import Size, fill
from tests.scene import play, playing

PROJECT = Path(__file__).resolve().parents[2]
RESULTS = PROJECT / ".local" / "large"
TARGET = 1.3
# Of the small school; the large one has as many to an attempt.
EVENTS_OF_AN_ATTEMPT = 100
SMALL = Size(attempts=100, events_of_an_attempt=EVENTS_OF_AN_ATTEMPT)
TOKEN_SECONDS = 86_400
# No endpoint is asked for longer than this, on both sides together.
MOST_SECONDS = 20.0
FEWEST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """Milliseconds, by the 95th percentile and by the median."""

    name: str
    small_p95: float
    large_p95: float
    small_p50: float
    large_p50: float
    requests: int

    @property
    def ratio(self) -> float:
        return self.large_p95 / self.small_p95


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attempts", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=100, help="to each endpoint")
    options = parser.parse_args()
    large = Size(attempts=options.attempts, events_of_an_attempt=EVENTS_OF_AN_ATTEMPT)
    console = Console(width=120)
    with schools({"small": SMALL, "large": large}, console) as (small, many):
        timed = list(compare(small, many, options.requests, console))
    show(timed, large, console)
    RESULTS.mkdir(parents=True, exist_ok=True)
    kept = RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    record = {
        "machine": machine(),
        "attempts": large.attempts,
        "events": large.events,
        "timed": [asdict(each) for each in timed],
    }
    kept.write_text(json.dumps(record, indent=1))
    console.print(str(kept))
    sys.exit(any(each.ratio > TARGET for each in timed))


@contextmanager
def schools(
    sizes: Mapping[str, Size], console: Console
) -> Iterator[Sequence[Mapping[str, Ask]]]:
    """Fill a database for each size, and give all that can be asked of each."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        home.chmod(0o711)
        # A server that flushes, with memory as one of this size has.
        server = embedded.start(
            home / "postgres", {"shared_buffers": "2GB", "max_wal_size": "8GB"}
        )
        stack.callback(embedded.stop, server)
        with closing(psycopg2.connect(server.dsn())) as administrator:
            administrator.autocommit = True
            for name in sizes:
                run(administrator, f"CREATE DATABASE {name}")
        found = []
        for name, size in sizes.items():
            dsn = make_dsn(server.dsn(), dbname=name)
            found.append(stack.enter_context(_school(dsn, size, home / name, console)))
        yield found


@contextmanager
def _school(
    dsn: str, size: Size, keys: Path, console: Console
) -> Iterator[Mapping[str, Ask]]:
    migrate(dsn, lambda _: None)
    settings = replace(
        settings_for(connection_to(dsn)), access_token_seconds=TOKEN_SECONDS
    )
    cast = play(dsn, settings)
    with Progress(console=console) as progress:
        task = progress.add_task(f"{size.events:,} events", total=size.attempts)
        fill(dsn, size, lambda attempts: progress.advance(task, attempts))
    console.print("signing …")
    keys.mkdir()
    with closing(psycopg2.connect(dsn)) as sql:
        signed = sign_everything(dsn, files_in(keys, sql))
    console.print(f"{signed:,} entries of the log are signed")
    with playing(settings) as app:
        yield reads(app, cast, signed) | writes(app, cast)


def compare(
    small: Mapping[str, Ask], large: Mapping[str, Ask], requests: int, console: Console
) -> Iterator[Timed]:
    """Ask both the same, in turn. Raises ValueError if they can not be compared."""
    if set(small) != set(large):
        raise ValueError(f"answered in one alone: {set(small) ^ set(large)}")
    with Progress(console=console) as progress:
        task = progress.add_task("asking", total=len(small))
        for name in small:
            yield _compare(small[name], large[name], requests)
            progress.advance(task)


def _compare(small: Ask, large: Ask, requests: int) -> Timed:
    ours: list[float] = []
    theirs: list[float] = []
    for ask in (small, large):
        _milliseconds(ask)
    began = time.perf_counter()
    while len(ours) < requests:
        ours.append(_milliseconds(small))
        theirs.append(_milliseconds(large))
        is_late = time.perf_counter() - began > MOST_SECONDS
        if is_late and len(ours) >= FEWEST:
            break
    ours.sort()
    theirs.sort()
    return Timed(
        name=small.name,
        small_p95=percentile(ours, 0.95),
        large_p95=percentile(theirs, 0.95),
        small_p50=percentile(ours, 0.5),
        large_p50=percentile(theirs, 0.5),
        requests=len(ours),
    )


def _milliseconds(ask: Ask) -> float:
    began = time.perf_counter()
    status = ask.send()
    seconds = time.perf_counter() - began
    if status >= 400:  # noqa: PLR2004
        raise ValueError(f"{ask.name}: {status}")
    return 1000 * seconds


def show(timed: Sequence[Timed], size: Size, console: Console) -> None:
    table = Table(title=f"ms with {SMALL.events:,} events, and with {size.events:,}")
    for heading in ("endpoint", "p50", "p50", "p95", "p95", "ratio of p95", "requests"):
        table.add_column(heading, justify="left" if heading == "endpoint" else "right")
    for each in sorted(timed, key=lambda each: -each.ratio):
        table.add_row(
            each.name,
            *(
                f"{value:.2f}"
                for value in (
                    *(each.small_p50, each.large_p50),
                    *(each.small_p95, each.large_p95),
                    each.ratio,
                )
            ),
            str(each.requests),
            style="red" if each.ratio > TARGET else "",
        )
    console.print(table)
    within = sum(each.ratio <= TARGET for each in timed)
    console.print(f"{within} of {len(timed)} endpoints within {TARGET}")


if __name__ == "__main__":
    main()
