"""Nobody notices a release: every request is answered while the server is replaced."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest
import requests

from database.seed import seed_if_empty
from tests.scraped import Scraped
from tests.slow.running import ENVIRONMENT, PROJECT, RunningApi, running_api

CLIENTS = 8
# A busy machine takes its time to start Python twice; nobody's request may notice.
PATIENCE_SECONDS = 180.0
# As systemd passes a socket on (sd_listen_fds): descriptor 3, and whom it is meant for.
BECOME_GUNICORN = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"], os.environ["LISTEN_FDS"] = str(os.getpid()), "1"
os.execv(sys.executable, [sys.executable, "-m", "gunicorn", *sys.argv[2:]])
"""
COMMAND = ["--config", str(PROJECT / "deploy" / "gunicorn.conf.py"), "app:app"]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


class Host:
    """One machine: systemd's socket, and one generation of the API after another."""

    def __init__(self, database: Mapping[str, str], home: Path) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.drain_file = home / "drain"
        self._environment = {
            **os.environ,
            **ENVIRONMENT,
            **database,
            "WEB_CONCURRENCY": "2",
            "PROMETHEUS_MULTIPROC_DIR": str(home / "metrics"),
            "DRAIN_FILE": str(self.drain_file),
        }
        self.api = self.start()

    def start(self) -> RunningApi:
        descriptor = self._socket.fileno()
        process = subprocess.Popen(
            [sys.executable, "-c", BECOME_GUNICORN, str(descriptor), *COMMAND],
            cwd=PROJECT,
            env=self._environment,
            pass_fds=[descriptor],
        )
        self.api = RunningApi(self._socket.getsockname()[1], process)
        return self.api

    def restart(self) -> None:
        """Do what `systemctl restart` does: stop, wait, start."""
        self.stop()
        self.start()

    def stop(self) -> None:
        self.api.process.terminate()
        assert self.api.process.wait(40) == 0

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def host(
    durable_dsn: str, database_variables: Mapping[str, str], tmp_path: Path
) -> Iterator[Host]:
    seed_if_empty(durable_dsn)
    with closing(Host(database_variables, tmp_path)) as running:
        running.api.wait_until_healthy()
        yield running
        running.stop()


@contextmanager
def under_load(url: str) -> Iterator[Counter[str]]:
    """Ask without a pause, on new connections and on kept ones; count what came."""
    seen: Counter[str] = Counter()
    is_over = threading.Event()
    lock = threading.Lock()

    def note(what: str) -> None:
        with lock:
            seen[what] += 1

    def ask(number: int) -> None:
        with requests.Session() as session:
            while not is_over.is_set():
                # Each waits for the disk: a failed login is written to the log.
                is_kept = number % 2 == 0
                try:
                    answer = session.post(
                        f"{url}/api/auth/login",
                        json={"email": f"{number}@example.edu", "password": "wrong"},
                        headers={} if is_kept else {"Connection": "close"},
                        timeout=60,
                    )
                except requests.RequestException as error:
                    note(f"{type(error).__name__}: {error}")
                else:
                    note(str(answer.status_code))

    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(ask, number) for number in range(CLIENTS)]
        try:
            until(lambda: seen["401"] > CLIENTS)
            yield seen
            before = seen["401"]
            until(lambda: seen["401"] > before + CLIENTS)
        finally:
            is_over.set()
        for client in clients:
            client.result()


def pids(api: RunningApi) -> set[int]:
    return {worker.pid for worker in api.workers()}


def wait_for_others(api: RunningApi, before: set[int]) -> None:
    """Wait until none of these workers is left, and others are there."""
    until(lambda: not any(map(psutil.pid_exists, before)) and len(pids(api)) == 2)


def test_a_reload_fails_no_request(host: Host) -> None:
    with under_load(host.api.url) as seen:
        for _ in range(2):
            before = pids(host.api)
            host.api.process.send_signal(signal.SIGHUP)
            wait_for_others(host.api, before)

    assert set(seen) == {"401"}, seen


def test_a_worker_that_is_ended_fails_no_request(host: Host) -> None:
    with under_load(host.api.url) as seen:
        for _ in range(2):
            worker = host.api.workers()[0]
            worker.terminate()
            # Its parent buries it.
            worker.wait(PATIENCE_SECONDS)
            until(lambda: len(host.api.workers()) == 2)

    assert set(seen) == {"401"}, seen


def test_a_worker_that_has_served_enough_is_replaced_and_fails_no_request(
    durable_dsn: str, database_variables: Mapping[str, str]
) -> None:
    """R13: whatever leaks goes with it; deploy/gunicorn.conf.py says after how many."""
    seed_if_empty(durable_dsn)
    soon = ("--max-requests", "40", "--max-requests-jitter", "10")
    with running_api(database_variables, workers=2, options=soon) as api:
        first = pids(api)
        with under_load(api.url) as seen:
            wait_for_others(api, first)

    assert set(seen) == {"401"}, seen


def test_a_restart_behind_systemds_socket_fails_no_request(host: Host) -> None:
    with under_load(host.api.url) as seen:
        for _ in range(2):
            host.restart()
            host.api.wait_until_healthy()

    assert set(seen) == {"401"}, seen


def test_a_drained_host_says_so_and_serves_on(host: Host) -> None:
    environ = {
        **os.environ,
        "DRAIN_FILE": str(host.drain_file),
        "DRAIN_SECONDS": "2",
    }
    ready = f"{host.api.url}/health/ready"
    with under_load(host.api.url) as seen:
        draining = subprocess.Popen([PROJECT / "script" / "drain"], env=environ)
        until(lambda: requests.get(ready, timeout=5).status_code == 503)
        answered = seen["401"]
        began = time.monotonic()
        draining.wait(30)
        assert time.monotonic() - began > 1
        assert seen["401"] > answered
        subprocess.run([PROJECT / "script" / "drain", "--end"], env=environ, check=True)
        assert requests.get(ready, timeout=5).status_code == 200

    assert draining.returncode == 0
    assert set(seen) == {"401"}, seen


def test_workers_count_together_also_after_a_reload(host: Host) -> None:
    def answered() -> float:
        text = requests.get(f"{host.api.url}/metrics", timeout=10).text
        return Scraped(text)(
            "proctoring_http_requests_total", route="/api/auth/login", status="401"
        )

    with under_load(host.api.url) as seen:
        before = pids(host.api)
        host.api.process.send_signal(signal.SIGHUP)
        wait_for_others(host.api, before)

    assert answered() == seen["401"]
    text = requests.get(f"{host.api.url}/metrics", timeout=10).text
    assert Scraped(text)("proctoring_http_requests_in_flight") == 1
    files = {path.name for path in (host.drain_file.parent / "metrics").iterdir()}
    # Two generations of two workers overlapped, and the master counts nothing.
    assert len([name for name in files if name.endswith(".lock")]) <= 5
