"""The Merkle tree of RFC 6962 section 2.1 and the proofs of RFC 9162 section 2.1.

A leaf is the `hash` of an audit entry, which is the leaf hash of that RFC already.
Making proofs needs nodes and says which (`NodeReader`); checking them needs nothing and
believes nothing: whatever a hostile server sends is a proof or is not.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final, Self

HASH_BYTES: Final = 32
# Tells inner nodes from leaves: neither can be passed off as the other.
NODE_PREFIX: Final = b"\x01"
EMPTY_ROOT: Final = sha256(b"").digest()

# From (level, index) to the root over 2**level leaves, from index * 2**level on.
NodeReader = Callable[[int, int], bytes]


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(NODE_PREFIX + left + right).digest()


class Frontier:
    """What has to be kept of a tree to let it grow: one hash for each bit of its size.

    `hashes` are the roots of its perfect subtrees from left to right, the largest
    first.
    """

    __slots__ = ("_hashes", "size")

    def __init__(self) -> None:
        self.size = 0
        self._hashes: list[bytes] = []

    @classmethod
    def restore(cls, size: int, hashes: Sequence[bytes]) -> Self:
        """Take up a tree again. Raises ValueError for what is none of this size."""
        if size < 0 or len(hashes) != size.bit_count():
            raise ValueError(f"a tree of {size} has {size.bit_count()} subtrees")
        if any(len(each) != HASH_BYTES for each in hashes):
            raise ValueError(f"a hash has {HASH_BYTES} bytes")
        frontier = cls()
        frontier.size, frontier._hashes = size, list(hashes)
        return frontier

    @property
    def hashes(self) -> tuple[bytes, ...]:
        return tuple(self._hashes)

    def append(self, leaf: bytes) -> None:
        """Add a leaf, in two hashes on average however large the tree is."""
        # Every subtree as large as what is being added becomes one with it.
        full = self.size
        while full & 1:
            leaf = node_hash(self._hashes.pop(), leaf)
            full >>= 1
        self._hashes.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        if not self._hashes:
            return EMPTY_ROOT
        *larger, root = self._hashes
        for each in reversed(larger):
            root = node_hash(each, root)
        return root


def root_at(size: int, read: NodeReader) -> bytes:
    """Return the root of the first `size` leaves."""
    return EMPTY_ROOT if size == 0 else _root(0, size, read)


def inclusion_proof(index: int, size: int, read: NodeReader) -> list[bytes]:
    """Prove that leaf `index` is in the tree of `size`: at most log2(size) hashes.

    Raises ValueError if it is not.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} has no leaf {index}")
    proof = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _largest_power_below(end - begin)
        if index < middle:
            proof.append(_root(middle, end, read))
            end = middle
        else:
            proof.append(_root(begin, middle, read))
            begin = middle
    return proof[::-1]


def consistency_proof(old_size: int, new_size: int, read: NodeReader) -> list[bytes]:
    """Prove that the tree of `old_size` is how the tree of `new_size` begins.

    Empty for equal sizes, and for an empty old tree, of which nothing need be proven.
    Raises ValueError if the old one is the larger.
    """
    if not 0 <= old_size <= new_size:
        raise ValueError(f"a tree of {new_size} does not continue one of {old_size}")
    if old_size in (0, new_size):
        return []
    proof = []
    begin, end = 0, new_size
    # Whoever checks has the old root already and is not sent it.
    is_known = True
    while old_size != end:
        middle = begin + _largest_power_below(end - begin)
        if old_size <= middle:
            proof.append(_root(middle, end, read))
            end = middle
        else:
            proof.append(_root(begin, middle, read))
            begin = middle
            is_known = False
    if not is_known:
        proof.append(_root(begin, end, read))
    return proof[::-1]


def verify_inclusion(
    index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> bool:
    """Say whether `leaf` is number `index` of the tree (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size or any(len(each) != HASH_BYTES for each in proof):
        return False
    place, last, found = index, size - 1, leaf
    for each in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            found = node_hash(each, found)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, each)
        place, last = place >> 1, last >> 1
    return last == 0 and found == root


def verify_consistency(
    old_size: int,
    new_size: int,
    old_root: bytes,
    new_root: bytes,
    proof: Sequence[bytes],
) -> bool:
    """Say whether the old tree is how the new one begins (RFC 9162 section 2.1.4.2)."""
    if not 0 <= old_size <= new_size or any(len(each) != HASH_BYTES for each in proof):
        return False
    if old_size == new_size:
        return not proof and old_root == new_root
    if old_size == 0:
        return not proof and old_root == EMPTY_ROOT
    place, last = old_size - 1, new_size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    # An old tree that is perfect is itself the first node.
    nodes = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    if not nodes:
        return False
    old_found = new_found = nodes[0]
    for each in nodes[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old_found = node_hash(each, old_found)
            new_found = node_hash(each, new_found)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            new_found = node_hash(new_found, each)
        place, last = place >> 1, last >> 1
    return last == 0 and old_found == old_root and new_found == new_root


def _root(begin: int, end: int, read: NodeReader) -> bytes:
    """Return the root over leaves from `begin` on, which a subtree may begin with."""
    width = end - begin
    if width & (width - 1) == 0:
        level = width.bit_length() - 1
        return read(level, begin >> level)
    middle = begin + _largest_power_below(width)
    return node_hash(_root(begin, middle, read), _root(middle, end, read))


def _largest_power_below(width: int) -> int:
    return 1 << ((width - 1).bit_length() - 1)
