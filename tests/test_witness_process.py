"""`python -m witness` as it really runs: its commands, and kill -9 at any moment."""

import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from resource import RLIM_INFINITY, RLIMIT_FSIZE, prlimit

import pytest

from services.witness_client import Behind, Cosigned, Refused, Seen, latest
from tests.slow.running import free_port
from tests.witnesses import NAME, ORIGIN, PROJECT, Log, Process, Running, command
from utils.checkpoint import Checkpoint
from utils.signed_note import VerifierKey
from witness import keys
from witness.__main__ import serve as serve_command
from witness.keys import KeyFileError


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    made = Process(home=tmp_path, log=Log.of_size(400), port=free_port())
    made.settle()
    yield made
    made.kill()


def test_a_witness_that_is_killed_between_requests_goes_on(process: Process) -> None:
    log, size = process.log, 0
    for _ in range(3):
        witness = process.start()
        # It does not know what the one before it answered, but what that remembered.
        assert witness.push(log, 399, 400) == Behind(size)

        answer = witness.push(log, size, size + 7)

        assert witness.has_cosigned(log.note(size + 7), answer)
        process.kill()
        size += 7
        ((seen,), forks) = witness.seen()
        assert (seen.size, seen.root, forks) == (size, log.root(size), [])


class Histories:
    """What a witness was heard to cosign, of a log that shows two histories at once."""

    def __init__(self, log: Log) -> None:
        self.sides = [log, log.fork(at=5, size=len(log.leaves))]
        self.notes = [[side.note(n) for n in range(401)] for side in self.sides]
        self.roots: dict[int, set[bytes]] = defaultdict(set)
        self.answers = threading.Semaphore(0)
        self.is_over = threading.Event()

    def press(self, witness: Running, side: int, seed: int) -> None:
        """Ask for as many cosignatures of one history as there are, in any order."""
        log, chance, size = self.sides[side], random.Random(seed), 0
        while not self.is_over.is_set():
            asked = min(400, size + chance.randrange(3))
            answer = witness.push(log, size, asked)
            match answer:
                case Cosigned():
                    assert witness.has_cosigned(self.notes[side][asked], answer)
                    self.roots[asked].add(log.root(asked))
                    size = asked
                case Behind():
                    size = answer.size
                case Refused():
                    # The other history has won; ask again from anywhere.
                    size = chance.randrange(size + 1)
            self.answers.release()


def test_no_kill_makes_it_contradict_itself_or_go_back(process: Process) -> None:
    histories = Histories(process.log)
    chance = random.Random(1)
    largest = 0
    for _ in range(5):
        witness = process.start()
        histories.is_over.clear()
        threads = [
            threading.Thread(
                target=histories.press, args=(witness, side, chance.random())
            )
            for side in (0, 1, 0, 1)
        ]
        for thread in threads:
            thread.start()
        for _ in range(chance.randrange(20, 120)):
            assert histories.answers.acquire(timeout=60)

        process.kill()
        histories.is_over.set()
        for thread in threads:
            thread.join()

        ((seen,), _) = witness.seen()
        assert seen.size >= max(histories.roots)
        assert seen.size >= largest
        largest = seen.size

    assert largest > 0
    # One history, and nothing of the other beyond what the two have in common.
    (winner,) = {
        side
        for side, log in enumerate(histories.sides)
        if log.root(largest) == seen.root
    }
    for size, roots in histories.roots.items():
        assert roots == {histories.sides[winner].root(size)}


def test_it_starts_again_where_another_process_left_the_file(process: Process) -> None:
    """The journal that a crash has left behind is rolled back."""
    log = process.log
    witness = process.start()
    witness.push(log, 0, 7)
    process.kill()
    writer = (
        "import os, signal, sqlite3, sys; c = sqlite3.connect(sys.argv[1]);"
        # All of a small cache goes to the disk before the commit.
        "c.execute('PRAGMA cache_size = 1'); c.execute('PRAGMA cache_spill = 1');"
        "c.execute('BEGIN');"
        "c.execute('UPDATE latest SET size = 300');"
        "c.execute('CREATE TABLE much (x)');"
        "c.executemany('INSERT INTO much VALUES (?)', [['y' * 9000]] * 200);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", writer, witness.state], check=False)
    assert witness.state.with_name("state-journal").stat().st_size > 0

    witness = process.start()

    assert witness.push(log, 0, 9) == Behind(7)
    assert witness.has_cosigned(log.note(9), witness.push(log, 7, 9))


def test_a_disk_that_takes_nothing_is_seen_by_who_asks_for_its_health(
    process: Process,
) -> None:
    log, witness = process.log, process.start()
    witness.push(log, 0, 7)
    (worker,) = (
        Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    )
    before = prlimit(int(worker), RLIMIT_FSIZE, (0, RLIM_INFINITY))

    assert witness.post(log.body(7, 8)).status == 503
    assert witness.send("GET", "/health").status == 503

    prlimit(int(worker), RLIMIT_FSIZE, before)
    assert witness.send("GET", "/health").status == 200
    assert witness.has_cosigned(log.note(8), witness.push(log, 7, 8))


def test_what_was_shown_is_what_was_seen(process: Process) -> None:
    witness = process.start()
    assert command("show", "--state", process.home / "state").stdout == (
        "Nothing has been cosigned yet.\n"
    )
    witness.push(process.log, 0, 7)

    done = command("show", "--state", process.home / "state")

    assert done.returncode == 0
    assert f"{ORIGIN}, cosigned at 20" in done.stdout
    found = latest(witness.url, ORIGIN)
    assert isinstance(found, Seen)
    for line in found.note.render().splitlines():
        assert f"  {line}".rstrip() in done.stdout.splitlines()
    assert Checkpoint.parse(found.note.text).root == process.log.root(7)


