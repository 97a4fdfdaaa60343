"""The commands of a witness: `python -m witness keygen | init | serve | show`."""

import os
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import click

from witness import keys, store
from witness.keys import KeyFileError
from witness.store import StateError, Store

FILE = click.Path(path_type=Path, dir_okay=False)
THREADS = 8
KEEP_ALIVE_SECONDS = 75


@click.group(context_settings={"max_content_width": 88})
def main() -> None:
    """Watch that the logs of others only grow, and sign that they do."""


@main.command()
@click.argument("name")
@click.option("--key", "path", type=FILE, required=True, help="Where the key goes.")
def keygen(name: str, path: Path) -> None:
    """Make the key of the witness NAME, and print the half that is to be published.

    NAME is like an address without https://, such as board.example.edu/witness.
    """
    try:
        click.echo(str(keys.make(path, name)))
    except KeyFileError as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.option("--state", type=FILE, required=True, help="Where it remembers.")
def init(state: Path) -> None:
    """Make the empty memory of a new witness. Once: serving never does."""
    try:
        store.create(state)
    except StateError as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.option("--state", type=FILE, required=True, help="What init has made.")
@click.option("--key", type=FILE, required=True, help="What keygen has made.")
@click.option(
    "--log",
    "logs",
    metavar="VKEY[=ORIGIN]",
    multiple=True,
    required=True,
    help="A key that a log signs with; again for each other.",
)
@click.option("--bind", default="127.0.0.1:7380", show_default=True, help="HOST:PORT")
def serve(state: Path, key: Path, logs: tuple[str, ...], bind: str) -> None:
    """Answer over HTTP until it is stopped."""
    state, key = state.absolute(), key.absolute()
    try:
        # What is wrong is said here, in one line, and not by a worker that fails.
        keys.parse_logs(logs)
        keys.read(key)
        Store(state).close()
    except (KeyFileError, StateError) as error:
        raise click.ClickException(str(error)) from error
    arguments = f"{str(state)!r}, {str(key)!r}, {logs!r}"
    # One process: SQLite has one writer anyway, and the threads wait in order.
    os.execv(  # noqa: S606 (no shell: the arguments are these)
        sys.executable,
        [
            *(sys.executable, "-m", "gunicorn", f"witness.app:from_files({arguments})"),
            *("--bind", bind, "--log-level", "warning", "--no-control-socket"),
            *("--worker-class", "gthread", "--workers", "1"),
            *("--threads", str(THREADS), "--keep-alive", str(KEEP_ALIVE_SECONDS)),
        ],
    )


@main.command()
@click.option("--state", type=FILE, required=True, help="What init has made.")
def show(state: Path) -> None:
    """Print the latest checkpoint that was cosigned of each log, and refused forks.

    Exits with 1 if there are any of those.
    """
    try:
        with closing(Store(state)) as opened:
            latest, forks = opened.list_all()
    except StateError as error:
        raise click.ClickException(str(error)) from error
    for seen in latest:
        click.echo(f"\n{seen.origin}, cosigned at {_moment(seen.cosigned_at)}\n")
        click.echo(_indented(seen.note))
    for fork in forks:
        click.echo(f"\nFORK of {fork.origin}, refused at {_moment(fork.refused_at)}\n")
        click.echo(_indented(fork.note))
        click.echo("\n  but this was cosigned before:\n")
        click.echo(_indented(fork.seen_note))
    if not latest:
        click.echo("Nothing has been cosigned yet.")
    sys.exit(1 if forks else 0)


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _indented(note: str) -> str:
    return "".join(f"  {line}\n" for line in note.splitlines()).rstrip("\n")


if __name__ == "__main__":
    main()
