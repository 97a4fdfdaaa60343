"""Rate limits that are counted in Redis, and what happens when it goes away."""

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from app import create_app
from config import Settings
from config.config import RateLimits
from tests.slow.running import free_port

PATIENCE_SECONDS = 10.0


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed; CI installs it")
    port = free_port()
    process = subprocess.Popen(
        [program, "--port", str(port), "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.DEVNULL,
    )
    wait_for(port)
    yield f"redis://127.0.0.1:{port}/0", process
    process.kill()
    process.wait()


def wait_for(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with redis.Redis(port=port) as client:
                client.ping()
        except redis.ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def test_a_redis_that_says_nothing_is_given_up(
    settings: Settings, redis_server: tuple[str, subprocess.Popen[bytes]]
) -> None:
    uri, process = redis_server
    limits = RateLimits(storage_uri=uri, default="3 per hour")
    client = create_app(replace(settings, rate_limits=limits)).test_client()
    process.send_signal(signal.SIGSTOP)

    began = time.monotonic()
    statuses = [client.get("/docs").status_code for _ in range(5)]

    assert statuses == [200, 200, 200, 429, 429]
    assert time.monotonic() - began < PATIENCE_SECONDS


def test_limits_hold_across_processes_in_redis_and_without_it_in_each(
    settings: Settings, redis_server: tuple[str, subprocess.Popen[bytes]]
) -> None:
    uri, process = redis_server
    limits = RateLimits(storage_uri=uri, default="3 per hour")
    clients = [
        create_app(replace(settings, rate_limits=limits)).test_client()
        for _ in range(2)
    ]

    together = [clients[number % 2].get("/docs").status_code for number in range(5)]
    process.kill()
    process.wait()
    alone = [clients[0].get("/docs").status_code for _ in range(5)]

    assert together == [200, 200, 200, 429, 429]
    # No answer is a 500, and there still is a limit.
    assert alone == [200, 200, 200, 429, 429]
