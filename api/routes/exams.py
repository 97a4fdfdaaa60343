"""Exams: what admins make, proctors watch, and students find."""

from datetime import datetime
from uuid import UUID

from flask import Blueprint
from pydantic import TypeAdapter

from api.context import services
from api.contract import (
    Reply,
    accepts,
    authenticated,
    idempotent,
    may_fail,
    queries,
    returns,
)
from api.etags import if_match, if_none_match, tagged
from api.paging import PageQuery, PageResponse
from api.schemas.exams import (
    AvailableExamResponse,
    ExamDetailResponse,
    ListedExamResponse,
    SittingResponse,
)
from models.exam import ExamStatus, ListedExam
from models.page import Page
from models.principal import Principal, Role
from models.sitting import Sitting
from models.wire import Title
from services.exam_fields import ExamFields, NewExam, NewStatus
from services.versions import ExpectedVersions

bp = Blueprint("exams", __name__, url_prefix="/api/exams")

MAX_EXAM_BYTES = 1024 * 1024

BY_START = TypeAdapter(tuple[datetime, UUID])


class ExamsQuery(PageQuery):
    status: ExamStatus | None = None
    # What the title begins with.
    q: Title | None = None


@bp.post("")
@idempotent
@returns(ExamDetailResponse, 201)
@authenticated(Role.ADMIN)
@accepts(NewExam, max_bytes=MAX_EXAM_BYTES)
def create_exam(new: NewExam, admin: Principal) -> Reply:
    """Create a draft, with questions or without."""
    made = services().exams.create_exam(new, admin)
    return tagged(made, made.version)


@bp.post("/<uuid:exam_id>/duplicate")
@idempotent
@returns(ExamDetailResponse, 201)
@authenticated(Role.ADMIN)
def duplicate_exam(admin: Principal, exam_id: UUID) -> Reply:
    """Copy an exam with its questions to a draft without a date."""
    made = services().exams.duplicate_exam(admin, exam_id)
    return tagged(made, made.version)


@bp.get("")
@returns(PageResponse[ListedExamResponse])
@authenticated(Role.ADMIN, Role.PROCTOR)
@queries(ExamsQuery)
def list_exams(query: ExamsQuery, staff: Principal) -> Page[ListedExam]:
    """List exams, newest first; a proctor sees those that he watches."""
    return services().exams.list_exams(
        staff,
        limit=query.limit,
        before=query.after_id(),
        status=query.status,
        title_prefix=query.q,
    )


@bp.get("/<uuid:exam_id>")
@if_none_match
@returns(ExamDetailResponse)
@authenticated(Role.ADMIN, Role.PROCTOR)
def get_exam(staff: Principal, exam_id: UUID) -> Reply:
    """Return one exam; its questions with their keys for an admin alone."""
    found = services().exams.get_exam(staff, exam_id)
    return tagged(found, found.version)


@bp.put("/<uuid:exam_id>")
@may_fail(409)
@returns(ExamDetailResponse)
@authenticated(Role.ADMIN)
@if_match(is_required=True)
@accepts(ExamFields)
def replace_exam(
    new: ExamFields, expected: ExpectedVersions, admin: Principal, exam_id: UUID
) -> Reply:
    """Write an exam's own fields anew. Its rules freeze with the first attempt."""
    written = services().exams.replace_exam(new, expected, admin, exam_id)
    return tagged(written, written.version)


@bp.patch("/<uuid:exam_id>/status")
@may_fail(409)
@returns(ExamDetailResponse)
@authenticated(Role.ADMIN)
@if_match(is_required=False)
@accepts(NewStatus)
def change_status(
    new: NewStatus, expected: ExpectedVersions, admin: Principal, exam_id: UUID
) -> Reply:
    """Take a step: draft, scheduled, active, completed; cancelled; archived.

    Opening early moves starts_at, closing early ends_at. Closing submits the attempts
    that run, cancelling voids them.
    """
    changed = services().exams.change_status(new.status, expected, admin, exam_id)
    return tagged(changed, changed.version)


@bp.delete("/<uuid:exam_id>")
@may_fail(409)
@returns(None, 204)
@authenticated(Role.ADMIN)
@if_match(is_required=False)
def delete_exam(expected: ExpectedVersions, admin: Principal, exam_id: UUID) -> None:
    """Delete an exam that nobody has sat. One with attempts is archived instead."""
    services().exams.delete_exam(expected, admin, exam_id)


@bp.get("/available")
@returns(PageResponse[AvailableExamResponse])
@authenticated(Role.STUDENT)
@queries(PageQuery)
def list_available(query: PageQuery, student: Principal) -> Page[Sitting]:
    """List the student's own exams that are to come or open, soonest first."""
    return services().sittings.list_available(
        student, limit=query.limit, after=query.after(BY_START)
    )


@bp.get("/<uuid:exam_id>/details")
@returns(SittingResponse)
@authenticated(Role.STUDENT)
def get_details(student: Principal, exam_id: UUID) -> Sitting:
    """Return what a student may know of his exam before he starts."""
    return services().sittings.get_details(student, exam_id)
