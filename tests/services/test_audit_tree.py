"""The log against its tree: what was signed and stored contradicts a new history."""

from collections.abc import Sequence

import pytest
from psycopg2.extensions import connection

from models.connection_settings import ConnectionSettings
from models.database import Database
from services.audit_findings import CheckResult, Verdict, Verification
from services.audit_verification import Outside, verify
from services.checkpoint_files import Files, read_keys
from tests.audit_trail import append, append_together, run
from tests.checkpoints import leaves, merkle_tree_hash, sign
from tests.tampering import allow_everything, cut, rewrite
from utils.signed_note import ED25519, Signer

pytestmark = pytest.mark.tampers

SIZES = (4, 8, 11)


@pytest.fixture
def signed(
    database: Database,
    connection_settings: ConnectionSettings,
    sql: connection,
    files: Files,
) -> ConnectionSettings:
    """A log of eleven entries, and checkpoints of SIZES. Its owner may do anything."""
    sign_at(SIZES, database, connection_settings, files)
    allow_everything(sql)
    return connection_settings


def sign_at(
    sizes: Sequence[int], database: Database, settings: ConnectionSettings, files: Files
) -> None:
    size = 1
    for wanted in sizes:
        append_together(database, wanted - size)
        made = sign(settings, files)
        assert made is not None
        size = made.size
    assert size == sizes[-1]


def of_tree(found: Verification) -> set[tuple[int, str]]:
    return {
        (each.seq, str(each.reason))
        for each in found.errors
        if each.reason in {"root", "checkpoint"}
    }


def check(found: Verification, name: str) -> tuple[CheckResult, str]:
    return next((c.result, c.detail) for c in found.checks if c.name == name)


def test_stored_checkpoints_agree_and_are_no_anchor(
    signed: ConnectionSettings, sql: connection, files: Files
) -> None:
    keys = tuple(read_keys(files.keys).verifiers)

    found = verify(signed, outside=Outside(log_keys=keys))

    assert found.verdict is Verdict.INTERNALLY_CONSISTENT
    assert check(found, "root") == (CheckResult.PASSED, "1 tiles agree")
    result, detail = check(found, "checkpoint")
    assert result is CheckResult.PASSED
    assert "3 of this database agree, the largest of 11 entries" in detail
    assert f"it is signed by {keys[0].name}" in detail
    assert check(found, "anchor")[0] is CheckResult.NOT_CHECKED
    assert found.unanchored_entries is None
    assert found.tree is not None
    assert found.tree.root == merkle_tree_hash(leaves(sql))


def test_who_signed_is_said_as_far_as_it_is_known(signed: ConnectionSettings) -> None:
    stranger = Signer.generate("somebody.example/log", ED25519).verifier

    unknown = verify(signed)
    strange = verify(signed, outside=Outside(log_keys=(stranger,)))

    assert "its signature was not checked" in check(unknown, "checkpoint")[1]
    assert "no key that is known signed it" in check(strange, "checkpoint")[1]


@pytest.mark.parametrize(
    ("seq", "since", "until", "contradicting"),
    [(3, 0, 3, 3), (4, 4, 7, 2), (7, 4, 7, 2), (8, 8, 10, 1)],
)
def test_checkpoints_bracket_where_history_was_rewritten(
    signed: ConnectionSettings,
    sql: connection,
    seq: int,
    since: int,
    until: int,
    contradicting: int,
) -> None:
    rewrite(sql, seq)

    found = verify(signed)

    assert found.verdict is Verdict.TAMPERED
    assert of_tree(found) == {(seq, "root"), (since, "checkpoint")}
    assert found.errors_by_class["checkpoint"] == contradicting
    (bracket,) = [each for each in found.errors if each.reason == "checkpoint"]
    assert f"among the entries {since} to {until}" in bracket.detail


def test_an_end_that_was_signed_is_missed(
    signed: ConnectionSettings, sql: connection
) -> None:
    cut(sql, 6)

    found = verify(signed)

    assert {(each.seq, str(each.reason)) for each in found.errors} == {
        (6, "checkpoint"),
        (6, "root"),
    }
    assert found.errors_by_class["checkpoint"] == 2


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE checkpoints SET root = sha256('') WHERE size = 8", {4, 7}),
        ("UPDATE checkpoints SET note = replace(note, E'\\n8\\n', E'\\n7\\n')", {7}),
        ("UPDATE checkpoints SET note = 'none' WHERE size = 4", {3}),
    ],
    ids=["root", "note", "no note"],
)
def test_a_stored_checkpoint_that_was_changed_is_found(
    signed: ConnectionSettings, sql: connection, statement: str, expected: set[int]
) -> None:
    run(sql, statement)

    assert of_tree(verify(signed)) == {(seq, "checkpoint") for seq in expected}


def test_every_tile_is_compared(
    database: Database,
    connection_settings: ConnectionSettings,
    sql: connection,
    files: Files,
) -> None:
    sign_at((700,), database, connection_settings, files)
    run(sql, "CREATE TABLE saved AS TABLE merkle_tiles")
    tiles = run(sql, "SELECT level, tile_index FROM saved ORDER BY 1, 2")
    assert tiles == [(0, 0), (0, 1), (0, 2), (1, 0)]
    assert verify(connection_settings).valid
    changes = (
        (
            "UPDATE merkle_tiles SET hashes = set_byte(hashes, 33, 255 -"
            " get_byte(hashes, 33)) WHERE (level, tile_index) = (%s, %s)"
        ),
        (
            "UPDATE merkle_tiles SET hashes = substring(hashes FOR 32) WHERE (level,"
            " tile_index) = (%s, %s)"
        ),
        "DELETE FROM merkle_tiles WHERE (level, tile_index) = (%s, %s)",
    )
    missed = []

    for level, index in tiles:
        width = 1 << 8 * level
        for change, node in zip(changes, (1, 0, 0), strict=True):
            run(sql, change, level, index)
            if of_tree(verify(connection_settings)) != {
                ((256 * index + node) * width, "root")
            }:
                missed.append((change, level, index))
            run(sql, "DELETE FROM merkle_tiles; INSERT INTO merkle_tiles TABLE saved")

    assert missed == []
    assert verify(connection_settings).valid


@pytest.mark.parametrize("size", [5, 8, 9, 16, 21])
def test_parts_and_processes_make_the_same_tree(
    database: Database,
    connection_settings: ConnectionSettings,
    sql: connection,
    files: Files,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
) -> None:
    monkeypatch.setattr("services.audit_parts.ENTRIES_PER_PART", 4)
    sign_at(range(2, size + 1), database, connection_settings, files)
    append(database)

    alone = verify(connection_settings)
    together = verify(connection_settings, processes=2)

    assert alone.valid
    assert alone.tree == together.tree
    assert alone.tree is not None
    assert alone.tree.root == merkle_tree_hash(leaves(sql))
    assert check(alone, "checkpoint") == check(together, "checkpoint")
    assert f"{size - 1} of this database agree" in check(alone, "checkpoint")[1]


def test_only_a_range_from_the_beginning_makes_a_tree(
    signed: ConnectionSettings, sql: connection
) -> None:
    behind = verify(signed, from_seq=2)
    before = verify(signed, to_seq=8)
    rewrite(sql, 9)

    assert check(behind, "checkpoint") == (
        CheckResult.NOT_CHECKED,
        "the range does not begin with entry 0",
    )
    assert "2 of this database agree" in check(before, "checkpoint")[1]
    assert verify(signed, to_seq=8).valid
