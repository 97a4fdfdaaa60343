"""An explainable risk model over an attempt's events and answers.

members = tuple(measure(each, policy) for each in attempts_of_the_exam)
cohort = Cohort(members=members)
analyses = [analyse(each, cohort, policy) for each in attempts_of_the_exam]
"""

from services.risk.analysis import (
    Analysis,
    CohortComparison,
    Factor,
    FactorComparison,
    RiskLevel,
)
from services.risk.cohort import Cohort, CohortMember, TimedAnswer, timed_answers
from services.risk.coverage import Coverage
from services.risk.inputs import AnsweredQuestion, AttemptInputs, ObservedEvent, Pause
from services.risk.model import analyse, level_of, measure
from services.risk.similarity import SimilarAttempt
from services.risk.weighting import (
    MODEL_VERSION,
    WEIGHTINGS,
    UnknownModelVersionError,
    Weighting,
)

__all__ = [
    "MODEL_VERSION",
    "WEIGHTINGS",
    "Analysis",
    "AnsweredQuestion",
    "AttemptInputs",
    "Cohort",
    "CohortComparison",
    "CohortMember",
    "Coverage",
    "Factor",
    "FactorComparison",
    "ObservedEvent",
    "Pause",
    "RiskLevel",
    "SimilarAttempt",
    "TimedAnswer",
    "UnknownModelVersionError",
    "Weighting",
    "analyse",
    "level_of",
    "measure",
    "timed_answers",
]
