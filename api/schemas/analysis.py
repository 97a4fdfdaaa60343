"""Bodies of the analyses, the attempts as watched, and their reviews."""

from decimal import Decimal
from typing import Annotated, Final
from uuid import UUID

from pydantic import (
    AliasGenerator,
    AliasPath,
    ConfigDict,
    Field,
    StringConstraints,
)

from api.paging import PageQuery
from api.schemas.appeals import AppealResponse, HandledAppealResponse
from api.schemas.attempts import ANSWERED, AttemptResponse
from api.schemas.base import Number, ResponseModel, Time
from api.schemas.proctoring import ProctoringEventResponse
from models.attempt import AttemptStatus, ReviewStatus
from models.attempt_board import Connection
from models.exam import ExamStatus
from models.wire import Instant, Text, WireModel
from models.wire import Number as WireNumber
from services.event_catalogue import EventClass, Severity
from services.proctoring_policy import ProctoringPolicy
from services.risk import RiskLevel

ModelVersion = Annotated[
    str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9.-]+$")
]
RiskScore = Annotated[Decimal, Field(ge=0, le=100, decimal_places=2)]

IS_ERASED: Final = (
    "What it rested on was erased, and its reasons with it: that factors is empty then"
    " does not mean that there were none."
)

# The sort keys of the lists below.
TimeKey = tuple[Instant, UUID]
RiskKey = tuple[RiskScore, UUID]


class AnalysisRequest(WireModel):
    """Nothing: analyse it anew. A policy or a version: try it, changing nothing."""

    policy: ProctoringPolicy | None = None
    model_version: ModelVersion | None = None


class AnalysisQuery(WireModel):
    model_version: ModelVersion | None = Field(
        default=None, alias="version", description="The newest of this version."
    )


class SuspiciousQuery(PageQuery):
    exam_id: UUID | None = None
    min_risk: Annotated[WireNumber, Field(ge=0, le=100, decimal_places=2)] = Field(
        default=Decimal("0.01"),
        description="By default, all against whom anything weighs at all.",
    )


class ReviewRequest(WireModel):
    status: ReviewStatus
    note: Annotated[Text, StringConstraints(max_length=5000)] | None = Field(
        default=None,
        description="The student reads it: with a verdict at once, and in the export of"
        " his data.",
    )


class OwnFactorResponse(ResponseModel):
    """One reason, as its student sees it."""

    code: str
    weight: float = Field(description="The most that it can bring, 0 to 1.")
    contribution: float | None = Field(
        description="Its share of the score, in points; null while the attempt runs."
    )
    evidence: list[UUID] = Field(
        description="Events that it rests on; the first 500 of evidence_count."
    )
    evidence_count: int
    explanation: str


class FactorResponse(OwnFactorResponse):
    """One reason, as staff sees it."""

    contribution: float = Field(
        description="Its share of the score, in points; they sum to the score."
    )
    questions: list[UUID] = Field(
        description="Questions that it rests on, for what comes of answers."
    )


class ReasonResponse(ResponseModel):
    code: str
    contribution: float
    explanation: str


class CoverageResponse(ResponseModel):
    """How much was observed at all: it bears on the confidence, never on the risk."""

    observed_percent: float
    longest_gap_seconds: float
    missing_events: int


class FactorComparisonResponse(ResponseModel):
    code: str
    value: float
    median: float
    spread: float
    robust_z: float


class SimilarAttemptResponse(ResponseModel):
    attempt_id: UUID
    shared_wrong_answers: int
    expected: float
    probability: float
    question_ids: list[UUID]


class CohortResponse(ResponseModel):
    """The other students of the same exam."""

    size: int
    is_compared: bool
    factors: list[FactorComparisonResponse]
    similar_attempts: list[SimilarAttemptResponse]


class AnalysisResponse(ResponseModel):
    """An opinion on an attempt, never a verdict."""

    id: UUID
    attempt_id: UUID
    model_version: str
    is_official: bool = Field(description="false: a trial, which counts for nothing.")
    risk_score: Number
    risk_level: RiskLevel
    confidence: Number
    factors: list[FactorResponse]
    cohort: CohortResponse
    coverage: CoverageResponse
    policy: ProctoringPolicy | None = Field(description="The one that was tried.")
    inputs_hash: str = Field(
        description="SHA-256 of all that it was computed from: the same hash, the "
        "same score. Only zeros if it was erased."
    )
    is_erased: bool = Field(description=IS_ERASED)
    created_at: Time


