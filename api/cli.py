"""Commands for the terminal: `flask --app app audit head | show | …`."""

import json
from typing import BinaryIO, TextIO
from uuid import UUID

import click

from api.context import services
from api.schemas.blockchain import EntryResponse
from api.terminal import Commands
from models.audit_suspension import Suspension

audit = Commands("audit", help="Read and verify the audit log.")


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
    """Print one entry as JSON. If another stands at its number, both."""
    found = services().blockchain.list_by_seq(seq)
    if not found:
        raise click.ClickException(f"there is no entry {seq}")
    for entry in found:
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
