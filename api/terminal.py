"""What keeps a command of the terminal from working, said in one line."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click
from flask.cli import AppGroup
from pydantic import ValidationError

from models.database_errors import DatabaseUnavailableError, LogSuspendedError
from models.wire import problems_of
from services.epochs import BrokenEpochsError
from services.errors import DomainError


class Commands(AppGroup):
    """A group of commands, all of which say so."""

    def invoke(self, ctx: click.Context) -> object:
        with refusals():
            return super().invoke(ctx)


@contextmanager
def refusals() -> Iterator[None]:
    try:
        yield
    except LogSuspendedError as error:
        raise click.ClickException(
            "Nothing can be written: the log contradicts what was signed of it."
            ' docs/audit-log.md, "When the server refuses to write".'
        ) from error
    except (DomainError, BrokenEpochsError) as error:
        raise click.ClickException(str(error)) from error
    except DatabaseUnavailableError as error:
        raise click.ClickException(
            "The database is busy or away. Try it again."
        ) from error


@contextmanager
def reading() -> Iterator[None]:
    """Say what is wrong with what was typed."""
    try:
        yield
    except ValidationError as error:
        raise click.ClickException(in_lines(problems_of(error))) from error


def in_lines(problems: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"{name.removeprefix('#/')}: {text}" for name, text in problems)
