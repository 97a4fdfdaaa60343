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


# What holds secrets where this program runs.
SECRET_FILES = re.compile(
    r"(^|/)(\.env(\..*)?|keys\.json|state\.json|id_rsa|.*\.(key|pem|p12|sqlite|dump))$"
    r"|^deploy/secrets/|^\.local/"
)


def git(*arguments: str) -> list[str]:
    found = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    # 1 means that nothing was found.
    if found.returncode not in {0, 1}:
        pytest.skip("this is no clone of the repository")
    return found.stdout.splitlines()


def test_no_file_of_secrets_is_or_ever_was_committed() -> None:
    """S73: the name is enough; script/scan looks into the others."""
    ever = {
        *git("ls-files"),
        *git("log", "--all", "--diff-filter=A", "--name-only", "--format="),
    }

    assert "app.py" in ever
    assert {name for name in ever if SECRET_FILES.search(name)} == {".env.example"}


@pytest.mark.parametrize(
    "name", [".env", ".local/secrets", "deploy/secrets/secret_key"]
)
def test_what_is_secret_gets_into_no_commit_and_no_image(name: str) -> None:
    """S73."""
    assert git("check-ignore", name) == [name]
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert not [rule for rule in rules if rule[0] == "!" and name.startswith(rule[1:])]


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
