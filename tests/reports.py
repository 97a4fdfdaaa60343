"""What an exam client reports, for tests."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from psycopg2.extensions import connection
from werkzeug.test import TestResponse

from models.database import Database
from models.principal import Principal
from models.proctoring_report import NewEvents
from services.proctoring_service import BatchReceipt, ProctoringService
from tests.exams import Json, body
from tests.personas import Speaker


def moment(**ago: float) -> str:
    """Return the time now, or some time ago, as a client writes it."""
    return (datetime.now(UTC) - timedelta(**ago)).isoformat()


def observed(sequence: int, event_type: str = "focus.lost", **changes: object) -> Json:
    """Make an event that a client may send."""
    event: Json = {
        "client_event_id": str(uuid4()),
        "sequence": sequence,
        "event_type": event_type,
        "occurred_at": moment(),
        "payload": {"duration_ms": 1500},
    }
    return event | changes


def send(student: Speaker, attempt: Json, event: Json) -> TestResponse:
    return student.post(
        "/api/proctoring/event", json=event | {"attempt_id": attempt["id"]}
    )


def send_many(student: Speaker, attempt: Json, *events: object) -> TestResponse:
    return student.post(
        "/api/proctoring/events",
        json={"attempt_id": attempt["id"], "events": list(events)},
    )


def record(student: Speaker, attempt: Json, *events: Json) -> Json:
    """Send events that are all accepted, and return the reply."""
    reply = body(send_many(student, attempt, *events))
    refused = [each for each in reply["results"] if each["status"] != "accepted"]
    assert not refused, refused[0]
    return reply


def deliver(
    database: Database, device: Principal, attempt_id: UUID, *events: Json
) -> BatchReceipt:
    """Report events from one of a student's logins, without HTTP."""
    document = {"attempt_id": str(attempt_id), "events": list(events)}
    new = NewEvents.model_validate(document)
    return ProctoringService(database).record_events(device, new)


def stored_types(sql: connection, attempt: Json) -> list[str]:
    """List the types of what clients reported of an attempt, by sequence."""
    with sql.cursor() as cursor:
        cursor.execute(
            """
            SELECT event_type FROM proctoring_events
             WHERE attempt_id = %s AND sequence IS NOT NULL ORDER BY sequence
            """,
            [attempt["id"]],
        )
        return [str(row[0]) for row in cursor.fetchall()]


def batches(sql: connection, attempt: Json) -> list[Json]:
    """Return the payloads of the audit entries of what clients reported."""
    with sql.cursor() as cursor:
        cursor.execute(
            """
            SELECT payload::json FROM audit_log
             WHERE attempt_id = %s AND event_type = 'proctoring.events_recorded'
               AND actor_id <> 'system' ORDER BY seq
            """,
            [attempt["id"]],
        )
        return [row[0] for row in cursor.fetchall()]
