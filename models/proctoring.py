"""The proctoring_events table: what was observed. Rows are added, never changed.

A report brings a batch of events; one audit entry holds all events of one batch, and
the batch's id is that entry's entity id.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from pydantic import JsonValue

from models.transaction import Transaction


# Not frozen, which would take three times as long, for a hundred of them at a time.
@dataclass(slots=True, kw_only=True)
class ProctoringEvent:
    """An event as it is stored.

    `sequence` is None for what the server or a proctor reported.
    """

    id: UUID
    attempt_id: UUID
    batch_id: UUID
    client_event_id: UUID
    sequence: int | None
    event_type: str
    event_class: str
    severity: str
    occurred_at: datetime
    received_at: datetime
    payload: dict[str, JsonValue]


@dataclass(slots=True, kw_only=True)
class StoredEvent(ProctoringEvent):
    """An event with its place in the audit log."""

    audit_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a client's counter has come: without a hole, and at all."""

    contiguous_sequence: int
    highest_sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What a report changes about its attempt besides the events."""

    progress: Progress
    # Whether it comes from the login that holds the attempt. Another one may deliver
    # what a dead device has left, and must not make it look alive.
    is_holder_heard: bool
    # Whether it comes from the login that was displaced, and shows it at work since.
    is_displaced_heard: bool
    # Whether the events bear on the risk.
    is_analysis_due: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The client ids that were known before, and the entry that holds the others.

    `audit_seq` is None if no event was new.
    """

    known_ids: frozenset[UUID]
    audit_seq: int | None


RECORD: LiteralString = """
    SELECT record_events(
        %(attempt_id)s, %(batch_id)s, %(received_at)s, %(logged)s,
        %(contiguous_sequence)s, %(highest_sequence)s, %(is_holder_heard)s,
        %(is_displaced_heard)s, %(is_analysis_due)s, %(actor_id)s)
"""

# Each is a batch of its own. What an attempt has already is left as it is.
INSERT_EACH: LiteralString = """
    INSERT INTO proctoring_events (
        id, attempt_id, batch_id, client_event_id, sequence, event_type, event_class,
        severity, occurred_at, received_at, payload)
    SELECT event.id, batch.attempt_id, batch.id, client_event_id, sequence, event_type,
           event_class, severity, occurred_at, received_at, payload
      FROM unnest(%(attempt_ids)s::uuid[], %(batch_ids)s::uuid[], %(logged)s::text[])
           AS batch(attempt_id, id, logged)
     CROSS JOIN LATERAL jsonb_to_recordset(batch.logged::jsonb -> 'events') AS event (
           id uuid, client_event_id uuid, sequence bigint, event_type text,
           event_class text, severity text, occurred_at timestamptz,
           received_at timestamptz, payload jsonb)
        ON CONFLICT ON CONSTRAINT proctoring_events_client_event_id_key DO NOTHING
    RETURNING id
"""

MARK_DUE: LiteralString = """
    UPDATE attempt_activity
       SET analysis_due_since = least(analysis_due_since, %(since)s)
     WHERE attempt_id = %(attempt_id)s
"""

COLUMNS: LiteralString = """
    event.id, event.attempt_id, event.batch_id, event.client_event_id, event.sequence,
    event.event_type, event.event_class, event.severity, event.occurred_at,
    event.received_at, event.payload
"""

# One entry an event: the batch's. Everything that inserts events appends it.
AUDITED: LiteralString = """
      FROM proctoring_events AS event
      JOIN audit_log ON audit_log.entity_type = 'event_batch'
                    AND audit_log.entity_id = event.batch_id::text
"""

LIST_STORED: LiteralString = (
    "SELECT"
    + COLUMNS
    + ", audit_log.seq AS audit_seq"
    + AUDITED
    + """
     WHERE event.attempt_id = %(attempt_id)s
       AND event.client_event_id = ANY (%(client_event_ids)s)
"""
)

