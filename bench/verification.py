"""Verifying the log against bare hashlib on the same bytes, on one core."""

import hashlib
import json
import time
from contextlib import closing
from dataclasses import dataclass
from uuid import uuid4

import psycopg2

from bench.stage import settings_of
from services.audit_verification import verify

APPEND = """
    SELECT audit_append(%(types)s, %(entities)s, %(ids)s, %(actors)s,
                        %(attempts)s::uuid[], %(payloads)s)
"""
SIZES = """
    SELECT octet_length(payload) FROM audit_log ORDER BY seq
"""
# What is hashed around the payload: an entry with these ids, and the commitment's head.
ENTRY_BYTES = 290
COMMITMENT_BYTES = 56


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    entries: int
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


def measure(dsn: str) -> Verified:
    """Verify all there is, and hash as many bytes as that took with nothing else."""
    with closing(psycopg2.connect(dsn)) as session, session.cursor() as cursor:
        cursor.execute(SIZES)
        sizes = [row[0] for row in cursor]
    # Made beforehand: only the hashing is timed.
    entries = [b"e" * ENTRY_BYTES] * len(sizes)
    commitments = [b"p" * (COMMITMENT_BYTES + size) for size in sizes]
    began = time.perf_counter()
    for entry, commitment in zip(entries, commitments, strict=True):
        hashlib.sha256(commitment).digest()
        hashlib.sha256(entry).digest()
    hashed = time.perf_counter() - began

    began = time.perf_counter()
    verification = verify(settings_of(dsn))
    verified = time.perf_counter() - began
    if not verification.valid or verification.entries_checked != len(sizes):
        raise RuntimeError(f"the log does not verify: {verification}")
    return Verified(
        entries=len(sizes),
        verified_per_second=len(sizes) / verified,
        hashed_per_second=len(sizes) / hashed,
    )
