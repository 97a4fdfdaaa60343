"""What admins do with exams, and what proctors see of them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from models import (
    assignment,
    attempt,
    attempt_deadline,
    exam,
    exam_proctor,
    question,
)
from models.attempt import Attempt
from models.audit_event import AuditEvent
from models.database import Database
from models.exam import NEXT_STATUSES, Exam, ExamContent, ExamStatus, ListedExam
from models.page import Page, paged
from models.principal import Principal, Role
from models.question import Question
from models.question_storage import salted
from models.transaction import Transaction
from services import attempt_ending, audit, errors
from services.access import require_exam
from services.attempt_clock import record_moved
from services.deadlines import end_overdue_of_exam
from services.exam_editing import (
    FROZEN_FIELDS,
    ExamDetail,
    ExamFrozenError,
    changes,
    detail,
    fingerprints,
    granted,
    lock_exam,
    numbered,
    require_open,
    share_exam,
)
from services.exam_fields import ExamFields, NewExam
from services.exam_status import record_change
from services.versions import ExpectedVersions
from utils.like import prefix_pattern
from utils.uuid7 import uuid7

MAX_TITLE_LENGTH = 200
COPY_SUFFIX = " (copy)"


class IllegalStatusStepError(errors.ConflictError):
    slug = "exam-status-step"
    title = "No such step"

    def __init__(self, found: Exam, wanted: ExamStatus) -> None:
        super().__init__(
            f"An exam that is {found.status} can not become {wanted}.",
            current_status=found.status,
            allowed_actions=NEXT_STATUSES[found.status],
        )


class ExamIncompleteError(errors.ConflictError):
    slug = "exam-incomplete"
    title = "The exam is not complete"

    def __init__(self, found: Exam, missing: list[str]) -> None:
        super().__init__(
            f"The exam can not go on yet: {'; '.join(missing)}.",
            current_status=found.status,
            allowed_actions=["edit", ExamStatus.CANCELLED],
        )


class ExamHasAttemptsError(errors.ConflictError):
    slug = "exam-has-attempts"
    title = "The exam has attempts"

    def __init__(self, found: Exam) -> None:
        super().__init__(
            "Somebody has sat this exam, so it is kept: archive it instead.",
            current_status=found.status,
            allowed_actions=NEXT_STATUSES[found.status],
        )


class ExamStillSatError(errors.ConflictError):
    slug = "exam-still-sat"
    title = "The exam is still sat"

    def __init__(self, found: Exam, running: Sequence[Attempt]) -> None:
        named = ", ".join(str(one.id) for one in running[:5])
        super().__init__(
            f"{len(running)} of its attempts run, because they were reopened ({named})."
            " Archive the exam when they have ended.",
            current_status=found.status,
        )


class WindowError(errors.UnprocessableError):
    slug = "exam-window"
    title = "The exam can not take place then"


class ExamService:
    def __init__(self, database: Database) -> None:
        self._database = database

    def create_exam(self, new: NewExam, admin: Principal) -> ExamDetail:
        """Create a draft, with the questions that come with it."""
        exam_id = uuid7()
        questions = numbered(exam_id, new.questions, first=1)
        return self._insert(exam_id, new.content(), questions, admin)

    def duplicate_exam(self, admin: Principal, exam_id: UUID) -> ExamDetail:
        """Copy an exam with its questions to a draft that has no date yet."""
        with self._database.read() as tx:
            original = require_exam(tx, admin, exam_id)
            asked = question.list_by_exam(tx, exam_id)
        copy_id = uuid7()
        room = MAX_TITLE_LENGTH - len(COPY_SUFFIX)
        content = replace(
            original,
            title=original.title[:room] + COPY_SUFFIX,
            starts_at=None,
            ends_at=None,
        )
        questions = [
            replace(one, id=uuid7(), exam_id=copy_id, answer_key=salted(one.answer_key))
            for one in asked
        ]
        return self._insert(copy_id, content, questions, admin, original=exam_id)

    def list_exams(
        self,
        staff: Principal,
        *,
        limit: int,
        before: UUID | None,
        status: ExamStatus | None,
        title_prefix: str | None,
    ) -> Page[ListedExam]:
        """List exams, newest first: all for an admin, his own for a proctor."""
        with self._database.read() as tx:
            rows = exam.list_page(
                tx,
                limit=limit + 1,
                before=before,
                status=status,
                title_pattern=title_prefix and prefix_pattern(title_prefix),
                proctor_id=None if staff.role is Role.ADMIN else staff.id,
            )
        return paged(rows, limit, lambda row: (row.id,))

    def get_exam(self, staff: Principal, exam_id: UUID) -> ExamDetail:
        """Return an exam; its questions and their keys are for admins alone."""
        with self._database.read() as tx:
            found = require_exam(tx, staff, exam_id)
            return detail(tx, found, with_questions=staff.role is Role.ADMIN)

    def replace_exam(
        self,
        new: ExamFields,
        expected: ExpectedVersions,
        admin: Principal,
        exam_id: UUID,
    ) -> ExamDetail:
        """Write an exam's own fields anew. A new window moves running deadlines."""
        content = new.content()
        end_overdue_of_exam(self._database, exam_id)
        with self._database.transaction() as tx:
            before = lock_exam(tx, exam_id, expected)
            changed = changes(before, content)
            if not changed:
                return detail(tx, before)
            require_open(before)
            if before.frozen_at is not None and (
                frozen := FROZEN_FIELDS & set(changed)
            ):
                raise ExamFrozenError(before, sorted(frozen))
            if not changed.keys().isdisjoint({"starts_at", "ends_at"}):
                _check_window(before, content, exam.now(tx))
                running = attempt_ending.lock_running(tx, exam_id)
            after = exam.replace(tx, exam_id, content)
            audit.append(
                tx,
                AuditEvent.EXAM_UPDATED,
                "exam",
                exam_id,
                actor=admin.id,
                payload={"changes": changed, "version": after.version},
            )
            if "ends_at" in changed:
                deadlines = {one.id: one.deadline_at for one in running}
                moved = attempt_deadline.recompute_of_exam(tx, exam_id)
                record_moved(tx, deadlines, moved, admin)
            return detail(tx, after)

    def change_status(
        self,
        wanted: ExamStatus,
        expected: ExpectedVersions,
        admin: Principal,
        exam_id: UUID,
    ) -> ExamDetail:
        """Take a step. Closing submits what still runs, and cancelling voids it.

        When it is interrupted, the same again does the rest. Raises ExamStillSatError
        if somebody sits what is to be archived.
        """
        end_overdue_of_exam(self._database, exam_id)
        if wanted is ExamStatus.COMPLETED:
            self._end_most(expected, admin, exam_id)
        with self._database.transaction() as tx:
            before = lock_exam(tx, exam_id, expected)
            _require_step(before, wanted)
            if wanted in (ExamStatus.SCHEDULED, ExamStatus.ACTIVE):
                _require_complete(tx, before)
            _end_attempts(tx, before, wanted, admin)
            after = exam.set_status(tx, exam_id, wanted)
            record_change(
                tx, before.status, after, admin.id, changes=changes(before, after)
            )
            return detail(tx, after)

    def _end_most(
        self, expected: ExpectedVersions, admin: Principal, exam_id: UUID
    ) -> None:
        """End who sits a closing exam, a portion at a time, if it is more than one.

        Who starts meanwhile is ended with the exam itself.
        """
        with self._database.read() as tx:
            running = attempt.list_running(tx, exam_id)
        if len(running) <= attempt_ending.AT_ONCE:
            return
        for portion in attempt_ending.portions(running):
            with self._database.transaction() as tx:
                closing = share_exam(tx, exam_id)
                expected.check(closing.version)
                _require_step(closing, ExamStatus.COMPLETED)
                locked = attempt.lock_running_among(tx, portion)
                attempt_ending.end_all(tx, locked, admin.id)

    def delete_exam(
        self, expected: ExpectedVersions, admin: Principal, exam_id: UUID
    ) -> None:
        """Delete an exam that nobody has sat, with its questions and assignments."""
        with self._database.transaction() as tx:
            # The lock makes a first attempt wait, so none comes in between.
            found = lock_exam(tx, exam_id, expected)
            if exam.has_attempts(tx, exam_id):
                raise ExamHasAttemptsError(found)
            asked = question.list_by_exam(tx, exam_id)
            assigned = assignment.list_all(tx, exam_id)
            proctor_ids = exam_proctor.list_ids(tx, exam_id)
            exam.delete(tx, exam_id)
            audit.append(
                tx,
                AuditEvent.EXAM_DELETED,
                "exam",
                exam_id,
                actor=admin.id,
                payload={
                    "exam": found,
                    "questions": fingerprints(asked),
                    "assignments": [granted(each) for each in assigned],
                    "proctor_ids": proctor_ids,
                },
            )

    def _insert(
        self,
        exam_id: UUID,
        content: ExamContent,
        questions: list[Question],
        admin: Principal,
        *,
        original: UUID | None = None,
    ) -> ExamDetail:
        with self._database.transaction() as tx:
            made = exam.insert(tx, exam_id, admin.id, content)
            question.insert_many(tx, exam_id, questions)
            audit.append(
                tx,
                AuditEvent.EXAM_CREATED,
                "exam",
                exam_id,
                actor=admin.id,
                payload={
                    "exam": made,
                    "questions": fingerprints(questions),
                    "duplicated_from": original,
                },
            )
            return detail(tx, made)


