"""Endpoints of appeals: a student contests a verdict, and somebody else decides."""

from collections.abc import Collection
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
from api.evidence import shows_some
from api.schemas.appeals import (
    AppealResponse,
    AppealsQuery,
    HandledAppealResponse,
    ListedAppealResponse,
)
from models.appeal import PENDING, Appeal
from models.evidence_view import Subject, SubjectType
from models.page import Page
from models.principal import Principal, Role
from services.appeal_service import (
    Decision,
    HandledAppeal,
    ListedForStaff,
    NewAppeal,
)
from services.evidence_views import What

bp = Blueprint("appeals", __name__, url_prefix="/api")


def _appealed(listed: Page[ListedForStaff]) -> Collection[Subject]:
    return {
        Subject(SubjectType.ATTEMPT, each.appeal.attempt_id) for each in listed.items
    }


@bp.post("/exams/attempts/<uuid:attempt_id>/appeals")
@idempotent
@returns(AppealResponse, 201)
@may_fail(404, 409)
@authenticated(Role.STUDENT)
@accepts(NewAppeal)
def lodge_appeal(new: NewAppeal, student: Principal, attempt_id: UUID) -> Appeal:
    """Contest the verdict on one's own attempt, once and in time."""
    return services().appeals.lodge(student, attempt_id, new)


@bp.post("/exams/attempts/<uuid:attempt_id>/appeals/<uuid:appeal_id>/withdraw")
@returns(AppealResponse)
@may_fail(404, 409)
@authenticated(Role.STUDENT)
def withdraw_appeal(student: Principal, attempt_id: UUID, appeal_id: UUID) -> Appeal:
    """Take an appeal back that nobody has decided yet."""
    return services().appeals.withdraw(student, attempt_id, appeal_id)


@bp.get("/proctoring/appeals")
@returns(PageResponse[ListedAppealResponse])
@may_fail(404)
@authenticated(Role.ADMIN, Role.PROCTOR)
@queries(AppealsQuery)
@shows_some(What.APPEALS, _appealed)
def list_appeals(query: AppealsQuery, staff: Principal) -> Page[ListedForStaff]:
    """List appeals, the newest first: an admin's all, a proctor's of his exams."""
    chosen = [query.status] if query.status else None
    return services().appeals.list_appeals(
        staff,
        exam_id=query.exam_id,
        statuses=PENDING if query.pending and chosen is None else chosen,
        before=query.after_id(),
        limit=query.limit,
    )


@bp.post("/proctoring/appeals/<uuid:appeal_id>/take")
@returns(HandledAppealResponse)
@may_fail(404, 409)
@authenticated(Role.ADMIN, Role.PROCTOR)
def take_appeal(staff: Principal, appeal_id: UUID) -> HandledAppeal:
    """Begin to look into an appeal, or go on where a colleague did."""
    return services().appeals.take(staff, appeal_id)


@bp.post("/proctoring/appeals/<uuid:appeal_id>/decide")
@returns(HandledAppealResponse)
@may_fail(404, 409)
@authenticated(Role.ADMIN, Role.PROCTOR)
@accepts(Decision)
def decide_appeal(
    decision: Decision, staff: Principal, appeal_id: UUID
) -> HandledAppeal:
    """Let the verdict stand (upheld), or clear the review (overturned)."""
    return services().appeals.decide(staff, appeal_id, decision)
