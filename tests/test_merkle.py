"""Roots and proofs, against RFC 6962 and against proofs that somebody bent."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.blockchain_hasher import leaf_hash
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

# The eight leaves of the certificate-transparency test data, and the roots of all trees
# that begin with them.
VECTOR_LEAVES = tuple(
    leaf_hash(bytes.fromhex(data))
    for data in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
)
VECTOR_ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)


class Tree:
    """All perfect subtrees of some leaves, as a store would hold them."""

    def __init__(self, leaves: tuple[bytes, ...]) -> None:
        self.levels = [list(leaves)]
        while len(below := self.levels[-1]) > 1:
            pairs = zip(below[::2], below[1::2], strict=False)
            self.levels.append([node_hash(left, right) for left, right in pairs])

    def read(self, level: int, index: int) -> bytes:
        return self.levels[level][index]


MOST = 64
LEAVES = tuple(leaf_hash(b"%d" % number) for number in range(MOST))
TREE = Tree(LEAVES)
# How many are tried, which docs cite; a change of the tests changes them.
BENT_INCLUSIONS = 289_799
BENT_CONSISTENCIES = 285_844


def test_roots_agree_with_the_vectors() -> None:
    tree = Tree(VECTOR_LEAVES)
    frontier = Frontier()
    appended = [frontier.root().hex()]
    for leaf in VECTOR_LEAVES:
        frontier.append(leaf)
        appended.append(frontier.root().hex())

    assert tuple(appended) == VECTOR_ROOTS
    assert tuple(root_at(size, tree.read).hex() for size in range(9)) == VECTOR_ROOTS
    assert EMPTY_ROOT.hex() == VECTOR_ROOTS[0]


def test_a_frontier_goes_on_where_another_stopped() -> None:
    for stop in range(9):
        frontier = Frontier()
        for leaf in VECTOR_LEAVES[:stop]:
            frontier.append(leaf)
        restored = Frontier.restore(frontier.size, frontier.hashes)
        for leaf in VECTOR_LEAVES[stop:]:
            restored.append(leaf)
        assert restored.size == 8
        assert restored.root().hex() == VECTOR_ROOTS[8]


@pytest.mark.parametrize(
    ("size", "hashes"),
    [(-1, []), (0, [bytes(32)]), (2, []), (3, [bytes(32)]), (1, [bytes(31)])],
)
def test_a_frontier_that_no_tree_has_is_refused(size: int, hashes: list[bytes]) -> None:
    with pytest.raises(ValueError, match=r"frontier|32 bytes"):
        Frontier.restore(size, hashes)


def _naive_root(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, word for word."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    cut = _naive_cut(len(leaves))
    halves = _naive_root(leaves[:cut]) + _naive_root(leaves[cut:])
    return sha256(b"\x01" + halves).digest()


def _naive_path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH of RFC 6962 section 2.1.1."""
    if len(leaves) == 1:
        return []
    cut = _naive_cut(len(leaves))
    if index < cut:
        return [*_naive_path(index, leaves[:cut]), _naive_root(leaves[cut:])]
    return [*_naive_path(index - cut, leaves[cut:]), _naive_root(leaves[:cut])]


def _naive_subproof(
    old_size: int, leaves: Sequence[bytes], *, is_known: bool
) -> list[bytes]:
    """SUBPROOF of RFC 6962 section 2.1.2."""
    if old_size == len(leaves):
        return [] if is_known else [_naive_root(leaves)]
    cut = _naive_cut(len(leaves))
    if old_size <= cut:
        left = _naive_subproof(old_size, leaves[:cut], is_known=is_known)
        return [*left, _naive_root(leaves[cut:])]
    right = _naive_subproof(old_size - cut, leaves[cut:], is_known=False)
    return [*right, _naive_root(leaves[:cut])]


def _naive_cut(size: int) -> int:
    """Return the largest power of two smaller than the size."""
    cut = 1
    while cut * 2 < size:
        cut *= 2
    return cut


def test_roots_and_proofs_agree_with_the_definitions_of_rfc_6962() -> None:
    for size in range(MOST + 1):
        leaves = LEAVES[:size]
        assert root_at(size, TREE.read) == _naive_root(leaves)
        for index in range(size):
            assert inclusion_proof(index, size, TREE.read) == _naive_path(index, leaves)
        for old_size in range(1, size + 1):
            assert consistency_proof(old_size, size, TREE.read) == _naive_subproof(
                old_size, leaves, is_known=True
            )