def _check_window(before: Exam, content: ExamContent, now: datetime) -> None:
    if before.status is ExamStatus.DRAFT:
        return
    problems = []
    if content.starts_at is None:
        problems.append(("#/starts_at", "Only a draft may leave its window open."))
    elif before.status is ExamStatus.ACTIVE and content.starts_at > now:
        problems.append(("#/starts_at", "The exam has already begun."))
    if content.ends_at is None:
        problems.append(("#/ends_at", "Only a draft may leave its window open."))
    elif content.ends_at != before.ends_at and content.ends_at <= now:
        problems.append(("#/ends_at", "Must lie in the future; or close the exam."))
    if problems:
        raise WindowError(f"An exam that is {before.status} keeps a window.", problems)


def _require_step(found: Exam, wanted: ExamStatus) -> None:
    if wanted not in NEXT_STATUSES[found.status]:
        raise IllegalStatusStepError(found, wanted)


def _end_attempts(
    tx: Transaction, closing: Exam, wanted: ExamStatus, admin: Principal
) -> None:
    if wanted is ExamStatus.COMPLETED:
        running = attempt.lock_running_of_exam(tx, closing.id)
        attempt_ending.end_all(tx, running, admin.id)
    elif wanted is ExamStatus.ARCHIVED:
        running = attempt_ending.lock_running(tx, closing.id)
        if running:
            raise ExamStillSatError(closing, running)
    elif wanted is ExamStatus.CANCELLED:
        reason = "The exam was cancelled."
        attempt_ending.void_all(tx, closing.id, admin.id, reason)


def _require_complete(tx: Transaction, found: Exam) -> None:
    missing = []
    if found.starts_at is None or found.ends_at is None:
        missing.append("starts_at and ends_at must be set")
    elif found.ends_at <= exam.now(tx):
        missing.append("ends_at has passed")
    if question.extent(tx, found.id).question_count == 0:
        missing.append("it needs at least one question")
    if missing:
        raise ExamIncompleteError(found, missing)
