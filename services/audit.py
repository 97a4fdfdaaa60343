"""Appending to the audit log: the last thing that a use case does."""

from enum import Enum, auto
from typing import Final, Literal
from uuid import UUID

from models.audit_entry import NewEntry, PendingEntry
from models.audit_event import AuditEvent
from models.transaction import Transaction
from utils.blockchain_hasher import CanonicalJson, canonical_json

SYSTEM_ACTOR_ID: Final = "system"


class Actor(Enum):
    """Who acts when no user does."""

    SYSTEM = auto()


SYSTEM: Final = Actor.SYSTEM


def append(
    tx: Transaction,
    event_type: AuditEvent,
    entity_type: str,
    entity_id: UUID | str,
    *,
    actor: UUID | Literal[Actor.SYSTEM] | None,
    attempt_id: UUID | None = None,
    payload: object,
) -> PendingEntry:
    """Queue an entry, which the commit of `tx` appends and numbers.

    `actor` is None when the caller did not say who he is. `payload` is what
    `canonical_json` takes (a mapping, a model or a dataclass) or has made already, at
    most 1 MiB as text.
    Raises ValueError for one that has no such text: what clients write is checked
    where it comes in.
    """
    return tx.queue_entry(
        NewEntry(
            event_type=event_type,
            entity_type=entity_type,
            entity_id=str(entity_id),
            actor_id=_actor_id(actor),
            attempt_id=attempt_id,
            payload=payload
            if isinstance(payload, CanonicalJson)
            else canonical_json(payload),
        )
    )


def append_of_attempt(
    tx: Transaction,
    event_type: AuditEvent,
    attempt_id: UUID,
    *,
    actor: UUID | Literal[Actor.SYSTEM],
    payload: object,
) -> PendingEntry:
    """Do the same with an entry whose entity is the attempt that it belongs to."""
    return append(
        tx,
        event_type,
        "attempt",
        attempt_id,
        actor=actor,
        attempt_id=attempt_id,
        payload=payload,
    )


def _actor_id(actor: UUID | Literal[Actor.SYSTEM] | None) -> str | None:
    if actor is None:
        return None
    return SYSTEM_ACTOR_ID if actor is SYSTEM else str(actor)
