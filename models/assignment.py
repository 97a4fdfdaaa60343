"""The exam_assignments table: who may sit which exam, with how much more time.

A row that an attempt refers to can not be deleted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import LiteralString
from uuid import UUID

from models.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    exam_id: UUID
    student_id: UUID
    extra_time_minutes: int
    time_multiplier: Decimal
    assigned_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedAssignment(Assignment):
    """An assignment with its student and how often he has sat the exam."""

    email: str
    full_name: str
    attempts_used: int


COLUMNS: LiteralString = """
    exam_id, student_id, extra_time_minutes, time_multiplier, assigned_at
"""

GET: LiteralString = (
    "SELECT" + COLUMNS + "FROM exam_assignments"
    " WHERE exam_id = %(exam_id)s AND student_id = %(student_id)s"
)

FOR_SHARE: LiteralString = " FOR SHARE"

FOR_CHANGE: LiteralString = " FOR NO KEY UPDATE"

COUNT: LiteralString = (
    "SELECT count(*) FROM exam_assignments WHERE exam_id = %(exam_id)s"
)

# In the order of ids: of two who assign the same students, one waits for the other.
INSERT_MISSING: LiteralString = """
    WITH added AS (
        INSERT INTO exam_assignments
            (exam_id, student_id, extra_time_minutes, time_multiplier)
        SELECT %(exam_id)s, student_id, %(extra_time_minutes)s, %(time_multiplier)s
          FROM unnest(%(student_ids)s::uuid[]) AS wanted (student_id)
         ORDER BY student_id
        ON CONFLICT ON CONSTRAINT exam_assignments_pkey DO NOTHING
        RETURNING exam_id, student_id, extra_time_minutes, time_multiplier,
                  assigned_at)
    SELECT added.exam_id, added.student_id, added.extra_time_minutes,
           added.time_multiplier, added.assigned_at,
           users.email, users.full_name, 0 AS attempts_used
      FROM added JOIN users ON users.id = added.student_id
     ORDER BY added.student_id
"""

LIST_ALL: LiteralString = (
    "SELECT" + COLUMNS + "FROM exam_assignments"
    " WHERE exam_id = %(exam_id)s ORDER BY student_id"
)

LIST_BY_EXAM: LiteralString = """
    SELECT assigned.exam_id, assigned.student_id, assigned.extra_time_minutes,
           assigned.time_multiplier, assigned.assigned_at,
           users.email, users.full_name,
           (SELECT count(*) FROM attempts
             WHERE attempts.exam_id = assigned.exam_id
               AND attempts.student_id = assigned.student_id
               AND attempts.status <> 'voided') AS attempts_used
      FROM exam_assignments AS assigned
      JOIN users ON users.id = assigned.student_id
     WHERE assigned.exam_id = %(exam_id)s
       AND (%(student_id)s::uuid IS NULL OR assigned.student_id = %(student_id)s)
       AND (%(after)s::uuid IS NULL OR assigned.student_id > %(after)s)
     ORDER BY assigned.student_id
     LIMIT %(limit)s
"""

UPDATE: LiteralString = """
    UPDATE exam_assignments
       SET extra_time_minutes = %(extra_time_minutes)s,
           time_multiplier = %(time_multiplier)s
     WHERE exam_id = %(exam_id)s AND student_id = %(student_id)s
"""

DELETE: LiteralString = """
    DELETE FROM exam_assignments
     WHERE exam_id = %(exam_id)s AND student_id = %(student_id)s
    RETURNING exam_id, student_id, extra_time_minutes, time_multiplier, assigned_at
"""


def get(tx: Transaction, exam_id: UUID, student_id: UUID) -> Assignment | None:
    return tx.one_or_none(Assignment, GET, _key(exam_id, student_id))


def get_for_share(
    tx: Transaction, exam_id: UUID, student_id: UUID
) -> Assignment | None:
    return tx.one_or_none(Assignment, GET + FOR_SHARE, _key(exam_id, student_id))


def get_for_update(
    tx: Transaction, exam_id: UUID, student_id: UUID
) -> Assignment | None:
    return tx.one_or_none(Assignment, GET + FOR_CHANGE, _key(exam_id, student_id))


def insert_missing(
    tx: Transaction,
    exam_id: UUID,
    student_ids: Sequence[UUID],
    *,
    extra_time_minutes: int,
    time_multiplier: Decimal,
) -> Sequence[ListedAssignment]:
    """Assign those who are not assigned yet, and return them."""
    return tx.all(
        ListedAssignment,
        INSERT_MISSING,
        {
            "exam_id": exam_id,
            "student_ids": list(student_ids),
            "extra_time_minutes": extra_time_minutes,
            "time_multiplier": time_multiplier,
        },
    )


def list_by_exam(
    tx: Transaction, exam_id: UUID, *, limit: int, after: UUID | None = None
) -> Sequence[ListedAssignment]:
    names = {"exam_id": exam_id, "student_id": None, "after": after, "limit": limit}
    return tx.all(ListedAssignment, LIST_BY_EXAM, names)


def list_all(tx: Transaction, exam_id: UUID) -> Sequence[Assignment]:
    """Read all that an exam has, however many."""
    return tx.all(Assignment, LIST_ALL, {"exam_id": exam_id})


def get_listed(tx: Transaction, exam_id: UUID, student_id: UUID) -> ListedAssignment:
    """Read one that is there."""
    names = {"exam_id": exam_id, "student_id": student_id, "after": None, "limit": 1}
    return tx.one(ListedAssignment, LIST_BY_EXAM, names)


def count(tx: Transaction, exam_id: UUID) -> int:
    """Count the students of an exam."""
    return int(tx.scalar(COUNT, {"exam_id": exam_id}))


def update(
    tx: Transaction,
    exam_id: UUID,
    student_id: UUID,
    *,
    extra_time_minutes: int,
    time_multiplier: Decimal,
) -> bool:
    """Change the accommodation. The deadline of a running attempt does not follow."""
    row = {"extra_time_minutes": extra_time_minutes, "time_multiplier": time_multiplier}
    return tx.execute(UPDATE, _key(exam_id, student_id) | row) == 1


def delete(tx: Transaction, exam_id: UUID, student_id: UUID) -> Assignment | None:
    """Delete one, and return what it was.

    ConstraintError `attempts_assignment_fkey` if the student has an attempt.
    """
    return tx.one_or_none(Assignment, DELETE, _key(exam_id, student_id))


def _key(exam_id: UUID, student_id: UUID) -> dict[str, object]:
    return {"exam_id": exam_id, "student_id": student_id}
