"""The ai_analyses table, and attempt_risk, which points at the newest official ones.

Analyses are added, never changed: a score can always be shown as it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import LiteralString
from uuid import UUID

from pydantic import JsonValue

from models.attempt import AttemptStatus, ReviewStatus
from models.transaction import Transaction, as_json, columns_of


@dataclass(frozen=True, slots=True, kw_only=True)
class AiAnalysis:
    """`created_at` is the moment whose data were analysed.

    `result` holds what the model gave besides the columns; services/analysis_record.py
    gives it a type.
    """

    id: UUID
    attempt_id: UUID
    model_version: str
    # False: a weighting that was only tried.
    is_official: bool
    risk_score: Decimal
    risk_level: str
    confidence: Decimal
    result: dict[str, JsonValue]
    inputs_hash: bytes
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedAttempt:
    """An attempt in the list by risk."""

    attempt_id: UUID
    exam_id: UUID
    exam_title: str
    student_id: UUID
    student_name: str
    student_email: str
    status: AttemptStatus
    started_at: datetime
    ended_at: datetime | None
    review_status: ReviewStatus
    risk_score: Decimal
    risk_level: str
    confidence: Decimal
    model_version: str
    result: dict[str, JsonValue]
    checked_at: datetime


COLUMNS: LiteralString = """
    id, attempt_id, model_version, is_official, risk_score, risk_level, confidence,
    result, inputs_hash, created_at
"""

INSERT: LiteralString = """
    INSERT INTO ai_analyses (
        id, attempt_id, model_version, is_official, risk_score, risk_level, confidence,
        result, inputs_hash, created_at)
    VALUES (
        %(id)s, %(attempt_id)s, %(model_version)s, %(is_official)s, %(risk_score)s,
        %(risk_level)s, %(confidence)s, %(result)s, %(inputs_hash)s, %(created_at)s)
"""

# Two may analyse one attempt at the same time; the newer data win, whoever is first.
POINT: LiteralString = """
    INSERT INTO attempt_risk (attempt_id, exam_id, analysis_id, risk_score, checked_at)
    SELECT attempts.id, attempts.exam_id, %(analysis_id)s, %(risk_score)s, %(now)s
      FROM attempts WHERE attempts.id = %(attempt_id)s
        ON CONFLICT ON CONSTRAINT attempt_risk_pkey DO UPDATE
       SET analysis_id = excluded.analysis_id, risk_score = excluded.risk_score,
           checked_at = excluded.checked_at
     WHERE attempt_risk.checked_at <= excluded.checked_at
"""

CONFIRM: LiteralString = """
    UPDATE attempt_risk SET checked_at = greatest(checked_at, %(now)s)
     WHERE attempt_id = %(attempt_id)s
"""

GET_LATEST: LiteralString = (
    "SELECT"
    + COLUMNS
    + """
      FROM ai_analyses
     WHERE attempt_id = %(attempt_id)s AND is_official
       AND (%(model_version)s::text IS NULL OR model_version = %(model_version)s)
     ORDER BY created_at DESC, id DESC
     LIMIT 1
"""
)

FIND_TRIAL: LiteralString = (
    "SELECT"
    + COLUMNS
    + """
      FROM ai_analyses
     WHERE attempt_id = %(attempt_id)s AND NOT is_official
       AND inputs_hash = %(inputs_hash)s
     ORDER BY created_at, id
     LIMIT 1
"""
)

LIST_PAGE: LiteralString = (
    "SELECT"
    + COLUMNS
    + """
      FROM ai_analyses
     WHERE attempt_id = %(attempt_id)s
       AND (%(before_time)s::timestamptz IS NULL
            OR (created_at, id) < (%(before_time)s::timestamptz, %(before_id)s::uuid))
     ORDER BY created_at DESC, id DESC
     LIMIT %(limit)s
"""
)

RANKED: LiteralString = """
    SELECT attempt_risk.attempt_id, attempt_risk.exam_id, exams.title AS exam_title,
           attempts.student_id, users.full_name AS student_name,
           users.email AS student_email, attempts.status, attempts.started_at,
           attempts.ended_at, attempts.review_status, attempt_risk.risk_score,
           ai_analyses.risk_level, ai_analyses.confidence, ai_analyses.model_version,
           ai_analyses.result, attempt_risk.checked_at
"""
DETAILS: LiteralString = """
      JOIN ai_analyses ON ai_analyses.id = attempt_risk.analysis_id
      JOIN attempts ON attempts.id = attempt_risk.attempt_id
      JOIN exams ON exams.id = attempt_risk.exam_id
      JOIN users ON users.id = attempts.student_id
     ORDER BY attempt_risk.risk_score DESC, attempt_risk.attempt_id DESC
