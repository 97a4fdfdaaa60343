"""Endpoints through which staff watches, helps, stops and grades attempts."""

from uuid import UUID

from flask import Blueprint

from api.context import services
from api.contract import (
    PageResponse,
    accepts,
    authenticated,
    idempotent,
    may_fail,
    queries,
    returns,
)
from api.evidence import shows
from api.schemas.attempts import (
    MAX_ANSWERS_BYTES,
    BoardQuery,
    ExtendRequest,
    ExtraTimeRequest,
    ExtraTimeResponse,
    GradedAttemptResponse,
    GradesRequest,
    ManagedAttemptResponse,
    ReasonRequest,
    ReopenRequest,
)
from models.answer import HandMark
from models.page import Page
from models.principal import Principal, Role
from services.evidence_views import What
from services.extra_time import Granted, Incident
from services.grade_service import GradedAttempt
from services.proctor_actions import ManagedAttempt

bp = Blueprint("attempt_actions", __name__, url_prefix="/api/exams")


@bp.get("/<uuid:exam_id>/attempts")
@returns(PageResponse[ManagedAttemptResponse])
@may_fail(404)
@authenticated(Role.ADMIN, Role.PROCTOR)
@queries(BoardQuery)
def list_attempts(
    query: BoardQuery, staff: Principal, exam_id: UUID
) -> Page[ManagedAttempt]:
    """Return the live board of an exam, the last started first."""
    return services().proctor_actions.list_attempts(
        staff,
        exam_id,
        status=query.status,
        is_ungraded=query.ungraded,
        before=query.after_id(),
        limit=query.limit,
    )


@bp.post("/attempts/<uuid:attempt_id>/pause")
@returns(ManagedAttemptResponse)
@may_fail(404, 409)
@authenticated(Role.ADMIN, Role.PROCTOR)
@accepts(ReasonRequest)
def pause_attempt(
    body: ReasonRequest, staff: Principal, attempt_id: UUID
) -> ManagedAttempt:
    """Stop the clock of an attempt."""
    return services().proctor_actions.pause_attempt(staff, attempt_id, body.reason)


@bp.post("/attempts/<uuid:attempt_id>/resume")
@returns(ManagedAttemptResponse)
@may_fail(404, 409)
@authenticated(Role.ADMIN, Role.PROCTOR)
@accepts(ReasonRequest)
def resume_attempt(
    body: ReasonRequest, staff: Principal, attempt_id: UUID
) -> ManagedAttempt:
    """Let the clock of a paused attempt run again; no time was lost."""
    return services().proctor_actions.resume_attempt(staff, attempt_id, body.reason)


@bp.post("/attempts/<uuid:attempt_id>/extend")
@idempotent
@returns(ManagedAttemptResponse)
@may_fail(404, 409)
@authenticated(Role.ADMIN, Role.PROCTOR)
@accepts(ExtendRequest)
def extend_attempt(
    body: ExtendRequest, staff: Principal, attempt_id: UUID
) -> ManagedAttempt:
    """Give more time to a running attempt."""
    return services().proctor_actions.extend_attempt(
        staff, attempt_id, body.minutes, body.reason
    )


@bp.post("/<uuid:exam_id>/extra-time")
@returns(ExtraTimeResponse)
@may_fail(404)
@authenticated(Role.ADMIN)
@accepts(ExtraTimeRequest)
def grant_extra_time(
    body: ExtraTimeRequest, admin: Principal, exam_id: UUID
) -> Granted:
    """Give everybody who sits an exam the time back that an incident took."""
    incident = Incident(
        name=body.incident, reason=body.reason, minutes=body.minutes, since=body.since
    )
    return services().extra_time.grant(incident, admin, exam_id)


@bp.post("/attempts/<uuid:attempt_id>/terminate")
@returns(ManagedAttemptResponse)
@may_fail(404, 409)
@authenticated(Role.ADMIN, Role.PROCTOR)
@accepts(ReasonRequest)
def terminate_attempt(
    body: ReasonRequest, staff: Principal, attempt_id: UUID
) -> ManagedAttempt:
    """End an attempt against its student's will, and queue it for review."""
    return services().proctor_actions.terminate_attempt(staff, attempt_id, body.reason)


@bp.post("/attempts/<uuid:attempt_id>/reopen")
@returns(ManagedAttemptResponse)
@may_fail(404, 409)
@authenticated(Role.ADMIN)
@accepts(ReopenRequest)
def reopen_attempt(
    body: ReopenRequest, admin: Principal, attempt_id: UUID
) -> ManagedAttempt:
    """Let an attempt go on that staff or the server has ended; no time was lost."""
    return services().proctor_actions.reopen_attempt(
        admin, attempt_id, body.extra_seconds, body.reason
    )


@bp.post("/attempts/<uuid:attempt_id>/void")
@returns(ManagedAttemptResponse)
@may_fail(404, 409)
@authenticated(Role.ADMIN)
@accepts(ReasonRequest)
def void_attempt(
    body: ReasonRequest, admin: Principal, attempt_id: UUID
) -> ManagedAttempt:
    """Declare an attempt worth nothing; its student may start another one."""
    return services().proctor_actions.void_attempt(admin, attempt_id, body.reason)


@bp.get("/attempts/<uuid:attempt_id>/answers")
@returns(GradedAttemptResponse)
@may_fail(404, 409)
@authenticated(Role.ADMIN, Role.PROCTOR)
@shows(What.ANSWERS)
def read_answers(staff: Principal, attempt_id: UUID) -> GradedAttempt:
    """Return questions with their keys, responses and points, for grading.

    A proctor gets them when the attempt is over.
    """
    return services().grades.read_answers(staff, attempt_id)


@bp.put("/attempts/<uuid:attempt_id>/grades")
@returns(GradedAttemptResponse)
@may_fail(404, 409)
@authenticated(Role.ADMIN, Role.PROCTOR)
@accepts(GradesRequest, max_bytes=MAX_ANSWERS_BYTES)
def grade_answers(
    body: GradesRequest, staff: Principal, attempt_id: UUID
) -> GradedAttempt:
    """Award points by hand; the score follows when none is missing any more."""
    grades = [
        HandMark(question_id=each.question_id, points=each.points, comment=each.comment)
        for each in body.grades
    ]
    return services().grades.grade_answers(staff, attempt_id, grades)