def test_a_fork_is_shown_with_both_signatures(process: Process) -> None:
    witness = process.start()
    fork = process.log.fork(at=5, size=7)
    witness.push(process.log, 0, 7)
    witness.push(fork, 7, 7)

    done = command("show", "--state", process.home / "state")

    assert done.returncode == 1
    assert f"FORK of {ORIGIN}" in done.stdout
    for log in (process.log, fork):
        for line in log.note(7).splitlines():
            assert f"  {line}".rstrip() in done.stdout.splitlines()


def test_a_new_key_is_private_and_its_public_half_printed(tmp_path: Path) -> None:
    path = tmp_path / "key"
    done = command("keygen", NAME, "--key", path)

    assert done.returncode == 0
    assert path.stat().st_mode & 0o777 == 0o600
    assert VerifierKey.parse(done.stdout.strip()) == keys.read(path).verifier
    assert path.read_text().strip() not in done.stdout


def test_a_key_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key"
    command("keygen", NAME, "--key", path)
    before = path.read_text()

    done = command("keygen", NAME, "--key", path)

    assert done.returncode == 1
    assert "is not overwritten" in done.stderr
    assert path.read_text() == before


@pytest.mark.parametrize("name", ["", "two words", "a+b"])
def test_a_name_that_no_key_can_have_is_refused(tmp_path: Path, name: str) -> None:
    done = command("keygen", name, "--key", tmp_path / "key")

    assert done.returncode == 1
    assert "is no name for a key" in done.stderr
    assert not (tmp_path / "key").exists()


def test_a_state_is_not_overwritten(tmp_path: Path) -> None:
    assert command("init", "--state", tmp_path / "state").returncode == 0

    done = command("init", "--state", tmp_path / "state")

    assert done.returncode == 1
    assert "is not overwritten" in done.stderr
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o600


def serve(home: Path, log: str) -> subprocess.CompletedProcess[str]:
    files = ("--state", home / "state", "--key", home / "key")
    return command("serve", *files, "--log", log, "--bind", "127.0.0.1:1")


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda home: (home / "state").unlink(), "There is no state"),
        (lambda home: (home / "state").write_bytes(b""), "is not the state"),
        (lambda home: (home / "state").write_bytes(b"x" * 9999), "cannot be read"),
        (lambda home: (home / "key").unlink(), "cannot be read"),
        (lambda home: (home / "key").chmod(0o604), "Others have access"),
        (lambda home: (home / "key").chmod(0o620), "Others have access"),
        (lambda home: (home / "key").write_text("secret"), "does not hold a key"),
    ],
)
def test_it_does_not_serve_without_its_memory_or_its_key(
    process: Process,
    damage: Callable[[Path], object],
    complaint: str,
) -> None:
    """An empty memory with a known key would cosign any fork."""
    damage(process.home)

    done = serve(process.home, str(process.log.key))

    assert done.returncode == 1
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "secret" not in done.stderr


def test_a_key_for_signing_logs_does_not_cosign(process: Process) -> None:
    (process.home / "key").write_text(f"{process.log.signer}\n")

    done = serve(process.home, str(process.log.key))

    assert (done.returncode, "not for cosignatures" in done.stderr) == (1, True)


@pytest.mark.parametrize("text", ["", "nonsense", "a+b+c", f"x+00000000+{'A' * 44}"])
def test_a_key_of_a_log_that_is_none_is_refused(process: Process, text: str) -> None:
    done = serve(process.home, text)

    assert (done.returncode, "Error: " in done.stderr) == (1, True)


def test_the_unit_of_systemd_starts_what_there_is() -> None:
    unit = (PROJECT / "deploy" / "witness.service").read_text()
    (line,) = re.findall("(?m)^ExecStart=(.*)$", unit)
    _, _, arguments = line.partition(" -m witness serve ")

    context = serve_command.make_context("serve", shlex.split(arguments))

    assert context.params["bind"] == "127.0.0.1:7380"
    # Where the unit allows it to write, and to read what only root can.
    assert str(context.params["state"]).startswith("/var/lib/witness/")
    assert context.params["key"] == Path("%d/key")


def test_logs_are_named_by_their_key_or_expressly() -> None:
    first, second = Log.of_size(0).key, Log.of_size(0).key
    # 44 characters of base64 may well have a plus sign; an origin may have any.
    given = [str(first), str(second), f"{first}=my log", f"{second}=a=b+c"]

    assert keys.parse_logs(given) == {
        ORIGIN: [first, second],
        "my log": [first],
        "a=b+c": [second],
    }
    with pytest.raises(KeyFileError):
        keys.parse_logs([f"{first}="])


def test_it_runs_without_the_rest_of_the_program(tmp_path: Path) -> None:
    """Another house needs two folders; the imports are checked by script/lint too."""
    for name in ("witness", "utils"):
        shutil.copytree(PROJECT / name, tmp_path / name)

    done = subprocess.run(
        [sys.executable, "-m", "witness", "keygen", NAME, "--key", tmp_path / "key"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert keys.read(tmp_path / "key").verifier == VerifierKey.parse(
        done.stdout.strip()
    )