def test_every_proof_is_accepted() -> None:
    roots = [root_at(size, TREE.read) for size in range(MOST + 1)]
    for size in range(MOST + 1):
        for index in range(size):
            proof = inclusion_proof(index, size, TREE.read)
            assert verify_inclusion(index, size, LEAVES[index], proof, roots[size])
        for old_size in range(size + 1):
            proof = consistency_proof(old_size, size, TREE.read)
            assert verify_consistency(
                old_size, size, roots[old_size], roots[size], proof
            )


@dataclass(frozen=True, slots=True)
class Inclusion:
    """What somebody claims, with its proof."""

    index: int
    size: int
    leaf: bytes
    root: bytes
    proof: tuple[bytes, ...]

    def is_accepted(self) -> bool:
        return verify_inclusion(self.index, self.size, self.leaf, self.proof, self.root)


@dataclass(frozen=True, slots=True)
class Consistency:
    old_size: int
    new_size: int
    old_root: bytes
    new_root: bytes
    proof: tuple[bytes, ...]

    def is_accepted(self) -> bool:
        return verify_consistency(
            self.old_size, self.new_size, self.old_root, self.new_root, self.proof
        )


GARBAGE = sha256(b"garbage").digest()
# What no hash of these trees is, and what no hash is.
WRONG_HASHES = (b"", bytes(32), GARBAGE, EMPTY_ROOT, bytes(31), bytes(33))


