"""The command that verifies the log of a database: `flask --app app audit verify`."""

from typing import Any

import click
from flask.cli import with_appcontext

from api.context import services
from api.verifying import CannotVerifyError, Chosen, progress_bar, verifying
from models.database_errors import DatabaseUnavailableError
from services.audit_bookmark import BookmarkError
from services.blockchain_service import BlockchainService


@click.command("verify")
@click.option("--from-seq", type=click.IntRange(min=0), help="The first entry.")
@click.option("--to-seq", type=click.IntRange(min=0), help="The last entry.")
@click.option("--processes", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option("--deep", is_flag=True, help="Compare the rows of other tables too.")
@verifying
@with_appcontext
def verify_command(
    *,
    from_seq: int | None,
    to_seq: int | None,
    processes: int,
    deep: bool,
    # Any: the options that all who verify have.
    **chosen: Any,
) -> None:
    """Check every entry.

    Exits with 0 if all that was asked for holds; with 1 if the log was tampered with;
    with 2 if not all could be read, or an anchor that was asked for could not be had.
    """
    choice = Chosen(**chosen)
    if choice.bookmark is not None and (from_seq is not None or to_seq is not None):
        raise click.UsageError("A bookmark is of the whole log, not of a range.")
    try:
        blockchain = services().blockchain
        outside = choice.outside(blockchain.trust)
        head_seq = _head_seq(blockchain)
        first = from_seq or 0
        if outside.bookmark is not None:
            first = outside.bookmark.size
        last = head_seq if to_seq is None else min(to_seq, head_seq)
        with progress_bar(max(0, last - first + 1)) as progress:
            found = blockchain.verify_thoroughly(
                from_seq=from_seq,
                to_seq=to_seq,
                processes=processes,
                deep=deep,
                progress=progress,
                outside=outside,
            )
    except BookmarkError as error:
        raise CannotVerifyError(str(error)) from error
    except DatabaseUnavailableError as error:
        raise CannotVerifyError(f"The database is not to be had: {error}") from error
    choice.finish(found)


def _head_seq(blockchain: BlockchainService) -> int:
    """Ask how much there will be to read, for the bar alone.

    Of a damaged log too: what is wrong with its head the verification says.
    """
    try:
        head = blockchain.get_head()
    except DatabaseUnavailableError:
        raise
    except Exception:  # noqa: BLE001 - Nobody knows what stands there.
        return 0
    return 0 if head is None else head.next_seq - 1
