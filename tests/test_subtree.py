"""Trees over many leaves at once agree with RFC 6962, wherever they begin."""

from hashlib import sha256

import pytest

from tests.checkpoints import merkle_tree_hash
from utils.merkle import Frontier
from utils.subtree import Row, Subtree, rows_above

LEAVES = [sha256(bytes([number])).digest() for number in range(70)]


def frontier_of(size: int) -> tuple[bytes, ...]:
    frontier = Frontier()
    for leaf in LEAVES[:size]:
        frontier.append(leaf)
    return frontier.hashes


@pytest.mark.parametrize("start", [*range(20), 31, 32, 33, 63, 64])
def test_roots_and_frontiers_are_those_of_the_tree(start: int) -> None:
    grown = Subtree(start, frontier_of(start), b"".join(LEAVES[start:]))

    assert (grown.start, grown.size) == (start, len(LEAVES))
    for size in range(max(1, start), len(LEAVES) + 1):
        assert grown.root(size) == merkle_tree_hash(LEAVES[:size])
        assert tuple(grown.frontier(size)) == frontier_of(size)


@pytest.mark.parametrize("start", [0, 1, 6, 8, 13])
def test_rows_hold_the_new_nodes_and_no_others(start: int) -> None:
    grown = Subtree(start, frontier_of(start), b"".join(LEAVES[start:]))

    rows = {row.level: row for row in grown.new_rows(2)}

    assert (rows[0].first, rows[0].end) == (start, len(LEAVES))
    for level, row in rows.items():
        for index in range(row.first, row.end):
            leaves = LEAVES[index << level : (index + 1) << level]
            assert row.node(index) == merkle_tree_hash(leaves)
        # Whatever ends behind the start is new.
        assert row.first == start >> level


def test_above_a_row_is_only_what_lies_over_it_alone() -> None:
    rows = list(rows_above(Row(0, 3, b"".join(LEAVES[3:])), 1))

    assert [(row.level, row.first, row.end) for row in rows] == [
        (0, 3, 70),
        (1, 2, 35),
        (2, 1, 17),
        (3, 1, 8),
        (4, 1, 4),
        (5, 1, 2),
    ]
    for row in rows:
        for index in range(row.first, row.end):
            leaves = LEAVES[index << row.level : (index + 1) << row.level]
            assert row.node(index) == merkle_tree_hash(leaves)


def test_a_frontier_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="another frontier"):
        Subtree(3, LEAVES[:1], b"")