class OwnAnalysisResponse(ResponseModel):
    """What the model says, as far as its student may know."""

    risk_score: Number | None = Field(description="null while the attempt runs.")
    risk_level: RiskLevel | None
    confidence: Number
    factors: list[OwnFactorResponse]
    coverage: CoverageResponse
    model_version: str
    is_erased: bool = Field(description=IS_ERASED)
    created_at: Time


def _within_event(name: str) -> str | AliasPath:
    beside = {"label", "factor"}
    return name if name in beside else AliasPath("event", name)


class FlagResponse(ProctoringEventResponse):
    """An event that bears on integrity. It is an observation, not an accusation."""

    model_config = ConfigDict(
        alias_generator=AliasGenerator(validation_alias=_within_event)
    )

    label: str
    factor: str | None = Field(
        description="The code of the factor that weighs it; null: the exam allows or"
        " ignores it, so that nothing does."
    )


def _within_attempt(name: str) -> str | AliasPath:
    beside = {
        "flags",
        "is_truncated",
        "analysis",
        "review_note",
        "appeals",
        "appeal_until",
    }
    return name if name in beside else AliasPath("attempt", name)


class OwnAttemptResponse(AttemptResponse):
    """A student's attempt with what is held against it, and what each thing weighs."""

    model_config = ConfigDict(
        alias_generator=AliasGenerator(validation_alias=_within_attempt)
    )

    review_status: ReviewStatus
    review_note: str | None = Field(
        description="What the reviewer says to it, once there is a verdict."
    )
    appeal_until: Time | None = Field(
        description="Until when the verdict can be contested (POST …/appeals); null: it"
        " can't, or was already."
    )
    appeals: list[AppealResponse]
    flags: list[FlagResponse]
    is_truncated: bool = Field(description="There are more than these 500 flags.")
    analysis: OwnAnalysisResponse | None = Field(
        description="null in the first seconds."
    )
    server_time: Time
    seconds_remaining: int


class EventCountResponse(ResponseModel):
    event_class: EventClass
    severity: Severity
    count: int


class WatchedExamResponse(ResponseModel):
    id: UUID
    title: str
    status: ExamStatus


class ReviewResponse(ResponseModel):
    """`allowed_statuses`: what whoever asks may make of the review now."""

    status: ReviewStatus = Field(validation_alias=AliasPath("attempt", "review_status"))
    note: str | None = Field(validation_alias=AliasPath("attempt", "review_note"))
    reviewed_by: UUID | None = Field(
        validation_alias=AliasPath("attempt", "reviewed_by")
    )
    reviewed_at: Time | None = Field(
        validation_alias=AliasPath("attempt", "reviewed_at")
    )
    allowed_statuses: list[ReviewStatus]


class WatchedAttemptResponse(AttemptResponse):
    student_id: UUID
    student_name: str
    student_email: str
    end_reason: str | None
    connection: Connection = Field(
        description="How the client is heard of: no evidence of anything."
    )
    last_seen_at: Time
    answered_count: int | None = Field(description=ANSWERED)
    server_time: Time
    seconds_remaining: int


class OverviewResponse(ResponseModel):
    """An attempt as its proctor sees it."""

    attempt: WatchedAttemptResponse
    exam: WatchedExamResponse
    analysis: AnalysisResponse | None
    event_counts: list[EventCountResponse]
    review: ReviewResponse
    appeals: list[HandledAppealResponse] = Field(
        description="While one is pending, the review stays as it is."
    )


def _within_ranked(name: str) -> str | AliasPath:
    return name if name == "reasons" else AliasPath("attempt", name)


class SuspiciousResponse(ResponseModel):
    """An attempt that a human might look at."""

    model_config = ConfigDict(
        alias_generator=AliasGenerator(validation_alias=_within_ranked)
    )

    attempt_id: UUID
    exam_id: UUID
    exam_title: str
    student_id: UUID
    student_name: str
    student_email: str
    status: AttemptStatus
    started_at: Time
    ended_at: Time | None
    review_status: ReviewStatus
    risk_score: Number
    risk_level: RiskLevel
    confidence: Number
    model_version: str
    checked_at: Time = Field(description="When the score was last up to date.")
    reasons: list[ReasonResponse] = Field(
        description="The three that weigh most, with what is in them. None of one's own"
        " attempt."
    )
