"""Verifying the log against bare hashlib on the same bytes, on one core."""

import json
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from struct import calcsize
from uuid import uuid4

import psycopg2

from services.audit_verification import verify
from tests.databases import connection_to
from utils.blockchain_hasher import HEADER_FORMAT, LEAF_PREFIX, PAYLOAD_TAG, STREAM

APPEND = """
    SELECT audit_append(%(types)s, %(entities)s, %(ids)s, %(actors)s,
                        %(attempts)s::uuid[], %(payloads)s)
"""
# How many bytes each entry hashes to its leaf, and to the commitment to its payload.
SIZES = """
    SELECT %(leaf)s + coalesce(octet_length(attempt_id::text), 0)
               + coalesce(octet_length(actor_id), 0) + octet_length(event_type)
               + octet_length(entity_type) + octet_length(entity_id),
           %(commitment)s + octet_length(payload)
      FROM audit_log ORDER BY seq
"""
# The prefix, the header, the stream's name, and five lengths.
LEAF_BYTES = len(LEAF_PREFIX) + calcsize(HEADER_FORMAT) + 4 + len(STREAM) + 5 * 4
# The tag, the salt, and the length.
COMMITMENT_BYTES = len(PAYLOAD_TAG) + 32 + 8
# The prefix, and two hashes.
NODE_BYTES = 1 + 2 * 32
# So many entries are made before they are hashed, for memory to stay small.
CHUNK = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    verified_per_second: float
    hashed_per_second: float

    @property
    def ratio(self) -> float:
        return self.verified_per_second / self.hashed_per_second


def fill(dsn: str, entries: int) -> None:
    """Append so many entries like those of single events."""
    at_once = 1000
    with closing(psycopg2.connect(dsn)) as session, session, session.cursor() as cursor:
        for _ in range(entries // at_once):
            attempt = str(uuid4())
            cursor.execute(
                APPEND,
                {
                    "types": ["proctoring.events_recorded"] * at_once,
                    "entities": ["event_batch"] * at_once,
                    "ids": [str(uuid4()) for _ in range(at_once)],
                    "actors": [str(uuid4())] * at_once,
                    "attempts": [attempt] * at_once,
                    "payloads": [_payload(number) for number in range(at_once)],
                },
            )
            session.commit()


def _payload(number: int) -> str:
    event = {
        "client_event_id": str(uuid4()),
        "event_class": "integrity",
        "event_type": "focus.lost",
        "id": str(uuid4()),
        "occurred_at": "2026-11-24T09:00:00.000000Z",
        "payload": {"confidence": "0.9", "duration_ms": 1200},
        "sequence": number,
        "severity": "low",
    }
    return json.dumps({"events": [event]}, separators=(",", ":"))


def measure(dsn: str, processes: int = 1) -> Verified:
    """Verify all there is, and hash as many bytes as that took with nothing else."""
    with closing(psycopg2.connect(dsn)) as session, session.cursor() as cursor:
        cursor.execute(SIZES, {"leaf": LEAF_BYTES, "commitment": COMMITMENT_BYTES})
        sizes = cursor.fetchall()
    hashed = sum(
        _hash_seconds(sizes[start : start + CHUNK])
        for start in range(0, len(sizes), CHUNK)
    )
    began = time.perf_counter()
    verification = verify(connection_to(dsn), processes=processes)
    verified = time.perf_counter() - began
    if not verification.valid or verification.entries_checked != len(sizes):
        raise RuntimeError(f"the log does not verify: {verification}")
    return Verified(
        verified_per_second=len(sizes) / verified,
        hashed_per_second=len(sizes) / hashed,
    )


def _hash_seconds(sizes: Sequence[tuple[int, int]]) -> float:
    # Every one is an object of its own, as every row is that comes from a server.
    inputs = [(bytes(leaf), bytes(commitment)) for leaf, commitment in sizes]
    began = time.perf_counter()
    node = bytes(NODE_BYTES)
    for leaf, commitment in inputs:
        sha256(commitment).digest()
        sha256(leaf).digest()
        # A tree has as many nodes above its leaves as it has leaves, but for one.
        sha256(node).digest()
    return time.perf_counter() - began
