"""What the model says, and why."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from services.risk.coverage import Coverage
from services.risk.similarity import SimilarAttempt


class RiskLevel(StrEnum):
    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """One reason.

    `weight` is the most that the factor can bring, 0 to 1; `contribution` its share of
    the score in points, and the contributions sum to the score. A factor that was seen
    and does not count is listed with 0, so that a student is told of it too.
    `evidence` are ids of events, `questions` those of questions for what comes from
    answers.
    """

    code: str
    weight: float
    contribution: float
    evidence: tuple[UUID, ...]
    questions: tuple[UUID, ...]
    explanation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorComparison:
    """A factor's raw value beside those of the other students of the exam."""

    code: str
    value: float
    median: float
    spread: float
    robust_z: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortComparison:
    """For staff: `similar_attempts` names attempts of other students."""

    size: int
    is_compared: bool
    factors: tuple[FactorComparison, ...]
    similar_attempts: tuple[SimilarAttempt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """An opinion on one attempt, never a verdict. `inputs_hash` is lower-case hex."""

    attempt_id: UUID
    model_version: str
    risk_score: float
    risk_level: RiskLevel
    confidence: float
    factors: tuple[Factor, ...]
    cohort: CohortComparison
    coverage: Coverage
    inputs_hash: str
