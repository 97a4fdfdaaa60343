"""The published vectors, read as somebody reads them who writes a second verifier."""

import json
from typing import Any, Final

import pytest
from psycopg2.extensions import connection

from script.write_vectors import DOCUMENT, text
from verifier import verify as verifier

VECTORS: Final[dict[str, Any]] = json.loads(DOCUMENT.read_text(encoding="utf-8"))
ENTRIES: Final[list[dict[str, Any]]] = VECTORS["entries"]
ROOTS: Final = [bytes.fromhex(each) for each in VECTORS["roots"]]
IN_SQL: Final = """
    SELECT audit_payload_hash(%(salt)s, %(payload)s),
           audit_state_hash(%(salt)s, %(state)s),
           audit_hash(%(log_id)s, %(seq)s, %(previous)s,
                      timestamptz 'epoch' + %(recorded_at_us)s * interval '1 us',
                      %(xid)s, %(flags)s::smallint, %(schema_version)s,
                      %(payload_hash)s, %(state_hash)s,
                      audit_subject(%(attempt_id)s, %(actor_id)s, %(event_type)s,
                                    %(entity_type)s, %(entity_id)s))
"""


def test_they_are_what_the_program_writes() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == text()


@pytest.mark.parametrize("entry", ENTRIES, ids=range(len(ENTRIES)))
def test_sql_hashes_an_entry_so(sql: connection, entry: dict[str, Any]) -> None:
    given = entry | {
        "log_id": bytes.fromhex(VECTORS["log"]["log_id"]),
        "salt": bytes.fromhex(entry["payload_salt"]),
        "previous": bytes.fromhex(entry["previous_hash"]),
        "payload_hash": bytes.fromhex(entry["payload_hash"]),
        "state_hash": bytes.fromhex(entry["state_hash"]),
    }
    with sql.cursor() as cursor:
        cursor.execute(IN_SQL, given)
        (found,) = cursor.fetchall()

    assert [bytes(each).hex() for each in found] == [
        entry["payload_hash"],
        entry["state_hash"],
        entry["hash"],
    ]


@pytest.mark.parametrize("entry", ENTRIES, ids=range(len(ENTRIES)))
def test_the_offline_verifier_hashes_an_entry_so(entry: dict[str, Any]) -> None:
    log_id = bytes.fromhex(VECTORS["log"]["log_id"])
    read = verifier.read_entry(
        {name: entry[name] for name in entry if name not in {"state", "entry_bytes"}}
    )

    assert verifier.entry_bytes(read, log_id).hex() == entry["entry_bytes"]
    assert verifier.entry_hash(read, log_id).hex() == entry["hash"]
    assert (
        verifier.payload_commitment(
            bytes.fromhex(entry["payload_salt"]), entry["payload"].encode()
        ).hex()
        == entry["payload_hash"]
    )


def test_the_entries_are_a_chain() -> None:
    hashes = [each["hash"] for each in ENTRIES]

    assert [each["previous_hash"] for each in ENTRIES] == ["00" * 32, *hashes[:-1]]


def test_the_offline_verifier_takes_every_proof() -> None:
    for proof in VECTORS["inclusion"]:
        index, size = proof["index"], proof["size"]
        path = [bytes.fromhex(each) for each in proof["path"]]
        leaf = bytes.fromhex(ENTRIES[index]["hash"])
        assert verifier.verify_inclusion(index, size, leaf, path, ROOTS[size - 1])
    for proof in VECTORS["consistency"]:
        old, new = proof["from"], proof["to"]
        hashes = [bytes.fromhex(each) for each in proof["proof"]]
        assert verifier.verify_consistency(
            old, new, ROOTS[old - 1], ROOTS[new - 1], hashes
        )


def test_the_offline_verifier_reads_the_checkpoint() -> None:
    note = verifier.parse_note(VECTORS["checkpoint"]["note"].encode())
    found = verifier.parse_checkpoint(note.text)

    assert (found.origin, found.size) == (VECTORS["log"]["origin"], len(ENTRIES))
    assert found.root == ROOTS[-1]
