"""The README's curl lines, run in their order as somebody would paste them."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from database.seed import seed_if_empty
from tests.slow.running import running_api

ROOT = Path(__file__).resolve().parents[2]
ENDPOINTS = 33


def test_every_curl_of_the_readme_works(
    durable_dsn: str, database_variables: Mapping[str, str]
) -> None:
    readme = (ROOT / "README.md").read_text()
    rows = re.findall(
        r"^\| `([A-Z]+ /[^`]*)` \|.*\| `(curl [^`]+)` \|$", readme, re.MULTILINE
    )
    assert len(rows) == ENDPOINTS

    seed_if_empty(durable_dsn)
    # -f: a status of 400 or more is a failure.
    lines = [
        f"{curl.replace('curl ', 'curl -fsS ', 1)} > /dev/null"
        f" || {{ echo 'FAILED: {endpoint}'; exit 1; }}"
        for endpoint, curl in rows
    ]
    script = "\n".join([". script/try", *lines])
    with running_api(database_variables, workers=1) as api:
        run = subprocess.run(
            ["bash", "-c", script],
            cwd=ROOT,
            env={**os.environ, "API": api.url},
            capture_output=True,
            text=True,
            check=False,
        )

    assert run.returncode == 0, run.stdout + run.stderr
