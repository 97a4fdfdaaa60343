"""Events that the server or a proctor reports, as part of another use case."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from uuid import UUID, uuid4, uuid5

from pydantic import JsonValue

from models import report_context
from models.audit_entry import PendingEntry
from models.proctoring import ProctoringEvent
from models.report_context import PolicyNow
from models.transaction import Transaction
from services import audit
from services.event_catalogue import EventType, resolve
from services.event_intake import parse_policy
from services.event_recording import record_each
from services.proctoring_policy import classify
from utils.uuid7 import uuid7


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """An event, and its audit entry, which has a number after the commit."""

    event: ProctoringEvent
    entry: PendingEntry


def record_server_event(
    tx: Transaction, attempt_id: UUID, code: str, payload: Mapping[str, JsonValue]
) -> ProctoringEvent:
    """Store an event that the server observed just now, with its own audit entry."""
    return record_observation(
        tx, attempt_id, resolve(code), payload, audit.SYSTEM
    ).event


def record_server_events(
    tx: Transaction,
    code: str,
    payloads: Mapping[UUID, Mapping[str, JsonValue]],
    occurred_at: Mapping[UUID, datetime] | None = None,
) -> None:
    """Store what happened to several attempts of one exam, if to any.

    Just now, unless `occurred_at` says when. In two statements for any number of them
    that do not bear on the risk, with an audit entry for each.
    """
    if not payloads:
        return
    found = report_context.get_policy(tx, next(iter(payloads)))
    event_type = resolve(code)
    times = occurred_at or {}
    events = [
        _event(each, event_type, payload, found, times.get(each))
        for each, payload in payloads.items()
    ]
    record_each(tx, events, audit.SYSTEM)


def record_once(
    tx: Transaction, attempt_id: UUID, code: str, payload: Mapping[str, JsonValue]
) -> None:
    """Store an event of which an attempt has one at most: its id follows from both."""
    found = report_context.get_policy(tx, attempt_id)
    event = replace(
        _event(attempt_id, resolve(code), payload, found),
        client_event_id=uuid5(attempt_id, code),
    )
    record_each(tx, [event], audit.SYSTEM)


def record_observation(
    tx: Transaction,
    attempt_id: UUID,
    event_type: EventType,
    payload: Mapping[str, JsonValue],
    actor: UUID | Literal[audit.Actor.SYSTEM],
) -> Observation:
    """Store an event that nobody's client reported; `actor` answers for it."""
    found = report_context.get_policy(tx, attempt_id)
    event = _event(attempt_id, event_type, payload, found)
    (entry,) = record_each(tx, [event], actor)
    return Observation(event=event, entry=entry)


def _event(
    attempt_id: UUID,
    event_type: EventType,
    payload: Mapping[str, JsonValue],
    found: PolicyNow,
    occurred_at: datetime | None = None,
) -> ProctoringEvent:
    classified = classify(event_type, payload, parse_policy(found.policy))
    return ProctoringEvent(
        id=uuid7(),
        attempt_id=attempt_id,
        batch_id=uuid7(),
        client_event_id=uuid4(),
        sequence=None,
        event_type=event_type.code,
        event_class=classified.event_class,
        severity=classified.severity,
        occurred_at=occurred_at or found.now,
        received_at=found.now,
        payload=dict(payload),
    )
