"""One row an attempt: who sat an exam and what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import LiteralString
from uuid import UUID

from models.attempt import AttemptStatus, EndedBy, ReviewStatus
from models.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamResult:
    attempt_id: UUID
    student_id: UUID
    email: str
    full_name: str
    attempt_number: int
    status: AttemptStatus
    # None as long as an answer waits for a human.
    score: Decimal | None
    max_score: Decimal
    # Rounded half up to two places; `is_passed` is decided by the exact share.
    percent: Decimal | None
    is_passed: bool | None
    started_at: datetime
    deadline_at: datetime
    ended_at: datetime | None
    ended_by: EndedBy | None
    # None: no analysis yet.
    risk_score: Decimal | None
    risk_level: str | None
    review_status: ReviewStatus


LIST: LiteralString = """
    SELECT attempts.id AS attempt_id, attempts.student_id, users.email,
           users.full_name, attempts.attempt_number, attempts.status, attempts.score,
           attempts.max_score,
           round(100 * attempts.score / nullif(attempts.max_score, 0), 2) AS percent,
           attempts.is_passed, attempts.started_at, attempts.deadline_at,
           attempts.ended_at, attempts.ended_by, attempt_risk.risk_score,
           ai_analyses.risk_level, attempts.review_status
      FROM attempts
      JOIN users ON users.id = attempts.student_id
      LEFT JOIN attempt_risk ON attempt_risk.attempt_id = attempts.id
      LEFT JOIN ai_analyses ON ai_analyses.id = attempt_risk.analysis_id
     WHERE attempts.exam_id = %(exam_id)s
       AND (%(after)s::uuid IS NULL OR attempts.id > %(after)s)
     ORDER BY attempts.id
     LIMIT %(limit)s
"""


def list_page(
    tx: Transaction, exam_id: UUID, *, limit: int, after: UUID | None = None
) -> Sequence[ExamResult]:
    """Read results in the order in which the attempts were begun."""
    return tx.all(
        ExamResult, LIST, {"exam_id": exam_id, "after": after, "limit": limit}
    )