LIST_PAGE: LiteralString = (
    "SELECT"
    + COLUMNS
    + ", audit_log.seq AS audit_seq"
    + AUDITED
    + """
     WHERE event.attempt_id = %(attempt_id)s
       AND (%(event_type)s::text IS NULL OR event.event_type = %(event_type)s)
       AND (%(event_class)s::text IS NULL OR event.event_class = %(event_class)s)
       AND (%(severity)s::text IS NULL OR event.severity = %(severity)s)
       AND (%(since)s::timestamptz IS NULL OR event.occurred_at >= %(since)s)
       AND (%(until)s::timestamptz IS NULL OR event.occurred_at < %(until)s)
       AND (%(after_time)s::timestamptz IS NULL
            OR (event.occurred_at, event.id)
               > (%(after_time)s::timestamptz, %(after_id)s::uuid))
     ORDER BY event.occurred_at, event.id
     LIMIT %(limit)s
"""
)

LIST_SEQUENCES: LiteralString = """
    SELECT DISTINCT sequence FROM proctoring_events
     WHERE attempt_id = %(attempt_id)s AND sequence > %(above)s
     ORDER BY sequence
     LIMIT %(limit)s
"""

# Bounded in every direction: a client may call its second event 2^53 - 1.
LIST_HOLES: LiteralString = """
    SELECT hole AS sequence
      FROM (SELECT sequence, lag(sequence, 1, %(above)s) OVER (ORDER BY sequence)
                       AS previous
              FROM (SELECT sequence FROM proctoring_events
                     WHERE attempt_id = %(attempt_id)s AND sequence > %(above)s
                     ORDER BY sequence
                     LIMIT %(looked_at)s) AS came) AS arrived
     CROSS JOIN LATERAL generate_series(
           previous + 1, least(sequence - 1, previous + %(limit)s)) AS hole
     ORDER BY hole
     LIMIT %(limit)s
"""

LIST_KNOWN: LiteralString = """
    SELECT client_event_id FROM proctoring_events
     WHERE attempt_id = %(attempt_id)s
       AND client_event_id = ANY (%(client_event_ids)s)
"""

# Server's events alone have `incident`: a client's payload is of its own event types.
LIST_COMPENSATED: LiteralString = """
    SELECT DISTINCT attempt_id FROM proctoring_events
     WHERE attempt_id = ANY (%(attempt_ids)s) AND event_type = 'session.extended'
       AND payload ->> 'incident' = %(incident)s
"""

