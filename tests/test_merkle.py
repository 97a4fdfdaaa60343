"""The Merkle tree and its proofs, against the RFC's text and against every lie."""

from collections.abc import Iterator, Sequence
from functools import cache
from hashlib import sha256

import pytest

from utils.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    node_hash,
    root_at,
    verify_consistency,
    verify_inclusion,
)

LARGEST = 64
# The leaves of RFC 6962's first implementation, and the root over all of them.
VECTORS = (
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    bytes(range(0x40, 0x44)),
    bytes(range(0x50, 0x58)),
    bytes(range(0x60, 0x70)),
)
VECTORS_ROOT = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"

Proof = Sequence[bytes]


def leaf(content: bytes) -> bytes:
    return sha256(b"\x00" + content).digest()


LEAVES = [leaf(number.to_bytes(2)) for number in range(LARGEST)]


@cache
def naive_root(begin: int, end: int) -> bytes:
    """MTH of RFC 6962 section 2.1, word for word."""
    if begin == end:
        return sha256(b"").digest()
    if end - begin == 1:
        return LEAVES[begin]
    k = 1
    while k * 2 < end - begin:
        k *= 2
    left, right = naive_root(begin, begin + k), naive_root(begin + k, end)
    return sha256(b"\x01" + left + right).digest()


def naive_path(index: int, begin: int, end: int) -> list[bytes]:
    """PATH of RFC 6962 section 2.1.1, word for word."""
    if end - begin == 1:
        return []
    k = 1
    while k * 2 < end - begin:
        k *= 2
    if index < k:
        rest = naive_path(index, begin, begin + k)
        return [*rest, naive_root(begin + k, end)]
    rest = naive_path(index - k, begin + k, end)
    return [*rest, naive_root(begin, begin + k)]


def naive_subproof(old: int, begin: int, end: int, *, is_known: bool) -> list[bytes]:
    """SUBPROOF of RFC 6962 section 2.1.2, word for word."""
    if old == end - begin:
        return [] if is_known else [naive_root(begin, end)]
    k = 1
    while k * 2 < end - begin:
        k *= 2
    if old <= k:
        rest = naive_subproof(old, begin, begin + k, is_known=is_known)
        return [*rest, naive_root(begin + k, end)]
    rest = naive_subproof(old - k, begin + k, end, is_known=False)
    return [*rest, naive_root(begin, begin + k)]


def read(level: int, index: int) -> bytes:
    return naive_root(index << level, (index + 1) << level)


def test_the_vectors_of_the_rfc() -> None:
    frontier = Frontier()
    for content in VECTORS:
        frontier.append(leaf(content))

    assert frontier.root().hex() == VECTORS_ROOT
    assert EMPTY_ROOT == Frontier().root() == root_at(0, read) == naive_root(0, 0)


def test_a_frontier_has_the_root_of_every_size_and_can_be_taken_up_again() -> None:
    frontier = Frontier()
    for size in range(1, LARGEST + 1):
        frontier.append(LEAVES[size - 1])
        frontier = Frontier.restore(frontier.size, frontier.hashes)

        assert frontier.size == size
        assert frontier.root() == naive_root(0, size) == root_at(size, read)


@pytest.mark.parametrize(
    ("size", "hashes"),
    [(1, []), (0, [LEAVES[0]]), (2, LEAVES[:2]), (1, [b"short"]), (-1, [LEAVES[0]])],
)
def test_what_is_no_frontier_is_refused(size: int, hashes: Proof) -> None:
    with pytest.raises(ValueError, match=r"tree of|hash has"):
        Frontier.restore(size, hashes)


def test_proofs_are_those_of_the_rfc() -> None:
    for size in range(1, LARGEST + 1):
        for index in range(size):
            assert inclusion_proof(index, size, read) == naive_path(index, 0, size)
        for old in range(1, size + 1):
            naive = naive_subproof(old, 0, size, is_known=True)
            assert consistency_proof(old, size, read) == naive


def test_there_is_no_proof_of_what_is_not() -> None:
    for index, size in ((0, 0), (5, 5), (-1, 5)):
        with pytest.raises(ValueError, match="no leaf"):
            inclusion_proof(index, size, read)
    for old, new in ((6, 5), (-1, 5)):
        with pytest.raises(ValueError, match="does not continue"):
            consistency_proof(old, new, read)


