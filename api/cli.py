"""Commands for the terminal: `flask --app app audit verify | head | show | …`."""

import json
import sys
from typing import BinaryIO, Final, TextIO
from uuid import UUID

import click
from flask.cli import AppGroup
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from api.context import services
from api.schemas.blockchain import EntryResponse, VerificationResponse
from models.audit_suspension import Suspension
from models.database import DatabaseUnavailableError, LogSuspendedError
from services.audit_findings import CheckResult, Verdict, Verification
from services.epochs import BrokenEpochsError
from services.errors import DomainError

EXIT_CODES: Final = {
    Verdict.INTERNALLY_CONSISTENT: 0,
    Verdict.TAMPERED: 1,
    Verdict.INCOMPLETE: 2,
}
COLOURS: Final = {
    CheckResult.PASSED: "green",
    CheckResult.FAILED: "red",
    CheckResult.NOT_CHECKED: "yellow",
}


class AuditGroup(AppGroup):
    """Says in one line what keeps any of its commands from working."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except LogSuspendedError as error:
            raise click.ClickException(
                "Nothing can be written: the log contradicts what was signed of it."
                ' docs/audit-log.md, "When the server refuses to write".'
            ) from error
        except (DomainError, BrokenEpochsError) as error:
            raise click.ClickException(str(error)) from error
        except DatabaseUnavailableError as error:
            raise click.ClickException("The database does not answer.") from error


audit = AuditGroup("audit", help="Read and verify the audit log.")


@audit.command("verify")
@click.option("--from-seq", type=click.IntRange(min=0), help="The first entry.")
@click.option("--to-seq", type=click.IntRange(min=0), help="The last entry.")
@click.option("--processes", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option("--deep", is_flag=True, help="Compare the rows of other tables too.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def verify_command(
    *,
    from_seq: int | None,
    to_seq: int | None,
    processes: int,
    deep: bool,
    as_json: bool,
) -> None:
    """Check every entry. Exits with 0 if it holds, 1 if not, 2 if it was not read."""
    blockchain = services().blockchain
    # Of a damaged log too, which may have no head.
    head = blockchain.get_head()
    head_seq = 0 if head is None else head.next_seq - 1
    last = head_seq if to_seq is None else min(to_seq, head_seq)
    with Progress(
        TextColumn("checking"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    ) as bar:
        task = bar.add_task("checking", total=max(0, last - (from_seq or 0) + 1))
        found = blockchain.verify_thoroughly(
            from_seq=from_seq,
            to_seq=to_seq,
            processes=processes,
            deep=deep,
            progress=lambda entries: bar.advance(task, entries),
        )
        bar.update(task, completed=found.entries_checked)
    if as_json:
        report = VerificationResponse.model_validate(found)
        click.echo(report.model_dump_json(indent=2))
    else:
        _print(found)
    sys.exit(EXIT_CODES[found.verdict])


@audit.command("head")
def head_command() -> None:
    """Print where the log stands: a line to be kept outside this database."""
    head = services().blockchain.get_head()
    if head is None:
        raise click.ClickException("the log has no head")
    click.echo(
        f"{head.origin} {head.log_id.hex()} {head.next_seq - 1} {head.hash.hex()}"
    )


@audit.command("show")
@click.argument("seq", type=click.IntRange(min=0))
def show_command(seq: int) -> None:
    """Print one entry as JSON."""
    entry = services().blockchain.get_entry(seq)
    if entry is None:
        raise click.ClickException(f"there is no entry {seq}")
    click.echo(EntryResponse.model_validate(entry).model_dump_json(indent=2))


@audit.command("export")
@click.argument("file", type=click.File("w", encoding="utf-8"))
@click.option("--reason", required=True, help="Is recorded in the log.")
def export_command(file: TextIO, reason: str) -> None:
    """Write all entries to FILE (- is the terminal), one JSON object a line."""
    for entry in services().blockchain.export(reason):
        record = EntryResponse.model_validate(entry).model_dump(mode="json")
        file.write(json.dumps(record, ensure_ascii=False) + "\n")


@audit.command("bundle")
@click.argument("attempt_id", type=click.UUID)
@click.argument("file", type=click.File("wb", lazy=True, atomic=True))
@click.option("--reason", required=True, help="Is recorded in the log.")
def bundle_command(attempt_id: UUID, file: BinaryIO, reason: str) -> None:
    """Write a bundle of evidence about an attempt to FILE, for a hearing."""
    made = services().evidence.export_bundle_on_terminal(attempt_id, reason)
    file.write(made.content)
    click.echo(
        f"{len(made.content):,} bytes, recorded in entry {made.exported_by}, with the"
        f" SHA-256 {made.sha256.hex()}",
        err=True,
    )


@audit.command("new-epoch")
@click.option("--reason", required=True, help="Is recorded in the log.")
@click.option("--by", "email", required=True, help="Your address, as an admin.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def new_epoch_command(*, reason: str, email: str, yes: bool) -> None:
    """Go on under a new origin, when what was signed and is missing is lost.

    docs/audit-log.md, "When the server refuses to write".
    """
    epochs = services().epochs
    suspended = epochs.get_suspension()
    if suspended is not None:
        _print_suspension(suspended)
        click.echo(
            "\nIf a backup or a standby has what is missing, restore that instead: it"
            " can not be restored any more once new entries were signed.\n"
        )
        if not yes:
            click.confirm("Is it lost, and shall a new epoch begin?", abort=True)
    opened = epochs.open_epoch(admin_email=email, reason=reason)
    click.echo(
        f"Entry {opened.seq} opens {opened.origin}. Entries are appended again. Now:\n"
        "  1. python -m checkpointer new-epoch     makes its key, and prints it\n"
        "  2. it goes before the others in AUDIT_LOG_VKEYS, and to every witness\n"
        "  3. say in public what was lost: `flask --app app audit show"
        f" {opened.seq}`"
    )


@audit.command("resume")
@click.option("--reason", required=True, help="Is recorded in the log.")
@click.option("--by", "email", required=True, help="Your address, as an admin.")
def resume_command(reason: str, email: str) -> None:
    """Go on as before, if the log has all again that was signed."""
    seq = services().epochs.resume(admin_email=email, reason=reason)
    click.echo(f"Entry {seq} says so. Entries are appended again.")


def _print_suspension(found: Suspension) -> None:
    click.echo(f"Since {found.found_at:%F %T} UTC nothing is written.\n")
    click.echo(f"  {found.seen_by} has this, which the log has signed:\n")
    for line in found.note.splitlines():
        click.echo(f"    {line}")
    if found.log_root is None:
        click.echo(
            f"\n  The log had {found.log_size} entries: {found.size - found.log_size}"
            " or more are missing."
        )
    else:
        click.echo(
            f"\n  The first {found.size} entries of the log, which has"
            f" {found.log_size}, make another root: {found.log_root.hex()}"
        )


def _print(found: Verification) -> None:
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
