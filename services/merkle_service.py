"""Proofs about the audit log, from the tiles of its Merkle tree.

Which tiles a proof needs is computed first, and one statement fetches them. What was
put together is checked before it is given: tiles are a cache that somebody may have
damaged, and a proof that proves nothing would be held against the log.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Self, TypeVar

from models import blockchain_log, checkpoint, merkle_tile
from models.checkpoint import StoredCheckpoint
from models.database import Database
from models.page import Page, paged
from models.transaction import Transaction
from services import errors
from utils.merkle import (
    HASH_BYTES,
    NodeReader,
    consistency_proof,
    inclusion_proof,
    root_at,
    verify_consistency,
    verify_inclusion,
)
from utils.tiles import TileId, reader, tiles_for, width_at
from utils.witness_policy import Cosignature, WitnessPolicy, judge

Result = TypeVar("Result")


class NoCheckpointError(errors.NotFoundError):
    slug = "no-checkpoint"
    title = "No checkpoint yet"

    def __init__(self) -> None:
        super().__init__(
            "No checkpoint of this log was signed yet: start the checkpointer"
            " (`python -m checkpointer run`)."
        )


class CheckpointNotFoundError(errors.NotFoundError):
    slug = "checkpoint-not-found"
    title = "No such checkpoint"

    def __init__(self, size: int) -> None:
        super().__init__(f"No checkpoint of {size} entries was signed.")


class EntryNotCoveredError(errors.NotFoundError):
    slug = "entry-not-covered"
    title = "Not in the checkpoint"

    def __init__(self, seq: int, size: int) -> None:
        super().__init__(
            f"The checkpoint of {size} entries does not cover entry {seq}."
        )


class TileNotFoundError(errors.NotFoundError):
    slug = "tile-not-found"
    title = "No such tile"

    def __init__(self) -> None:
        super().__init__("The tree of the newest checkpoint has no such tile.")


class TreeSizeError(errors.UnprocessableError):
    slug = "tree-size"
    title = "Not sizes of the tree"

    def __init__(self, from_size: int, to_size: int, newest: int) -> None:
        super().__init__(
            f"There is no proof from {from_size} to {to_size} entries: the first must"
            f" not be greater than the second, nor that than {newest}, the newest"
            " checkpoint's."
        )


class ProofDoesNotHoldError(errors.ConflictError):
    slug = "proof-does-not-hold"
    title = "The proof does not hold"

    def __init__(
        self,
        why: str = "What the database holds does not lead to the root that was signed:"
        " its tiles are damaged (`python -m checkpointer rebuild-tiles`) or the log is"
        " (GET /api/blockchain/verify).",
    ) -> None:
        super().__init__(why)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCheckpoint:
    """A checkpoint, and what this server's policy says of it."""

    size: int
    root: bytes
    note: str
    signed_at: datetime
    cosigned_at: datetime | None
    witnesses: Sequence[Cosignature]
    is_witnessed: bool
    missing: str | None

    @classmethod
    def of(cls, stored: StoredCheckpoint, policy: WitnessPolicy | None) -> Self:
        found = judge(policy, stored.best_note)
        return cls(
            size=stored.size,
            root=stored.root,
            note=stored.best_note,
            signed_at=stored.signed_at,
            cosigned_at=stored.cosigned_at,
            witnesses=found.witnesses,
            is_witnessed=found.is_witnessed,
            missing=found.missing,
        )


@dataclass(frozen=True, slots=True)
class PublishedCheckpoint:
    """A checkpoint, and by whom this server was told that it is to be signed."""

    checkpoint: JudgedCheckpoint
    verifier_keys: Sequence[str]
    policy: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InclusionProof:
    """RFC 9162 §2.1.3: that an entry is among those that a checkpoint covers."""

    seq: int
    leaf_hash: bytes
    size: int
    root: bytes
    proof: Sequence[bytes]
    checkpoint: StoredCheckpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsistencyProof:
    """RFC 9162 §2.1.4: that the larger tree only continues the smaller."""

    from_size: int
    to_size: int
    from_root: bytes
    to_root: bytes
    proof: Sequence[bytes]


