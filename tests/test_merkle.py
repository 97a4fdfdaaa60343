"""Roots and proofs, against RFC 6962 and against proofs that somebody bent."""

from collections.abc import Sequence
from hashlib import sha256

import pytest

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
