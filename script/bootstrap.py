"""Makes .venv and installs the locked requirements: `script/setup [--dev]`.

Needs Python 3.11 and nothing else. What is installed already is recognised by the
stamp that is left when all of it is there, so the second time takes no time.
"""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
VENV = PROJECT / ".venv"
PYTHON = VENV / "bin" / "python"

# Debian leaves ensurepip out of its python3: then pip comes from here.
PIP_URL = (
    "https://files.pythonhosted.org/packages/07/25/ee8c38ae72d66b844ce8eb9711ba905dba21"
    "ca1a8a0c960057c41cd23337/pip-26.3-py3-none-any.whl"
)
PIP_SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"


def main() -> None:
    is_dev = "--dev" in sys.argv[1:]
    names = ["requirements", "requirements-dev"] if is_dev else ["requirements"]
    if all(is_installed(name) for name in names):
        return
    (PROJECT / ".local").mkdir(exist_ok=True)
    with (PROJECT / ".local" / "setup.lock").open("w") as lock:
        # Two scripts that are started at once must not install over each other.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if all(is_installed(name) for name in names):
            return
        make_venv()
        # The larger file contains the smaller one, with the same versions.
        install(names[-1])
        for name in names:
            stamp(name).write_text(fingerprint(name))


def stamp(name: str) -> Path:
    return VENV / f"{name}.installed"


def fingerprint(name: str) -> str:
    """Say what is to be installed, and where: an environment can not be moved."""
    lock = (PROJECT / f"{name}.lock").read_bytes()
    return f"{VENV}\n{hashlib.sha256(lock).hexdigest()}\n"


def is_installed(name: str) -> bool:
    return (
        os.access(PYTHON, os.X_OK)
        and stamp(name).exists()
        and stamp(name).read_text() == fingerprint(name)
    )


def make_venv() -> None:
    if can_install():
        return
    if VENV.exists():
        print("Making .venv anew: it is incomplete, or was made elsewhere.")
        shutil.rmtree(VENV)
    has_pip = importlib.util.find_spec("ensurepip") is not None
    venv.create(VENV, with_pip=has_pip, symlinks=True)
    if not has_pip:
        fetch_pip()


def can_install() -> bool:
    if any(
        stamp.read_text().partition("\n")[0] != str(VENV)
        for stamp in VENV.glob("*.installed")
    ):
        return False
    question = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    try:
        answer = subprocess.run(
            [PYTHON, "-c", question], stderr=subprocess.DEVNULL, check=False
        )
    except OSError:
        return False
    return answer.returncode == 0


def fetch_pip() -> None:
    try:
        # The address is a constant, and what comes is checked by its hash.
        with urllib.request.urlopen(PIP_URL, timeout=60) as response:  # nosec B310
            content = response.read()
    except OSError as error:
        sys.exit(
            f"This Python has no ensurepip, and pip could not be fetched ({error}).\n"
            "Install it and try again; on Debian and Ubuntu: apt-get install"
            " python3-venv"
        )
    if hashlib.sha256(content).hexdigest() != PIP_SHA256:
        sys.exit(f"{PIP_URL} is not the file that it was: not used.")
    with tempfile.TemporaryDirectory() as directory:
        wheel = Path(directory) / PIP_URL.rpartition("/")[2]
        wheel.write_bytes(content)
        # A wheel is a zip file, and Python runs pip out of it.
        subprocess.run(
            [PYTHON, wheel / "pip", "install", "--quiet", "--no-index", wheel],
            check=True,
        )


def install(name: str) -> None:
    """Run pip, and tell one line of what it tells in a hundred."""
    file = PROJECT / f"{name}.lock"
    total = sum("==" in line[:60] for line in file.read_text().splitlines())
    command = [
        *(
            str(PYTHON),
            "-m",
            "pip",
            "install",
            "--no-input",
            "--disable-pip-version-check",
        ),
        # Wheels alone: no compiler is needed, and no package runs code to install.
        *("--only-binary", ":all:", "--require-hashes", "--progress-bar", "off"),
        *("--requirement", str(file)),
    ]
    started = time.monotonic()
    print(f"Installing {total} packages into .venv (the first time only)", flush=True)
    tail: list[str] = []
    done = 0
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as pip:
        for line in pip.stdout or ():
            tail = [*tail[-20:], line]
            words = line.split()
            if words[:1] in (["Collecting"], ["Ignoring"]) or "already" in words[:2]:
                done += 1
                show(f"  {done}/{total} {words[-1 if words[0] == 'Collecting' else 1]}")
            elif words[:2] == ["Installing", "collected"]:
                show(f"  {total}/{total} unpacking")
    if pip.returncode != 0:
        sys.exit(
            "".join(["\n", *tail, "pip could not install the packages: see above."])
        )
    show("")
    print(f"Installed in {time.monotonic() - started:.0f} s", flush=True)


def show(text: str) -> None:
    """Write over the line before; a log that nobody watches is spared."""
    if sys.stdout.isatty():
        print(f"\r\033[K{text}", end="", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nInterrupted: the next start goes on from here.")
    except PermissionError as error:
        sys.exit(
            f"This account may not change {error.filename}: start with the account that"
            " made it (root perhaps), or in a clone of your own."
        )