"""

FIRST_OF_ALL: LiteralString = """
      FROM (SELECT * FROM attempt_risk
             WHERE risk_score >= %(min_risk)s
               AND (%(exam_id)s::uuid IS NULL OR exam_id = %(exam_id)s)
               AND (%(below_score)s::numeric IS NULL
                    OR (risk_score, attempt_id)
                       < (%(below_score)s::numeric, %(below_id)s::uuid))
             ORDER BY risk_score DESC, attempt_id DESC
             LIMIT %(limit)s) AS attempt_risk
"""

# The first of each exam, and the first of these: whoever has few exams, or such without
# risk, would otherwise have those of the whole school looked through.
FIRST_FOR_PROCTOR: LiteralString = """
      FROM (SELECT first.*
              FROM exam_proctors
             CROSS JOIN LATERAL (
                   SELECT * FROM attempt_risk
                    WHERE exam_id = exam_proctors.exam_id AND risk_score >= %(min_risk)s
                      AND (%(below_score)s::numeric IS NULL
                           OR (risk_score, attempt_id)
                              < (%(below_score)s::numeric, %(below_id)s::uuid))
                    ORDER BY risk_score DESC, attempt_id DESC
                    LIMIT %(limit)s) AS first
             WHERE exam_proctors.proctor_id = %(proctor_id)s
               AND (%(exam_id)s::uuid IS NULL OR exam_proctors.exam_id = %(exam_id)s)
             ORDER BY first.risk_score DESC, first.attempt_id DESC
             LIMIT %(limit)s) AS attempt_risk
"""

LIST_BY_RISK: LiteralString = RANKED + FIRST_OF_ALL + DETAILS
LIST_BY_RISK_FOR_PROCTOR: LiteralString = RANKED + FIRST_FOR_PROCTOR + DETAILS


def insert(tx: Transaction, new: AiAnalysis) -> None:
    tx.execute(INSERT, columns_of(new) | {"result": as_json(new.result)})


def point_at(tx: Transaction, newest: AiAnalysis) -> None:
    """Make it the attempt's risk, unless newer data have been analysed already."""
    names = {
        "attempt_id": newest.attempt_id,
        "analysis_id": newest.id,
        "risk_score": newest.risk_score,
        "now": newest.created_at,
    }
    tx.execute(POINT, names)


def confirm(tx: Transaction, attempt_id: UUID, now: datetime) -> None:
    """Note that the data of `now` give the analysis that is there."""
    tx.execute(CONFIRM, {"attempt_id": attempt_id, "now": now})


def get_latest(
    tx: Transaction, attempt_id: UUID, model_version: str | None = None
) -> AiAnalysis | None:
    """Read the newest official analysis, of one version of the model or of any."""
    names = {"attempt_id": attempt_id, "model_version": model_version}
    return tx.one_or_none(AiAnalysis, GET_LATEST, names)


def find_trial(
    tx: Transaction, attempt_id: UUID, inputs_hash: bytes
) -> AiAnalysis | None:
    """Read the trial that was made of exactly these inputs, if there is one."""
    names = {"attempt_id": attempt_id, "inputs_hash": inputs_hash}
    return tx.one_or_none(AiAnalysis, FIND_TRIAL, names)


def list_page(
    tx: Transaction,
    attempt_id: UUID,
    *,
    limit: int,
    before: tuple[datetime, UUID] | None = None,
) -> Sequence[AiAnalysis]:
    """Read all analyses of an attempt, trials too, the newest first."""
    names = {
        "attempt_id": attempt_id,
        "limit": limit,
        "before_time": before[0] if before else None,
        "before_id": before[1] if before else None,
    }
    return tx.all(AiAnalysis, LIST_PAGE, names)


def list_by_risk(
    tx: Transaction,
    *,
    min_risk: Decimal,
    limit: int,
    exam_id: UUID | None,
    proctor_id: UUID | None,
    below: tuple[Decimal, UUID] | None,
) -> Sequence[RankedAttempt]:
    """Read attempts by risk, the highest first; for a proctor, those of his exams."""
    names = {
        "min_risk": min_risk,
        "limit": limit,
        "exam_id": exam_id,
        "proctor_id": proctor_id,
        "below_score": below[0] if below else None,
        "below_id": below[1] if below else None,
    }
    statement = LIST_BY_RISK if proctor_id is None else LIST_BY_RISK_FOR_PROCTOR
    return tx.all(RankedAttempt, statement, names)
