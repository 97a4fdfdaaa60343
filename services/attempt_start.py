"""Starting an attempt, and going on with one that runs."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from models import (
    assignment,
    attempt,
    attempt_activity,
    attempt_steps,
    exam,
    session,
)
from models.attempt import Attempt
from models.attempt_steps import NewAttempt
from models.audit_event import AuditEvent
from models.exam import Exam, ExamStatus
from models.principal import Principal
from models.transaction import Transaction
from services import attempt_ending, audit, paper
from services.access import ExamNotFoundError
from services.address_changes import note_if_moved
from services.attempt_clock import clock_of
from services.attempt_errors import (
    AnotherAttemptRunningError,
    ExamNotOpenError,
    NoAttemptsLeftError,
)
from services.event_intake import CONCURRENT_CODE
from services.exam_session_security import HandOver, displaced_by, hand_over
from services.exam_status import record_change
from services.open_questions import Edition, OpenQuestions
from services.paper import Paper
from services.proctoring_policy import ProctoringPolicy
from services.server_events import record_server_event
from utils import start_slots
from utils.uuid7 import uuid7


@dataclass(frozen=True, slots=True)
class Started:
    paper: Paper
    is_new: bool


def start(
    tx: Transaction,
    student: Principal,
    exam_id: UUID,
    questions: OpenQuestions,
    *,
    take_over: bool,
) -> Started:
    """Begin an attempt, or go on with the one that runs.

    Raises ExamNotFoundError, ExamNotOpenError, NoAttemptsLeftError,
    AnotherAttemptRunningError and AttemptHeldByAnotherDeviceError.
    """
    # Shared with a change of the student's extra time, which is so always counted.
    if assignment.get(tx, exam_id, student.id) is None:
        raise ExamNotFoundError(exam_id)
    its_exam = _lock_exam(tx, exam_id)
    if assignment.get_for_share(tx, exam_id, student.id) is None:
        raise ExamNotFoundError(exam_id)
    running = attempt.get_running_for_update(tx, student.id)
    if running is not None and running.is_overdue:
        attempt_ending.end_overdue(tx, [running])
        running = None
    if running is None:
        begun = _begin(tx, student, its_exam, questions)
        if begun is not None:
            return Started(begun, is_new=True)
        # None is left, or he has started it elsewhere at this very moment, and that is
        # committed now.
        running = attempt.get_running_for_update(tx, student.id)
        if running is None:
            raise NoAttemptsLeftError(its_exam)
    if running.exam_id != exam_id:
        raise AnotherAttemptRunningError(running)
    held = _go_on(tx, student, its_exam, running, take_over=take_over)
    return Started(paper.read(tx, held, questions), is_new=False)


def _lock_exam(tx: Transaction, exam_id: UUID) -> Exam:
    """Open and freeze the exam if nobody has, and lock it against changes.

    Only who finds it unfrozen has to wait for others; the thousand who start afterwards
    share the lock. Sharing comes last, because two who share can't both go on to change
    it.
    """
    found = exam.get(tx, exam_id)
    if found is not None and found.frozen_at is None:
        # An admin may be opening or editing it at this very moment.
        found = exam.get_for_update(tx, exam_id)
    if found is None:
        raise ExamNotFoundError(exam_id)
    if found.frozen_at is None:
        now = exam.now(tx)
        if _is_due(found, now):
            _open(tx, found)
        if _is_due(found, now) or _is_open(found, now):
            exam.freeze(tx, exam_id)
    locked = exam.get_for_share(tx, exam_id)
    if locked is None:
        raise ExamNotFoundError(exam_id)
    return locked


def _is_due(found: Exam, now: datetime) -> bool:
    return (
        found.status is ExamStatus.SCHEDULED
        and found.starts_at is not None
        and found.starts_at <= now
    )


def _is_open(found: Exam, now: datetime) -> bool:
    return (
        found.status is ExamStatus.ACTIVE
        and found.ends_at is not None
        and now < found.ends_at
    )


def _open(tx: Transaction, found: Exam) -> None:
    """Open an exam, which the caller has locked, before the sweeper comes by."""
    opened = exam.set_status(tx, found.id, ExamStatus.ACTIVE)
    record_change(tx, found.status, opened, audit.SYSTEM)


def _begin(
    tx: Transaction, student: Principal, its_exam: Exam, questions: OpenQuestions
) -> Paper | None:
    now = exam.now(tx)
    if not _is_open(its_exam, now):
        raise ExamNotOpenError(its_exam, now, _slot(tx, student, its_exam, now))
    # Locked, so these are the questions of this version and of no other.
    edition = Edition(
        exam_id=its_exam.id, version=its_exam.version, frozen_at=its_exam.frozen_at
    )
    asked = questions.of(tx, edition)
    attempt_id = uuid7()
    layout = paper.draw_layout(its_exam, asked, attempt_id)
    begun = attempt_steps.insert(
        tx,
        NewAttempt(
            id=attempt_id,
            exam_id=its_exam.id,
            student_id=student.id,
            session_id=student.session_id,
            max_attempts=its_exam.max_attempts,
            layout=layout,
            max_score=sum((each.points for each in asked.values()), Decimal(0)),
        ),
    )
    if begun is None:
        return None
    attempt_activity.insert(tx, attempt_id)
    record_server_event(tx, attempt_id, "session.started", {})
    audit.append_of_attempt(
        tx,
        AuditEvent.ATTEMPT_STARTED,
        attempt_id,
        actor=student.id,
        payload={
            "exam_id": its_exam.id,
            "exam_version": its_exam.version,
            "attempt_number": begun.attempt_number,
            "session_id": student.session_id,
            "started_at": begun.started_at,
            "deadline_at": begun.deadline_at,
            "clock": clock_of(begun),
            "max_score": begun.max_score,
        },
    )
    return Paper(
        attempt=begun,
        questions=paper.arrange(layout, asked),
        answers=(),
        next_sequence=1,
    )


def _slot(
    tx: Transaction, student: Principal, its_exam: Exam, now: datetime
) -> datetime | None:
    """Return when he is to start an exam that has not opened yet."""
    starts_at, ends_at = its_exam.starts_at, its_exam.ends_at
    is_to_come = its_exam.status is ExamStatus.SCHEDULED
    if not is_to_come or starts_at is None or ends_at is None or starts_at <= now:
        return None
    return start_slots.start_at(
        its_exam.id,
        student.id,
        starts_at=starts_at,
        ends_at=ends_at,
        duration=timedelta(minutes=its_exam.duration_minutes),
        assigned=assignment.count(tx, its_exam.id),
    )


def _go_on(
    tx: Transaction,
    student: Principal,
    its_exam: Exam,
    running: Attempt,
    *,
    take_over: bool,
) -> Attempt:
    holder = attempt_activity.get_holder(tx, running.id)
    policy = ProctoringPolicy.model_validate(its_exam.proctoring)
    how = hand_over(
        running,
        holder,
        student.session_id,
        take_over=take_over,
        concurrent_within=timedelta(seconds=policy.concurrent_device_within_seconds),
    )
    if how is HandOver.NONE:
        return running
    moved = attempt_steps.move_hold(tx, running.id, student.session_id)
    displaced = displaced_by(how, holder, student.session_id)
    attempt_activity.note_hand_over(tx, running.id, displaced)
    is_concurrent = how is HandOver.CONCURRENT
    record_server_event(tx, running.id, "session.resumed", {})
    if is_concurrent:
        record_server_event(tx, running.id, CONCURRENT_CODE, {})
    if holder is not None:
        now_at = session.get_address(tx, student.session_id)
        note_if_moved(tx, running.id, holder.ip_address, now_at)
    audit.append_of_attempt(
        tx,
        AuditEvent.ATTEMPT_RESUMED
        if how is HandOver.RESUMED
        else AuditEvent.ATTEMPT_TAKEN_OVER,
        running.id,
        actor=student.id,
        payload={
            "from_session_id": running.held_by_session,
            "to_session_id": student.session_id,
            "is_concurrent": is_concurrent,
            "silent_seconds": None
            if holder is None
            else int(holder.silence.total_seconds()),
        },
    )
    return moved
