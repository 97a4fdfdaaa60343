"""The audit_log table. Its rows are appended by `audit_append` and never changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from models.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """An entry as it stands in the log. Hashes have 32 bytes.

    `payload` is the text that was hashed; None after a redaction.
    """

    seq: int
    recorded_at: datetime
    event_type: str
    entity_type: str
    entity_id: str
    actor_id: str | None
    attempt_id: UUID | None
    payload: str | None
    payload_hash: bytes
    previous_hash: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class EntryHash:
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where the log ends. `log_id` has 16 bytes, `hash` is the last entry's."""

    log_id: bytes
    origin: str
    next_seq: int
    hash: bytes
    recorded_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EventCount:
    event_type: str
    entries: int


INITIALIZE: LiteralString = "SELECT audit_initialize(%(origin)s)"

GET: LiteralString = """
    SELECT seq, recorded_at, event_type, entity_type, entity_id, actor_id, attempt_id,
           payload, payload_hash, previous_hash, hash
      FROM audit_log WHERE seq = %(seq)s
"""

LIST_HASHES: LiteralString = "SELECT hash FROM audit_log WHERE seq = %(seq)s"

GET_HEAD: LiteralString = """
    SELECT log_id, origin, next_seq, hash, recorded_at
      FROM public.audit_head ORDER BY next_seq DESC LIMIT 1
"""

# There is one; of more the second tells as much as all. NULL comes first.
LIST_HEADS: LiteralString = """
    SELECT log_id, origin, next_seq, hash, recorded_at
      FROM public.audit_head ORDER BY next_seq DESC LIMIT 2
"""

COUNT_BY_EVENT_TYPE: LiteralString = """
    SELECT event_type, count(*) AS entries
      FROM audit_log GROUP BY event_type ORDER BY event_type
"""

LIST_ALL: LiteralString = """
    SELECT seq, recorded_at, event_type, entity_type, entity_id, actor_id, attempt_id,
           payload, payload_hash, previous_hash, hash
      FROM audit_log
     WHERE seq > %(after)s
     ORDER BY seq LIMIT %(limit)s
"""

LIST_BY_ENTITY: LiteralString = """
    SELECT seq, recorded_at, event_type, entity_type, entity_id, actor_id, attempt_id,
           payload, payload_hash, previous_hash, hash
      FROM audit_log
     WHERE entity_type = %(entity_type)s AND entity_id = %(entity_id)s
       AND seq > %(after)s
     ORDER BY seq LIMIT %(limit)s
"""

LIST_BY_ATTEMPT: LiteralString = """
    SELECT seq, recorded_at, event_type, entity_type, entity_id, actor_id, attempt_id,
           payload, payload_hash, previous_hash, hash
      FROM audit_log
     WHERE attempt_id = %(attempt_id)s AND seq > %(after)s
     ORDER BY seq LIMIT %(limit)s
"""

LIST_BY_EVENT_TYPE: LiteralString = """
    SELECT seq, recorded_at, event_type, entity_type, entity_id, actor_id, attempt_id,
           payload, payload_hash, previous_hash, hash
      FROM audit_log
     WHERE event_type = %(event_type)s AND seq > %(after)s
     ORDER BY seq LIMIT %(limit)s
"""

# What concerns the exams of one proctor: their attempts, and the exams themselves.
# Found from there: in the log of the whole school few entries are about them.
LIST_BY_EVENT_TYPE_FOR_PROCTOR: LiteralString = """
    SELECT seq, recorded_at, event_type, entity_type, entity_id, actor_id, attempt_id,
           payload, payload_hash, previous_hash, hash
      FROM audit_log
     WHERE seq IN (
           SELECT of_one.seq
             FROM exam_proctors
             JOIN attempts USING (exam_id)
            CROSS JOIN LATERAL (
                  SELECT seq FROM audit_log
                   WHERE audit_log.attempt_id = attempts.id
                     AND event_type = %(event_type)s AND seq > %(after)s
                   ORDER BY seq LIMIT %(limit)s) AS of_one
            WHERE exam_proctors.proctor_id = %(proctor_id)s
            UNION
           SELECT of_one.seq
             FROM exam_proctors
            CROSS JOIN LATERAL (
                  SELECT seq FROM audit_log
                   WHERE entity_type = 'exam'
                     AND entity_id = exam_proctors.exam_id::text
                     AND event_type = %(event_type)s AND seq > %(after)s
                   ORDER BY seq LIMIT %(limit)s) AS of_one
            WHERE exam_proctors.proctor_id = %(proctor_id)s
            ORDER BY seq LIMIT %(limit)s)
     ORDER BY seq
"""


def initialize(tx: Transaction, origin: str) -> bool:
    """Begin the log, and return False if it has begun already."""
    return bool(tx.scalar(INITIALIZE, {"origin": origin}))


def list_by_seq(tx: Transaction, seq: int) -> Sequence[AuditEntry]:
    """Return what stands at a number: two only where the rules were taken off."""
    return tx.all(AuditEntry, GET, {"seq": seq})


def get_genesis(tx: Transaction) -> AuditEntry | None:
    """Return the first entry; that it stands there twice is for a verifier to say."""
    return next(iter(list_by_seq(tx, 0)), None)


def list_hashes(tx: Transaction, seq: int) -> Sequence[bytes]:
    """Return the hash of what stands at a number, as `list_by_seq` does."""
    return [entry.hash for entry in tx.all(EntryHash, LIST_HASHES, {"seq": seq})]


def get_head(tx: Transaction) -> Head | None:
    return tx.one_or_none(Head, GET_HEAD)


def count_by_event_type(tx: Transaction) -> Sequence[EventCount]:
    return tx.all(EventCount, COUNT_BY_EVENT_TYPE)


def list_all(tx: Transaction, *, after: int, limit: int) -> Sequence[AuditEntry]:
    return tx.all(AuditEntry, LIST_ALL, {"after": after, "limit": limit})


def list_by_entity(
    tx: Transaction, entity_type: str, entity_id: str, *, after: int, limit: int
) -> Sequence[AuditEntry]:
    return tx.all(
        AuditEntry,
        LIST_BY_ENTITY,
        {
            "entity_type": entity_type,
            "entity_id": entity_id,
            "after": after,
            "limit": limit,
        },
    )


def list_by_attempt(
    tx: Transaction, attempt_id: UUID, *, after: int, limit: int
) -> Sequence[AuditEntry]:
    return tx.all(
        AuditEntry,
        LIST_BY_ATTEMPT,
        {"attempt_id": attempt_id, "after": after, "limit": limit},
    )


def list_by_event_type(
    tx: Transaction, event_type: str, *, after: int, limit: int
) -> Sequence[AuditEntry]:
    return tx.all(
        AuditEntry,
        LIST_BY_EVENT_TYPE,
        {"event_type": event_type, "after": after, "limit": limit},
    )


def list_by_event_type_for_proctor(
    tx: Transaction, event_type: str, proctor_id: UUID, *, after: int, limit: int
) -> Sequence[AuditEntry]:
    return tx.all(
        AuditEntry,
        LIST_BY_EVENT_TYPE_FOR_PROCTOR,
        {
            "event_type": event_type,
            "proctor_id": proctor_id,
            "after": after,
            "limit": limit,
        },
    )
