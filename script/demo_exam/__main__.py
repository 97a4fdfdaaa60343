"""`python -m script.demo_exam`: what script/demo runs."""

import io
import os
import re
import signal
import sys
from contextlib import suppress
from types import FrameType

import psycopg2
from rich.console import Console

from config import ConfigError
from database.embedded_home import EmbeddedServerError
from database.migrate import MigrationError
from script import serve
from script.demo_exam.client import UnexpectedAnswerError
from script.demo_exam.findings import Findings, find
from script.demo_exam.keeping import keep
from script.demo_exam.options import Options, parse
from script.demo_exam.pace import Pace
from script.demo_exam.report import print_report
from script.demo_exam.screen import shown
from script.demo_exam.show import Show
from script.demo_exam.stage import LOG, BusyError, Stage, log_tail, stage

INTERRUPTED = 130
PLAIN_WIDTH = 150


def main() -> None:
    options = parse(sys.argv[1:])
    for number in serve.STOP_SIGNALS:
        signal.signal(number, interrupt)
    os.chdir(serve.PROJECT)
    is_plain = options.plain or not sys.stdout.isatty()
    console = Console(width=PLAIN_WIDTH if is_plain else None)
    try:
        with stage(options) as running:
            is_kept = perform(options, running, console, is_plain=is_plain)
            if options.keep:
                # Ctrl-C is how one leaves, and says nothing of the promises.
                with suppress(SystemExit):
                    keep(running, console)
    except BusyError:
        sys.exit("Another demonstration is under way in this directory.")
    except (
        serve.StartError,
        ConfigError,
        EmbeddedServerError,
        MigrationError,
        psycopg2.Error,
    ) as error:
        sys.exit(f"Not started: {str(error).strip()}\n{log_tail()}")
    except UnexpectedAnswerError as error:
        sys.exit(f"The demonstration failed: {error}\n{log_tail()}\nSee {LOG}")
    sys.exit(0 if is_kept else 1)


def interrupt(_number: int, _frame: FrameType | None) -> None:
    # A second Ctrl-C must not interrupt the tidying up that the first one began.
    for number in serve.STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise SystemExit(INTERRUPTED)


def perform(
    options: Options, running: Stage, console: Console, *, is_plain: bool
) -> bool:
    """Play, look at the end, print; return whether all promises were kept."""
    show = Show(options=options, port=running.port, pace=Pace(options.speed))
    console.print(f"The server answers at {running.url}; its log is {LOG}.")
    try:
        with shown(show, console, is_plain=is_plain):
            admin = show.play()
            show.phase = "all that was promised is looked for"
            findings = find(show, admin)
        print_report(show, findings, console)
        if options.svg is not None:
            options.svg.write_text(picture_of(show, findings), encoding="utf-8")
        return findings.is_all_kept
    finally:
        show.end()


def picture_of(show: Show, findings: Findings) -> str:
    """Draw the final screen as SVG, which asks nobody else for a font."""
    drawing = Console(record=True, width=PLAIN_WIDTH, file=io.StringIO())
    print_report(show, findings, drawing)
    svg = drawing.export_svg(title="script/demo")
    return re.sub(r"@font-face {[^}]*}\s*", "", svg)


if __name__ == "__main__":
    main()
