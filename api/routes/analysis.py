"""Endpoints through which staff watches attempts, weighs and reviews them."""

from uuid import UUID

from flask import Blueprint
from pydantic import TypeAdapter

from api.context import services
from api.contract import (
    PageResponse,
    Reply,
    accepts,
    authenticated,
    idempotent,
    may_accept,
    may_fail,
    queries,
    returns,
)
from api.evidence import exams_in, shows, shows_some
from api.paging import PageQuery
from api.schemas.analysis import (
    AnalysisQuery,
    AnalysisRequest,
    AnalysisResponse,
    OverviewResponse,
    ReviewRequest,
    ReviewResponse,
    RiskKey,
    SuspiciousQuery,
    SuspiciousResponse,
    TimeKey,
)
from api.schemas.proctoring import (
    EventsQuery,
    NoteRequest,
    ProctoringEventResponse,
    RecordedEventResponse,
)
from models.attempt_review import Review
from models.page import Page
from models.principal import Principal, Role
from models.proctoring import EventFilter, StoredEvent
from services.analysis_record import RecordedAnalysis
from services.analysis_service import SuspiciousAttempt
from services.evidence_views import What
from services.proctoring_reads import AttemptOverview
from services.review_service import RecordedNote, ReviewedAttempt

bp = Blueprint("analysis", __name__, url_prefix="/api/proctoring")

time_key: TypeAdapter[TimeKey] = TypeAdapter(TimeKey)
risk_key: TypeAdapter[RiskKey] = TypeAdapter(RiskKey)


@bp.post("/attempt/<uuid:attempt_id>/ai-analysis")
@returns(AnalysisResponse, 201, or_status=(200,))
@may_fail(404, 409)
@authenticated(Role.ADMIN)
@may_accept(AnalysisRequest)
# What there was already is shown without an entry of its own.
@shows(What.ANALYSIS)
def compute_analysis(
    body: AnalysisRequest, admin: Principal, attempt_id: UUID
) -> Reply:
    """Analyse anew, or try a policy (201). The same inputs give the same (200)."""
    computed = services().analysis.compute(
        admin, attempt_id, policy=body.policy, model_version=body.model_version
    )
    return Reply(computed.analysis, 201 if computed.is_new else 200)


@bp.post("/attempt/<uuid:attempt_id>/notes")
@idempotent
@returns(RecordedEventResponse, 201)
@may_fail(404)
@authenticated(Role.ADMIN, Role.PROCTOR)
@accepts(NoteRequest)
def record_note(body: NoteRequest, staff: Principal, attempt_id: UUID) -> RecordedNote:
    """Record what a proctor saw, as an event of the attempt."""
    return services().reviews.record_note(staff, attempt_id, body.event_type, body.text)


@bp.get("/attempt/<uuid:attempt_id>")
@returns(OverviewResponse)
@may_fail(404)
@authenticated(Role.ADMIN, Role.PROCTOR)
@shows(What.OVERVIEW)
def read_attempt(staff: Principal, attempt_id: UUID) -> AttemptOverview:
    """Return an attempt with its student, its risk, its events and its review."""
    return services().proctoring_reads.read_attempt(staff, attempt_id)


@bp.get("/attempt/<uuid:attempt_id>/events")
@returns(PageResponse[ProctoringEventResponse])
@may_fail(404)
@authenticated(Role.ADMIN, Role.PROCTOR)
@queries(EventsQuery)
@shows(What.EVENTS)
def list_events(
    query: EventsQuery, staff: Principal, attempt_id: UUID
) -> Page[StoredEvent]:
    """List an attempt's events in the order in which they occurred."""
    wanted = EventFilter(
        event_type=query.event_type,
        event_class=query.event_class,
        severity=query.severity,
        since=query.since,
        until=query.until,
    )
    return services().proctoring_reads.list_events(
        staff, attempt_id, wanted, limit=query.limit, after=query.after(time_key)
    )


@bp.get("/attempt/<uuid:attempt_id>/ai-analysis")
@returns(AnalysisResponse)
@may_fail(404)
@authenticated(Role.ADMIN, Role.PROCTOR)
@queries(AnalysisQuery)
@shows(What.ANALYSIS)
def read_analysis(
    query: AnalysisQuery, staff: Principal, attempt_id: UUID
) -> RecordedAnalysis:
    """Return the newest analysis that counts."""
    return services().analysis.read_latest(staff, attempt_id, query.model_version)


@bp.get("/attempt/<uuid:attempt_id>/ai-analysis/history")
@returns(PageResponse[AnalysisResponse])
@may_fail(404)
@authenticated(Role.ADMIN, Role.PROCTOR)
@queries(PageQuery)
@shows(What.ANALYSIS)
def list_analyses(
    query: PageQuery, staff: Principal, attempt_id: UUID
) -> Page[RecordedAnalysis]:
    """List all analyses of an attempt, trials too, the newest first."""
    return services().analysis.list_history(
        staff, attempt_id, limit=query.limit, before=query.after(time_key)
    )


@bp.get("/suspicious")
@returns(PageResponse[SuspiciousResponse])
@may_fail(404)
@authenticated(Role.ADMIN, Role.PROCTOR)
@queries(SuspiciousQuery)
@shows_some(What.RISK_LIST, exams_in)
def list_suspicious(
    query: SuspiciousQuery, staff: Principal
) -> Page[SuspiciousAttempt]:
    """List attempts by risk, the highest first, with their reasons."""
    return services().analysis.list_suspicious(
        staff,
        exam_id=query.exam_id,
        min_risk=query.min_risk,
        limit=query.limit,
        below=query.after(risk_key),
    )


@bp.put("/attempt/<uuid:attempt_id>/review")
@returns(ReviewResponse)
@may_fail(404, 409)
@authenticated(Role.ADMIN, Role.PROCTOR)
@accepts(ReviewRequest)
def review_attempt(
    body: ReviewRequest, staff: Principal, attempt_id: UUID
) -> ReviewedAttempt:
    """Take the review a step further. No machine ever does."""
    review = Review(status=body.status, note=body.note)
    return services().reviews.review_attempt(staff, attempt_id, review)
