"""What staff do to an attempt: pause, resume, extend, terminate, reopen, void.

Each reads the locked row, so that the refusal names the state that forbids the step.
"""

from dataclasses import dataclass
from uuid import UUID

from models import attempt_activity, attempt_board, attempt_steps
from models.attempt import RUNNING, Attempt, AttemptStatus, EndedBy
from models.attempt_board import WatchedAttempt
from models.audit_event import AuditEvent
from models.database import Database
from models.page import Page, paged
from models.principal import Principal, Role
from models.transaction import Transaction
from services import attempt_ending, audit
from services.access import require_exam
from services.attempt_access import lock_attempt
from services.attempt_clock import moved
from services.attempt_errors import (
    MAX_EXTENDED_SECONDS,
    AttemptNotFoundError,
    AttemptStepError,
    ExtensionTooLongError,
    allowed_actions,
)
from services.attempt_reopening import NO_REOPENING, lock_for_reopening, reopen
from services.errors import in_our_words
from services.server_events import record_server_event


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedAttempt:
    """An attempt as its board shows it, and what may be done to it now."""

    attempt: WatchedAttempt
    allowed_actions: list[str]


class ProctorActions:
    def __init__(self, database: Database) -> None:
        self._database = database

    def list_attempts(
        self,
        staff: Principal,
        exam_id: UUID,
        *,
        status: AttemptStatus | None,
        is_ungraded: bool = False,
        before: UUID | None,
        limit: int,
    ) -> Page[ManagedAttempt]:
        """Return the live board of an exam, the last started first.

        `is_ungraded`: only of those that have ended and wait for a human.
        Raises ExamNotFoundError.
        """
        with self._database.read() as tx:
            require_exam(tx, staff, exam_id)
            rows = attempt_board.list_by_exam(
                tx,
                exam_id,
                limit=limit + 1,
                before=before,
                status=status,
                is_ungraded=is_ungraded,
            )
        managed = [_managed(row, staff) for row in rows]
        return paged(managed, limit, lambda row: (row.attempt.id,))

    def pause_attempt(
        self, staff: Principal, attempt_id: UUID, reason: str
    ) -> ManagedAttempt:
        """Stop the clock; no answer is taken until it runs again."""
        with self._database.transaction() as tx:
            before = _require_step(
                tx, staff, attempt_id, "pause", AttemptStatus.IN_PROGRESS
            )
            after = attempt_steps.pause(tx, before.id)
            _record(tx, AuditEvent.ATTEMPT_PAUSED, staff, before, after, reason)
            record_server_event(tx, after.id, "session.paused", {"reason": reason})
            attempt_activity.request_analysis(tx, [after.id])
            return _reread(tx, staff, attempt_id)

    def resume_attempt(
        self, staff: Principal, attempt_id: UUID, reason: str
    ) -> ManagedAttempt:
        """Let the clock run again; the deadline moves by what the pause took."""
        with self._database.transaction() as tx:
            before = _require_step(
                tx, staff, attempt_id, "resume", AttemptStatus.PAUSED
            )
            after = attempt_steps.unpause(tx, before.id)
            _record(tx, AuditEvent.ATTEMPT_UNPAUSED, staff, before, after, reason)
            record_server_event(tx, after.id, "session.resumed", {"reason": reason})
            attempt_activity.request_analysis(tx, [after.id])
            return _reread(tx, staff, attempt_id)

    def extend_attempt(
        self, staff: Principal, attempt_id: UUID, minutes: int, reason: str
    ) -> ManagedAttempt:
        """Give more time to a running attempt, beyond the exam's window if need be.

        Raises ExtensionTooLongError above 24 hours in all.
        """
        with self._database.transaction() as tx:
            before = _require_step(tx, staff, attempt_id, "extend", *RUNNING)
            seconds = 60 * minutes
            if before.extended_seconds + seconds > MAX_EXTENDED_SECONDS:
                raise ExtensionTooLongError("minutes")
            after = attempt_steps.extend(tx, before.id, seconds)
            _record(tx, AuditEvent.ATTEMPT_EXTENDED, staff, before, after, reason)
            record_server_event(
                tx, after.id, "session.extended", {"minutes": minutes, "reason": reason}
            )
            return _reread(tx, staff, attempt_id)

    def terminate_attempt(
        self, staff: Principal, attempt_id: UUID, reason: str
    ) -> ManagedAttempt:
        """End an attempt against its student's will. A human has to review it."""
        with self._database.transaction() as tx:
            before = _require_step(tx, staff, attempt_id, "terminate", *RUNNING)
            ended_by = EndedBy.ADMIN if staff.role is Role.ADMIN else EndedBy.PROCTOR
            attempt_ending.end(
                tx,
                [before],
                ended_by,
                staff.id,
                status=AttemptStatus.TERMINATED,
                reason=reason,
            )
            return _reread(tx, staff, attempt_id)

    def reopen_attempt(
        self, admin: Principal, attempt_id: UUID, extra_seconds: int, reason: str
    ) -> ManagedAttempt:
        """Let an attempt go on that staff or the server has ended.

        Raises ExtensionTooLongError, StudentSitsAnotherError, and what else
        `attempt_reopening.reopen` raises.
        """
        with in_our_words(NO_REOPENING), self._database.transaction() as tx:
            before = lock_for_reopening(tx, admin, attempt_id)
            if before.extended_seconds + extra_seconds > MAX_EXTENDED_SECONDS:
                raise ExtensionTooLongError("extra_seconds")
            reopen(tx, admin, before, reason, extra_seconds)
            return _reread(tx, admin, attempt_id)

    def void_attempt(
        self, admin: Principal, attempt_id: UUID, reason: str
    ) -> ManagedAttempt:
        """Declare an attempt worth nothing; the student may start another one."""
        with self._database.transaction() as tx:
            before = lock_attempt(tx, admin, attempt_id)
            if before.status is AttemptStatus.VOIDED:
                raise AttemptStepError("void", before, admin.role)
            if before.is_overdue:
                (before,) = attempt_ending.end(
                    tx, [before], EndedBy.DEADLINE, audit.SYSTEM
                )
            attempt_ending.void(tx, [before], EndedBy.ADMIN, admin.id, reason)
            # Nobody is accused of being like what never took place.
            attempt_activity.request_analysis_of_exam(tx, before.exam_id)
            return _reread(tx, admin, attempt_id)