def _flipped(value: bytes, bit: int) -> bytes:
    return bytes(
        byte ^ (1 << bit % 8 if at == bit // 8 else 0) for at, byte in enumerate(value)
    )


def _flips(value: bytes) -> Iterator[bytes]:
    # The first bit, the last one, and some between.
    return (_flipped(value, bit) for bit in (0, 7, 31, 100, 128, 255))


def _bent_proofs(
    proof: tuple[bytes, ...], roots: tuple[bytes, ...]
) -> Iterator[tuple[bytes, ...]]:
    yield ()
    yield proof[::-1]
    for at, known in enumerate(proof):
        before, after = proof[:at], proof[at + 1 :]
        yield before
        yield after
        yield (*before, *after)
        yield (*before, known, known, *after)
        yield (*before, known[:-1], *after)
        yield (*before, known + b"\0", *after)
        if after:
            yield (*before, known + after[0], *after[1:])
            yield (*before, after[0], known, *after[1:])
        for flipped in _flips(known):
            yield (*before, flipped, *after)
    for at in range(len(proof) + 1):
        for inserted in (GARBAGE, b"", *roots):
            yield (*proof[:at], inserted, *proof[at:])


def _bent_inclusions(claim: Inclusion) -> Iterator[Inclusion]:
    index, size = claim.index, claim.size
    for other in (index - 1, index + 1, index ^ 2, -1, -index - 1, size, size << 64):
        yield replace(claim, index=other)
    for other in (size * 2, size // 2, 0, -size, size << 64):
        yield replace(claim, size=other)
    for wrong in (*WRONG_HASHES, claim.leaf, *_flips(claim.root)):
        # The root of a tree with one leaf is that leaf.
        yield replace(claim, root=wrong)
    neighbours = (LEAVES[index - 1], LEAVES[(index + 1) % MOST])
    for wrong in (*WRONG_HASHES, *neighbours, claim.root, *_flips(claim.leaf)):
        yield replace(claim, leaf=wrong)
    yield replace(claim, leaf=claim.root, root=claim.leaf)
    for proof in _bent_proofs(claim.proof, (claim.root, claim.leaf)):
        yield replace(claim, proof=proof)


def _bent_consistencies(claim: Consistency) -> Iterator[Consistency]:
    old, new = claim.old_size, claim.new_size
    for other in (old - 1, old + 1, old ^ 2, old * 2, old // 2, -old, new + 1):
        yield replace(claim, old_size=other)
    for other in (new * 2, new // 2, 0, -new, new << 64):
        yield replace(claim, new_size=other)
    for wrong in (*WRONG_HASHES, LEAVES[-1], *_flips(claim.old_root)):
        yield replace(claim, old_root=wrong)
    for wrong in (*WRONG_HASHES, LEAVES[-1], *_flips(claim.new_root)):
        yield replace(claim, new_root=wrong)
    yield replace(claim, old_size=new, new_size=old)
    yield replace(claim, old_root=claim.new_root, new_root=claim.old_root)
    yield replace(claim, old_root=claim.new_root)
    yield replace(claim, new_root=claim.old_root)
    for proof in _bent_proofs(claim.proof, (claim.old_root, claim.new_root)):
        yield replace(claim, proof=proof)


def test_no_bent_inclusion_proof_is_accepted() -> None:
    tried = 0
    for size in range(1, MOST + 1):
        root = root_at(size, TREE.read)
        for index in range(size):
            proof = tuple(inclusion_proof(index, size, TREE.read))
            claim = Inclusion(index, size, LEAVES[index], root, proof)
            assert claim.is_accepted()
            bent = set(_bent_inclusions(claim)) - {claim}
            assert [each for each in bent if each.is_accepted()] == []
            tried += len(bent)
    assert tried == BENT_INCLUSIONS


def test_no_bent_consistency_proof_is_accepted() -> None:
    tried = 0
    for new in range(1, MOST + 1):
        for old in range(1, new + 1):
            proof = tuple(consistency_proof(old, new, TREE.read))
            roots = root_at(old, TREE.read), root_at(new, TREE.read)
            claim = Consistency(old, new, *roots, proof)
            assert claim.is_accepted()
            bent = set(_bent_consistencies(claim)) - {claim}
            assert [each for each in bent if each.is_accepted()] == []
            tried += len(bent)
    assert tried == BENT_CONSISTENCIES


def test_the_empty_tree_is_continued_by_any_and_proves_nothing() -> None:
    root = root_at(5, TREE.read)

    assert verify_consistency(0, 5, EMPTY_ROOT, root, [])
    assert verify_consistency(0, 0, EMPTY_ROOT, EMPTY_ROOT, [])
    assert not verify_consistency(0, 5, bytes(32), root, [])
    assert not verify_consistency(0, 5, EMPTY_ROOT, root, [GARBAGE])
    assert not verify_consistency(0, 5, EMPTY_ROOT, b"", [])
    assert not verify_consistency(0, 0, EMPTY_ROOT, GARBAGE, [])
    assert not verify_consistency(0, 0, GARBAGE, GARBAGE, [])
    assert not verify_consistency(5, 0, root, EMPTY_ROOT, [])
    assert not verify_inclusion(0, 0, LEAVES[0], [], EMPTY_ROOT)


def test_an_inner_node_is_no_leaf() -> None:
    left, right = LEAVES[:2]
    root = root_at(4, TREE.read)
    inner = node_hash(left, right)
    rest = node_hash(*LEAVES[2:4])

    # Where the tree has four leaves, no way is as short as an inner node's.
    for index in range(4):
        assert not verify_inclusion(index, 4, inner, [rest], root)
    # Nor is there an entry that hashes to what an inner node hashes to.
    for entry in (left + right, b"\x01" + left + right):
        assert leaf_hash(entry) != inner
        assert not verify_inclusion(0, 2, leaf_hash(entry), [rest], root)


def test_a_proof_asks_for_few_nodes() -> None:
    size = (1 << 40) + 12345
    asked = []

    def read(level: int, index: int) -> bytes:
        assert (index + 1) << level <= size
        asked.append((level, index))
        return sha256(b"%d/%d" % (level, index)).digest()

    root = root_at(size, read)
    proof = inclusion_proof(size // 3, size, read)
    assert verify_consistency(
        1 << 40, size, read(40, 0), root, consistency_proof(1 << 40, size, read)
    )
    assert len(proof) == 41
    assert len(asked) < 4 * 41


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0), (0, -1)])
def test_a_leaf_that_no_tree_has_is_not_proven(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        inclusion_proof(index, size, TREE.read)


@pytest.mark.parametrize(("old_size", "new_size"), [(-1, 3), (4, 3), (-2, -1)])
def test_trees_that_do_not_follow_are_not_proven(old_size: int, new_size: int) -> None:
    with pytest.raises(ValueError, match="continues"):
        consistency_proof(old_size, new_size, TREE.read)


def test_what_is_no_tree_and_no_leaf_is_refused() -> None:
    with pytest.raises(ValueError, match="size -1"):
        root_at(-1, TREE.read)
    with pytest.raises(ValueError, match="32 bytes"):
        Frontier().append(bytes(33))


@given(
    st.integers(),
    st.integers(),
    st.binary(max_size=33),
    st.binary(max_size=33),
    st.lists(st.sampled_from([b"", bytes(32), bytes(33), EMPTY_ROOT]), max_size=70),
)
def test_chance_proves_nothing_and_breaks_nothing(
    first: int, second: int, one: bytes, other: bytes, proof: list[bytes]
) -> None:
    assert not verify_inclusion(first, second, one, proof, GARBAGE)
    assert not verify_consistency(first, second, one, other, [*proof, GARBAGE])


@given(st.integers(0, 2000), st.integers(0, 2000))
def test_a_frontier_is_the_reader_s_tree(first: int, second: int) -> None:
    leaves = tuple(sha256(b"%d" % number).digest() for number in range(first))
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    tree = Tree(leaves)
    old_size = min(first, second)

    assert frontier.root() == root_at(first, tree.read)
    assert verify_consistency(
        old_size,
        first,
        root_at(old_size, tree.read),
        frontier.root(),
        consistency_proof(old_size, first, tree.read),
    )
