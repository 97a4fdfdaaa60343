"""The rules of a witness: what it cosigns, and that it remembers before it answers."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from utils.checkpoint import Checkpoint
from utils.merkle import EMPTY_ROOT, verify_consistency
from utils.signed_note import (
    Note,
    Signature,
    Signer,
    VerifierKey,
    has_signature_of,
    verified,
)
from witness.refusals import (
    InconsistentError,
    MalformedError,
    RefusalError,
    StaleError,
    UnknownLogError,
    UntrustedError,
)
from witness.store import Fork, Seen, Store
from witness.submission import Submission

logger = logging.getLogger(__name__)

# A clock that is put right goes back by less, and by itself.
MAX_CLOCK_STEP_SECONDS: Final = 60
# A line a second for days is a flood.
COMPLAIN_EVERY_SECONDS: Final = 600

# The keys that may sign for an origin. Two while one replaces the other.
Logs = Mapping[str, Sequence[VerifierKey]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """Who cosigns, for which logs. `clock` counts seconds since 1970."""

    store: Store
    signer: Signer
    logs: Logs
    clock: Callable[[], int]
    # When it was last said that the clock is behind, by a clock that never is.
    complained: list[float] = field(default_factory=list)

    def cosign(self, submission: Submission) -> Signature:
        """Cosign a checkpoint that extends what was seen. Raises RefusalError."""
        checkpoint = submission.checkpoint
        log_signatures = self._trusted_signatures(submission)
        if submission.old_size > checkpoint.size:
            raise MalformedError("The old size is above the size of the checkpoint.")

        with self.store.transaction() as tx:
            seen = tx.get(checkpoint.origin)
            now = self._time_after(seen)
            refusal = _refusal(submission, seen)
            if seen is not None and _is_fork(checkpoint, seen):
                signed = Note(submission.note.text, log_signatures).render()
                tx.keep_fork(
                    Fork(
                        origin=checkpoint.origin,
                        size=checkpoint.size,
                        root=checkpoint.root,
                        refused_at=now,
                        note=signed,
                        seen_note=seen.note,
                    )
                )
            if refusal is None:
                # The lock is held, so no cosignature of a larger tree is older.
                cosignature = self.signer.cosign(submission.note.text, now)
                note = Note(submission.note.text, (*log_signatures, cosignature))
                tx.advance(
                    submission.old_size,
                    Seen(
                        origin=checkpoint.origin,
                        size=checkpoint.size,
                        root=checkpoint.root,
                        cosigned_at=now,
                        note=note.render(),
                    ),
                )
        # The evidence of a fork is committed before the log hears of it.
        if refusal is not None:
            _log(refusal, checkpoint)
            raise refusal
        return cosignature

    def _trusted_signatures(self, submission: Submission) -> tuple[Signature, ...]:
        """Return the signatures of keys that are trusted for the origin.

        Raises UnknownLogError, and UntrustedError if there is none or one is false.
        """
        keys = self.logs.get(submission.checkpoint.origin)
        if keys is None:
            raise UnknownLogError
        note = submission.note
        signed = [key for key in keys if has_signature_of(note, key)]
        if not signed:
            raise UntrustedError("No key that is trusted for this origin has signed.")
        for key in signed:
            if verified(note, key) is None:
                raise UntrustedError(f"A signature of {key.name} is false.")
        trusted = {(key.name, key.key_id) for key in signed}
        return tuple(
            signature
            for signature in note.signatures
            if (signature.name, signature.key_id) in trusted
        )

    def _time_after(self, seen: Seen | None) -> int:
        """Return the time, which does not go back even if the clock does.

        A cosignature says what was the largest tree at its time: with a clock that
        was set back, two of them would contradict each other.
        """
        now = self.clock()
        last = 0 if seen is None else seen.cosigned_at
        if last - now > MAX_CLOCK_STEP_SECONDS:
            self._complain(last, now)
        return max(1, now, last)

    def _complain(self, last: int, now: int) -> None:
        at = time.monotonic()
        if self.complained and at - self.complained[0] < COMPLAIN_EVERY_SECONDS:
            return
        self.complained[:] = [at]
        logger.error(
            "the last cosignature is of the future: the clock is behind, or was"
            ' ahead (docs/witness.md, "If the clock was ahead")',
            extra={"last": last, "now": now},
        )


def _is_fork(checkpoint: Checkpoint, seen: Seen) -> bool:
    return checkpoint.size == seen.size and checkpoint.root != seen.root


def _refusal(submission: Submission, seen: Seen | None) -> RefusalError | None:
    checkpoint, old_size = submission.checkpoint, submission.old_size
    seen_size = 0 if seen is None else seen.size
    seen_root = EMPTY_ROOT if seen is None else seen.root
    if old_size != seen_size:
        return StaleError(seen_size)
    if checkpoint.size == old_size and checkpoint.root != seen_root:
        return InconsistentError(
            f"Another root than the one that was seen at the size {old_size}."
        )
    proves = verify_consistency(
        old_size, checkpoint.size, seen_root, checkpoint.root, submission.proof
    )
    return None if proves else InconsistentError("The consistency proof does not hold.")


def _log(refusal: RefusalError, checkpoint: Checkpoint) -> None:
    # Being behind is an everyday matter; contradicting oneself is not.
    is_alarming = isinstance(refusal, InconsistentError)
    logger.log(
        logging.ERROR if is_alarming else logging.INFO,
        "refused: %s",
        refusal,
        extra={
            "origin": checkpoint.origin,
            "size": checkpoint.size,
            "root": checkpoint.root.hex(),
        },
    )
