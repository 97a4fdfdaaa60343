"""Having checkpoints cosigned by the witnesses that the operator has configured.

A witness belongs to another administration and remembers what it has seen. So it is
asked first of all, at the start, whether it has seen more than we know to have signed:
then this database, or this state, is an old copy.
"""

import http
import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Final, Self

from models import checkpoint
from models.checkpoint import StoredCheckpoint
from models.database import Database
from services import witness_client
from services.checkpointer import RefusedError
from services.merkle_service import ProofDoesNotHoldError, prove_consistency
from services.witness_client import Behind, Cosigned, Refused, Seen, Unreachable
from utils.checkpoint import Checkpoint
from utils.signed_note import (
    COSIGNATURE,
    Note,
    NoteError,
    Signature,
    VerifierKey,
    verified,
)
from utils.tlog_policy import Policy
from utils.witness_policy import WitnessPolicy

logger = logging.getLogger(__name__)

# Signing waits for the answers, and a student for his receipt.
TIMEOUT_SECONDS: Final = 1.0
# What is not there then is not waited for: looking up a name has no end of its own.
PATIENCE_SECONDS: Final = 1.2
# A witness that did not answer is left alone for so long.
PAUSE_SECONDS: Final = 5.0
# One that says to have seen another log and does not show it is not heard for so long.
DOUBT_SECONDS: Final = 60.0
# The proof does not hold: it has seen another history, or says so.
CONTRADICTED: Final = http.HTTPStatus.UNPROCESSABLE_ENTITY
# The first question tells where the witness is, the second asks from there.
MAX_QUESTIONS: Final = 2


