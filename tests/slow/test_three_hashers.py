"""SQL, Python and verify.py hash 100,000 extreme entries to the same bytes.

Three programs, written separately from docs/decisions/0003-audit-entry-layout.md and
docs/evidence-bundle.md; what one of them got wrong the others would not repeat.
"""

import random
from typing import Final

from psycopg2.extensions import connection
from psycopg2.extras import execute_values

from tests.extremes import recorded_at, some_entry, some_text
from utils.blockchain_hasher import (
    Entry,
    entry_bytes,
    leaf_hash,
    parse_entry,
    payload_commitment,
    state_commitment,
)
from verifier import verify as verifier

ENTRIES: Final = 100_000
AT_ONCE: Final = 1000
HASH_IN_SQL: Final = """
    SELECT audit_hash(log_id, seq, previous_hash, recorded_at, xid, flags::smallint,
                      schema_version, audit_payload_hash(salt, payload),
                      audit_state_hash(salt, state),
                      audit_subject(attempt_id, actor_id, event_type, entity_type,
                                    entity_id))
      FROM (VALUES %s) AS given (
           log_id, seq, previous_hash, recorded_at, xid, flags, schema_version,
           attempt_id, actor_id, event_type, entity_type, entity_id, salt, payload,
           state)
"""
TYPES: Final = (
    "(%s::bytea, %s::bigint, %s::bytea, %s::timestamptz, %s::bigint, %s, %s,"
    " %s::text, %s::text, %s, %s, %s, %s::bytea, %s::text, %s::text)"
)


def test_all_agree_on_a_hundred_thousand_entries(sql: connection) -> None:
    rng = random.Random(9162)
    for _ in range(ENTRIES // AT_ONCE):
        entries = []
        rows = []
        for _ in range(AT_ONCE):
            salt, payload = rng.randbytes(32), some_text(rng)
            state = some_text(rng) if rng.random() < 0.7 else None
            entry = some_entry(
                rng,
                payload_hash=payload_commitment(salt, payload.encode()),
                state_hash=state_commitment(
                    salt, None if state is None else state.encode()
                ),
            )
            entries.append((entry, salt, payload))
            rows.append(
                (
                    *(entry.log_id, entry.seq, entry.previous_hash),
                    *(recorded_at(entry), entry.xid, entry.flags),
                    *(entry.schema_version, entry.attempt_id, entry.actor_id),
                    *(entry.event_type, entry.entity_type, entry.entity_id),
                    *(salt, payload, state),
                )
            )
        with sql.cursor() as cursor:
            in_sql = execute_values(
                cursor, HASH_IN_SQL, rows, TYPES, page_size=AT_ONCE, fetch=True
            )

        assert len(in_sql) == AT_ONCE
        for (found,), (entry, salt, payload) in zip(in_sql, entries, strict=True):
            raw = entry_bytes(entry)
            assert bytes(found) == leaf_hash(raw), entry
            assert parse_entry(raw) == entry
            assert _by_the_bundle(entry, salt, payload) == bytes(found), entry


def _by_the_bundle(entry: Entry, salt: bytes, payload: str) -> bytes:
    """Hash it as verify.py does, which has read it from a line of a bundle."""
    read = verifier.read_entry(
        {
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
            "payload_hash": verifier.payload_commitment(salt, payload.encode()).hex(),
            "state_hash": entry.state_hash.hex(),
            "previous_hash": entry.previous_hash.hex(),
            "hash": "00" * 32,
        }
    )
    return verifier.entry_hash(read, entry.log_id)
