"""A log with its key, and witnesses of it: in this process, and as they really run."""

import base64
import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from werkzeug.serving import make_server

from services import witness_client
from services.checkpoint_files import Files, read_keys
from tests.waiting import until
from utils import merkle
from utils.checkpoint import Checkpoint
from utils.signed_note import COSIGNATURE, ED25519, Note, Signer, VerifierKey, verified
from witness import keys, store
from witness.app import create_app
from witness.cosigning import Witness

PROJECT: Final = Path(__file__).resolve().parent.parent
ORIGIN: Final = "exams.example.edu/log"
NAME: Final = "board.example.edu/witness"


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """Whoever has its key. `fork` makes one that signs another history with it."""

    signer: Signer
    leaves: list[bytes] = field(default_factory=list)
    origin: str = ORIGIN

    @classmethod
    def of_size(cls, size: int, origin: str = ORIGIN) -> Self:
        log = cls(signer=Signer.generate(origin, ED25519), origin=origin)
        log.grow(size)
        return log

    @classmethod
    def of(cls, files: Files) -> Self:
        """Return the log whose checkpointer has these files, without its entries."""
        signer = read_keys(files.keys).signers[-1]
        return cls(signer=signer, origin=signer.name)

    @property
    def key(self) -> VerifierKey:
        return self.signer.verifier

    def grow(self, by: int) -> None:
        self.leaves.extend(secrets.token_bytes(32) for _ in range(by))

    def fork(self, at: int, size: int) -> "Log":
        other = Log(signer=self.signer, leaves=self.leaves[:at], origin=self.origin)
        other.grow(size - at)
        return other

    def root(self, size: int) -> bytes:
        return merkle.root_at(size, self._node)

    def proof(self, old_size: int, size: int) -> Sequence[bytes]:
        if old_size == 0:
            return []
        return merkle.consistency_proof(old_size, size, self._node)

    def note(self, size: int, *, root: bytes | None = None) -> str:
        text = Checkpoint(self.origin, size, root or self.root(size)).render()
        return Note(text, (self.signer.sign(text),)).render()

    def body(self, old_size: int, size: int) -> bytes:
        return body(old_size, self.proof(old_size, size), self.note(size))

    def _node(self, level: int, index: int) -> bytes:
        if level == 0:
            return self.leaves[index]
        below = self._node(level - 1, 2 * index), self._node(level - 1, 2 * index + 1)
        return merkle.node_hash(*below)


def body(old_size: int, proof: Sequence[bytes], note: str) -> bytes:
    lines = [f"old {old_size}", *(base64.b64encode(node).decode() for node in proof)]
    return "".join(f"{line}\n" for line in (*lines, "")).encode() + note.encode()


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A witness that answers on the loopback."""

    url: str
    key: VerifierKey
    state: Path

    def post(self, content: bytes | Iterator[bytes]) -> Answer:
        """Post to /add-checkpoint; an iterator is sent in chunks."""
        return self.send("POST", "/add-checkpoint", content)

    def send(
        self, method: str, path: str, content: bytes | Iterator[bytes] | None = None
    ) -> Answer:
        host = self.url.removeprefix("http://")
        with closing(http.client.HTTPConnection(host, timeout=30)) as connection:
            connection.request(method, path, content)
            response = connection.getresponse()
            return Answer(response.status, dict(response.headers), response.read())

    def push(
        self, log: Log, old_size: int, size: int
    ) -> (
        witness_client.Cosigned
        | witness_client.Behind
        | witness_client.Refused
        | witness_client.Unreachable
    ):
        return witness_client.add_checkpoint(
            self.url, old_size, log.proof(old_size, size), log.note(size)
        )

    def has_cosigned(self, note: str, answer: object) -> bool:
        """Say whether the answer holds this witness's cosignature of the note."""
        if not isinstance(answer, witness_client.Cosigned):
            return False
        signed = Note.parse(note.encode()).with_signatures(*answer.signatures)
        return verified(signed, self.key) is not None

    def seen(self) -> tuple[list[store.Seen], list[store.Fork]]:
        with closing(store.Store(self.state)) as opened:
            return opened.list_all()


@contextmanager
def serving(
    state: Path,
    *logs: Log,
    signer: Signer | None = None,
    clock: Callable[[], int] = lambda: 1_800_000_000,
) -> Iterator[Running]:
    """Serve from threads of this process; the state is made if there is none."""
    if not state.exists():
        store.create(state)
    signer = signer or Signer.generate(NAME, COSIGNATURE)
    with closing(store.Store(state)) as opened:
        trusted = {
            log.origin: [each.key for each in logs if each.origin == log.origin]
            for log in logs
        }
        app = create_app(
            Witness(store=opened, signer=signer, logs=trusted, clock=clock)
        )
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield Running(
                url=f"http://127.0.0.1:{server.port}", key=signer.verifier, state=state
            )
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "witness", *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@dataclass(slots=True)
class Process:
    """`python -m witness serve` as the second administration runs it."""

    home: Path
    log: Log
    port: int
    name: str = NAME
    address: str = "127.0.0.1"
    # Of other logs, or of the same in another epoch.
    other_keys: tuple[VerifierKey, ...] = ()
    _process: subprocess.Popen[bytes] | None = None

    def settle(self) -> None:
        self.home.mkdir(exist_ok=True)
        keys.make(self.home / "key", self.name)
        store.create(self.home / "state")

    def start(self) -> Running:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "witness", "serve"),
                *("--state", self.home / "state", "--key", self.home / "key"),
                *("--log", str(self.log.key), "--bind", f"{self.address}:{self.port}"),
                *(word for key in self.other_keys for word in ("--log", str(key))),
            ],
            cwd=PROJECT,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        running = Running(
            url=f"http://{self.address}:{self.port}",
            key=keys.read(self.home / "key").verifier,
            state=self.home / "state",
        )
        nobody = witness_client.Unreachable
        until(lambda: not isinstance(witness_client.latest(running.url, ""), nobody))
        return running

    @property
    def pid(self) -> int:
        """Raises LookupError if it does not run."""
        if self._process is None:
            raise LookupError("the witness does not run")
        return self._process.pid

    def kill(self) -> None:
        """End gunicorn and its worker at once, as a crash does."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
            until(self._is_silent)

    def _is_silent(self) -> bool:
        """The worker dies too, and until then the port is taken."""
        with socket.socket() as caller:
            return caller.connect_ex((self.address, self.port)) != 0
