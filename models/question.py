"""The questions table. Frozen from the first attempt on (trigger questions_guard)."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import LiteralString
from uuid import UUID

from pydantic import JsonValue

from models.question_types import QuestionKind
from models.transaction import Transaction, as_json, columns_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question with its key. No student may ever be given one."""

    id: UUID
    exam_id: UUID
    position: int
    kind: QuestionKind
    text: str
    points: Decimal
    body: dict[str, JsonValue]
    answer_key: dict[str, JsonValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenQuestion:
    """What a student may see of a question during his attempt."""

    id: UUID
    position: int
    kind: QuestionKind
    text: str
    points: Decimal
    body: dict[str, JsonValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much there is to answer."""

    question_count: int
    total_points: Decimal


LIST_BY_EXAM: LiteralString = """
    SELECT id, exam_id, position, kind, text, points, body, answer_key
      FROM questions
     WHERE exam_id = %(exam_id)s
     ORDER BY position
"""

LIST_OPEN_BY_EXAM: LiteralString = """
    SELECT id, position, kind, text, points, body
      FROM questions
     WHERE exam_id = %(exam_id)s
     ORDER BY position
"""

LIST_OPEN: LiteralString = """
    SELECT id, position, kind, text, points, body
      FROM questions
     WHERE exam_id = %(exam_id)s AND id = ANY (%(ids)s)
"""

GET: LiteralString = """
    SELECT id, exam_id, position, kind, text, points, body, answer_key
      FROM questions
     WHERE exam_id = %(exam_id)s AND id = %(id)s
"""

EXTENT: LiteralString = """
    SELECT count(*) AS question_count, coalesce(sum(points), 0) AS total_points
      FROM questions
     WHERE exam_id = %(exam_id)s
"""

INSERT_MANY: LiteralString = """
    INSERT INTO questions
        (id, exam_id, position, kind, text, points, body, answer_key)
    SELECT id, %(exam_id)s, position, kind, text, points, body, answer_key
      FROM jsonb_to_recordset(%(rows)s) AS new (
           id uuid, position integer, kind text, text text, points numeric,
           body jsonb, answer_key jsonb)
"""

UPDATE: LiteralString = """
    UPDATE questions
       SET kind = %(kind)s, text = %(text)s, points = %(points)s, body = %(body)s,
           answer_key = %(answer_key)s
     WHERE exam_id = %(exam_id)s AND id = %(id)s
"""

DELETE: LiteralString = """
    DELETE FROM questions WHERE exam_id = %(exam_id)s AND id = %(id)s
"""

# Positions are checked at the commit, so they may collide in between.
CLOSE_GAP: LiteralString = """
    UPDATE questions SET position = position - 1
     WHERE exam_id = %(exam_id)s AND position > %(position)s
"""

DELETE_ALL: LiteralString = "DELETE FROM questions WHERE exam_id = %(exam_id)s"


def list_by_exam(tx: Transaction, exam_id: UUID) -> Sequence[Question]:
    """Read all questions with their keys, in order. For staff and for grading."""
    return tx.all(Question, LIST_BY_EXAM, {"exam_id": exam_id})


def list_open_by_exam(tx: Transaction, exam_id: UUID) -> Sequence[OpenQuestion]:
    """Read all questions without their keys, in order."""
    return tx.all(OpenQuestion, LIST_OPEN_BY_EXAM, {"exam_id": exam_id})


def list_open(
    tx: Transaction, exam_id: UUID, question_ids: Sequence[UUID]
) -> Sequence[OpenQuestion]:
    """Read some questions without their keys, in no particular order."""
    names = {"exam_id": exam_id, "ids": list(question_ids)}
    return tx.all(OpenQuestion, LIST_OPEN, names)


def get(tx: Transaction, exam_id: UUID, question_id: UUID) -> Question | None:
    return tx.one_or_none(Question, GET, {"exam_id": exam_id, "id": question_id})


def extent(tx: Transaction, exam_id: UUID) -> Extent:
    return tx.one(Extent, EXTENT, {"exam_id": exam_id})


def insert_many(tx: Transaction, exam_id: UUID, questions: Sequence[Question]) -> None:
    """Add questions in one statement. ConstraintError `exams_frozen`."""
    rows: list[dict[str, object]] = [
        {
            "id": str(question.id),
            "position": question.position,
            "kind": question.kind,
            "text": question.text,
            # A string, because JSON has no exact number.
            "points": str(question.points),
            "body": question.body,
            "answer_key": question.answer_key,
        }
        for question in questions
    ]
    tx.execute(INSERT_MANY, {"exam_id": exam_id, "rows": as_json(rows)})


def update(tx: Transaction, question: Question) -> bool:
    """Write a question anew, in its place. ConstraintError `exams_frozen`."""
    return tx.execute(UPDATE, columns_of(question)) == 1


def delete(tx: Transaction, question: Question) -> None:
    """Remove a question and move the later ones up. ConstraintError `exams_frozen`."""
    key = {"exam_id": question.exam_id, "id": question.id}
    tx.execute(DELETE, key)
    tx.execute(CLOSE_GAP, key | {"position": question.position})


def delete_all(tx: Transaction, exam_id: UUID) -> int:
    """ConstraintError `exams_frozen`."""
    return tx.execute(DELETE_ALL, {"exam_id": exam_id})
