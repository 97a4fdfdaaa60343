"""What script/vectors runs: vectors for whoever writes a second verifier.

Everything is made from a seed, so the file only changes when the format does, which it
must not. tests/test_vectors.py has SQL and verify.py compute the same.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from utils.blockchain_hasher import (
    NO_HASH,
    Entry,
    canonical_json,
    entry_bytes,
    leaf_hash,
    log_identity,
    payload_commitment,
    state_commitment,
)
from utils.checkpoint import Checkpoint
from utils.merkle import Frontier, consistency_proof, inclusion_proof, node_hash
from utils.signed_note import COSIGNATURE, ED25519, Note, Signer
from utils.tlog_proof import TlogProof

DOCUMENT: Final = Path(__file__).resolve().parent.parent / "docs" / "vectors.json"
ORIGIN: Final = "exams.example.edu/log"
ENTRIES: Final = 11
# 2026-11-26T08:00:00Z.
BEGAN_US: Final = 1_795_680_000_000_000
# What is told apart: nothing and empty, forms of one letter, text beyond 16 bits.
NAMES: Final = (None, "", "a", "\u00e9", "e\u0301", "\U0001f9d1\u200d\U0001f393", "x,y")
STATES: Final = (
    None,
    "",
    "users 0198f0aa-0000-7000-8000-000000000001 " + "ab" * 32 + "\n",
)


def main() -> None:
    DOCUMENT.write_text(text(), encoding="utf-8")


def text() -> str:
    return json.dumps(_vectors(), indent=1, ensure_ascii=True) + "\n"


def _vectors() -> dict[str, object]:
    manifest = canonical_json({"format": "example", "origin": ORIGIN})
    log_id = log_identity(manifest.encode())
    entries = list(_entries(log_id, manifest))
    leaves = [leaf_hash(entry_bytes(entry)) for entry, _, _, _ in entries]
    nodes = _nodes(leaves)

    def read(level: int, index: int) -> bytes:
        return nodes[level, index]

    roots = []
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
        roots.append(frontier.root())
    log = Signer(ORIGIN, ED25519, bytes(range(32)))
    witness = Signer("board.example.edu/witness", COSIGNATURE, bytes(range(32, 64)))
    stated = Checkpoint(ORIGIN, ENTRIES, roots[-1]).render()
    note = Note(
        stated, (log.sign(stated), witness.cosign(stated, BEGAN_US // 10**6 + 60))
    ).render()
    return {
        "log": {"manifest": manifest, "log_id": log_id.hex(), "origin": ORIGIN},
        "entries": [_shown(*each) for each in entries],
        "roots": [root.hex() for root in roots],
        "inclusion": [
            {
                "index": index,
                "size": size,
                "path": [each.hex() for each in inclusion_proof(index, size, read)],
            }
            for size in range(1, ENTRIES + 1)
            for index in range(size)
        ],
        "consistency": [
            {
                "from": old,
                "to": new,
                "proof": [each.hex() for each in consistency_proof(old, new, read)],
            }
            for new in range(1, ENTRIES + 1)
            for old in range(1, new + 1)
        ],
        "checkpoint": {
            "log_key": str(log.verifier),
            "witness_key": str(witness.verifier),
            "note": note,
        },
        "proof_of_entry_7": TlogProof(
            7, tuple(inclusion_proof(7, ENTRIES, read)), note
        ).render(),
    }


def _entries(
    log_id: bytes, manifest: str
) -> Iterator[tuple[Entry, bytes, str, str | None]]:
    """Make entries with what they commit to: salt, payload and state."""
    rng = random.Random(1)  # noqa: S311
    previous = NO_HASH
    for seq in range(ENTRIES):
        salt, state = rng.randbytes(32), STATES[seq % len(STATES)]
        payload = manifest if seq == 0 else canonical_json({"n": seq, "s": "ÿ\n\u2028"})
        entry = Entry(
            log_id=log_id,
            seq=seq,
            previous_hash=previous,
            recorded_at_us=BEGAN_US + seq * 1_000_001,
            xid=700 + seq,
            flags=0,
            schema_version=1,
            payload_hash=payload_commitment(salt, payload.encode()),
            state_hash=state_commitment(
                salt, None if state is None else state.encode()
            ),
            attempt_id="0198f0aa-0000-7000-8000-00000000000a" if seq % 2 else None,
            actor_id=NAMES[seq % len(NAMES)],
            event_type="log.genesis" if seq == 0 else "user.created",
            entity_type="log" if seq == 0 else "user",
            entity_id="all" if seq == 0 else NAMES[seq % len(NAMES)] or "none",
        )
        yield entry, salt, payload, state
        previous = leaf_hash(entry_bytes(entry))


def _shown(
    entry: Entry, salt: bytes, payload: str, state: str | None
) -> dict[str, object]:
    made = entry_bytes(entry)
    return {
        "seq": entry.seq,
        "recorded_at_us": entry.recorded_at_us,
        "xid": entry.xid,
        "flags": entry.flags,
        "schema_version": entry.schema_version,
        "attempt_id": entry.attempt_id,
        "actor_id": entry.actor_id,
        "event_type": entry.event_type,
        "entity_type": entry.entity_type,
        "entity_id": entry.entity_id,
        "payload": payload,
        "payload_salt": salt.hex(),
        "state": state,
        "payload_hash": entry.payload_hash.hex(),
        "state_hash": entry.state_hash.hex(),
        "previous_hash": entry.previous_hash.hex(),
        "entry_bytes": made.hex(),
        "hash": leaf_hash(made).hex(),
    }


def _nodes(leaves: list[bytes]) -> dict[tuple[int, int], bytes]:
    nodes = {(0, index): leaf for index, leaf in enumerate(leaves)}
    level, width = 0, len(leaves)
    while width > 1:
        width //= 2
        for index in range(width):
            nodes[level + 1, index] = node_hash(
                nodes[level, 2 * index], nodes[level, 2 * index + 1]
            )
        level += 1
    return nodes


if __name__ == "__main__":
    main()
