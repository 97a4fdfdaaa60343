"""A verifier goes on from his bookmark, and no change before it fools him for long."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from psycopg2.extensions import connection

from models.connection_settings import ConnectionSettings
from models.database import Database
from services.audit_anchors import Anchors
from services.audit_bookmark import Bookmark, BookmarkError
from services.audit_findings import CheckResult, Verdict, Verification
from services.audit_verification import Outside, verify
from tests.audit_trail import append, run
from tests.checkpoints import files_in, leaves, merkle_tree_hash, sign
from tests.tampering import allow_everything, cut, rewrite

pytestmark = pytest.mark.tampers


@pytest.fixture(params=[4, 65_536], ids=["small parts", "one part"])
def bookmark(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    database: Database,
    connection_settings: ConnectionSettings,
) -> Bookmark:
    """Of the first seven entries of a log."""
    monkeypatch.setattr("services.audit_parts.ENTRIES_PER_PART", request.param)
    append(database, 6)
    return bookmark_of(verify(connection_settings))


def bookmark_of(found: Verification) -> Bookmark:
    made = Bookmark.of(found)
    assert made is not None
    return made


def go_on(settings: ConnectionSettings, bookmark: Bookmark) -> Verification:
    return verify(settings, outside=Outside(bookmark=bookmark))


def errors(found: Verification) -> set[tuple[int, str]]:
    assert found.verdict is Verdict.TAMPERED
    assert Bookmark.of(found) is None
    return {(finding.seq, str(finding.reason)) for finding in found.errors}


def test_a_run_begins_where_the_last_one_ended(
    bookmark: Bookmark,
    database: Database,
    connection_settings: ConnectionSettings,
    sql: connection,
) -> None:
    for more in (1, 4, 0, 8):
        append(database, more)
        before, found = bookmark, go_on(connection_settings, bookmark)
        bookmark = bookmark_of(found)

        assert found.verdict is Verdict.INTERNALLY_CONSISTENT
        # The last one is read again.
        assert (found.first_seq, found.entries_checked) == (before.size - 1, more + 1)
        assert bookmark.size == before.size + more
        assert bookmark.root == merkle_tree_hash(leaves(sql)).hex()
        assert bookmark == bookmark_of(verify(connection_settings)).model_copy(
            update={
                "made_at": bookmark.made_at,
                "last_full_run_at": before.last_full_run_at,
            }
        )


def test_it_says_what_was_not_read_again(
    bookmark: Bookmark, database: Database, connection_settings: ConnectionSettings
) -> None:
    append(database, 2)

    found = go_on(connection_settings, bookmark)

    assert found.continued is not None
    assert found.continued.size == 7
    assert found.continued.last_full_run_at == bookmark.made_at
    detail = next(check.detail for check in found.checks if check.name == "hash")
    assert (
        "entries below 7 were not read again in this run, the last full run was at"
        in detail
    )


def test_what_was_signed_since_is_compared(
    bookmark: Bookmark,
    database: Database,
    connection_settings: ConnectionSettings,
    sql: connection,
    tmp_path: Path,
) -> None:
    files = files_in(tmp_path, sql)
    append(database, 2)
    sign(connection_settings, files)
    append(database, 2)
    sign(connection_settings, files)

    found = go_on(connection_settings, bookmark)

    assert {check.name: check.result for check in found.checks}["root"] is (
        CheckResult.PASSED
    )
    assert any(
        "2 of this database agree, the largest of 11" in check.detail
        for check in found.checks
    )

    allow_everything(sql)
    rewrite(sql, 10)
    assert errors(go_on(connection_settings, bookmark)) == {
        (9, "checkpoint"),
        (10, "root"),
    }


# What is done to a log of eleven entries, of which seven were verified.
TAMPERING: Mapping[str, tuple[Callable[[connection], object], set[tuple[int, str]]]] = {
    "history was rewritten": (lambda sql: rewrite(sql, 3), {(6, "root")}),
    "the last one was rewritten": (lambda sql: rewrite(sql, 6), {(6, "root")}),
    "the last one was changed": (
        lambda sql: run(sql, "UPDATE audit_log SET actor_id = 'x' WHERE seq = 6"),
        {(6, "hash")},
    ),
    "the last one is gone": (
        lambda sql: run(sql, "DELETE FROM audit_log WHERE seq = 6"),
        {(6, "gap")},
    ),
    "it is shorter than it was": (
        lambda sql: cut(sql, 5),
        {(6, "gap")},
    ),
    "a new one was changed": (
        lambda sql: run(sql, "UPDATE audit_log SET actor_id = 'x' WHERE seq = 8"),
        {(8, "hash")},
    ),
    "it was begun anew": (
        lambda sql: run(
            sql,
            "CREATE TABLE name AS TABLE audit_head;"
            "TRUNCATE audit_log, audit_head;"
            "SELECT audit_initialize(origin) FROM name",
        ),
        {(0, "genesis"), (6, "gap")},
    ),
}


@pytest.mark.parametrize("what", TAMPERING)
def test_what_does_not_continue_the_log_is_found(
    bookmark: Bookmark,
    database: Database,
    connection_settings: ConnectionSettings,
    sql: connection,
    what: str,
) -> None:
    append(database, 4)
    allow_everything(sql)
    tamper, expected = TAMPERING[what]

    tamper(sql)

    assert errors(go_on(connection_settings, bookmark)) == expected


def test_an_old_change_is_found_by_a_full_run_only(
    bookmark: Bookmark, connection_settings: ConnectionSettings, sql: connection
) -> None:
    allow_everything(sql)
    run(sql, "UPDATE audit_log SET actor_id = 'x' WHERE seq = 3")

    # It says so: entries below 7 were not read again.
    assert go_on(connection_settings, bookmark).valid
    assert errors(verify(connection_settings)) == {(3, "hash")}


def test_a_full_run_sees_that_the_bookmark_still_holds(
    bookmark: Bookmark,
    database: Database,
    connection_settings: ConnectionSettings,
    sql: connection,
) -> None:
    append(database, 2)
    outside = Outside(anchors=Anchors((bookmark.anchor("b.json"),)))

    before = verify(connection_settings, outside=outside)
    allow_everything(sql)
    rewrite(sql, 3)
    after = verify(connection_settings, outside=outside)

    assert before.verdict is Verdict.CONSISTENT_WITH_ANCHOR
    assert before.unanchored_entries == 2
    assert errors(after) == {(6, "checkpoint")}


def test_a_bookmark_of_another_log_is_refused(
    bookmark: Bookmark, connection_settings: ConnectionSettings
) -> None:
    other = bookmark.model_copy(update={"log_id": "00" * 16, "origin": "another"})

    with pytest.raises(BookmarkError, match="is of the log another"):
        go_on(connection_settings, other)


def test_a_file_is_read_as_it_was_written(bookmark: Bookmark, tmp_path: Path) -> None:
    path = tmp_path / "bookmark.json"

    bookmark.write(path)

    assert Bookmark.read(path) == bookmark


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: "",
        lambda text: text[:-20],
        lambda text: text.replace('"size": 7', '"size": 8'),
        lambda text: text.replace('"root": "', '"root": "00'),
        lambda text: text.replace("bookmark/1", "bookmark/2"),
        lambda text: text.replace('"size": 7', '"size": 99999999999999999999'),
        lambda text: text.replace('"size"', '"sizes"'),
        lambda _: "[]",
        lambda _: "\udcff",
    ],
    ids=[
        *("empty", "half", "another size", "another root", "another format"),
        *("too large", "another name", "a list", "no text"),
    ],
)
def test_a_damaged_bookmark_is_refused_and_says_nothing_about_the_log(
    bookmark: Bookmark, tmp_path: Path, damage: object
) -> None:
    path = tmp_path / "bookmark.json"
    assert callable(damage)
    text = damage(bookmark.model_dump_json(indent=2))
    path.write_bytes(text.encode("utf-8", "surrogateescape"))

    with pytest.raises(BookmarkError, match="It says nothing about the log"):
        Bookmark.read(path)


def test_what_does_not_hold_makes_no_bookmark(
    bookmark: Bookmark, connection_settings: ConnectionSettings
) -> None:
    assert bookmark.size == 7
    assert Bookmark.of(verify(connection_settings, from_seq=1)) is None
    assert Bookmark.of(verify(connection_settings, from_seq=8)) is None
