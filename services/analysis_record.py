"""An analysis as it is stored and shown."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from pydantic import TypeAdapter

from models.ai_analysis import AiAnalysis
from services.proctoring_policy import ProctoringPolicy
from services.risk import (
    Analysis,
    CohortComparison,
    Coverage,
    Factor,
    RiskLevel,
)
from utils.uuid7 import uuid7

# A thousand episodes prove no more than these, and each analysis keeps its own list.
MAX_EVIDENCE: Final = 500
# What an erasure leaves in the place of the hash of all inputs.
ERASED_INPUTS: Final = bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFactor(Factor):
    """A factor with at most MAX_EVIDENCE of the events that it rests on."""

    evidence_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a stored analysis holds besides its columns.

    `policy` is there for a trial of one that is not the exam's.
    """

    factors: tuple[StoredFactor, ...]
    cohort: CohortComparison
    coverage: Coverage
    policy: ProctoringPolicy | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAnalysis(Result):
    """An analysis as it was made, with all that it says."""

    id: UUID
    attempt_id: UUID
    model_version: str
    is_official: bool
    risk_score: Decimal
    risk_level: RiskLevel
    confidence: Decimal
    inputs_hash: str
    created_at: datetime

    @property
    def is_erased(self) -> bool:
        """Whether its reasons are gone, which does not mean that there were none."""
        return self.inputs_hash == ERASED_INPUTS.hex()


_result: TypeAdapter[Result] = TypeAdapter(Result)


def from_model(
    made: Analysis, *, created_at: datetime, trial: ProctoringPolicy | None
) -> RecordedAnalysis:
    """Give an analysis what it needs to be stored."""
    return RecordedAnalysis(
        id=uuid7(),
        attempt_id=made.attempt_id,
        model_version=made.model_version,
        is_official=trial is None,
        risk_score=Decimal(str(made.risk_score)),
        risk_level=made.risk_level,
        confidence=Decimal(str(made.confidence)),
        factors=tuple(_bounded(factor) for factor in made.factors),
        cohort=made.cohort,
        coverage=made.coverage,
        policy=trial,
        inputs_hash=made.inputs_hash,
        created_at=created_at,
    )


def to_row(analysis: RecordedAnalysis) -> AiAnalysis:
    result = Result(
        factors=analysis.factors,
        cohort=analysis.cohort,
        coverage=analysis.coverage,
        policy=analysis.policy,
    )
    return AiAnalysis(
        id=analysis.id,
        attempt_id=analysis.attempt_id,
        model_version=analysis.model_version,
        is_official=analysis.is_official,
        risk_score=analysis.risk_score,
        risk_level=analysis.risk_level,
        confidence=analysis.confidence,
        result=_result.dump_python(result, mode="json"),
        inputs_hash=bytes.fromhex(analysis.inputs_hash),
        created_at=analysis.created_at,
    )


def from_row(row: AiAnalysis) -> RecordedAnalysis:
    result = read_result(row.result)
    return RecordedAnalysis(
        id=row.id,
        attempt_id=row.attempt_id,
        model_version=row.model_version,
        is_official=row.is_official,
        risk_score=row.risk_score,
        risk_level=RiskLevel(row.risk_level),
        confidence=row.confidence,
        factors=result.factors,
        cohort=result.cohort,
        coverage=result.coverage,
        policy=result.policy,
        inputs_hash=row.inputs_hash.hex(),
        created_at=row.created_at,
    )


def read_result(document: object) -> Result:
    """Give a stored result its type."""
    return _result.validate_python(document)


def _bounded(factor: Factor) -> StoredFactor:
    return StoredFactor(
        code=factor.code,
        weight=factor.weight,
        contribution=factor.contribution,
        evidence=factor.evidence[:MAX_EVIDENCE],
        evidence_count=len(factor.evidence),
        questions=factor.questions,
        explanation=factor.explanation,
    )
