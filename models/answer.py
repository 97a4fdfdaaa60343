"""The answers table: one row a question that the student has touched.

The trigger answers_guard takes responses while the attempt is in progress; afterwards
only the points may change.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from pydantic import JsonValue

from models.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAnswer:
    """A response that fits its question. None: the student cleared his answer."""

    question_id: UUID
    response: JsonValue
    client_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedVersion:
    question_id: UUID
    client_version: int
    saved_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVersion(SavedVersion):
    """`is_other`: of the version that was sent, and not the answer that was sent."""

    is_other: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    attempt_id: UUID
    question_id: UUID
    response: JsonValue
    client_version: int
    first_saved_at: datetime
    saved_at: datetime
    points_awarded: Decimal | None
    grader_comment: str | None
    graded_by: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What an answer earns. None while it waits for a human."""

    attempt_id: UUID
    question_id: UUID
    points: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HandMark:
    question_id: UUID
    points: Decimal
    comment: str | None


# In the order of the key, so that two saves of one attempt can't deadlock. What came
# together has one time: microseconds between its rows would look like haste.
SAVE = """
    WITH moment AS MATERIALIZED (SELECT clock_timestamp() AS now)
    INSERT INTO answers (attempt_id, exam_id, question_id, response, client_version,
                         first_saved_at, saved_at)
    SELECT %(attempt_id)s, %(exam_id)s, question_id, response::jsonb, client_version,
           now, now
      FROM moment,
           unnest(%(question_ids)s::uuid[], %(responses)s::text[],
                  %(versions)s::bigint[])
           AS given(question_id, response, client_version)
     ORDER BY question_id
        ON CONFLICT ON CONSTRAINT answers_pkey DO UPDATE
       SET response = excluded.response, client_version = excluded.client_version,
           saved_at = excluded.saved_at
     WHERE answers.client_version < excluded.client_version
 RETURNING question_id, client_version, saved_at
"""

LIST_VERSIONS = """
    SELECT answers.question_id, answers.client_version, saved_at,
           answers.client_version = given.client_version
           AND answers.response <> given.response::jsonb AS is_other
      FROM unnest(%(question_ids)s::uuid[], %(responses)s::text[],
                  %(versions)s::bigint[])
           AS given(question_id, response, client_version)
      JOIN answers ON answers.attempt_id = %(attempt_id)s
                  AND answers.question_id = given.question_id
"""

LIST_BY_ATTEMPTS = """
    SELECT attempt_id, question_id, response, client_version, first_saved_at, saved_at,
           points_awarded, grader_comment, graded_by
      FROM answers
     WHERE attempt_id = ANY(%(attempt_ids)s)
     ORDER BY attempt_id, question_id
"""

MARK = """
    UPDATE answers SET points_awarded = mark.points
      FROM unnest(%(attempt_ids)s::uuid[], %(question_ids)s::uuid[],
                  %(points)s::numeric[]) AS mark(attempt_id, question_id, points)
     WHERE answers.attempt_id = mark.attempt_id
       AND answers.question_id = mark.question_id
"""

CLEAR_MARKS = """
    UPDATE answers
       SET points_awarded = NULL, grader_comment = NULL, graded_by = NULL
     WHERE attempt_id = %(attempt_id)s
"""

MARK_BY_HAND = """
    UPDATE answers
       SET points_awarded = mark.points, grader_comment = mark.comment,
           graded_by = %(graded_by)s
      FROM unnest(%(question_ids)s::uuid[], %(points)s::numeric[], %(comments)s::text[])
           AS mark(question_id, points, comment)
     WHERE answers.attempt_id = %(attempt_id)s
       AND answers.question_id = mark.question_id
"""


def save(
    tx: Transaction, attempt_id: UUID, exam_id: UUID, answers: Sequence[NewAnswer]
) -> list[SavedVersion]:
    """Store the answers that are newer than the stored ones, and return those.

    Raises ConstraintError `answers_question_fkey` for a question of another exam and
    `answers_attempt_running` for an attempt that is not in progress, or over.
    """
    names = {"attempt_id": attempt_id, "exam_id": exam_id, **_columns(answers)}
    return tx.all(SavedVersion, SAVE, names)


def list_versions(
    tx: Transaction, attempt_id: UUID, answers: Sequence[NewAnswer]
) -> list[StoredVersion]:
    """Return what is stored in the place of these answers."""
    names = {"attempt_id": attempt_id, **_columns(answers)}
    return tx.all(StoredVersion, LIST_VERSIONS, names)


def _columns(answers: Sequence[NewAnswer]) -> dict[str, list[object]]:
    return {
        "question_ids": [answer.question_id for answer in answers],
        "responses": [json.dumps(answer.response) for answer in answers],
        "versions": [answer.client_version for answer in answers],
    }


def list_by_attempts(tx: Transaction, attempt_ids: Sequence[UUID]) -> list[Answer]:
    return tx.all(Answer, LIST_BY_ATTEMPTS, {"attempt_ids": list(attempt_ids)})


def mark(tx: Transaction, marks: Sequence[Mark]) -> None:
    """Write what answers earn by their keys."""
    names = {
        "attempt_ids": [mark.attempt_id for mark in marks],
        "question_ids": [mark.question_id for mark in marks],
        "points": [mark.points for mark in marks],
    }
    tx.execute(MARK, names)


def clear_marks(tx: Transaction, attempt_id: UUID) -> None:
    """Forget what all answers of an attempt have earned, and who said so."""
    tx.execute(CLEAR_MARKS, {"attempt_id": attempt_id})


def mark_by_hand(
    tx: Transaction, attempt_id: UUID, graded_by: UUID, marks: Sequence[HandMark]
) -> int:
    """Write what a human awarded, and return how many of the answers exist."""
    names = {
        "attempt_id": attempt_id,
        "graded_by": graded_by,
        "question_ids": [mark.question_id for mark in marks],
        "points": [mark.points for mark in marks],
        "comments": [mark.comment for mark in marks],
    }
    return tx.execute(MARK_BY_HAND, names)
