"""Commands for the terminal: `flask --app app audit head | show | …`."""

import json
from typing import BinaryIO, TextIO
from uuid import UUID

import click
from flask.cli import AppGroup

from api.context import services
from api.schemas.blockchain import EntryResponse
from services.errors import DomainError

audit = AppGroup("audit", help="Read and verify the audit log.")


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
    try:
        made = services().evidence.export_bundle_on_terminal(attempt_id, reason)
    except DomainError as error:
        raise click.ClickException(str(error)) from error
    file.write(made.content)
    click.echo(
        f"{len(made.content):,} bytes, recorded in entry {made.exported_by}, with the"
        f" SHA-256 {made.sha256.hex()}",
        err=True,
    )
