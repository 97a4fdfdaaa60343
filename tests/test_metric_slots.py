"""Processes that count together: what the dead have counted stays, and one file each.

What is counted where is decided once for a process, so each of these is a program.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.scraped import Scraped

PROJECT = Path(__file__).parent.parent
HASHED = "proctoring_hashing_refusals_total"
HASHING = "proctoring_hashing_in_use"


def count(directory: Path, program: str) -> Scraped:
    """Run a program that counts, and return what it then prints."""
    preamble = (
        "import os, signal, sys\n"
        "from prometheus_client import generate_latest\n"
        "from utils import metrics\n"
        "def scrape():\n"
        "    print(generate_latest(metrics.registry()).decode(), flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", preamble + program],
        cwd=PROJECT,
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory)},
        check=True,
        capture_output=True,
        text=True,
    )
    return Scraped(done.stdout)


# Six workers of a master, as gunicorn has them, each with something in use.
FORKS = """
def work():
    for _ in range(7):
        metrics.HASHING_REFUSALS.inc()
    metrics.HASHING_IN_USE.inc()

workers = []
for _ in range(6):
    ready, say = os.pipe()
    pid = os.fork()
    if pid == 0:
        work()
        os.write(say, b"x")
        signal.pause()
    os.read(ready, 1)
    workers.append(pid)
"""
KILL = """
for pid in workers:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
"""


def test_the_living_are_summed(tmp_path: Path) -> None:
    found = count(tmp_path, FORKS + "scrape()\n" + KILL)

    assert found(HASHED) == 42
    assert found(HASHING) == 6


def test_what_the_dead_have_counted_stays_and_what_they_held_does_not(
    tmp_path: Path,
) -> None:
    found = count(tmp_path, FORKS + KILL + "scrape()\n")

    assert found(HASHED) == 42
    assert found(HASHING) == 0


def test_who_comes_after_the_dead_goes_on_in_their_files(tmp_path: Path) -> None:
    program = FORKS + KILL + FORKS + "scrape()\n" + KILL
    found = count(tmp_path, program)
    files = len(list(tmp_path.iterdir()))

    assert found(HASHED) == 84
    assert found(HASHING) == 6

    again = count(tmp_path, program)

    assert again(HASHED) == 168
    assert again(HASHING) == 6
    assert len(list(tmp_path.iterdir())) == files


@pytest.mark.parametrize("unset", [{}, {"PROMETHEUS_MULTIPROC_DIR": ""}])
def test_without_a_directory_each_counts_for_itself(
    tmp_path: Path, unset: Mapping[str, str]
) -> None:
    """And nothing is left in the directory where a command was called."""
    program = (
        "metrics.HASHING_REFUSALS.inc()\n"
        "if os.fork() == 0:\n"
        "    metrics.HASHING_REFUSALS.inc()\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "scrape()\n"
    )
    others = {k: v for k, v in os.environ.items() if k != "PROMETHEUS_MULTIPROC_DIR"}
    alone = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import os\nfrom prometheus_client import generate_latest\n"
            "from utils import metrics\n"
            "def scrape():\n"
            "    print(generate_latest(metrics.registry()).decode())\n" + program,
        ],
        cwd=tmp_path,
        env={**others, "PYTHONPATH": str(PROJECT), **unset},
        check=True,
        capture_output=True,
        text=True,
    )

    assert Scraped(alone.stdout)(HASHED) == 1
    assert list(tmp_path.iterdir()) == []
