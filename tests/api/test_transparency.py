"""Checkpoints, tiles and proofs over HTTP: what an outsider can check, and how."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest
from flask import Flask
from psycopg2.extensions import connection

from app import create_app
from config import Settings
from models.connection_settings import ConnectionSettings
from models.database import Database
from services.checkpoint_files import Files, read_keys
from tests.audit_trail import append_together, run
from tests.checkpoints import leaves, sign
from tests.exams import Json, body
from tests.personas import Api, Persona
from utils.checkpoint import Checkpoint
from utils.merkle import (
    HASH_BYTES,
    root_at,
    verify_consistency,
    verify_inclusion,
)
from utils.signed_note import Note, VerifierKey, verified
from utils.tiles import reader, tile_path, tiles_for, width_at

PREFIX = "/api/blockchain"
SIZES = (1, 2, 255, 256, 257, 300)


@pytest.fixture
def app(settings: Settings, files: Files) -> Iterator[Flask]:
    """The server, which was told by whom the log is signed."""
    vkeys = tuple(period.vkey for period in read_keys(files.keys).periods)
    application = create_app(replace(settings, audit_log_vkeys=vkeys))
    yield application
    application.extensions["database"].close()


@pytest.fixture
def signed(
    connection_settings: ConnectionSettings,
    database: Database,
    sql: connection,
    files: Files,
) -> dict[int, bytes]:
    """Sign the log at each of SIZES, and return the roots."""
    roots = {}
    for size in SIZES:
        ((next_seq,),) = run(sql, "SELECT next_seq FROM audit_head")
        if size > next_seq:
            append_together(database, size - next_seq)
        made = sign(connection_settings, files)
        assert made is not None
        roots[made.size] = made.root
    assert tuple(roots) == SIZES
    return roots


def get(api: Api, path: str, **query: object) -> Json:
    return body(api.as_(None).get(PREFIX + path, query_string=query))


def unhex(hashes: list[str]) -> list[bytes]:
    return [bytes.fromhex(each) for each in hashes]


@pytest.mark.parametrize("accept", [None, "*/*", "text/plain", "text/*"])
def test_the_checkpoint_is_a_note_that_verifies(
    api: Api, files: Files, signed: dict[int, bytes], accept: str | None
) -> None:
    headers = {} if accept is None else {"Accept": accept}
    response = api.as_(None).get(f"{PREFIX}/checkpoint", headers=headers)

    assert response.status_code == 200
    assert response.content_type == "text/plain; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    note = Note.parse(response.data)
    (vkey,) = [period.vkey for period in read_keys(files.keys).periods]
    assert verified(note, VerifierKey.parse(vkey)) is not None
    checkpoint = Checkpoint.parse(note.text)
    assert (checkpoint.size, checkpoint.root) == (300, signed[300])


def test_the_checkpoint_as_json_says_who_is_to_sign(
    api: Api, files: Files, signed: dict[int, bytes]
) -> None:
    response = api.as_(None).get(
        f"{PREFIX}/checkpoint", headers={"Accept": "application/json"}
    )

    found = body(response)
    assert found["verifier_keys"] == [
        period.vkey for period in read_keys(files.keys).periods
    ]
    assert found["checkpoint"]["size"] == 300
    assert found["checkpoint"]["root"] == signed[300].hex()
    assert found["checkpoint"]["cosigned_at"] is None
    plain = api.as_(None).get(f"{PREFIX}/checkpoint")
    assert found["checkpoint"]["note"] == plain.text


@pytest.mark.usefixtures("signed")
def test_a_cosigned_note_is_preferred(api: Api, sql: connection) -> None:
    run(
        sql,
        "UPDATE checkpoints SET cosigned_note = note || 'more',"
        " cosigned_at = clock_timestamp() WHERE size = 300",
    )

    assert api.as_(None).get(f"{PREFIX}/checkpoint").text.endswith("more")
    assert get(api, "/checkpoints", limit=1)["items"][0]["note"].endswith("more")


@pytest.mark.parametrize(
    "path", ["/checkpoint", "/proof/consistency?from=1", "/proof/inclusion/0"]
)
def test_before_the_first_checkpoint_it_says_what_to_start(
    api: Api, ada: Persona, path: str
) -> None:
    response = api.as_(ada).get(PREFIX + path)

    assert response.status_code == 404
    problem = response.get_json()
    assert problem["type"] == "/problems/no-checkpoint"
    assert "python -m checkpointer run" in problem["detail"]


def test_there_are_no_tiles_and_no_list_before_the_first_checkpoint(api: Api) -> None:
    assert get(api, "/checkpoints") == {"items": [], "next_cursor": None}
    assert api.as_(None).get(f"{PREFIX}/tile/0/000.p/1").status_code == 404


def test_checkpoints_are_listed_the_newest_first(
    api: Api, signed: dict[int, bytes]
) -> None:
    found: list[Json] = []
    query: dict[str, object] = {"limit": 4}
    while True:
        page = get(api, "/checkpoints", **query)
        found += page["items"]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]

    assert [(each["size"], each["root"]) for each in found] == [
        (size, signed[size].hex()) for size in reversed(SIZES)
    ]


def test_every_entry_is_proven_in_every_checkpoint_that_covers_it(
    signed: dict[int, bytes], api: Api, ada: Persona, sql: connection
) -> None:
    entries = leaves(sql)
    admin = api.as_(ada)
    for size, root in signed.items():
        # All of the small ones, and of the large ones those around the tiles' edges.
        for seq in {*range(min(size, 3)), *range(size - size % 256, size), size - 1}:
            found = body(
                admin.get(
                    f"{PREFIX}/proof/inclusion/{seq}", query_string={"size": size}
                )
            )
            assert found["leaf_hash"] == entries[seq].hex()
            assert verify_inclusion(
                seq, size, entries[seq], unhex(found["proof"]), root
            )
            stated = Checkpoint.parse(Note.parse(found["checkpoint"].encode()).text)
            assert (stated.size, stated.root) == (size, root)
            assert (found["size"], found["root"]) == (size, root.hex())


def test_without_a_size_the_newest_checkpoint_is_taken(
    signed: dict[int, bytes], api: Api, bob: Persona
) -> None:
    found = body(api.as_(bob).get(f"{PREFIX}/proof/inclusion/7"))

    assert (found["seq"], found["size"]) == (7, 300)
    stated = Checkpoint.parse(Note.parse(found["checkpoint"].encode()).text)
    assert (stated.size, stated.root) == (300, signed[300])


@pytest.mark.usefixtures("signed")
@pytest.mark.parametrize(
    ("path", "slug"),
    [
        ("/proof/inclusion/300", "entry-not-covered"),
        ("/proof/inclusion/2?size=2", "entry-not-covered"),
        ("/proof/inclusion/0?size=3", "checkpoint-not-found"),
        ("/proof/inclusion/9007199254740991", "entry-not-covered"),
        ("/proof/inclusion/9007199254740992", "not-found"),
        ("/proof/inclusion/-1", "not-found"),
        ("/proof/inclusion/007", "not-found"),
    ],
)
def test_what_no_checkpoint_covers_is_not_proven(
    api: Api, ada: Persona, path: str, slug: str
) -> None:
    response = api.as_(ada).get(PREFIX + path)

    assert response.status_code == 404
    assert response.get_json()["type"] == f"/problems/{slug}"


@pytest.mark.usefixtures("signed")
def test_a_student_proves_nothing_here(api: Api, alice: Persona) -> None:
    assert api.as_(alice).get(f"{PREFIX}/proof/inclusion/0").status_code == 403
    assert api.as_(None).get(f"{PREFIX}/proof/inclusion/0").status_code == 401


def test_any_two_checkpoints_are_proven_consistent(
    api: Api, signed: dict[int, bytes]
) -> None:
    for old in SIZES:
        for new in SIZES:
            if old > new:
                continue
            found = get(api, "/proof/consistency", **{"from": old, "to": new})
            assert found["from_root"] == signed[old].hex()
            assert found["to_root"] == signed[new].hex()
            assert verify_consistency(
                old, new, signed[old], signed[new], unhex(found["proof"])
            )

    newest = get(api, "/proof/consistency", **{"from": 2})
    assert newest["to_size"] == 300


@pytest.mark.usefixtures("signed")
@pytest.mark.parametrize(
    ("query", "slug"),
    [
        ("?from=2&to=301", "tree-size"),
        ("?from=301", "tree-size"),
        ("?from=3&to=2", "invalid-request"),
        ("?from=0", "invalid-request"),
        ("?from=x", "invalid-request"),
        ("", "invalid-request"),
    ],
)
def test_there_is_no_proof_between_other_sizes(api: Api, query: str, slug: str) -> None:
    response = api.as_(None).get(f"{PREFIX}/proof/consistency{query}")

    assert response.status_code == 422
    assert response.get_json()["type"] == f"/problems/{slug}"


def test_a_monitor_computes_the_root_from_the_tiles_it_fetches(
    api: Api, signed: dict[int, bytes], sql: connection
) -> None:
    """As a client of tlog-tiles does, which knows nothing but the checkpoint."""
    for size, root in signed.items():
        tiles = {}
        for tile in tiles_for(partial(root_at, size)):
            width = width_at(size, tile)
            path = f"{PREFIX}/tile/{tile.level}/{tile_path(tile.index, width)}"
            response = api.as_(None).get(path)
            assert response.status_code == 200
            assert response.content_type == "application/octet-stream"
            assert response.headers["Cache-Control"] == (
                "public, max-age=31536000, immutable"
            )
            assert len(response.data) == width * HASH_BYTES
            tiles[tile] = response.data
        assert root_at(size, reader(tiles)) == root

    first = api.as_(None).get(f"{PREFIX}/tile/0/000").data
    assert first == b"".join(leaves(sql)[:256])


@pytest.mark.usefixtures("signed")
@pytest.mark.parametrize(
    ("path", "slug"),
    [
        # Behind the newest checkpoint, or more of a tile than that has.
        ("0/001", "tile-not-found"),
        ("0/001.p/45", "tile-not-found"),
        ("0/002", "tile-not-found"),
        ("1/000.p/2", "tile-not-found"),
        ("1/001.p/1", "tile-not-found"),
        ("63/000.p/1", "tile-not-found"),
        ("0/x999/x999/x999/x999/x999/999", "tile-not-found"),
        # No addresses of tiles. Entries would say who did what.
        ("entries/000", "not-found"),
        ("64/000", "not-found"),
        ("00/000", "not-found"),
        ("0/0", "not-found"),
        ("0/x000/000", "not-found"),
        ("0/000.p/0", "not-found"),
        ("0/000.p/256", "not-found"),
        ("0/000/", "not-found"),
    ],
)
def test_there_are_no_other_tiles(api: Api, path: str, slug: str) -> None:
    response = api.as_(None).get(f"{PREFIX}/tile/{path}")

    assert response.status_code == 404
    assert response.get_json()["type"] == f"/problems/{slug}"


@pytest.mark.tampers
def test_what_is_not_signed_yet_is_not_shown(
    api: Api,
    signed: dict[int, bytes],
    sql: connection,
) -> None:
    """Tiles are stored before the checkpoint is: nobody sees more than it covers."""
    assert signed[300]
    run(sql, "UPDATE merkle_tiles SET hashes = hashes || hashes WHERE tile_index = 1")

    assert api.as_(None).get(f"{PREFIX}/tile/0/001.p/44").status_code == 200
    assert api.as_(None).get(f"{PREFIX}/tile/0/001.p/45").status_code == 404


@pytest.mark.tampers
@pytest.mark.usefixtures("signed")
@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE merkle_tiles SET hashes = substring(hashes FOR 32) WHERE level = 0",
        "UPDATE merkle_tiles SET hashes = sha256(hashes) || substring(hashes FROM 33)",
        "DELETE FROM merkle_tiles",
    ],
)
def test_damaged_tiles_prove_nothing_wrong(
    api: Api, ada: Persona, sql: connection, damage: str
) -> None:
    run(sql, damage)

    for path in ("/proof/inclusion/290", "/proof/consistency?from=257"):
        response = api.as_(ada).get(PREFIX + path)
        assert response.status_code == 409
        assert response.get_json()["type"] == "/problems/proof-does-not-hold"
        assert "rebuild-tiles" in response.get_json()["detail"]


@pytest.mark.tampers
@pytest.mark.usefixtures("signed")
def test_a_rewritten_entry_is_not_proven(
    api: Api, ada: Persona, sql: connection
) -> None:
    run(sql, "ALTER TABLE audit_log DISABLE TRIGGER USER")
    run(sql, "UPDATE audit_log SET hash = sha256(hash) WHERE seq = 7")

    response = api.as_(ada).get(f"{PREFIX}/proof/inclusion/7")
    assert response.status_code == 409
    assert response.get_json()["type"] == "/problems/proof-does-not-hold"
    assert api.as_(ada).get(f"{PREFIX}/proof/inclusion/8").status_code == 200


@pytest.mark.tampers
@pytest.mark.usefixtures("signed")
def test_an_entry_that_is_there_twice_is_not_proven(
    api: Api, ada: Persona, sql: connection
) -> None:
    """Nobody can say which of the two it is."""
    run(sql, "ALTER TABLE audit_log DISABLE TRIGGER USER")
    for key in ("pkey", "previous_hash_key"):
        run(sql, f"ALTER TABLE audit_log DROP CONSTRAINT audit_log_{key}")
    run(sql, "INSERT INTO audit_log SELECT * FROM audit_log WHERE seq = 7")

    response = api.as_(ada).get(f"{PREFIX}/proof/inclusion/7")
    assert response.status_code == 409
    assert response.get_json()["type"] == "/problems/proof-does-not-hold"


@pytest.mark.tampers
@pytest.mark.usefixtures("signed")
def test_a_tile_that_is_missing_is_not_made_up(api: Api, sql: connection) -> None:
    run(sql, "DELETE FROM merkle_tiles WHERE level = 0 AND tile_index = 0")

    assert api.as_(None).get(f"{PREFIX}/tile/0/000").status_code == 409
    assert api.as_(None).get(f"{PREFIX}/tile/0/001.p/44").status_code == 200
