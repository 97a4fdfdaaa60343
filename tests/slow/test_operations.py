"""The commands of docs/operations.md, in their order, as somebody would paste them."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from database.seed import seed_if_empty
from tests.manual import ROOT, blocks
from tests.slow.running import running_api


def test_the_commands_work(
    durable_dsn: str, database_variables: Mapping[str, str], tmp_path: Path
) -> None:
    seed_if_empty(durable_dsn)
    commands = blocks("bash")
    assert len(commands) >= 6
    # A line that fails ends it, and its number is in what bash says.
    script = "\n".join([". script/try", "set -ex -o pipefail", *commands])
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics")}
    with running_api(database_variables, workers=2, environment=environment) as api:
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=ROOT,
            env={**os.environ, "API": api.url},
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    # The attempt of script/try ran, and got its time.
    assert '"extended":["' in done.stdout
    assert "proctoring_http_requests_in_flight 1.0" in done.stdout
