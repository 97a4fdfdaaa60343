"""Commands for the terminal: `flask --app app erasure`, `hold` and `retention`."""

from uuid import UUID

import click

from api.context import services
from api.schemas.erasure import ErasureResponse, HoldResponse
from api.terminal import Commands, reading
from services.erasure_service import NewErasure
from services.hold_service import HoldRelease, NewHold

erasure = Commands("erasure", help="Erase what is known of a person.")
hold = Commands("hold", help="Keep data from being erased while a case is open.")
retention = Commands("retention", help="Erase what was kept long enough.")


@erasure.command("user")
@click.argument("user_id", type=click.UUID)
@click.option("--legal-basis", required=True, help="Such as 'GDPR Art. 17(1)(a)'.")
@click.option("--reason", required=True, help="Is kept: do not name the person.")
@click.option(
    "--erase-mentions/--keep-mentions",
    required=True,
    help="Also empty what staff wrote of him about others. See a --dry-run first.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be erased.")
def erase_user_command(
    *, user_id: UUID, legal_basis: str, reason: str, erase_mentions: bool, dry_run: bool
) -> None:
    """Erase what is known of a person, and print the report as JSON."""
    with reading():
        wanted = NewErasure(
            legal_basis=legal_basis, reason=reason, erase_mentions=erase_mentions
        )
    made = (
        services().erasures.preview(user_id, wanted)
        if dry_run
        else services().erasures.erase_user_on_terminal(user_id, wanted)
    )
    click.echo(ErasureResponse.model_validate(made).model_dump_json(indent=2))


@hold.command("place")
@click.option("--user", "user_id", type=click.UUID)
@click.option("--attempt", "attempt_id", type=click.UUID)
@click.option("--exam", "exam_id", type=click.UUID)
@click.option("--reason", required=True)
def place_hold_command(
    *, user_id: UUID | None, attempt_id: UUID | None, exam_id: UUID | None, reason: str
) -> None:
    """Keep the data of a person, an attempt or an exam."""
    with reading():
        new = NewHold(
            user_id=user_id, attempt_id=attempt_id, exam_id=exam_id, reason=reason
        )
    click.echo(services().holds.place_hold(None, new).id)


@hold.command("release")
@click.argument("hold_id", type=click.UUID)
@click.option("--reason", required=True)
def release_hold_command(hold_id: UUID, reason: str) -> None:
    """Say that the case needs the data no longer."""
    with reading():
        release = HoldRelease(reason=reason)
    services().holds.release_hold(None, hold_id, release)


@hold.command("list")
def list_holds_command() -> None:
    """Print the holds that apply, one JSON object a line, the newest first."""
    page = services().holds.list_holds(is_active=True, before=None, limit=1000)
    for each in page.items:
        click.echo(HoldResponse.model_validate(each).model_dump_json())


@retention.command("preview")
def preview_command() -> None:
    """Print how much each rule would erase now."""
    for each in services().retention.preview():
        rule = "kept" if each.days is None else f"{each.days} days"
        click.echo(f"{each.data_class:18} {rule:>10} {each.due:>8}")


@retention.command("run")
def run_command() -> None:
    """Apply the rules that were not applied today, to the end."""
    steps = 0
    while done := services().retention.run():
        steps += done
        # The first run of a new rule takes minutes.
        click.echo(f"{steps} transactions, and it goes on", err=True)
    click.echo(f"{steps} transactions")
