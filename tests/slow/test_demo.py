"""The demonstration, a small one: what it promises it checks itself, and says so."""

import http.client
import re
import signal
import subprocess
import sys
from contextlib import closing

import pytest

from tests.slow.running import PROJECT

STUDENTS = 14
PATIENCE_SECONDS = 400.0


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "script.demo_exam", "--plain", *options]


def test_a_small_run_keeps_every_promise() -> None:
    run = subprocess.run(
        command("--students", str(STUDENTS), "--speed", "240"),
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert run.returncode == 0, run.stdout
    promises = run.stdout.partition("What was promised")[2]
    kept = re.findall(r"│ ✓ │ (.+?) +│ (.+?) +│", promises)
    assert len(kept) == promises.count("│ ✓ │") == 10
    assert "✗" not in promises
    # Sixteen questions each.
    answers = re.search(r"(\d+) answers: each", promises)
    assert answers is not None
    assert int(answers[1]) == 16 * STUDENTS
    events = re.search(r"([\d,]+) events: each", promises)
    assert events is not None
    assert int(events[1].replace(",", "")) > 50 * STUDENTS
    attempts = re.findall(r"│ +(\d+) │ +[\d.]+ % │", run.stdout)
    assert sum(map(int, attempts)) == STUDENTS
    assert "internally consistent" in promises


def test_ctrl_c_leaves_nothing_behind() -> None:
    with subprocess.Popen(
        command(), cwd=PROJECT, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        port = re.search(r"localhost:(\d+)", run.stdout.readline())

        run.send_signal(signal.SIGINT)
        run.communicate(timeout=60)

    assert port is not None
    assert run.returncode == 130
    connection = http.client.HTTPConnection("127.0.0.1", int(port[1]), timeout=5)
    with closing(connection), pytest.raises(ConnectionRefusedError):
        connection.connect()
