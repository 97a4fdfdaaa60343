"""What binds a bundle's entries to the signed state of the whole log."""

from collections.abc import Iterable, Sequence
from typing import Final

from models import checkpoint, checkpoint_timestamp
from models.audit_event import AuditEvent
from models.checkpoint import StoredCheckpoint
from models.checkpoint_timestamp import StoredTimestamp
from models.evidence import SealedEntry
from models.transaction import Transaction
from services.evidence_bundle import Anchor, EarlierCheckpoint, Stamp
from services.merkle_service import prove_consistency, prove_inclusions
from utils.witness_policy import WitnessPolicy, judge

# As many as the format has names for.
MAX_STAMPS: Final = 8
# As many as verifier/verify.py reads.
MAX_EARLIER: Final = 24
# By when witnesses had seen these is worth knowing.
LANDMARKS: Final = frozenset(
    {
        AuditEvent.ATTEMPT_STARTED,
        AuditEvent.ATTEMPT_SUBMITTED,
        AuditEvent.ATTEMPT_ENDED,
        AuditEvent.ATTEMPT_TERMINATED,
    }
)


def find_anchor(
    tx: Transaction, entries: Sequence[SealedEntry], policy: WitnessPolicy | None
) -> Anchor | None:
    """Return a bundle's checkpoint with the proofs of what it covers, None for none.

    That an entry is not the one that was signed is for the verifier to say. Raises
    ProofDoesNotHoldError if the tiles are damaged.
    """
    signed = find_signed(tx, policy)
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
            for old in _earlier(tx, entries, signed, policy)
        ],
        stamps=[
            Stamp(
                note=each.note,
                proof=prove_consistency(tx, each.size, signed.size, signed).proof,
                response=each.response,
                tsa_url=each.tsa_url,
            )
            for each in _stamps(tx, entries, signed)
        ],
    )


def find_signed(
    tx: Transaction, policy: WitnessPolicy | None
) -> StoredCheckpoint | None:
    """Return the newest witnessed checkpoint.

    Without one the newest cosigned, or else the newest has to do; None if nothing was
    ever signed.
    """
    cosigned = checkpoint.get_newest_cosigned(tx)
    if cosigned is None:
        return checkpoint.get_newest(tx)
    if policy is None or judge(policy, cosigned.best_note).is_witnessed:
        return cosigned
    # Some witnesses are away: an older one that the quorum has signed proves more.
    older = checkpoint.get_newest_witnessed(tx)
    if older is not None and judge(policy, older.best_note).is_witnessed:
        return older
    return cosigned


def _first_over(
    tx: Transaction, seq: int, policy: WitnessPolicy | None
) -> StoredCheckpoint | None:
    if policy is not None:
        for witnessed in checkpoint.list_witnessed_over(tx, seq, limit=1):
            return witnessed
    return checkpoint.get_first_cosigned_over(tx, seq)


def _earlier(
    tx: Transaction,
    entries: Sequence[SealedEntry],
    signed: StoredCheckpoint,
    policy: WitnessPolicy | None,
) -> Iterable[StoredCheckpoint]:
    """Return the first checkpoints that covered a landmark, the oldest first.

    Of too many the first, which is of the start, and the last.
    """
    found = {
        old.size: old
        for entry in entries
        if entry.event_type in LANDMARKS
        and (old := _first_over(tx, entry.seq, policy)) is not None
        and old.size < signed.size
    }
    sizes = sorted(found)
    return [found[size] for size in [*sizes[:1], *sizes[1:][1 - MAX_EARLIER :]]]


def _stamps(
    tx: Transaction, entries: Sequence[SealedEntry], signed: StoredCheckpoint
) -> Sequence[StoredTimestamp]:
    """Return each authority's first timestamps over a landmark, the oldest first."""
    found = {
        each.id: each
        for entry in entries
        if entry.event_type in LANDMARKS
        for each in checkpoint_timestamp.list_first_over(
            tx, entry.seq, until=signed.size
        )
    }
    # Those of the end say most: they are over all that the attempt was.
    return [found[id_] for id_ in sorted(found)][-MAX_STAMPS:]
