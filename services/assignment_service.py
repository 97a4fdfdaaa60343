"""Who sits an exam, with which accommodation, and who watches it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Self
from uuid import UUID

from pydantic import ConfigDict, Field, JsonValue, model_validator

from models import assignment, attempt, attempt_deadline, exam_proctor
from models.assignment import ListedAssignment
from models.attempt import Attempt
from models.audit_event import AuditEvent
from models.database import Database
from models.exam_proctor import ExamProctor
from models.page import Page, paged
from models.principal import Principal, Role
from models.transaction import Transaction
from models.wire import Integer, Number, WireModel
from services import attempt_ending, audit, errors
from services.access import require_exam
from services.attempt_clock import record_moved
from services.attempt_errors import OwnAttemptError
from services.candidates import Emails, Ids, resolve
from services.errors import in_our_words
from services.exam_editing import granted, require_open, share_exam

ExtraTimeMinutes = Annotated[Integer, Field(ge=0, le=1440)]
TimeMultiplier = Annotated[Number, Field(ge=1, le=5, decimal_places=2)]


def _somebody(field: str) -> ConfigDict:
    # Says in JSON Schema what the validators below check.
    named: list[JsonValue] = [
        {"required": [name], "properties": {name: {"minItems": 1}}}
        for name in (field, "emails")
    ]
    return ConfigDict(frozen=True, extra="forbid", json_schema_extra={"anyOf": named})


class NewAssignments(WireModel):
    """Students by id or e-mail, and what they are all granted."""

    model_config = _somebody("student_ids")

    student_ids: Ids = ()
    emails: Emails = ()
    extra_time_minutes: ExtraTimeMinutes = 0
    time_multiplier: TimeMultiplier = Field(default=1, validate_default=True)

    @model_validator(mode="after")
    def _names_somebody(self) -> Self:
        if not self.student_ids and not self.emails:
            raise ValueError("must name somebody in student_ids or emails")
        return self


class NewProctors(WireModel):
    """Proctors by id or e-mail."""

    model_config = _somebody("proctor_ids")

    proctor_ids: Ids = ()
    emails: Emails = ()

    @model_validator(mode="after")
    def _names_somebody(self) -> Self:
        if not self.proctor_ids and not self.emails:
            raise ValueError("must name somebody in proctor_ids or emails")
        return self


class Accommodation(WireModel):
    """What a student is granted from now on. What is null or left out stays."""

    extra_time_minutes: ExtraTimeMinutes | None = None
    time_multiplier: TimeMultiplier | None = None


class AssignmentNotFoundError(errors.NotFoundError):
    slug = "assignment-not-found"
    title = "Not assigned"

    def __init__(self, user_id: UUID) -> None:
        super().__init__(f"User {user_id} is not assigned to this exam.")


class StudentHasAttemptError(errors.ConflictError):
    slug = "student-has-attempt"
    title = "The student has begun"

    def __init__(self) -> None:
        super().__init__(
            "The student has an attempt, which is kept, and so is his assignment.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """Who is assigned now, and who was before and stays as he was."""

    assigned: Sequence[ListedAssignment]
    already_assigned: Sequence[UUID]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProctorsAssigned:
    assigned: Sequence[ExamProctor]
    already_assigned: Sequence[UUID]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accommodated:
    assignment: ListedAssignment
    # With its new deadline, if the student is sitting the exam.
    running_attempt: Attempt | None


class AssignmentService:
    def __init__(self, database: Database) -> None:
        self._database = database

    def assign_students(
        self, new: NewAssignments, admin: Principal, exam_id: UUID
    ) -> Assigned:
        with self._database.transaction() as tx:
            require_open(share_exam(tx, exam_id))
            wanted = resolve(
                tx, Role.STUDENT, new.student_ids, new.emails, ids_field="student_ids"
            )
            added = assignment.insert_missing(
                tx,
                exam_id,
                wanted,
                extra_time_minutes=new.extra_time_minutes,
                time_multiplier=new.time_multiplier,
            )
            if added:
                audit.append(
                    tx,
                    AuditEvent.EXAM_ASSIGNED,
                    "exam",
                    exam_id,
                    actor=admin.id,
                    payload={
                        "student_ids": [row.student_id for row in added],
                        "extra_time_minutes": new.extra_time_minutes,
                        "time_multiplier": new.time_multiplier,
                    },
                )
        is_new = {row.student_id for row in added}
        return Assigned(
            assigned=added,
            already_assigned=[one for one in wanted if one not in is_new],
        )

    def list_assignments(
        self, staff: Principal, exam_id: UUID, *, limit: int, after: UUID | None
    ) -> Page[ListedAssignment]:
        with self._database.read() as tx:
            require_exam(tx, staff, exam_id)
            rows = assignment.list_by_exam(tx, exam_id, limit=limit + 1, after=after)
        return paged(rows, limit, lambda row: (row.student_id,))

    def change_accommodation(
        self,
        new: Accommodation,
        admin: Principal,
        exam_id: UUID,
        student_id: UUID,
    ) -> Accommodated:
        """Grant more or less time, which holds at once for a running attempt.

        Raises OwnAttemptError, AssignmentNotFoundError and what `require_open` raises.
        """
        if student_id == admin.id:
            raise OwnAttemptError
        with self._database.transaction() as tx:
            its_exam = share_exam(tx, exam_id)
            # A student who starts shares this row until his attempt is there to see.
            before = assignment.get_for_update(tx, exam_id, student_id)
            if before is None:
                raise AssignmentNotFoundError(student_id)
            running = _lock_running(tx, exam_id, student_id)
            if running is None:
                # Who was reopened after an outage sits an exam that is over.
                require_open(its_exam)
            extra, multiplier = new.extra_time_minutes, new.time_multiplier
            assignment.update(
                tx,
                exam_id,
                student_id,
                extra_time_minutes=before.extra_time_minutes
                if extra is None
                else extra,
                time_multiplier=before.time_multiplier
                if multiplier is None
                else multiplier,
            )
            after = assignment.get_listed(tx, exam_id, student_id)
            if (before.extra_time_minutes, before.time_multiplier) == (
                after.extra_time_minutes,
                after.time_multiplier,
            ):
                return Accommodated(assignment=after, running_attempt=running)
            moved = attempt_deadline.recompute_of_student(tx, exam_id, student_id)
            audit.append(
                tx,
                AuditEvent.EXAM_ASSIGNMENT_CHANGED,
                "exam",
                exam_id,
                actor=admin.id,
                attempt_id=None if moved is None else moved.id,
                payload={
                    "student_id": student_id,
                    "before": {
                        "extra_time_minutes": before.extra_time_minutes,
                        "time_multiplier": before.time_multiplier,
                        "deadline_at": running and running.deadline_at,
                    },
                    "after": {
                        "extra_time_minutes": after.extra_time_minutes,
                        "time_multiplier": after.time_multiplier,
                        "deadline_at": moved and moved.deadline_at,
                    },
                },
            )
            if running is not None and moved is not None:
                record_moved(tx, {running.id: running.deadline_at}, [moved], admin)
            return Accommodated(assignment=after, running_attempt=moved)

    def unassign_student(
        self, admin: Principal, exam_id: UUID, student_id: UUID
    ) -> None:
        with (
            in_our_words({"attempts_assignment_fkey": StudentHasAttemptError}),
            self._database.transaction() as tx,
        ):
            share_exam(tx, exam_id)
            removed = assignment.delete(tx, exam_id, student_id)
            if removed is None:
                raise AssignmentNotFoundError(student_id)
            audit.append(
                tx,
                AuditEvent.EXAM_UNASSIGNED,
                "exam",
                exam_id,
                actor=admin.id,
                payload=granted(removed),
            )

    def assign_proctors(
        self, new: NewProctors, admin: Principal, exam_id: UUID
    ) -> ProctorsAssigned:
        with self._database.transaction() as tx:
            share_exam(tx, exam_id)
            wanted = resolve(
                tx, Role.PROCTOR, new.proctor_ids, new.emails, ids_field="proctor_ids"
            )
            added = exam_proctor.insert_missing(tx, exam_id, wanted)
            if added:
                audit.append(
                    tx,
                    AuditEvent.EXAM_PROCTOR_ASSIGNED,
                    "exam",
                    exam_id,
                    actor=admin.id,
                    payload={"proctor_ids": [row.proctor_id for row in added]},
                )
        is_new = {row.proctor_id for row in added}
        return ProctorsAssigned(
            assigned=added,
            already_assigned=[one for one in wanted if one not in is_new],
        )

    def list_proctors(
        self, staff: Principal, exam_id: UUID, *, limit: int, after: UUID | None
    ) -> Page[ExamProctor]:
        with self._database.read() as tx:
            require_exam(tx, staff, exam_id)
            rows = exam_proctor.list_by_exam(tx, exam_id, limit=limit + 1, after=after)
        return paged(rows, limit, lambda row: (row.proctor_id,))

    def unassign_proctor(
        self, admin: Principal, exam_id: UUID, proctor_id: UUID
    ) -> None:
        with self._database.transaction() as tx:
            share_exam(tx, exam_id)
            if not exam_proctor.delete(tx, exam_id, proctor_id):
                raise AssignmentNotFoundError(proctor_id)
            audit.append(
                tx,
                AuditEvent.EXAM_PROCTOR_UNASSIGNED,
                "exam",
                exam_id,
                actor=admin.id,
                payload={"proctor_id": proctor_id},
            )


def _lock_running(tx: Transaction, exam_id: UUID, student_id: UUID) -> Attempt | None:
    """Lock the attempt that is given time; one whose time is over is ended instead."""
    found = attempt.get_running_for_update(tx, student_id)
    if found is None or found.exam_id != exam_id:
        return None
    running = attempt_ending.end_overdue(tx, [found])
    return running[0] if running else None
