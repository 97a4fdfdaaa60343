"""script/serve.py: what starts and stops the server of script/server."""

import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from script.serve import StartError, free_port

PROJECT = Path(__file__).resolve().parent.parent
BOTH_AT_ONCE = """
import os, signal
from script.serve import STOP_SIGNALS, end_once

for number in STOP_SIGNALS:
    signal.signal(number, end_once)
signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
for number in STOP_SIGNALS:
    os.kill(os.getpid(), number)
try:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
finally:
    print("tidied up")
"""


def test_an_empty_port_is_the_usual_one() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # Somebody else's server is there.
            other.bind(("127.0.0.1", 5000))
            other.listen()

        with pytest.raises(StartError, match="port 5000 is not free"):
            free_port({"PORT": ""})


def test_who_stops_it_twice_at_once_stops_it_once() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", BOTH_AT_ONCE],
        cwd=PROJECT,
        check=False,
        capture_output=True,
        text=True,
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "tidied up\n", "")
