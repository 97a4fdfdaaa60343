"""How an attempt that was ended goes on: its clock stood still in between."""

from typing import Final
from uuid import UUID

from models import (
    answer,
    assignment,
    attempt_activity,
    attempt_steps,
    exam,
)
from models.attempt import Attempt
from models.audit_event import AuditEvent
from models.exam import ExamStatus
from models.principal import Principal
from models.transaction import Transaction
from services import audit
from services.appeal_service import refuse_while_pending
from services.attempt_access import lock_attempt, require_attempt
from services.attempt_clock import moved
from services.attempt_errors import (
    AttemptStepError,
    EvidenceErasedError,
    ExamNotOpenError,
    NoTimeLeftError,
    StudentSitsAnotherError,
    is_reopenable,
)
from services.exam_editing import share_exam
from services.server_events import record_server_event

# What the database refuses: the student has begun another one at the same moment.
NO_REOPENING: Final = {"attempts_one_running_key": StudentSitsAnotherError}


def lock_for_reopening(tx: Transaction, admin: Principal, attempt_id: UUID) -> Attempt:
    """Lock an attempt, and first its exam and assignment: its deadline follows them.

    Raises AttemptNotFoundError.
    """
    found = require_attempt(tx, admin, attempt_id)
    share_exam(tx, found.exam_id)
    assignment.get_for_share(tx, found.exam_id, found.student_id)
    return lock_attempt(tx, admin, attempt_id)


def reopen(
    tx: Transaction, admin: Principal, ended: Attempt, reason: str, extra_seconds: int
) -> Attempt:
    """Let an attempt that `lock_for_reopening` gave run again.

    Raises AttemptStepError, AppealPendingError, EvidenceErasedError, ExamNotOpenError
    and NoTimeLeftError, and ConstraintError `attempts_one_running_key` if the student
    sits another one.
    """
    if not is_reopenable(ended):
        raise AttemptStepError("reopen", ended, admin.role)
    refuse_while_pending(tx, ended)
    if attempt_activity.is_evidence_erased(tx, ended.id):
        raise EvidenceErasedError(ended.id)
    its_exam = exam.get_of_row(tx, ended.exam_id)
    if its_exam.status is ExamStatus.ARCHIVED:
        raise ExamNotOpenError(its_exam, ended.read_at)
    reopened = attempt_steps.reopen(tx, ended.id, extra_seconds)
    if reopened.seconds_remaining < 1:
        raise NoTimeLeftError(ended)
    answer.clear_marks(tx, ended.id)
    record_server_event(tx, ended.id, "session.resumed", {"reason": reason})
    attempt_activity.request_analysis(tx, [ended.id])
    audit.append_of_attempt(
        tx,
        AuditEvent.ATTEMPT_REOPENED,
        ended.id,
        actor=admin.id,
        payload={
            "reason": reason,
            "extra_seconds": extra_seconds,
            "status": {"from": ended.status, "to": reopened.status},
            "review_status": {
                "from": ended.review_status,
                "to": reopened.review_status,
            },
            "ended_at": ended.ended_at,
            "ended_by": ended.ended_by,
            "end_reason": ended.end_reason,
            "score": ended.score,
            **moved(ended.deadline_at, reopened),
        },
    )
    return reopened
