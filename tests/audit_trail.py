"""Entries to read, verify and tamper with."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg2.extensions import connection

from models.audit_event import AuditEvent
from models.database import Database
from services import audit

ATTEMPT_ID = UUID("019ab1c2-0000-7000-8000-000000000001")
ACTOR_ID = UUID("019ab1c2-0000-7000-8000-000000000002")


def append(database: Database, count: int = 1) -> list[int]:
    """Append entries, each in a transaction of its own, and return their numbers."""
    return [append_together(database, 1)[0] for _ in range(count)]


def append_together(database: Database, count: int) -> list[int]:
    with database.transaction() as tx:
        pending = [
            audit.append(
                tx,
                AuditEvent.ATTEMPT_ANSWERS_SAVED,
                "attempt",
                ATTEMPT_ID,
                actor=ACTOR_ID,
                attempt_id=ATTEMPT_ID,
                payload={"answer": f"number {number}"},
            )
            for number in range(count)
        ]
    return [entry.seq for entry in pending]


def run(
    sql: connection, statement: str, *parameters: object
) -> Sequence[tuple[Any, ...]]:
    """Run a statement as the superuser and return its rows, if it has any."""
    with sql.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []


def scalar(sql: connection, query: str, *parameters: object) -> Any:
    ((value,),) = run(sql, query, *parameters)
    return value
