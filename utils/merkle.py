"""The Merkle tree of RFC 6962 section 2.1 (the same in RFC 9162): roots and proofs.

Its leaves are hashes already: `leaf_hash` in utils/blockchain_hasher.py makes them, and
audit_log.hash is one. Who proves and who checks are written apart from each other, so
that one mistake does not serve both.
"""

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from struct import Struct
from typing import Final, Self

HASH_BYTES: Final = 32
NODE_PREFIX: Final = b"\x01"
_PAIR = Struct("64s")
EMPTY_ROOT: Final = sha256(b"").digest()

# Given (level, index): the root of the perfect subtree over the leaves
# [index << level, (index + 1) << level). Only nodes that the tree has are asked for.
NodeReader = Callable[[int, int], bytes]


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return sha256(NODE_PREFIX + left + right).digest()


def hash_pairs(row: bytes) -> bytes:
    """Return the next row of a tree; the last node of an odd number has no parent."""
    # node_hash, written out: taking pairs apart and calling it is half the time.
    even = row[: len(row) - len(row) % _PAIR.size]
    return b"".join(
        [sha256(NODE_PREFIX + pair).digest() for (pair,) in _PAIR.iter_unpack(even)]
    )


class Frontier:
    """All that appending needs to know of a tree: the roots of its perfect subtrees.

    There is one for each bit that is set in the size.
    """

    __slots__ = ("_hashes", "_size")

    def __init__(self) -> None:
        self._size = 0
        self._hashes: list[bytes] = []

    @classmethod
    def restore(cls, size: int, hashes: Sequence[bytes]) -> Self:
        """Return the frontier that had this size and these hashes.

        Raises ValueError for hashes that a tree of this size cannot have.
        """
        if size < 0 or len(hashes) != size.bit_count():
            raise ValueError(f"a frontier of size {size} has not {len(hashes)} hashes")
        for known in hashes:
            _check_length(known)
        frontier = cls()
        frontier._size = size
        frontier._hashes = list(hashes)
        return frontier

    @property
    def size(self) -> int:
        return self._size

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """The roots of the perfect subtrees, the largest (the leftmost) first."""
        return tuple(self._hashes)

    def append(self, leaf: bytes) -> None:
        _check_length(leaf)
        node = leaf
        merged = self._size
        while merged & 1:
            node = node_hash(self._hashes.pop(), node)
            merged >>= 1
        self._hashes.append(node)
        self._size += 1

    def root(self) -> bytes:
        return joined(self._hashes)


def root_at(size: int, read: NodeReader) -> bytes:
    """Return the root that the tree had at this size."""
    if size < 0:
        raise ValueError(f"a tree of size {size}")
    return _range_root(0, size, read)


def inclusion_proof(index: int, size: int, read: NodeReader) -> list[bytes]:
    """Return PATH(index, D[size]): what a leaf needs to become the root."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of size {size} has no leaf {index}")
    proof = []
    start, end = 0, size
    while end - start > 1:
        middle = _split(start, end)
        if index < middle:
            proof.append(_range_root(middle, end, read))
            end = middle
        else:
            proof.append(_range_root(start, middle, read))
            start = middle
    return proof[::-1]


def consistency_proof(old_size: int, new_size: int, read: NodeReader) -> list[bytes]:
    """Return PROOF(old_size, D[new_size]): that the old tree is the new one's start.

    It is empty for the empty tree, which any tree continues, and for equal sizes.
    """
    if not 0 <= old_size <= new_size:
        raise ValueError(f"no tree of size {new_size} continues one of {old_size}")
    if old_size == 0:
        return []
    proof = []
    start, end = 0, new_size
    while end != old_size:
        middle = _split(start, end)
        if old_size <= middle:
            proof.append(_range_root(middle, end, read))
            end = middle
        else:
            proof.append(_range_root(start, middle, read))
            start = middle
    if start > 0:
        # Who checks knows this subtree only if it is the whole old tree.
        proof.append(_range_root(start, end, read))
    return proof[::-1]


def verify_inclusion(
    index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> bool:
    """Say whether the tree with this size and root has this leaf at this index."""
    if not 0 <= index < size or not _are_hashes(leaf, root, *proof):
        return False
    replayed = _replay(index, size - 1, leaf, proof)
    return replayed is not None and replayed[1] == root


def verify_consistency(
    old_size: int,
    new_size: int,
    old_root: bytes,
    new_root: bytes,
    proof: Sequence[bytes],
) -> bool:
    """Say whether the new tree begins with all leaves of the old one, unchanged."""
    if not 0 <= old_size <= new_size or not _are_hashes(old_root, new_root, *proof):
        return False
    if old_size == 0 and old_root != EMPTY_ROOT:
        return False
    if old_size == new_size:
        return not proof and old_root == new_root
    if old_size == 0:
        return not proof
    # The climb begins at the largest subtree that ends where the old tree ends. If that
    # is the whole old tree, its root is known and no part of the proof.
    level = (old_size & -old_size).bit_length() - 1
    path = [old_root, *proof] if old_size == 1 << level else [*proof]
    if not path:
        return False
    seed, *siblings = path
    replayed = _replay((old_size - 1) >> level, (new_size - 1) >> level, seed, siblings)
    return replayed == (old_root, new_root)


def _replay(
    position: int, last: int, seed: bytes, proof: Sequence[bytes]
) -> tuple[bytes, bytes] | None:
    """Climb from a node to the root as RFC 9162 sections 2.1.3.2 and 2.1.4.2 do.

    `position` is the node's index on its level and `last` that of the level's last
    node. Returns the root of all leaves up to the node's end, and that of the tree;
    None if the proof is longer or shorter than the way.
    """
    left_only = whole = seed
    for sibling in proof:
        if last == 0:
            return None
        if position & 1 or position == last:
            left_only = node_hash(sibling, left_only)
            whole = node_hash(sibling, whole)
            # The last node of a level without a sibling moves up as it is.
            while not position & 1:
                position >>= 1
                last >>= 1
        else:
            whole = node_hash(whole, sibling)
        position >>= 1
        last >>= 1
    return (left_only, whole) if last == 0 else None


def _split(start: int, end: int) -> int:
    """Return where RFC 6962 cuts a range: after the largest power of two below it."""
    return start + (1 << (end - start - 1).bit_length() - 1)


def perfect_subtrees(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Return level and index of those that a range consists of, the largest first."""
    while start < end:
        level = (end - start).bit_length() - 1
        yield level, start >> level
        start += 1 << level


def _range_root(start: int, end: int, read: NodeReader) -> bytes:
    return joined([read(level, index) for level, index in perfect_subtrees(start, end)])


def joined(hashes: Sequence[bytes]) -> bytes:
    """Return the root over subtrees that stand side by side, the largest first.

    All but the last are perfect, as in a frontier; the last may be any tree.
    """
    if not hashes:
        return EMPTY_ROOT
    *rest, root = hashes
    for left in reversed(rest):
        root = node_hash(left, root)
    return root


def _are_hashes(*values: bytes) -> bool:
    return all(len(value) == HASH_BYTES for value in values)


def _check_length(value: bytes) -> None:
    # A node of another length would be a second reading of the same bytes.
    if len(value) != HASH_BYTES:
        raise ValueError(f"a hash has {HASH_BYTES} bytes, not {len(value)}")