def _require_step(
    tx: Transaction,
    staff: Principal,
    attempt_id: UUID,
    step: str,
    *statuses: AttemptStatus,
) -> Attempt:
    """Lock an attempt that may take the step: its time must not be over either."""
    found = lock_attempt(tx, staff, attempt_id)
    if found.status not in statuses or found.is_overdue:
        raise AttemptStepError(step, found, staff.role)
    return found


def _record(
    tx: Transaction,
    event_type: AuditEvent,
    staff: Principal,
    before: Attempt,
    after: Attempt,
    reason: str,
) -> None:
    audit.append_of_attempt(
        tx,
        event_type,
        after.id,
        actor=staff.id,
        payload={
            "reason": reason,
            "status": {"from": before.status, "to": after.status},
            **moved(before.deadline_at, after),
        },
    )


def _reread(tx: Transaction, staff: Principal, attempt_id: UUID) -> ManagedAttempt:
    row = attempt_board.get(tx, attempt_id)
    if row is None:
        raise AttemptNotFoundError(attempt_id)
    return _managed(row, staff)


def _managed(row: WatchedAttempt, staff: Principal) -> ManagedAttempt:
    is_own = row.student_id == staff.id
    allowed = [] if is_own else allowed_actions(row, staff.role)
    if row.is_evidence_erased and "reopen" in allowed:
        allowed.remove("reopen")
    return ManagedAttempt(attempt=row, allowed_actions=allowed)