def mutated(proof: Proof, *roots: bytes) -> Iterator[list[bytes]]:
    """Give a proof with something wrong about it, in every way that we thought of."""
    garbage = sha256(b"garbage").digest()
    for place in range(len(proof)):
        for bit in (0, 100, 255):
            flipped = int.from_bytes(proof[place]) ^ (1 << bit)
            yield [*proof[:place], flipped.to_bytes(32), *proof[place + 1 :]]
        yield [*proof[:place], *proof[place + 1 :]]
        yield [*proof[:place], proof[place][:-1], *proof[place + 1 :]]
        yield [*proof[:place], proof[place], *proof[place:]]
    for swapped in range(len(proof) - 1):
        other = list(proof)
        other[swapped : swapped + 2] = reversed(other[swapped : swapped + 2])
        yield other
    for extra in (garbage, b"", EMPTY_ROOT, *roots):
        yield [extra, *proof]
        yield [*proof, extra]
    if proof:
        yield []


def test_no_wrong_inclusion_proof_is_accepted() -> None:
    """Every leaf of every tree up to 64, and each with everything that can be wrong."""
    tried = 0
    for size in range(1, LARGEST + 1):
        root = naive_root(0, size)
        for index in range(size):
            proof = inclusion_proof(index, size, read)
            assert verify_inclusion(index, size, LEAVES[index], proof, root)
            lies = [
                (index, size, LEAVES[index], wrong, root)
                for wrong in mutated(proof, root)
            ]
            lies += [
                (other, size, LEAVES[index], proof, root)
                for other in {index + 1, index - 1, index ^ 2, -1, size, index + size}
                if other != index
            ]
            lies += [
                (index, other, LEAVES[index], proof, root)
                for other in (size * 2, size // 2, 0, -1)
                if other != size
            ]
            lies += [
                (index, size, LEAVES[index], proof, other)
                for other in (EMPTY_ROOT, b"", LEAVES[index], root[::-1])
                if other != root
            ]
            lies.append((index, size, LEAVES[index - 1], proof, root))
            lies.append((index, size, EMPTY_ROOT, proof, root))
            tried += len(lies)
            accepted = [
                each
                for each in lies
                if verify_inclusion(*each) and not is_true_all_the_same(each)
            ]
            assert accepted == []

    assert tried > 90_000


def is_true_all_the_same(
    claim: tuple[int, int, bytes, Proof, bytes],
) -> bool:
    """Whether a mutation happens to be the truth: the one leaf of a tree of one."""
    index, size, content, proof, root = claim
    return (
        0 <= index < size <= LARGEST
        and content == LEAVES[index]
        and root == naive_root(0, size)
        and list(proof) == naive_path(index, 0, size)
    )


def test_no_wrong_consistency_proof_is_accepted() -> None:
    tried = 0
    for new in range(1, LARGEST + 1):
        new_root = naive_root(0, new)
        for old in range(1, new + 1):
            old_root = naive_root(0, old)
            proof = consistency_proof(old, new, read)
            assert verify_consistency(old, new, old_root, new_root, proof)
            lies = [
                (old, new, old_root, new_root, wrong)
                for wrong in mutated(proof, old_root, new_root)
            ]
            lies += [
                (other, new, old_root, new_root, proof)
                for other in (old - 1, old + 1, old ^ 2, old * 2, -1)
                if other not in {old, 0}
            ]
            lies += [
                (old, other, old_root, new_root, proof)
                for other in (new * 2, new // 2, -1)
            ]
            for wrong_root in (EMPTY_ROOT, b"", old_root[::-1]):
                lies.append((old, new, wrong_root, new_root, proof))
                lies.append((old, new, old_root, wrong_root, proof))
            if old != new:
                lies.append((old, new, new_root, old_root, proof))
            tried += len(lies)
            assert not [each for each in lies if verify_consistency(*each)]

    assert tried > 90_000


def test_an_empty_tree_begins_every_tree_and_proves_nothing() -> None:
    root = naive_root(0, 3)

    assert consistency_proof(0, 3, read) == []
    assert verify_consistency(0, 3, EMPTY_ROOT, root, [])
    assert not verify_consistency(0, 3, root, root, [])
    assert not verify_consistency(0, 3, EMPTY_ROOT, root, [root])


def test_an_inner_node_is_no_leaf() -> None:
    """The second preimage: two leaf hashes glued together as the content of one."""
    root = naive_root(0, 4)
    glued = LEAVES[0] + LEAVES[1]
    right = naive_root(2, 4)

    assert node_hash(LEAVES[0], LEAVES[1]) == naive_root(0, 2)
    assert not verify_inclusion(0, 2, leaf(glued), [right], root)
    assert not verify_inclusion(0, 4, leaf(glued), [right], root)
