"""The entry of a change of an exam's status, whoever changes it."""

from collections.abc import Mapping
from typing import Literal
from uuid import UUID

from models.audit_event import AuditEvent
from models.exam import Exam, ExamStatus
from models.transaction import Transaction
from services import audit


def record_change(
    tx: Transaction,
    before: ExamStatus,
    after: Exam,
    actor: UUID | Literal[audit.Actor.SYSTEM],
    **also: Mapping[str, object],
) -> None:
    """Append that the exam had another status before; `also` is told besides."""
    audit.append(
        tx,
        AuditEvent.EXAM_STATUS_CHANGED,
        "exam",
        after.id,
        actor=actor,
        payload={
            "from": before,
            "to": after.status,
            "version": after.version,
            **also,
        },
    )
