"""Where the nodes of a tree are, by C2SP's tlog-tiles."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.merkle_tile import Tile
from services.merkle_growth import GrowingTree, edge_tiles
from tests.checkpoints import merkle_tree_hash
from utils.merkle import (
    HASH_BYTES,
    consistency_proof,
    inclusion_proof,
    root_at,
    verify_consistency,
    verify_inclusion,
)
from utils.tiles import (
    LEVELS,
    WIDTH,
    TileId,
    parse_tile_path,
    reader,
    tile_path,
    tiles_for,
    width_at,
)

LARGE = 70_000
LEAVES = [Random(seq).randbytes(HASH_BYTES) for seq in range(LARGE)]


def grown(size: int) -> tuple[GrowingTree, dict[TileId, bytes]]:
    tree = GrowingTree()
    for leaf in LEAVES[:size]:
        tree.append(leaf)
    tiles: list[Tile] = [*tree.take_full_tiles(), *tree.partial_tiles()]
    return tree, {tile.id: tile.hashes for tile in tiles}


@pytest.fixture(scope="module")
def tiles() -> dict[TileId, bytes]:
    return grown(LARGE)[1]


def test_the_tiles_are_those_of_the_specifications_example(
    tiles: dict[TileId, bytes],
) -> None:
    found = Counter(
        (tile.level, len(hashes) // HASH_BYTES) for tile, hashes in tiles.items()
    )

    assert found == {(0, 256): 273, (0, 112): 1, (1, 256): 1, (1, 17): 1, (2, 1): 1}


def test_each_hash_is_the_root_of_what_it_stands_for(
    tiles: dict[TileId, bytes],
) -> None:
    for tile, hashes in tiles.items():
        span = WIDTH**tile.level
        for place in {0, len(hashes) // HASH_BYTES - 1}:
            first = (tile.index * WIDTH + place) * span
            start = place * HASH_BYTES
            assert hashes[start : start + HASH_BYTES] == merkle_tree_hash(
                LEAVES[first : first + span]
            )


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 65_535, 65_536, 65_537, LARGE])
def test_the_root_is_that_of_the_definition(size: int) -> None:
    tree, tiles = grown(size)
    wanted = merkle_tree_hash(LEAVES[:size])

    assert tree.size == size
    assert tree.root() == wanted
    assert root_at(size, reader(tiles)) == wanted
    assert {tile: len(hashes) // HASH_BYTES for tile, hashes in tiles.items()} == {
        TileId(level, index): width
        for level in range(LEVELS)
        for index in range((size >> 8 * (level + 1)) + 1)
        if (width := width_at(size, TileId(level, index)))
    }


@given(size=st.integers(1, 1200), more=st.integers(0, 300))
def test_a_tree_resumes_from_the_tiles_of_a_larger_one(size: int, more: int) -> None:
    """What an interrupted run stored beyond what was signed does no harm."""
    tree, _ = grown(size)
    _, later = grown(size + more)

    resumed = GrowingTree.resume(size, tree.frontier(), later)

    assert resumed is not None
    for leaf in LEAVES[size : size + more]:
        resumed.append(leaf)
    assert resumed.root() == grown(size + more)[0].root()


@given(size=st.integers(1, 1200), data=st.data())
def test_a_tree_does_not_resume_from_other_tiles(
    size: int, data: st.DataObject
) -> None:
    tree, tiles = grown(size)
    edges = [tile for tile in edge_tiles(size) if tile in tiles]
    tile = data.draw(st.sampled_from(edges))
    broken = bytearray(tiles[tile])
    broken[data.draw(st.integers(0, len(broken) - 1))] ^= 1

    for damaged in (bytes(broken), tiles[tile][:-HASH_BYTES]):
        damage = tiles | {tile: damaged}
        assert GrowingTree.resume(size, tree.frontier(), damage) is None


@given(data=st.data())
def test_a_proof_needs_a_handful_of_tiles_and_holds(
    tiles: dict[TileId, bytes], data: st.DataObject
) -> None:
    size = data.draw(st.integers(1, LARGE))
    seq = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(1, size))
    read = reader(tiles)
    root, old_root = root_at(size, read), root_at(old, read)

    needed = tiles_for(lambda read: inclusion_proof(seq, size, read))
    proof = inclusion_proof(seq, size, reader({tile: tiles[tile] for tile in needed}))
    assert len(needed) <= 5
    assert verify_inclusion(seq, size, LEAVES[seq], proof, root)

    needed = tiles_for(lambda read: consistency_proof(old, size, read))
    steps = consistency_proof(old, size, reader({tile: tiles[tile] for tile in needed}))
    assert len(needed) <= 6
    assert verify_consistency(old, size, old_root, root, steps)


def test_a_tile_that_is_too_short_is_not_read_beyond() -> None:
    with pytest.raises(LookupError):
        reader({TileId(0, 0): bytes(HASH_BYTES)})(0, 1)
    with pytest.raises(LookupError):
        reader({})(0, 0)


@pytest.mark.parametrize(
    ("path", "index", "width"),
    [
        ("000", 0, 256),
        ("067", 67, 256),
        ("x001/067", 1067, 256),
        ("x001/x234/067", 1_234_067, 256),
        ("x001/x234/067.p/1", 1_234_067, 1),
        ("x273/112.p/255", 273_112, 255),
    ],
)
def test_an_address_reads_as_the_specification_writes_it(
    path: str, index: int, width: int
) -> None:
    assert parse_tile_path(path) == (index, width)
    assert tile_path(index, width) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "0",
        "0000",
        "x000/067",
        "001/067",
        "x001/67",
        "x001067",
        "x001/x067",
        "067.p/0",
        "067.p/01",
        "067.p/256",
        "067.p",
        "067.p/1/",
        "-67",
        "٠٦٧",
    ],
)
def test_no_other_address_is_a_tiles(path: str) -> None:
    assert parse_tile_path(path) is None


@given(st.integers(0, 10**18 - 1), st.integers(1, WIDTH))
def test_every_tile_has_one_address(index: int, width: int) -> None:
    assert parse_tile_path(tile_path(index, width)) == (index, width)
