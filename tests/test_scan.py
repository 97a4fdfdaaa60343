"""What script/scan is there to find, it finds."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCAN = (ROOT / "script" / "scan").read_text()
BIN = Path(sys.executable).parent


def test_an_insecure_line_is_found(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("import subprocess\nsubprocess.run(input(), shell=True)\n")
    options = re.findall(r"--(?:severity|confidence)-level \w+", SCAN)
    assert len(options) == 2

    found = subprocess.run(
        [
            *(sys.executable, "-m", "bandit", "--quiet"),
            *(word for option in options for word in option.split()),
            module,
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert found.returncode == 1
    assert "B602" in found.stdout


# Put together here, or they would be found in this file.
PRIVATE_KEY = "-----BEGIN " + "EC PRIVATE KEY-----"
PASSWORD = "db_password" + ' = "Zx81kQ0pL2vB"'


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (PRIVATE_KEY, ["--baseline", ".secrets.baseline"]),
        (PASSWORD, ["--baseline", ".secrets.baseline"]),
        (PRIVATE_KEY, re.findall(r"--disable-plugin|\w+(?:String|Detector)", SCAN)),
    ],
    ids=["a key", "a password", "a key in a test"],
)
def test_a_secret_is_found(tmp_path: Path, text: str, options: list[str]) -> None:
    file = tmp_path / "settings.py"
    file.write_text(text + "\n")

    found = subprocess.run(
        [BIN / "detect-secrets-hook", *options, file],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert found.returncode == 1, found.stdout + found.stderr
    assert "Secret" in found.stdout
