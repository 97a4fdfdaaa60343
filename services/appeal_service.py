"""A student contests a verdict, and somebody else decides: EVENTS.md, axis 4.

docs/decisions/0020-appeals.md
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from models import appeal, attempt
from models.appeal import Appeal, AppealStatus, ListedAppeal
from models.attempt import Attempt, ReviewStatus
from models.attempt_review import Review
from models.audit_event import AuditEvent
from models.database import Database
from models.page import Page, paged
from models.principal import Principal, Role
from models.transaction import Transaction
from models.wire import Text, WireModel
from services import audit, review_record
from services.access import require_exam
from services.appeal_errors import (
    AlreadyAppealedError,
    AppealNotFoundError,
    AppealPendingError,
    AppealStepError,
    AppealTooLateError,
    NothingToAppealError,
    OwnVerdictError,
)
from services.attempt_access import lock_attempt
from services.attempt_errors import AttemptNotFoundError
from utils.uuid7 import uuid7

Reason = Annotated[Text, StringConstraints(min_length=1, max_length=5000)]


class NewAppeal(WireModel):
    reason: Reason = Field(description="What is wrong with the verdict, in own words.")


class Decision(WireModel):
    """`upheld`: the verdict stands. `overturned`: the review is `cleared`."""

    outcome: Literal[AppealStatus.UPHELD, AppealStatus.OVERTURNED]
    reason: Reason = Field(description="Why. The student reads it.")


@dataclass(frozen=True, slots=True, kw_only=True)
class HandledAppeal:
    """An appeal, and what whoever asks may do with it."""

    appeal: Appeal
    allowed_actions: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedForStaff(HandledAppeal):
    appeal: ListedAppeal


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnAppeals:
    """A student's appeals, and until when he can lodge one: None if he can't."""

    appeals: Sequence[Appeal]
    until: datetime | None


class AppealService:
    def __init__(self, database: Database) -> None:
        self._database = database

    def lodge(self, student: Principal, attempt_id: UUID, new: NewAppeal) -> Appeal:
        """Contest the verdict on one's own attempt.

        Raises AttemptNotFoundError, NothingToAppealError, AlreadyAppealedError and
        AppealTooLateError.
        """
        with self._database.transaction() as tx:
            own = _lock_own(tx, student, attempt_id)
            present = _among(appeal.list_of_attempt(tx, own.id), own)
            if present is not None:
                raise AlreadyAppealedError(present)
            verdict = _verdict(own)
            if verdict is None:
                raise NothingToAppealError(own.review_status)
            verdict_by, verdict_at = verdict
            term = appeal.get_term(tx, own.exam_id, verdict_at)
            if term.is_over:
                raise AppealTooLateError(verdict_at, term.until)
            lodged = appeal.insert(
                tx,
                uuid7(),
                attempt_id=own.id,
                verdict_by=verdict_by,
                verdict_at=verdict_at,
                reason=new.reason,
            )
            payload = {
                "reason": lodged.reason,
                "verdict_by": verdict_by,
                "verdict_at": verdict_at,
            }
            _record(tx, AuditEvent.APPEAL_LODGED, lodged, student, payload)
        return lodged

    def withdraw(self, student: Principal, attempt_id: UUID, appeal_id: UUID) -> Appeal:
        """Take an appeal back. Again, it changes nothing.

        Raises AttemptNotFoundError, AppealNotFoundError and AppealStepError.
        """
        with self._database.transaction() as tx:
            own = _lock_own(tx, student, attempt_id)
            before = appeal.get(tx, appeal_id)
            if before is None or before.attempt_id != own.id:
                raise AppealNotFoundError(appeal_id)
            if before.status is AppealStatus.WITHDRAWN:
                return before
            if not before.is_pending:
                raise AppealStepError("withdraw", before, [])
            after = appeal.set_status(
                tx,
                before.id,
                AppealStatus.WITHDRAWN,
                reviewer_id=before.reviewer_id,
            )
            _record_step(tx, AuditEvent.APPEAL_WITHDRAWN, before, after, student)
        return after

    def take(self, staff: Principal, appeal_id: UUID) -> HandledAppeal:
        """Begin to look into an appeal, or go on where a colleague did. Idempotent.

        Raises AppealNotFoundError, OwnAttemptError, OwnVerdictError and
        AppealStepError.
        """
        with self._database.transaction() as tx:
            _, before = _lock(tx, staff, appeal_id)
            if before.is_pending and before.reviewer_id == staff.id:
                return handled(before, staff)
            if not before.is_pending:
                raise AppealStepError("take", before, [])
            after = appeal.set_status(
                tx, before.id, AppealStatus.UNDER_REVIEW, reviewer_id=staff.id
            )
            _record_step(tx, AuditEvent.APPEAL_TAKEN, before, after, staff)
        return handled(after, staff)

    def decide(
        self, staff: Principal, appeal_id: UUID, decision: Decision
    ) -> HandledAppeal:
        """Decide about an appeal that one has taken. The same again changes nothing.

        One that is overturned clears the review. Raises AppealNotFoundError,
        OwnAttemptError, OwnVerdictError and AppealStepError.
        """
        with self._database.transaction() as tx:
            contested, before = _lock(tx, staff, appeal_id)
            is_his = before.reviewer_id == staff.id
            said = (before.status, before.decision_reason)
            if is_his and said == (decision.outcome, decision.reason):
                return handled(before, staff)
            if not (is_his and before.is_pending):
                raise AppealStepError("decide", before, allowed_actions(before, staff))
            if decision.outcome is AppealStatus.OVERTURNED:
                cleared = Review(status=ReviewStatus.CLEARED, note=decision.reason)
                review_record.set_review(tx, contested, cleared, staff.id)
            after = appeal.set_status(
                tx,
                before.id,
                decision.outcome,
                reviewer_id=staff.id,
                decision_reason=decision.reason,
            )
            _record_step(
                tx,
                AuditEvent.APPEAL_DECIDED,
                before,
                after,
                staff,
                reason=decision.reason,
            )
        return handled(after, staff)

    def list_appeals(
        self,
        staff: Principal,
        *,
        exam_id: UUID | None,
        statuses: Sequence[AppealStatus] | None,
        before: UUID | None,
        limit: int,
    ) -> Page[ListedForStaff]:
        """List appeals, the newest first: all of an admin, his exams' of a proctor.

        Raises ExamNotFoundError.
        """
        with self._database.read() as tx:
            if exam_id is not None:
                require_exam(tx, staff, exam_id)
            rows = appeal.list_page(
                tx,
                proctor_id=staff.id if staff.role is Role.PROCTOR else None,
                exam_id=exam_id,
                statuses=statuses,
                before=before,
                limit=limit + 1,
            )
        listed = [
            ListedForStaff(
                appeal=row,
                allowed_actions=[]
                if row.student_id == staff.id
                else allowed_actions(row, staff),
            )
            for row in rows
        ]
        return paged(listed, limit, lambda each: (each.appeal.id,))


def read_own(tx: Transaction, own: Attempt) -> OwnAppeals:
    """Return a student's appeals of an attempt, and until when he can lodge one."""
    appeals = appeal.list_of_attempt(tx, own.id)
    verdict = _verdict(own)
    if verdict is None or _among(appeals, own) is not None:
        return OwnAppeals(appeals=appeals, until=None)
    term = appeal.get_term(tx, own.exam_id, verdict[1])
    return OwnAppeals(appeals=appeals, until=None if term.is_over else term.until)


