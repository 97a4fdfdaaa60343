"""A release is a directory of its own, and a link leads to the one that serves.

So a worker that begins while the next one is being installed, as some do every few
minutes, never finds half of it (docs/operations.md, "A release").
"""

import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

import requests

from database.seed import seed_if_empty
from tests.slow.running import PROJECT, RunningApi, running_api
from tests.waiting import until


def install(directory: Path, version: str) -> None:
    unneeded = shutil.ignore_patterns(".*", "__pycache__", "tests", "bench")
    shutil.copytree(PROJECT, directory, ignore=unneeded)
    file = directory / "services" / "health_service.py"
    text = file.read_text()
    assert 'VERSION = "0.1.0"' in text
    file.write_text(text.replace('VERSION = "0.1.0"', f'VERSION = "{version}"'))


def versions(api: RunningApi) -> set[str]:
    """Ask often enough for every worker to have answered."""
    answers = [requests.get(f"{api.url}/health", timeout=60) for _ in range(12)]
    return {answer.json()["version"] for answer in answers}


def test_workers_follow_the_link_to_the_release_that_serves(
    durable_dsn: str, database_variables: Mapping[str, str], tmp_path: Path
) -> None:
    seed_if_empty(durable_dsn)
    install(tmp_path / "v1", "1")
    link = tmp_path / "serving"
    link.symlink_to(tmp_path / "v1")
    options = ("--chdir", str(link))
    with running_api(
        database_variables, project=link, workers=2, options=options
    ) as api:
        install(tmp_path / "v2", "2")
        assert versions(api) == {"1"}
        (tmp_path / "next").symlink_to(tmp_path / "v2")
        (tmp_path / "next").rename(link)

        # Both serve one schema.
        api.workers()[0].terminate()
        until(lambda: versions(api) == {"1", "2"})
        api.process.send_signal(signal.SIGHUP)
        until(lambda: versions(api) == {"2"})
