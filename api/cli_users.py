"""A command for the terminal: `flask --app app create-admin`."""

from collections.abc import Sequence

import click
from flask.cli import with_appcontext
from pydantic import ValidationError

from api.context import services
from models.database_errors import DatabaseUnavailableError, LogSuspendedError
from models.wire import problems_of
from services.account_fields import NewAdmin
from services.errors import DomainError, UnprocessableError


@click.command("create-admin")
@click.option("--email", required=True)
@click.option("--name", required=True, help="The full name.")
@click.option(
    "--password",
    envvar="ADMIN_PASSWORD",
    prompt=True,
    hide_input=True,
    confirmation_prompt=True,
    help="Is asked for unless ADMIN_PASSWORD is set; here others may read it.",
)
@with_appcontext
def create_admin_command(email: str, name: str, password: str) -> None:
    """Make an admin's account, whose password has to be changed at the first login."""
    try:
        new = NewAdmin(email=email, password=password, full_name=name)
        made = services().users.create_admin(new)
    except ValidationError as error:
        raise click.ClickException(_lines(problems_of(error))) from error
    except UnprocessableError as error:
        raise click.ClickException(_lines(error.problems)) from error
    except DomainError as error:
        raise click.ClickException(str(error)) from error
    except LogSuspendedError as error:
        raise click.ClickException(
            'Nothing can be written: docs/audit-log.md, "When the server refuses".'
        ) from error
    except DatabaseUnavailableError as error:
        raise click.ClickException("The database does not answer.") from error
    click.echo(f"{made.email} is an admin now: {made.id}")


def _lines(problems: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"{name.removeprefix('#/')}: {text}" for name, text in problems)
