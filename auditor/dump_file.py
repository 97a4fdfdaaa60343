"""Opens a dump in any of pg_dump's formats, as the plain text that it restores to."""

import gzip
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from models.audit_surroundings import AUDIT_TABLES
from models.copy_text import DumpError

CUSTOM: Final = b"PGDMP"
GZIP: Final = b"\x1f\x8b"


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, datetime]]:
    """Give the text, which can be sought in, and when it was dumped.

    Raises DumpError.
    """
    taken_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    with tempfile.TemporaryFile() as aside:
        if path.is_dir():
            _restore(path, aside)
        else:
            with path.open("rb") as file:
                beginning = file.read(len(CUSTOM))
            if beginning == CUSTOM or tarfile.is_tarfile(path):
                _restore(path, aside)
            elif beginning.startswith(GZIP):
                _unpack(path, aside)
            else:
                with path.open("rb") as file:
                    yield file, taken_at
                return
        aside.seek(0)
        yield aside, taken_at


def _unpack(path: Path, aside: BinaryIO) -> None:
    try:
        with gzip.open(path) as packed:
            shutil.copyfileobj(packed, aside)
    except (OSError, EOFError, zlib.error) as error:
        raise DumpError(f"{path} can not be unpacked: {error}") from error


def _restore(path: Path, aside: BinaryIO) -> None:
    """Have pg_restore write the tables of the log as text. It needs no server."""
    program = shutil.which("pg_restore")
    if program is None:
        raise DumpError(
            f"{path} is not plain text, and there is no pg_restore here to read it:"
            f" `pg_restore -f dump.sql {path}` makes plain text of it anywhere."
        )
    tables = [f"--table={table}" for table in AUDIT_TABLES]
    done = subprocess.run(
        [program, "--data-only", *tables, "--file=-", path],
        stdout=aside,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip()
        raise DumpError(f"pg_restore can not read {path}: {reason}")
