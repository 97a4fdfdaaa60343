"""Processes whose clock is wrong: libfaketime tells them another time than the kernel.

What they measure intervals with (CLOCK_MONOTONIC) stays right, as it does on a host
whose clock is set.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from database import embedded
from tests.slow.running import answers, stop_postgres
from tests.waiting import until


def library() -> Path:
    """Return libfaketime; where it is not installed the test is skipped."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        pytest.skip("libfaketime is not installed; CI installs it")
    return found[0]


def set_wrong(seconds: float) -> dict[str, str]:
    """Return what a Python is to be started with for a clock that is so much ahead."""
    return {
        **_preloaded(),
        "FAKETIME": f"{seconds:+.0f}s",
        "PYTHONPATH": str(Path(__file__).parent / "wrong_clock"),
    }


def _preloaded() -> dict[str, str]:
    return {
        "LD_PRELOAD": str(library()),
        # By the names of older and of newer releases.
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


class Clock:
    """The clock of a PostgreSQL, which can be set while it runs."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.set(0)

    def set(self, seconds: float) -> None:
        """Let it be so much ahead of ours, from now on."""
        # Renamed into place: nobody reads half of it.
        aside = self.file.with_suffix(".new")
        aside.write_text(f"{seconds:+.0f}s\n")
        aside.chmod(0o644)
        aside.rename(self.file)


@contextmanager
def with_own_clock(server: embedded.Server) -> Iterator[Clock]:
    """Start a server anew, as it was started before, with a clock that can be set."""
    # In its home, where it may read it.
    clock = Clock(server.home / "clock")
    stop_postgres(server)
    (command,) = (server.home / "data" / "postmaster.opts").read_text().splitlines()
    owner = (server.home / "data").stat()
    program, *arguments = [word.strip('"') for word in command.split()]
    process = subprocess.Popen(
        [program, *arguments],
        cwd=server.home,
        env={
            "PATH": os.environ["PATH"],
            **_preloaded(),
            "FAKETIME_TIMESTAMP_FILE": str(clock.file),
            "FAKETIME_NO_CACHE": "1",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        user=owner.st_uid,
        group=owner.st_gid,
        extra_groups=[],
    )
    until(lambda: answers(server.dsn()))
    try:
        yield clock
    finally:
        stop_postgres(server)
        process.wait(30)