def refuse_while_pending(tx: Transaction, locked: Attempt) -> None:
    """Raise AppealPendingError if the student contests what stands in the review."""
    for each in appeal.list_of_attempt(tx, locked.id):
        if each.is_pending:
            raise AppealPendingError(each)


def handled(found: Appeal, staff: Principal) -> HandledAppeal:
    """Put what may come next beside an appeal of somebody else's attempt."""
    return HandledAppeal(appeal=found, allowed_actions=allowed_actions(found, staff))


def allowed_actions(found: Appeal, staff: Principal) -> list[str]:
    if not found.is_pending or found.verdict_by == staff.id:
        return []
    return ["decide"] if found.reviewer_id == staff.id else ["take"]


def _lock_own(tx: Transaction, student: Principal, attempt_id: UUID) -> Attempt:
    own = attempt.get_for_update(tx, attempt_id)
    if own is None or own.student_id != student.id:
        raise AttemptNotFoundError(attempt_id)
    return own


def _lock(tx: Transaction, staff: Principal, appeal_id: UUID) -> tuple[Attempt, Appeal]:
    """Lock the attempt first, as everybody does, and read the appeal then."""
    found = appeal.get(tx, appeal_id)
    if found is None:
        raise AppealNotFoundError(appeal_id)
    try:
        contested = lock_attempt(tx, staff, found.attempt_id)
    except AttemptNotFoundError as error:
        raise AppealNotFoundError(appeal_id) from error
    if found.verdict_by == staff.id:
        raise OwnVerdictError(found)
    return contested, appeal.get(tx, appeal_id) or found


def _verdict(own: Attempt) -> tuple[UUID, datetime] | None:
    """Return by whom and when a violation was confirmed."""
    if own.review_status is not ReviewStatus.CONFIRMED_VIOLATION:
        return None
    if own.reviewed_by is None or own.reviewed_at is None:
        return None
    return own.reviewed_by, own.reviewed_at


def _among(appeals: Sequence[Appeal], own: Attempt) -> Appeal | None:
    """Return the appeal that uses up the right to contest the present verdict."""
    for each in appeals:
        is_withdrawn = each.status is AppealStatus.WITHDRAWN
        if each.verdict_at == own.reviewed_at and not is_withdrawn:
            return each
    return None


def _record_step(
    tx: Transaction,
    event: AuditEvent,
    before: Appeal,
    after: Appeal,
    actor: Principal,
    **more: object,
) -> None:
    steps = {"previous_status": before.status, "status": after.status}
    _record(tx, event, after, actor, steps | more)


def _record(
    tx: Transaction,
    event: AuditEvent,
    about: Appeal,
    actor: Principal,
    payload: Mapping[str, object],
) -> None:
    audit.append_of_attempt(
        tx,
        event,
        about.attempt_id,
        actor=actor.id,
        payload={"appeal_id": about.id, **payload},
    )
