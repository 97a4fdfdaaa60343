"""Files that are whole whenever the power goes, and that nobody else reads."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

OWNER_ONLY: Final = 0o600
OTHERS: Final = 0o077


class FileInUseError(Exception):
    """Another process has the file's lock."""


def replace_file(path: Path, content: str) -> None:
    """Put `content` in the place of the file: all of it, or nothing has changed.

    When this returns it is on disk, and so is the directory that names it.
    """
    aside = path.with_name(f"{path.name}.new")
    # What a crash has left behind may have other permissions.
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def is_private(path: Path) -> bool:
    return not path.stat().st_mode & OTHERS


@contextmanager
def locked(path: Path, *, is_waiting: bool = False) -> Iterator[None]:
    """Hold the lock that belongs to a file; the kernel lets go of it when we die.

    It is a file of its own beside `path`, which is replaced. Raises FileInUseError.
    """
    lock = path.with_name(f"{path.name}.lock")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, OWNER_ONLY)
    try:
        try:
            fcntl.flock(
                descriptor, fcntl.LOCK_EX | (0 if is_waiting else fcntl.LOCK_NB)
            )
        except BlockingIOError as error:
            raise FileInUseError(f"another process uses {path}") from error
        yield
    finally:
        with suppress(OSError):
            os.close(descriptor)