class MerkleService:
    def __init__(
        self,
        database: Database,
        verifier_keys: Sequence[str],
        policy: WitnessPolicy | None = None,
    ) -> None:
        self._database = database
        self._verifier_keys = tuple(verifier_keys)
        self._policy = policy

    def get_checkpoint(self) -> PublishedCheckpoint:
        """Return the newest one. Raises NoCheckpointError."""
        with self._database.read() as tx:
            newest = _newest(tx)
        return PublishedCheckpoint(
            JudgedCheckpoint.of(newest, self._policy),
            self._verifier_keys,
            None if self._policy is None else self._policy.text,
        )

    def list_checkpoints(self, *, before: int, limit: int) -> Page[JudgedCheckpoint]:
        """Return checkpoints, the newest first."""
        with self._database.read() as tx:
            rows = checkpoint.list_newest(tx, before=before, limit=limit + 1)
        found = paged(rows, limit, lambda row: (row.size,))
        judged = [JudgedCheckpoint.of(row, self._policy) for row in found.items]
        return Page(judged, found.next_key)

    def prove_inclusion(self, seq: int, size: int | None = None) -> InclusionProof:
        """Prove an entry in a checkpoint: the newest, unless `size` names another.

        Raises NoCheckpointError, CheckpointNotFoundError, EntryNotCoveredError and
        ProofDoesNotHoldError.
        """
        with self._database.read() as tx:
            signed = _newest(tx) if size is None else checkpoint.get(tx, size)
            if signed is None:
                raise CheckpointNotFoundError(size or 0)
            if seq >= signed.size:
                raise EntryNotCoveredError(seq, signed.size)
            return prove_inclusion(tx, seq, signed)

    def prove_consistency(
        self, from_size: int, to_size: int | None = None
    ) -> ConsistencyProof:
        """Prove that one tree continues another; without `to_size`, the newest.

        Raises NoCheckpointError, TreeSizeError and ProofDoesNotHoldError.
        """
        with self._database.read() as tx:
            newest = _newest(tx)
            to_size = newest.size if to_size is None else to_size
            if not from_size <= to_size <= newest.size:
                raise TreeSizeError(from_size, to_size, newest.size)
            return prove_consistency(tx, from_size, to_size, newest)

    def get_tile(self, level: int, index: int, width: int) -> bytes:
        """Return so many hashes of a tile. Raises TileNotFoundError."""
        tile = TileId(level, index)
        with self._database.read() as tx:
            newest = checkpoint.get_newest(tx)
            if newest is None or width > width_at(newest.size, tile):
                raise TileNotFoundError
            found = merkle_tile.get_many(tx, [tile]).get(tile, b"")
        hashes = found[: width * HASH_BYTES]
        if len(hashes) < width * HASH_BYTES:
            raise ProofDoesNotHoldError
        return hashes


def prove_inclusion(
    tx: Transaction, seq: int, signed: StoredCheckpoint
) -> InclusionProof:
    """Prove an entry that a checkpoint covers. Raises ProofDoesNotHoldError."""
    leaves = blockchain_log.list_hashes(tx, seq)
    proof = _from_tiles(tx, lambda read: inclusion_proof(seq, signed.size, read))
    if len(leaves) != 1 or not verify_inclusion(
        seq, signed.size, leaves[0], proof, signed.root
    ):
        raise ProofDoesNotHoldError
    return InclusionProof(
        seq=seq,
        leaf_hash=leaves[0],
        size=signed.size,
        root=signed.root,
        proof=proof,
        checkpoint=signed,
    )


def prove_inclusions(
    tx: Transaction, seqs: Sequence[int], signed: StoredCheckpoint
) -> Mapping[int, Sequence[bytes]]:
    """Prove what was signed at these places, with one query for all tiles.

    What stands in the log there now is not looked at. Raises ProofDoesNotHoldError.
    """
    size = signed.size

    def compute(read: NodeReader) -> Mapping[int, tuple[bytes, list[bytes]]]:
        # Paths meet on their way up, and a node is hashed from its tile each time.
        read_once = cache(read)
        return {
            seq: (read_once(0, seq), inclusion_proof(seq, size, read_once))
            for seq in seqs
        }

    proofs = _from_tiles(tx, compute)
    if not all(
        verify_inclusion(seq, size, leaf, path, signed.root)
        for seq, (leaf, path) in proofs.items()
    ):
        raise ProofDoesNotHoldError
    return {seq: path for seq, (_, path) in proofs.items()}


def prove_consistency(
    tx: Transaction, from_size: int, to_size: int, newest: StoredCheckpoint
) -> ConsistencyProof:
    """Prove that one tree continues another. Raises ProofDoesNotHoldError.

    Both have entries, and at most as many as that of `newest`, to whose root they must
    lead.
    """

    def compute(
        read: NodeReader,
    ) -> tuple[bytes, bytes, list[bytes], list[bytes]]:
        return (
            root_at(from_size, read),
            root_at(to_size, read),
            consistency_proof(from_size, to_size, read),
            consistency_proof(to_size, newest.size, read),
        )

    from_root, to_root, proof, rest = _from_tiles(tx, compute)
    if not (
        verify_consistency(from_size, to_size, from_root, to_root, proof)
        and verify_consistency(to_size, newest.size, to_root, newest.root, rest)
    ):
        raise ProofDoesNotHoldError
    return ConsistencyProof(
        from_size=from_size,
        to_size=to_size,
        from_root=from_root,
        to_root=to_root,
        proof=proof,
    )


def root_from_tiles(tx: Transaction, size: int) -> tuple[bytes, bytes]:
    """Return the last leaf and the root of the tree of so many entries.

    Raises ProofDoesNotHoldError if tiles are missing.
    """
    return _from_tiles(tx, lambda read: (read(0, size - 1), root_at(size, read)))


def _newest(tx: Transaction) -> StoredCheckpoint:
    newest = checkpoint.get_newest(tx)
    if newest is None:
        raise NoCheckpointError
    return newest


def _from_tiles(tx: Transaction, compute: Callable[[NodeReader], Result]) -> Result:
    tiles = merkle_tile.get_many(tx, tiles_for(compute))
    try:
        return compute(reader(tiles))
    except LookupError as error:
        raise ProofDoesNotHoldError from error
