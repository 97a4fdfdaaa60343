"""Storing a batch of events together with the audit entry that holds them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from pydantic import JsonValue

from models import proctoring
from models.audit_entry import PendingEntry
from models.audit_event import AuditEvent
from models.database import Transaction
from models.proctoring import Activity, ProctoringEvent, Progress
from services import audit
from services.event_catalogue import EventClass
from services.risk.context import EXPLAINING
from utils.blockchain_hasher import CanonicalJson, canonical_json_of_plain

# Names the entries of batches; models/proctoring.py joins on it.
ENTITY_TYPE = "event_batch"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedBatch:
    """The client ids of the events that were stored before, and the others' entry.

    `entry` is None if no event was new.
    """

    known_ids: frozenset[UUID]
    entry: PendingEntry | None


def record_batch(
    tx: Transaction,
    events: Sequence[ProctoringEvent],
    *,
    progress: Progress | None,
    is_holder_heard: bool = False,
    is_displaced_heard: bool = False,
    actor: UUID | Literal[audit.Actor.SYSTEM],
) -> RecordedBatch:
    """Insert events of one batch and queue one audit entry for those that are new.

    `progress` is None for what the client did not report.
    """
    activity = Activity(
        progress=progress,
        is_holder_heard=is_holder_heard,
        is_displaced_heard=is_displaced_heard,
        # An excuse that comes late must count as much as what it excuses.
        is_analysis_due=any(
            event.event_class == EventClass.INTEGRITY or event.event_type in EXPLAINING
            for event in events
        ),
    )
    logged = _logged(events)
    known_ids = proctoring.insert_batch(tx, events[0], logged, activity)
    if known_ids:
        new = [event for event in events if event.client_event_id not in known_ids]
        if not new:
            return RecordedBatch(known_ids=known_ids, entry=None)
        logged = _logged(new)
    entry = _append(tx, events[0], logged, actor)
    return RecordedBatch(known_ids=known_ids, entry=entry)


def record_each(
    tx: Transaction,
    events: Sequence[ProctoringEvent],
    actor: UUID | Literal[audit.Actor.SYSTEM],
) -> None:
    """Insert new events of the server, in one statement, with an entry for each.

    Each is a batch of its own, so the trail of every attempt has its own entry.
    """
    logged = [_logged([event]) for event in events]
    proctoring.insert_each(tx, events, logged)
    for event, text in zip(events, logged, strict=True):
        _append(tx, event, text, actor)


def _append(
    tx: Transaction,
    first: ProctoringEvent,
    logged: CanonicalJson,
    actor: UUID | Literal[audit.Actor.SYSTEM],
) -> PendingEntry:
    return audit.append(
        tx,
        AuditEvent.PROCTORING_EVENTS_RECORDED,
        ENTITY_TYPE,
        first.batch_id,
        actor=actor,
        attempt_id=first.attempt_id,
        payload=logged,
    )


def _logged(events: Sequence[ProctoringEvent]) -> CanonicalJson:
    """Return the events as the log keeps them, and as the table is filled from it."""
    received_at = instant(events[0].received_at)
    return canonical_json_of_plain(
        {"events": [logged_event(event, received_at) for event in events]}
    )


def logged_event(event: ProctoringEvent, received_at: str) -> dict[str, JsonValue]:
    """Return an event as the log keeps it. `received_at` is its own, as `instant`."""
    return {
        "id": str(event.id),
        "client_event_id": str(event.client_event_id),
        "sequence": event.sequence,
        "event_type": event.event_type,
        "event_class": event.event_class,
        "severity": event.severity,
        "occurred_at": instant(event.occurred_at),
        "received_at": received_at,
        "payload": event.payload,
    }


def instant(moment: datetime) -> str:
    """Write a time as the log has it."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"
