"""What the risk model reads: attempts of one exam with all that was seen of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from pydantic import JsonValue

from models.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An attempt that is analysed or compared with."""

    attempt_id: UUID
    student_id: UUID
    started_at: datetime
    ended_at: datetime | None
    last_seen_at: datetime
    # Another one after whatever was done to the attempt, graded by hand or ended.
    row_version: str
    is_voided: bool
    # How many events its clients have reported.
    reported_events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenEvent:
    attempt_id: UUID
    id: UUID
    batch_id: UUID
    event_type: str
    event_class: str
    severity: str
    occurred_at: datetime
    received_at: datetime
    sequence: int | None
    payload: dict[str, JsonValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """Something that a student did to his attempt but report events.

    Only the login that holds the attempt can. `now_held_by` is the one that took hold
    of it by this, if that is what he did.
    """

    attempt_id: UUID
    at: datetime
    now_held_by: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportingLogin:
    """Which login sent a report of events. None of an entry before 0019."""

    batch_id: UUID
    session_id: UUID | None


# A voided attempt never took place, so nobody is compared with it. What is left of one
# whose evidence was erased is no measure either, neither of others nor of itself.
LIST_SUBJECTS: LiteralString = """
    SELECT attempts.id AS attempt_id, attempts.student_id, attempts.started_at,
           attempts.ended_at, attempt_activity.last_seen_at,
           attempts.xmin::text AS row_version,
           attempts.status = 'voided' AS is_voided, reported_events
      FROM attempts
      JOIN attempt_activity ON attempt_activity.attempt_id = attempts.id
     WHERE attempts.exam_id = %(exam_id)s
       AND (attempts.status <> 'voided' OR attempts.id = ANY (%(wanted)s))
       AND NOT is_evidence_erased
     ORDER BY attempts.id
"""

LIST_EVENTS: LiteralString = """
    SELECT attempt_id, id, batch_id, event_type, event_class, severity, occurred_at,
           received_at, sequence, payload
      FROM proctoring_events
     WHERE attempt_id = ANY (%(attempt_ids)s)
     ORDER BY attempt_id, occurred_at, id
"""

# The log knows of every save, not only of the last one of each answer.
LIST_WRITES: LiteralString = """
    SELECT attempts.id AS attempt_id, audit_log.recorded_at AS at,
           CASE WHEN event_type = 'attempt.started'
                THEN (payload::json ->> 'session_id')::uuid
                WHEN event_type IN ('attempt.resumed', 'attempt.taken_over')
                THEN (payload::json ->> 'to_session_id')::uuid END AS now_held_by
      FROM attempts
      JOIN audit_log ON audit_log.attempt_id = attempts.id
                    AND audit_log.actor_id = attempts.student_id::text
                    AND audit_log.entity_type = 'attempt'
     WHERE attempts.id = ANY (%(attempt_ids)s)
     ORDER BY attempts.id, audit_log.seq
"""

LIST_REPORTING_LOGINS: LiteralString = """
    SELECT entity_id::uuid AS batch_id,
           (payload::json ->> 'session_id')::uuid AS session_id
      FROM audit_log
     WHERE attempt_id = ANY (%(attempt_ids)s) AND entity_type = 'event_batch'
"""


def list_subjects(
    tx: Transaction, exam_id: UUID, wanted: Sequence[UUID] = ()
) -> list[Subject]:
    """Read an exam's attempts but the voided ones; those in `wanted` even so.

    None of which answers or events were erased.
    """
    names = {"exam_id": exam_id, "wanted": list(wanted)}
    return tx.all(Subject, LIST_SUBJECTS, names)


def list_events(tx: Transaction, attempt_ids: Sequence[UUID]) -> list[SeenEvent]:
    return tx.all(SeenEvent, LIST_EVENTS, {"attempt_ids": list(attempt_ids)})


def list_writes(tx: Transaction, attempt_ids: Sequence[UUID]) -> list[Write]:
    """Read what the students did, in the order in which it happened."""
    return tx.all(Write, LIST_WRITES, {"attempt_ids": list(attempt_ids)})


def list_reporting_logins(
    tx: Transaction, attempt_ids: Sequence[UUID]
) -> list[ReportingLogin]:
    """Read it from the log, which takes a while: of the attempts where it matters."""
    names = {"attempt_ids": list(attempt_ids)}
    return tx.all(ReportingLogin, LIST_REPORTING_LOGINS, names)
