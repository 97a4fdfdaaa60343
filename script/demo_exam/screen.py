"""What is seen while the exams take place: a live table, or a line now and then."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from script.demo_exam.journey import Journey, Sitting, Stage
from script.demo_exam.show import Show

REFRESHES_PER_SECOND = 4
LINE_EVERY_SECONDS = 5.0
TOP_RISKS = 6
STYLES = {
    "critical": "bold red",
    "high": "red",
    "medium": "yellow",
    "low": "green",
    "none": "dim",
}
COLUMNS = (
    Stage.WAITING,
    Stage.WRITING,
    Stage.OFFLINE,
    Stage.LAPTOP_DEAD,
    Stage.SUBMITTED,
    Stage.ENDED,
)


@contextmanager
def shown(show: Show, console: Console, *, is_plain: bool) -> Iterator[None]:
    """Show what happens for as long as the block runs."""
    if not is_plain:
        with Live(
            console=console,
            refresh_per_second=REFRESHES_PER_SECOND,
            get_renderable=lambda: picture(show),
            transient=True,
        ):
            yield
        return
    over = threading.Event()
    thread = threading.Thread(target=_tell, args=(show, console, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _tell(show: Show, console: Console, over: threading.Event) -> None:
    phase = ""
    next_line = 0.0
    while not over.wait(0.1):
        if show.phase != phase or time.monotonic() >= next_line:
            phase, next_line = show.phase, time.monotonic() + LINE_EVERY_SECONDS
            console.print(_line(show), highlight=False, soft_wrap=True)


def _line(show: Show) -> str:
    parts = [f"{_clock(time.monotonic() - show.began)}  {show.phase}"]
    if show.sittings:
        stages = Counter(str(each.stage) for each in show.journeys)
        parts.append(", ".join(f"{count} {stage}" for stage, count in stages.items()))
    counts = show.traffic.counts
    if counts.events_accepted:
        parts.append(
            f"{counts.events_accepted} events, {counts.answers_saved} answers, "
            f"{show.traffic.per_second():.0f} requests/s, "
            f"{counts.server_errors} errors"
        )
    return " | ".join(parts)


def picture(show: Show) -> RenderableType:
    head = Text.assemble(
        ("Proctored exams at ", "bold"),
        (f"{show.pace.speed:g} times life", "bold cyan"),
        f"   {_clock(time.monotonic() - show.began)}   ",
        (show.phase, "italic"),
    )
    parts: list[RenderableType] = [head, ""]
    if show.sittings:
        parts += [_exams(show), ""]
    parts += [_traffic(show), ""]
    suspects = [each for each in show.suspects() if each.risk_score > 0][:TOP_RISKS]
    if suspects:
        title = "Highest risks at this moment"
        table = Table(title=title, title_justify="left", expand=True)
        for column in ("student", "exam", "risk"):
            table.add_column(column, no_wrap=True)
        # What is left of the line, and no more, goes to the reason.
        table.add_column("first reason", no_wrap=True, overflow="ellipsis", ratio=1)
        for each in suspects:
            style = STYLES.get(each.risk_level, "")
            table.add_row(
                each.student_name,
                each.exam_title,
                Text(f"{each.risk_score:5.1f} {each.risk_level}", style),
                each.reasons[0].explanation if each.reasons else "",
            )
        parts.append(table)
    return Group(*parts)


def _exams(show: Show) -> Table:
    table = Table()
    table.add_column("exam")
    table.add_column("life's clock", justify="right")
    for stage in COLUMNS:
        table.add_column(stage.value, justify="right")
    for sitting in show.sittings:
        journeys = show.of_exam(sitting)
        counts = Counter(each.stage for each in journeys)
        table.add_row(
            sitting.title,
            life_clock(sitting, show.pace.speed),
            *(str(counts[stage] or "") for stage in COLUMNS),
            style="red" if _has_failed(journeys) else None,
        )
    return table


def _has_failed(journeys: list[Journey]) -> bool:
    return any(each.stage is Stage.FAILED for each in journeys)


def life_clock(sitting: Sitting, speed: float) -> str:
    """Return how far the exam is, in life's hours and minutes."""
    passed = (datetime.now(UTC) - sitting.starts_at) * speed
    whole = (sitting.ends_at - sitting.starts_at) * speed
    if passed < timedelta(0):
        return f"opens in {-passed.total_seconds() / speed:.0f} s"
    return f"{_hours(passed)} of {_hours(whole)}"


def _hours(time_span: timedelta) -> str:
    minutes = int(time_span.total_seconds() // 60)
    return f"{minutes // 60}:{minutes % 60:02}"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02}:{int(seconds) % 60:02}"


def _traffic(show: Show) -> Text:
    counts, traffic = show.traffic.counts, show.traffic
    return Text.assemble(
        (f"{traffic.per_second():.0f}", "bold"),
        f" requests/s, half within {traffic.percentile_ms(0.5):.0f} ms, "
        f"95 % within {traffic.percentile_ms(0.95):.0f} ms   ",
        (f"{counts.events_accepted:,}", "bold"),
        " events   ",
        (f"{counts.answers_saved:,}", "bold"),
        " answers\n",
        f"bad networks: {counts.dropped} requests dropped, {counts.replies_lost} "
        f"replies lost, {counts.delayed} delayed; {counts.repeated} sent again, "
        f"{counts.events_duplicate} events recognised as sent before\n",
        (
            f"{counts.server_errors} server errors",
            "bold red" if counts.server_errors else "green",
        ),
        f"   {counts.asked_to_wait} asked to wait   {counts.refreshes} tokens renewed",
    )
