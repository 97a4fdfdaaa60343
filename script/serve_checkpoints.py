"""The checkpointer beside script/server: it signs the log of the embedded database.

Its key and its state are kept under .local, apart from the database's own directory.
For real they belong to another account, better on another machine: here it is shown
how the parts work together.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from services.checkpoint_files import Files, read_keys
from utils.safe_files import replace_file
from witness import keys

STOP_TIMEOUT_SECONDS = 10.0
LOGIN_ROLE = "proctoring_checkpoints"
GROUP = "proctoring_checkpointer"


def files_under(directory: Path) -> Files:
    return Files(keys=directory / "keys.json", state=directory / "state.json")


def make_keys(files: Files, environ: Mapping[str, str]) -> None:
    """Make the first key of this database's log, if there is none yet."""
    if not files.keys.exists():
        command = [*_program(files), "keygen"]
        subprocess.run(command, env=_own(environ), check=True, stdout=subprocess.PIPE)


def write_policy(path: Path, vkeys: Sequence[str], witness: str) -> None:
    """Ask for the one witness that there is, given as the checkpointer takes it.

    For real the policy names witnesses of other houses, and more than one.
    """
    vkey, _, _ = witness.partition("=")
    logs = "".join(f"log {each}\n" for each in vkeys)
    replace_file(path, f"{logs}witness local {vkey}\nquorum local\n")


@contextmanager
def witness(directory: Path, vkeys: Sequence[str]) -> Iterator[str]:
    """Run a witness of the log, and give it as the checkpointer takes it.

    For real another administration runs it: here it shows how the parts work together.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    key, state = directory / "key", directory / "state.sqlite"
    own = {name: os.environ[name] for name in ("PATH",) if name in os.environ}
    program: list[str | Path] = [sys.executable, "-m", "witness"]
    if not key.exists():
        command = [*program, "keygen", "localhost/witness", "--key", key]
        subprocess.run(command, env=own, check=True, stdout=subprocess.PIPE)
    if not state.exists():
        subprocess.run([*program, "init", "--state", state], env=own, check=True)
    port = _free_port()
    logs = [word for vkey in vkeys for word in ("--log", vkey)]
    with (directory / "witness.log").open("ab") as output:
        watching = subprocess.Popen(
            [
                *(*program, "serve", "--state", state, "--key", key),
                *("--bind", f"127.0.0.1:{port}", *logs),
            ],
            env=own,
            start_new_session=True,
            stdout=output,
            stderr=output,
        )
    try:
        yield f"{keys.read(key).verifier}=http://127.0.0.1:{port}"
    finally:
        _end(watching)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def verifier_keys(files: Files) -> str:
    """Return the public keys as AUDIT_LOG_VKEYS takes them."""
    return ",".join(period.vkey for period in read_keys(files.keys).periods)


@contextmanager
def checkpointer(
    files: Files,
    environ: Mapping[str, str],
    claims: Sequence[int],
    witness: str,
    policy: str,
) -> Iterator[None]:
    """Sign in a process of its own. Why it refuses, it writes to our terminal."""
    log = files.state.with_name("checkpointer.log")
    with log.open("ab") as output:
        signing = subprocess.Popen(
            [*_program(files), "run", "--witness", witness, "--policy", policy],
            env=_own(environ),
            start_new_session=True,
            stdout=output,
            pass_fds=claims,
        )
    try:
        yield
    finally:
        _end(signing)


def _program(files: Files) -> list[str | Path]:
    return [
        *(sys.executable, "-m", "checkpointer"),
        *("--keys", files.keys, "--state", files.state),
    ]


def _own(environ: Mapping[str, str]) -> dict[str, str]:
    """Leave out the secrets of the API, and its login."""
    names = ("PATH", "DB_HOST", "DB_PORT", "DB_NAME")
    known = {name: environ[name] for name in names if name in environ}
    return known | {"DB_USER": LOGIN_ROLE}
