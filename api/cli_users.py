"""A command for the terminal: `flask --app app create-admin`."""

import click
from flask.cli import with_appcontext

from api.context import services
from api.terminal import in_lines, reading, refusals
from services.account_fields import NewAdmin
from services.errors import UnprocessableError


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
    with refusals(), reading():
        new = NewAdmin(email=email, password=password, full_name=name)
        try:
            made = services().users.create_admin(new)
        except UnprocessableError as error:
            raise click.ClickException(in_lines(error.problems)) from error
    click.echo(f"{made.email} is an admin now: {made.id}")
