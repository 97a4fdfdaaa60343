"""What the commands that verify have in common: their options, report and exit code."""

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from api.schemas.blockchain import VerificationResponse
from services.audit_anchors import NOBODY, Anchors, Trust
from services.audit_bookmark import Bookmark
from services.audit_findings import CheckResult, Verdict, Verification
from services.audit_verification import Outside
from services.witnessing import ConfiguredWitness
from utils.canonical_text import NoteError
from utils.signed_note import VerifierKey
from utils.tlog_policy import Policy

HELD: Final = 0
TAMPERED: Final = 1
# Not all could be read, or an anchor that was asked for was not to be had.
INCOMPLETE: Final = 2
COLOURS: Final = {
    CheckResult.PASSED: "green",
    CheckResult.FAILED: "red",
    CheckResult.NOT_CHECKED: "yellow",
}
FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)

# Any: a command takes what its options say.
Command = TypeVar("Command", bound=Callable[..., Any])


class CannotVerifyError(click.ClickException):
    """Nothing was verified. Not 1, which says that the log was tampered with."""

    exit_code = INCOMPLETE


class _Parsed(click.ParamType[object]):
    """A word that a function of ours reads."""

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        self.name = name
        self._parse = parse

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        try:
            return self._parse(value)
        except NoteError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


OPTIONS: Final = (
    click.option(
        "--checkpoint",
        "checkpoints",
        type=FILE,
        multiple=True,
        help="A checkpoint that you have kept: the log must be the one it is of.",
    ),
    click.option(
        "--witness",
        "witnesses",
        type=_Parsed("vkey=url", ConfiguredWitness.parse),
        multiple=True,
        help="Ask a witness for the newest that it has seen.",
    ),
    click.option(
        "--log-vkey",
        "log_keys",
        type=_Parsed("vkey", VerifierKey.parse),
        multiple=True,
        help="Who signs the log, as you know it from elsewhere.",
    ),
    click.option("--policy", type=FILE, help="A policy by C2SP's tlog-policy."),
    click.option(
        "--bookmark",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Begin where this file ends, and move it on; made if it is not there.",
    ),
    click.option(
        "--full",
        is_flag=True,
        help="Read all again, and see that the bookmark still holds.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print the report as JSON."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What the options say."""

    checkpoints: tuple[Path, ...]
    witnesses: tuple[ConfiguredWitness, ...]
    log_keys: tuple[VerifierKey, ...]
    policy: Path | None
    bookmark: Path | None
    full: bool
    as_json: bool

    def outside(self, configured: Trust = NOBODY) -> Outside:
        """Gather what the verifier brings. `configured` counts unless he says more.

        Raises BookmarkError.
        """
        trust = Trust(
            log_keys=self.log_keys or configured.log_keys,
            witnesses=self.witnesses
            or (() if self.policy is not None else configured.witnesses),
            policy=None if self.policy is None else _policy(self.policy),
        )
        kept = {str(path): path.read_bytes() for path in self.checkpoints}
        anchors = trust.ask() + trust.read(kept)
        bookmark = None
        if self.bookmark is not None and self.bookmark.exists():
            bookmark = Bookmark.read(self.bookmark)
        if bookmark is not None and self.full:
            anchors += Anchors((bookmark.anchor(str(self.bookmark)),))
            bookmark = None
        return Outside(anchors=anchors, log_keys=trust.keys, bookmark=bookmark)

    def finish(self, found: Verification) -> None:
        """Print the report, move the bookmark on, and end with the exit code."""
        code = self._exit_code(found)
        made = Bookmark.of(found)
        if self.bookmark is not None and code == HELD and made is not None:
            made.write(self.bookmark)
        if self.as_json:
            report = VerificationResponse.model_validate(found)
            click.echo(report.model_dump_json(indent=2))
        else:
            print_report(found)
        sys.exit(code)

    def _exit_code(self, found: Verification) -> int:
        if found.verdict is Verdict.TAMPERED:
            return TAMPERED
        is_asked = self.checkpoints or self.witnesses or self.policy or self.full
        is_missing = any(
            anchor.result is not CheckResult.PASSED for anchor in found.anchors
        )
        if not found.valid or (is_asked and is_missing):
            return INCOMPLETE
        return HELD


def verifying(command: Command) -> Command:
    """Give a command the common options; it gets them as keyword arguments.

    If it breaks down it ends with 2: that is no word about the log.
    """
    guarded = _guarded(command)
    for option in reversed(OPTIONS):
        guarded = option(guarded)
    return guarded


def _guarded(command: Command) -> Command:
    @wraps(command)
    # Any: whatever the options say.
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except click.ClickException:
            raise
        except KeyboardInterrupt as error:
            raise CannotVerifyError("It was interrupted.") from error
        except Exception as error:
            traceback.print_exc()
            raise CannotVerifyError("It broke off, and says nothing.") from error

    return cast("Command", run)


@contextmanager
def progress_bar(total: int) -> Iterator[Callable[[int], None]]:
    """Show how far the reading is, on the terminal's second stream."""
    with Progress(
        TextColumn("checking"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    ) as bar:
        task = bar.add_task("checking", total=total)
        yield lambda entries: bar.advance(task, entries)
        bar.update(task, completed=total)


def print_report(found: Verification) -> None:
    console = Console()
    table = Table("check", "result", "detail")
    for check in found.checks:
        colour = COLOURS[check.result]
        table.add_row(check.name, f"[{colour}]{check.result}[/]", check.detail)
    console.print(table)
    for finding in found.errors:
        console.print(
            f"entry {finding.seq}: [red]{finding.reason}[/]: {finding.detail}"
        )
    rate = found.entries_checked * 1000 / max(1, found.duration_ms)
    head = "none" if found.head_hash is None else found.head_hash.hex()
    console.print(
        f"[bold]{found.verdict}[/]: {found.entries_checked:,} entries in"
        f" {found.duration_ms / 1000:.1f} s ({rate:,.0f}/s), entry {found.last_seq}"
        f" has the hash {head}"
        + ("" if found.rows_checked is None else f", {found.rows_checked:,} rows"),
        soft_wrap=True,
    )
    if found.unanchored_entries is not None:
        console.print(f"entries behind the newest anchor: {found.unanchored_entries:,}")


def _policy(path: Path) -> Policy:
    # Names in a policy are opaque bytes.
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    try:
        return Policy.parse(text)
    except NoteError as error:
        raise CannotVerifyError(f"{path}: {error}") from error