COUNT: LiteralString = """
    SELECT event_class, severity, count(*) AS count
      FROM proctoring_events
     WHERE attempt_id = %(attempt_id)s
     GROUP BY event_class, severity
     ORDER BY event_class, severity
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventCount:
    event_class: str
    severity: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """What to list. None leaves out the condition; `until` is exclusive."""

    event_type: str | None = None
    event_class: str | None = None
    severity: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class _ClientEventId:
    client_event_id: UUID


@dataclass(frozen=True, slots=True)
class _Id:
    id: UUID


@dataclass(frozen=True, slots=True)
class _AttemptId:
    attempt_id: UUID


@dataclass(frozen=True, slots=True)
class _Sequence:
    sequence: int


def record(
    tx: Transaction,
    first: ProctoringEvent,
    logged: str,
    activity: Activity,
    actor_id: UUID,
) -> Recorded:
    """Store what is new of one report of a client, append its entry, and commit.

    `logged` is what the audit log says of the events, `first` one of them: all are of
    one attempt, one batch and one moment of arrival, with different client ids.
    """
    names = {
        "attempt_id": first.attempt_id,
        "batch_id": first.batch_id,
        "received_at": first.received_at,
        "logged": logged,
        "contiguous_sequence": activity.progress.contiguous_sequence,
        "highest_sequence": activity.progress.highest_sequence,
        "is_holder_heard": activity.is_holder_heard,
        "is_displaced_heard": activity.is_displaced_heard,
        "is_analysis_due": activity.is_analysis_due,
        "actor_id": str(actor_id),
    }
    finished = tx.finish_with(RECORD, names)
    known_ids = filter(None, (finished.returned or "").split(","))
    return Recorded(
        known_ids=frozenset(map(UUID, known_ids)), audit_seq=finished.first_seq
    )


def insert_each(
    tx: Transaction, events: Sequence[ProctoringEvent], logged: Sequence[str]
) -> frozenset[UUID]:
    """Insert events of the server, and return the ids of those that were new.

    Each is a batch of its own, of any attempt. `logged` is what the audit log says of
    each.
    """
    names = {
        "attempt_ids": [event.attempt_id for event in events],
        "batch_ids": [event.batch_id for event in events],
        "logged": list(logged),
    }
    return frozenset(row.id for row in tx.all(_Id, INSERT_EACH, names))


def mark_due(tx: Transaction, attempt_id: UUID, since: datetime) -> None:
    """Note that something has come which bears on the risk."""
    tx.execute(MARK_DUE, {"attempt_id": attempt_id, "since": since})


def list_stored(
    tx: Transaction, attempt_id: UUID, client_event_ids: Sequence[UUID]
) -> list[StoredEvent]:
    """Read the events that have these client ids, in no particular order."""
    names = {"attempt_id": attempt_id, "client_event_ids": list(client_event_ids)}
    return tx.all(StoredEvent, LIST_STORED, names)


def list_known(
    tx: Transaction, attempt_id: UUID, client_event_ids: Sequence[UUID]
) -> frozenset[UUID]:
    """Return those of the client ids that the attempt has an event of."""
    names = {"attempt_id": attempt_id, "client_event_ids": list(client_event_ids)}
    return frozenset(
        row.client_event_id for row in tx.all(_ClientEventId, LIST_KNOWN, names)
    )


def list_compensated(
    tx: Transaction, attempt_ids: Sequence[UUID], incident: str
) -> frozenset[UUID]:
    """Return those of the attempts that were extended because of this incident."""
    names = {"attempt_ids": list(attempt_ids), "incident": incident}
    rows = tx.all(_AttemptId, LIST_COMPENSATED, names)
    return frozenset(row.attempt_id for row in rows)


def list_page(
    tx: Transaction,
    attempt_id: UUID,
    wanted: EventFilter,
    *,
    limit: int,
    after: tuple[datetime, UUID] | None = None,
) -> list[StoredEvent]:
    """Read an attempt's events in the order in which they occurred."""
    names = {
        "attempt_id": attempt_id,
        "event_type": wanted.event_type,
        "event_class": wanted.event_class,
        "severity": wanted.severity,
        "since": wanted.since,
        "until": wanted.until,
        "after_time": after[0] if after else None,
        "after_id": after[1] if after else None,
        "limit": limit,
    }
    return tx.all(StoredEvent, LIST_PAGE, names)


def count(tx: Transaction, attempt_id: UUID) -> list[EventCount]:
    """Count an attempt's events by class and severity."""
    return tx.all(EventCount, COUNT, {"attempt_id": attempt_id})


def list_sequences(
    tx: Transaction, attempt_id: UUID, *, above: int, limit: int
) -> list[int]:
    """Read the client's counters that have arrived, in ascending order."""
    names = {"attempt_id": attempt_id, "above": above, "limit": limit}
    return [row.sequence for row in tx.all(_Sequence, LIST_SEQUENCES, names)]


def list_holes(
    tx: Transaction, attempt_id: UUID, *, above: int, looked_at: int, limit: int
) -> list[int]:
    """List the numbers between `above` and the highest that are not stored.

    Of the first `looked_at` that came, at most `limit` holes in ascending order.
    """
    names = {"attempt_id": attempt_id, "above": above, "limit": limit}
    rows = tx.all(_Sequence, LIST_HOLES, names | {"looked_at": looked_at})
    return [row.sequence for row in rows]
