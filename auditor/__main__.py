"""Verifies what has left the server: `python -m auditor verify-dump FILE`.

It needs no server, no database and no configuration; `--help` says what it takes.
"""

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from api.verifying import CannotVerifyError, Chosen, progress_bar, verifying
from auditor.dump_file import opened
from models.audit_dump import DumpedLog
from models.copy_text import DumpError
from services.audit_bookmark import BookmarkError
from services.audit_parts import one_by_one
from services.audit_verification import verify_log

VERIFIER: Final = Path(__file__).resolve().parent.parent / "verifier" / "verify.py"


@click.group()
def auditor() -> None:
    """Verify what has left the server."""


@auditor.command("verify-dump")
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@verifying
# Any: the options that all who verify have.
def verify_dump(*, file: Path, **chosen: Any) -> None:
    """Check every entry in a dump that pg_dump made, in any of its formats.

    The other tables are not compared. Exits with 0 if all that was asked for holds;
    with 1 if the log was tampered with; with 2 if not all could be read, or an anchor
    that was asked for could not be had.
    """
    choice = Chosen(**chosen)
    try:
        outside = choice.outside()
        with opened(file) as (content, taken_at):
            log = DumpedLog(content, taken_at)
            begun = 0 if outside.bookmark is None else outside.bookmark.size
            with progress_bar(max(0, log.entries - begun)) as progress:
                found = verify_log(
                    log, partial(one_by_one, log, progress), outside=outside
                )
    except (BookmarkError, DumpError) as error:
        raise CannotVerifyError(str(error)) from error
    choice.finish(found)


@auditor.command("verify-bundle", context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def verify_bundle(arguments: tuple[str, ...]) -> None:
    """Check a bundle of evidence about one attempt, as verifier/verify.py does.

    ARGUMENTS are those of that program, which needs nothing but Python itself.
    """
    # -I: nothing of the surroundings has a say.
    done = subprocess.run([sys.executable, "-I", VERIFIER, *arguments], check=False)
    sys.exit(done.returncode)


if __name__ == "__main__":
    auditor(prog_name="python -m auditor")
