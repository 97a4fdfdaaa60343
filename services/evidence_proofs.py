"""What binds a bundle's entries to the signed state of the whole log."""

from collections.abc import Iterable, Sequence
from typing import Final

from models import checkpoint
from models.audit_event import AuditEvent
from models.checkpoint import StoredCheckpoint
from models.database import Transaction
from models.evidence import SealedEntry
from services.evidence_bundle import Anchor, EarlierCheckpoint
from services.merkle_service import prove_consistency, prove_inclusions

# By when witnesses had seen these is worth knowing.
LANDMARKS: Final = frozenset(
    {
        AuditEvent.ATTEMPT_STARTED,
        AuditEvent.ATTEMPT_SUBMITTED,
        AuditEvent.ATTEMPT_ENDED,
        AuditEvent.ATTEMPT_TERMINATED,
    }
)


def find_anchor(tx: Transaction, entries: Sequence[SealedEntry]) -> Anchor | None:
    """Return the newest cosigned checkpoint with the proofs of what it covers.

    Without a cosigned one the newest has to do; None if nothing was ever signed. That
    an entry is not the one that was signed is for the verifier to say. Raises
    ProofDoesNotHoldError if the tiles are damaged.
    """
    signed = checkpoint.get_newest_cosigned(tx) or checkpoint.get_newest(tx)
    if signed is None:
        return None
    covered = [each.seq for each in entries if each.seq < signed.size]
    return Anchor(
        note=signed.best_note,
        size=signed.size,
        root=signed.root,
        paths=prove_inclusions(tx, covered, signed),
        earlier=[
            EarlierCheckpoint(
                note=old.best_note,
                proof=prove_consistency(tx, old.size, signed.size, signed).proof,
            )
            for old in _earlier(tx, entries, signed)
        ],
    )


def _earlier(
    tx: Transaction, entries: Sequence[SealedEntry], signed: StoredCheckpoint
) -> Iterable[StoredCheckpoint]:
    """Return the first checkpoints that covered a landmark, the oldest first."""
    found = {
        old.size: old
        for entry in entries
        if entry.event_type in LANDMARKS
        and (old := checkpoint.get_first_cosigned_over(tx, entry.seq)) is not None
        and old.size < signed.size
    }
    return [found[size] for size in sorted(found)]