@dataclass(frozen=True, slots=True)
class ConfiguredWitness:
    """Whose cosignatures are wanted, and where it is asked."""

    key: VerifierKey
    url: str

    def __post_init__(self) -> None:
        if self.key.algorithm != COSIGNATURE:
            raise NoteError("the key of a witness is for cosignatures (type 4)")
        if not self.url.startswith(("http://", "https://")):
            raise NoteError("a witness is given as VKEY=URL")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read VKEY=URL. Raises NoteError."""
        # The base64 of 33 bytes ends without an equals sign.
        vkey, _, url = text.partition("=")
        return cls(VerifierKey.parse(vkey), url)

    @classmethod
    def all_of(cls, policy: Policy) -> Sequence[Self]:
        """Return those for whom the policy has an address. Raises NoteError."""
        return [cls(each.key, each.url) for each in policy.witnesses if each.url]


@dataclass(slots=True)
class _Asked:
    """A witness, at which size it was last, and until when it is left alone."""

    witness: ConfiguredWitness
    size: int = 0
    silent_until: float = 0.0
    # Whether it says to have seen more than was signed, or another history.
    is_contradicting: bool = False
    unheard_until: float = 0.0
    # The question that it has not answered yet.
    open: "Future[Sequence[Signature]] | None" = None

    def is_to_be_asked(self) -> bool:
        is_answered = self.open is None or self.open.done()
        return is_answered and time.monotonic() >= self.silent_until


class Witnessing:
    """Asks every witness about what was signed. One object for one thread.

    `is_witnessed` says whether the newest checkpoint has the quorum of the policy.
    """

    def __init__(
        self,
        database: Database,
        witnesses: Sequence[ConfiguredWitness],
        *,
        policy: WitnessPolicy | None = None,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._database = database
        self._asked = [_Asked(witness) for witness in witnesses]
        self._policy = policy
        self._pause_seconds = pause_seconds
        self._threads = ThreadPoolExecutor(max(1, len(witnesses)), "witness")
        # The newest checkpoint, and its note with all signatures that there are.
        self._newest: tuple[StoredCheckpoint, Note] | None = None
        self._lacking: list[_Asked] = []
        self.is_witnessed: bool | None = None

    @property
    def count(self) -> int:
        return len(self._asked)

    @property
    def is_contradicted(self) -> bool:
        """Whether it is time to compare once more with what witnesses have seen.

        One that was away at the start is heard then, and so is one whose log was set
        back under our eyes.
        """
        now = time.monotonic()
        return any(
            each.is_contradicting and now >= each.unheard_until for each in self._asked
        )

    def compare(self, signed_size: int, log_keys: Sequence[VerifierKey]) -> None:
        """See that no witness has seen more than was signed.

        `log_keys` are the newest first. Those of an epoch that is over have another
        name: what witnesses have seen under that one is contradicted, and known to be.
        Raises RefusedError for a larger checkpoint that bears our own signature: a
        witness that lies can not make one. One that does not answer proves nothing.
        """
        # What was signed of an earlier epoch may well be longer.
        origin = log_keys[0].name
        keys = [key for key in log_keys if key.name == origin]
        for each in self._asked:
            if each.is_contradicting:
                each.is_contradicting = False
                each.unheard_until = time.monotonic() + DOUBT_SECONDS
            answer = witness_client.latest(
                each.witness.url, origin, timeout_seconds=TIMEOUT_SECONDS
            )
            if isinstance(answer, Seen):
                _refuse_if_ahead(each.witness, answer.note, signed_size, keys)

    def resume(self) -> int:
        """Ask about what was signed before; return how many have cosigned it now."""
        with self._database.read() as tx:
            newest = checkpoint.get_newest(tx)
        return 0 if newest is None else self.cosign(newest)

    def cosign(self, signed: StoredCheckpoint) -> int:
        """Ask about the newest checkpoint; return how many have cosigned it now."""
        note = _note_of(signed)
        if note is None:
            logger.error("a checkpoint here is no note", extra={"size": signed.size})
            self._newest, self._lacking = None, []
            return 0
        self._newest = signed, note
        self._lacking = [
            each for each in self._asked if verified(note, each.witness.key) is None
        ]
        count = self.complete()
        if not count:
            self._judge(note)
        return count

    def complete(self) -> int:
        """Ask the witnesses that the newest checkpoint lacks, all at once.

        Who was away or slow may be back: after the last submission of a day no further
        checkpoint follows, and its receipt is to be confirmed nevertheless.
        """
        if self._newest is None:
            return 0
        signed, note = self._newest
        asked = [each for each in self._lacking if each.is_to_be_asked()]
        found, count = note, 0
        for each, signatures in self._ask_all(asked, signed):
            found, count = found.with_signatures(*signatures), count + 1
            self._lacking.remove(each)
        if count:
            self._newest = signed, found
            self._judge(found)
            with self._database.bookkeeping() as tx:
                checkpoint.store_cosigned(
                    tx,
                    signed.size,
                    found.render(),
                    is_witnessed=bool(self.is_witnessed),
                )
        return count

    def _judge(self, note: Note) -> None:
        if self._policy is None:
            return
        before, found = self.is_witnessed, self._policy.judge(note)
        self.is_witnessed = found.is_witnessed
        if before is not found.is_witnessed and not found.is_witnessed:
            logger.warning("no quorum of witnesses", extra={"missing": found.missing})
        elif before is False and found.is_witnessed:
            logger.info("there is a quorum of witnesses again")

    def _ask_all(
        self, asked: Sequence[_Asked], signed: StoredCheckpoint
    ) -> Iterator[tuple[_Asked, Sequence[Signature]]]:
        if not asked:
            return
        opened = {self._threads.submit(self._ask, each, signed): each for each in asked}
        for future, each in opened.items():
            each.open = future
        # One that hangs must not cost the others their signatures, nor us the time.
        answered, _ = wait(opened, PATIENCE_SECONDS)
        for future, each in opened.items():
            if future in answered and (signatures := future.result()):
                yield each, signatures

    def _ask(self, asked: _Asked, signed: StoredCheckpoint) -> Sequence[Signature]:
        """Return the cosignature of one witness, or nothing.

        Raises DatabaseUnavailableError.
        """
        deadline = time.monotonic() + TIMEOUT_SECONDS
        witness = asked.witness
        answer: Cosigned | Behind | Refused | Unreachable = Unreachable("not asked")
        for _ in range(MAX_QUESTIONS):
            try:
                proof = self._proof(asked.size, signed)
            except ProofDoesNotHoldError as error:
                # What was signed stands, and the other witnesses may need no proof.
                answer = Unreachable(str(error))
                break
            answer = witness_client.add_checkpoint(
                witness.url,
                asked.size,
                proof,
                signed.note,
                # Of nothing is nothing left: a socket would wait for ever.
                timeout_seconds=max(0.01, deadline - time.monotonic()),
            )
            if not isinstance(answer, Behind) or answer.size > signed.size:
                break
            asked.size = answer.size
        if isinstance(answer, Cosigned):
            text = Note.parse(signed.note.encode()).text
            # What it says in another's name would make the note one to be rejected, and
            # a note has room for so many signatures only: one of each is enough.
            own = tuple(
                each
                for each in answer.signatures
                if (each.name, each.key_id) == (witness.key.name, witness.key.key_id)
            )[:1]
            if verified(Note(text, own), witness.key) is not None:
                _log_change(asked, None)
                asked.size, asked.silent_until = signed.size, 0.0
                asked.is_contradicting = False
                return own
        _log_change(asked, answer)
        asked.silent_until = time.monotonic() + self._pause_seconds
        asked.is_contradicting = (
            isinstance(answer, Behind) and answer.size > signed.size
        ) or (isinstance(answer, Refused) and answer.status == CONTRADICTED)
        return ()

    def _proof(self, old_size: int, signed: StoredCheckpoint) -> Sequence[bytes]:
        if old_size in (0, signed.size):
            return ()
        with self._database.read() as tx:
            return prove_consistency(tx, old_size, signed.size, signed).proof


def _note_of(signed: StoredCheckpoint) -> Note | None:
    """Return the note with the cosignatures that there are; None if it is none.

    Who owns the database can put anything there, and does not stop the signing by it.
    """
    try:
        plain = Note.parse(signed.note.encode())
    except NoteError:
        return None
    try:
        best = Note.parse(signed.best_note.encode())
    except NoteError:
        return plain
    return best if best.text == plain.text else plain


def _log_change(
    asked: _Asked, answer: Cosigned | Behind | Refused | Unreachable | None
) -> None:
    """Say it when a witness falls silent and when it is back, not each time."""
    was_silent, url = asked.silent_until > 0, asked.witness.url
    if isinstance(answer, Cosigned):
        logger.error("a witness signed wrongly", extra={"url": url})
    elif answer is None and was_silent:
        logger.info("a witness cosigns again", extra={"url": url})
    elif answer is not None and not was_silent:
        logger.warning(
            "a witness did not cosign", extra={"url": url, "answer": repr(answer)}
        )


def _refuse_if_ahead(
    witness: ConfiguredWitness,
    note: Note,
    signed_size: int,
    log_keys: Sequence[VerifierKey],
) -> None:
    try:
        seen = Checkpoint.parse(note.text)
    except NoteError:
        return
    is_ours = any(verified(note, key) is not None for key in log_keys)
    if is_ours and seen.size > signed_size:
        raise RefusedError(
            f"The witness {witness.key.name} has seen {seen.size} entries that we"
            f" signed, and the state knows of {signed_size}: database and state are an"
            " old copy, restored together."
        )
