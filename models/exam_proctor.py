"""The exam_proctors table: who watches and reviews which exam."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from models.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamProctor:
    exam_id: UUID
    proctor_id: UUID
    assigned_at: datetime
    email: str
    full_name: str


IS_ASSIGNED: LiteralString = """
    SELECT EXISTS (SELECT FROM exam_proctors
                    WHERE exam_id = %(exam_id)s AND proctor_id = %(proctor_id)s)
"""

# In the order of ids: of two who assign the same proctors, one waits for the other.
INSERT_MISSING: LiteralString = """
    WITH added AS (
        INSERT INTO exam_proctors (exam_id, proctor_id)
        SELECT %(exam_id)s, proctor_id
          FROM unnest(%(proctor_ids)s::uuid[]) AS wanted (proctor_id)
         ORDER BY proctor_id
        ON CONFLICT ON CONSTRAINT exam_proctors_pkey DO NOTHING
        RETURNING exam_id, proctor_id, assigned_at)
    SELECT added.exam_id, added.proctor_id, added.assigned_at,
           users.email, users.full_name
      FROM added JOIN users ON users.id = added.proctor_id
     ORDER BY added.proctor_id
"""

LIST_IDS: LiteralString = """
    SELECT coalesce(array_agg(proctor_id ORDER BY proctor_id), '{}')
      FROM exam_proctors WHERE exam_id = %(exam_id)s
"""

LIST_BY_EXAM: LiteralString = """
    SELECT exam_proctors.exam_id, exam_proctors.proctor_id, exam_proctors.assigned_at,
           users.email, users.full_name
      FROM exam_proctors JOIN users ON users.id = exam_proctors.proctor_id
     WHERE exam_proctors.exam_id = %(exam_id)s
       AND (%(after)s::uuid IS NULL OR exam_proctors.proctor_id > %(after)s)
     ORDER BY exam_proctors.proctor_id
     LIMIT %(limit)s
"""

DELETE: LiteralString = """
    DELETE FROM exam_proctors
     WHERE exam_id = %(exam_id)s AND proctor_id = %(proctor_id)s
"""


def is_assigned(tx: Transaction, exam_id: UUID, user_id: UUID) -> bool:
    """Whether the user watches this exam."""
    return bool(tx.scalar(IS_ASSIGNED, {"exam_id": exam_id, "proctor_id": user_id}))


def insert_missing(
    tx: Transaction, exam_id: UUID, proctor_ids: Sequence[UUID]
) -> Sequence[ExamProctor]:
    """Assign those who are not assigned yet, and return them."""
    return tx.all(
        ExamProctor,
        INSERT_MISSING,
        {"exam_id": exam_id, "proctor_ids": list(proctor_ids)},
    )


def list_by_exam(
    tx: Transaction, exam_id: UUID, *, limit: int, after: UUID | None = None
) -> Sequence[ExamProctor]:
    return tx.all(
        ExamProctor,
        LIST_BY_EXAM,
        {"exam_id": exam_id, "after": after, "limit": limit},
    )


def list_ids(tx: Transaction, exam_id: UUID) -> Sequence[UUID]:
    """Read the ids of all who watch an exam."""
    ids: list[UUID] = tx.scalar(LIST_IDS, {"exam_id": exam_id})
    return ids


def delete(tx: Transaction, exam_id: UUID, user_id: UUID) -> bool:
    return tx.execute(DELETE, {"exam_id": exam_id, "proctor_id": user_id}) == 1
