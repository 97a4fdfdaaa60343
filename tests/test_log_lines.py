"""The process log holds nobody up, whatever becomes of those who read it (R23)."""

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from utils import metrics
from utils.log_lines import MOST_LINES, LineHandler
from utils.logger import JsonFormatter

PIPE_BUF = 4096
# How much the kernel takes before a writer has to wait.
PIPE_BYTES = 65_536


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for each in (reader, writer):
        with suppress(OSError):
            os.close(each)


@pytest.fixture
def handler(pipe: tuple[int, int]) -> Iterator[LineHandler]:
    found = LineHandler(pipe[1])
    found.setFormatter(JsonFormatter())
    yield found
    # A thread that still waits for its reader would write where the next test listens.
    with suppress(OSError):
        os.close(pipe[0])
    found.flush()


def record(message: str) -> logging.LogRecord:
    return logging.LogRecord("here", logging.INFO, "", 0, message, None, None)


def dropped() -> float:
    (family,) = metrics.LOG_LINES_DROPPED.collect()
    return next(each.value for each in family.samples if each.name.endswith("_total"))


def messages(text: bytes) -> list[str]:
    return [json.loads(line)["message"] for line in text.splitlines()]


def test_lines_come_whole_and_in_order(
    handler: LineHandler, pipe: tuple[int, int]
) -> None:
    said = [f"{number} {'x' * (number * 97 % 3000)}" for number in range(200)]
    received = bytearray()

    def read() -> None:
        while piece := os.read(pipe[0], 1000):
            received.extend(piece)

    reading = threading.Thread(target=read)
    reading.start()
    for each in said:
        handler.emit(record(each))
    handler.flush()
    os.close(pipe[1])
    reading.join()

    assert messages(bytes(received)) == said


def test_lines_of_processes_that_share_a_pipe_are_not_mixed() -> None:
    """The kernel keeps pieces of this size together, and no larger ones."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        handler = LineHandler(ours.fileno())
        for number in range(100):
            handler.emit(record(f"a line of some length, the {number}th of many"))
        handler.flush()
        ours.close()
        pieces = list(iter(lambda: theirs.recv(PIPE_BYTES), b""))

    assert len(pieces) < 100
    assert max(map(len, pieces)) <= PIPE_BUF
    assert all(piece.endswith(b"\n") for piece in pieces)


def test_nobody_waits_for_a_pipe_that_nobody_empties(
    handler: LineHandler, pipe: tuple[int, int]
) -> None:
    before = dropped()
    line = "x" * 1000

    def say_it_all() -> None:
        for _ in range(MOST_LINES + 500):
            handler.emit(record(line))

    saying = threading.Thread(target=say_it_all, daemon=True)
    saying.start()
    saying.join(30)

    assert not saying.is_alive()
    assert dropped() > before
    # Whoever reads again gets what was kept, whole.
    kept = os.read(pipe[0], PIPE_BYTES)
    assert messages(kept[: kept.rfind(b"\n") + 1])


def test_a_process_that_ends_does_not_wait_for_ever(handler: LineHandler) -> None:
    for _ in range(1000):
        handler.emit(record("x" * 1000))

    started = time.monotonic()
    handler.flush()

    assert 0.5 < time.monotonic() - started < 10


def test_lines_for_nobody_are_counted_and_no_error(
    handler: LineHandler, pipe: tuple[int, int]
) -> None:
    before = dropped()
    os.close(pipe[0])

    handler.emit(record("one"))
    handler.flush()
    handler.emit(record("two"))
    handler.flush()

    assert dropped() == before + 2


def test_a_forked_process_writes_its_own_lines_once(
    handler: LineHandler, pipe: tuple[int, int]
) -> None:
    handler.emit(record("of the parent"))
    handler.flush()

    child = os.fork()
    if child == 0:
        with suppress(Exception):
            handler.emit(record("of the child"))
            handler.flush()
        os._exit(0)
    os.waitpid(child, 0)

    assert messages(os.read(pipe[0], PIPE_BYTES)) == ["of the parent", "of the child"]


def test_a_record_that_can_not_be_written_stops_nothing(
    handler: LineHandler,
    pipe: tuple[int, int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = logging.LogRecord("here", logging.INFO, "", 0, "%d", ("three",), None)

    handler.emit(broken)
    handler.emit(record("the next"))
    handler.flush()

    assert messages(os.read(pipe[0], PIPE_BYTES)) == ["the next"]
    assert "Logging error" in capsys.readouterr().err
