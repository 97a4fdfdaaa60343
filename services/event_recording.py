"""Storing a batch of events together with the audit entry that holds them."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from pydantic import JsonValue

from models import proctoring
from models.audit_entry import PendingEntry
from models.audit_event import AuditEvent
from models.principal import Principal
from models.proctoring import Activity, ProctoringEvent, Progress, Recorded
from models.transaction import Transaction
from services import audit
from services.event_catalogue import EventClass
from services.risk.context import EXPLAINING
from utils.blockchain_hasher import CanonicalJson, canonical_json_of_plain
from utils.instants import rfc3339

# Names the entries of batches; models/proctoring.py joins on it, and the function
# record_events writes it.
ENTITY_TYPE = "event_batch"


def record_report(
    tx: Transaction,
    events: Sequence[ProctoringEvent],
    *,
    progress: Progress,
    is_holder_heard: bool,
    is_displaced_heard: bool,
    has_ended: bool,
    reporter: Principal,
) -> Recorded:
    """Store what is new of a client's report, with one audit entry, and commit."""
    activity = Activity(
        progress=progress,
        is_holder_heard=is_holder_heard,
        is_displaced_heard=is_displaced_heard,
        # The analysis at the end sees what came before it. Of what comes later, a
        # heartbeat too shows that somebody was watched.
        is_analysis_due=has_ended or _bear_on_risk(events),
    )
    logged = _logged(events, reporter.session_id)
    return proctoring.record(tx, events[0], logged, activity, reporter.id)


def record_each(
    tx: Transaction,
    events: Sequence[ProctoringEvent],
    actor: UUID | Literal[audit.Actor.SYSTEM],
) -> list[PendingEntry]:
    """Insert events of the server, and queue an entry for each that is new.

    Each is a batch of its own, so the trail of every attempt has its own entry.
    """
    logged = [_logged([event]) for event in events]
    new_ids = proctoring.insert_each(tx, events, logged)
    entries = []
    for event, text in zip(events, logged, strict=True):
        if event.id in new_ids:
            if _bear_on_risk([event]):
                proctoring.mark_due(tx, event.attempt_id, event.received_at)
            entries.append(_append(tx, event, text, actor))
    return entries


def _bear_on_risk(events: Sequence[ProctoringEvent]) -> bool:
    # An excuse that comes late must count as much as what it excuses.
    return any(
        event.event_class == EventClass.INTEGRITY or event.event_type in EXPLAINING
        for event in events
    )


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


def _logged(
    events: Sequence[ProctoringEvent], session_id: UUID | None = None
) -> CanonicalJson:
    """Return the events as the log keeps them, and as the table is filled from it.

    With the login whose client reported them, if one did.
    """
    received_at = rfc3339(events[0].received_at)
    logged: dict[str, object] = {
        "events": [logged_event(event, received_at) for event in events]
    }
    if session_id is not None:
        logged["session_id"] = session_id
    return canonical_json_of_plain(logged)


def logged_event(
    event: ProctoringEvent, received_at: str
) -> dict[str, JsonValue | UUID]:
    """Return an event as the log keeps it. `received_at` is its own, as `rfc3339`."""
    return {
        "id": event.id,
        "client_event_id": event.client_event_id,
        "sequence": event.sequence,
        "event_type": event.event_type,
        "event_class": event.event_class,
        "severity": event.severity,
        "occurred_at": rfc3339(event.occurred_at),
        "received_at": received_at,
        "payload": event.payload,
    }
