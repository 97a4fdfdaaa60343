"""Having checkpoints cosigned by the witnesses that the operator has configured.

A witness belongs to another administration and remembers what it has seen. So it is
asked first of all, at the start, whether it has seen more than we know to have signed:
then this database, or this state, is an old copy.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from models import checkpoint
from models.checkpoint import StoredCheckpoint
from models.database import Database
from services import witness_client
from services.checkpointer import RefusedError
from services.merkle_service import prove_consistency
from services.witness_client import Behind, Cosigned, Seen
from utils.checkpoint import Checkpoint
from utils.signed_note import COSIGNATURE, Note, NoteError, VerifierKey, verified

logger = logging.getLogger(__name__)

# Signing waits for the answers, and a student for his receipt.
TIMEOUT_SECONDS: Final = 1.0
# A witness that did not answer is left alone for so long.
PAUSE_SECONDS: Final = 5.0
# The first question tells where the witness is, the second asks from there.
MAX_QUESTIONS: Final = 2


@dataclass(frozen=True, slots=True)
class ConfiguredWitness:
    """Whose cosignatures are wanted, and where it is asked."""

    key: VerifierKey
    url: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read VKEY=URL. Raises NoteError."""
        # The base64 of 33 bytes ends without an equals sign.
        vkey, separator, url = text.partition("=")
        key = VerifierKey.parse(vkey)
        if key.algorithm != COSIGNATURE:
            raise NoteError("the key of a witness is for cosignatures (type 4)")
        if not separator or not url.startswith(("http://", "https://")):
            raise NoteError("a witness is given as VKEY=URL")
        return cls(key, url)


class Witnessing:
    """Asks every witness about what was signed. One object for one thread."""

    def __init__(
        self,
        database: Database,
        witnesses: Sequence[ConfiguredWitness],
        *,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._database = database
        self._witnesses = tuple(witnesses)
        self._pause_seconds = pause_seconds
        # At which size each was last, and until when it is left alone.
        self._sizes: dict[str, int] = {}
        self._silent_until: dict[str, float] = {}

    def compare(self, signed_size: int, log_keys: Sequence[VerifierKey]) -> None:
        """See that no witness has seen more than was signed.

        `log_keys` are the newest first. Those of an epoch that is over have another
        name: what witnesses have seen under that one is contradicted, and known to be.
        Raises RefusedError for a larger checkpoint that bears our own signature: a
        witness that lies can not make one. One that does not answer proves nothing.
        """
        origin = log_keys[0].name
        keys = [key for key in log_keys if key.name == origin]
        for witness in self._witnesses:
            answer = witness_client.latest(
                witness.url, origin, timeout_seconds=TIMEOUT_SECONDS
            )
            if isinstance(answer, Seen):
                _refuse_if_ahead(witness, answer.note, signed_size, keys)

    def cosign(self, signed: StoredCheckpoint) -> int:
        """Ask about the newest checkpoint; return how many have cosigned it."""
        note = Note.parse(signed.note.encode())
        found = note
        for witness in self._witnesses:
            if time.monotonic() >= self._silent_until.get(witness.url, 0.0):
                found = self._ask(witness, signed, note, found)
        count = len(found.signatures) - len(note.signatures)
        if count:
            with self._database.bookkeeping() as tx:
                checkpoint.store_cosigned(tx, signed.size, found.render())
        return count

    def _ask(
        self,
        witness: ConfiguredWitness,
        signed: StoredCheckpoint,
        note: Note,
        found: Note,
    ) -> Note:
        """Return `found` with the cosignature of one more witness, if it gives it."""
        for _ in range(MAX_QUESTIONS):
            old_size = self._sizes.get(witness.url, 0)
            answer = witness_client.add_checkpoint(
                witness.url,
                old_size,
                self._proof(old_size, signed),
                signed.note,
                timeout_seconds=TIMEOUT_SECONDS,
            )
            match answer:
                case Cosigned(signatures):
                    cosigned = Note(note.text, signatures)
                    if verified(cosigned, witness.key) is None:
                        logger.error(
                            "a witness signed wrongly", extra={"url": witness.url}
                        )
                        break
                    self._sizes[witness.url] = signed.size
                    return found.with_signatures(*signatures)
                case Behind(size) if size <= signed.size:
                    self._sizes[witness.url] = size
                case _:
                    self._silent_until[witness.url] = (
                        time.monotonic() + self._pause_seconds
                    )
                    logger.warning(
                        "a witness did not cosign",
                        extra={"url": witness.url, "answer": repr(answer)},
                    )
                    break
        return found

    def _proof(self, old_size: int, signed: StoredCheckpoint) -> Sequence[bytes]:
        if old_size in (0, signed.size):
            return ()
        with self._database.read() as tx:
            return prove_consistency(tx, old_size, signed.size, signed).proof


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
