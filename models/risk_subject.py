"""What the risk model reads: attempts of one exam with all that was seen of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from pydantic import JsonValue

from models.database import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An attempt that is analysed or compared with."""

    attempt_id: UUID
    student_id: UUID
    started_at: datetime
    ended_at: datetime | None
    last_seen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenEvent:
    attempt_id: UUID
    id: UUID
    event_type: str
    event_class: str
    severity: str
    occurred_at: datetime
    received_at: datetime
    sequence: int | None
    payload: dict[str, JsonValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A moment at which something arrived from the student's client."""

    attempt_id: UUID
    received_at: datetime


# A voided attempt never took place, so nobody is compared with it.
LIST_SUBJECTS: LiteralString = """
    SELECT attempts.id AS attempt_id, attempts.student_id, attempts.started_at,
           attempts.ended_at, attempt_activity.last_seen_at
      FROM attempts
      JOIN attempt_activity ON attempt_activity.attempt_id = attempts.id
     WHERE attempts.exam_id = %(exam_id)s
       AND (attempts.status <> 'voided' OR attempts.id = ANY (%(wanted)s))
     ORDER BY attempts.id
"""

LIST_EVENTS: LiteralString = """
    SELECT attempt_id, id, event_type, event_class, severity, occurred_at, received_at,
           sequence, payload
      FROM proctoring_events
     WHERE attempt_id = ANY (%(attempt_ids)s)
     ORDER BY attempt_id, occurred_at, id
"""

# The log knows of every save, not only of the last one of each answer.
LIST_REPORTS: LiteralString = """
    SELECT attempts.id AS attempt_id, audit_log.recorded_at AS received_at
      FROM attempts
      JOIN audit_log ON audit_log.attempt_id = attempts.id
                    AND audit_log.actor_id = attempts.student_id::text
     WHERE attempts.id = ANY (%(attempt_ids)s)
     ORDER BY attempts.id, audit_log.seq
"""


def list_subjects(
    tx: Transaction, exam_id: UUID, wanted: Sequence[UUID] = ()
) -> list[Subject]:
    """Read an exam's attempts but the voided ones; those in `wanted` in any case."""
    names = {"exam_id": exam_id, "wanted": list(wanted)}
    return tx.all(Subject, LIST_SUBJECTS, names)


def list_events(tx: Transaction, attempt_ids: Sequence[UUID]) -> list[SeenEvent]:
    return tx.all(SeenEvent, LIST_EVENTS, {"attempt_ids": list(attempt_ids)})


def list_reports(tx: Transaction, attempt_ids: Sequence[UUID]) -> list[Report]:
    return tx.all(Report, LIST_REPORTS, {"attempt_ids": list(attempt_ids)})
