"""Who sits an exam, and who watches it."""

from uuid import UUID

from flask import Blueprint

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
from api.paging import PageQuery, PageResponse
from api.schemas.exams import (
    AccommodatedResponse,
    AssignedResponse,
    AssignmentResponse,
    ExamProctorResponse,
    ProctorsAssignedResponse,
)
from models.assignment import ListedAssignment
from models.exam_proctor import ExamProctor
from models.page import Page
from models.principal import Principal, Role
from services.assignment_service import (
    Accommodated,
    Accommodation,
    NewAssignments,
    NewProctors,
)

bp = Blueprint("assignments", __name__, url_prefix="/api/exams/<uuid:exam_id>")

# A thousand addresses.
MAX_ASSIGNMENT_BYTES = 256 * 1024


@bp.post("/assignments")
@idempotent
@may_fail(409)
@returns(AssignedResponse, 201, or_status=(200,))
@authenticated(Role.ADMIN)
@accepts(NewAssignments, max_bytes=MAX_ASSIGNMENT_BYTES)
def assign_students(new: NewAssignments, admin: Principal, exam_id: UUID) -> Reply:
    """Assign students. Who is assigned already stays as he was; 200 if all are."""
    done = services().assignments.assign_students(new, admin, exam_id)
    return Reply(done, 201 if done.assigned else 200)


@bp.get("/assignments")
@returns(PageResponse[AssignmentResponse])
@authenticated(Role.ADMIN, Role.PROCTOR)
@queries(PageQuery)
def list_assignments(
    query: PageQuery, staff: Principal, exam_id: UUID
) -> Page[ListedAssignment]:
    """List who is assigned, with what he is granted and how often he sat it."""
    return services().assignments.list_assignments(
        staff, exam_id, limit=query.limit, after=query.after_id()
    )


@bp.patch("/assignments/<uuid:student_id>")
@may_fail(409)
@returns(AccommodatedResponse)
@authenticated(Role.ADMIN)
@accepts(Accommodation)
def change_accommodation(
    new: Accommodation, admin: Principal, exam_id: UUID, student_id: UUID
) -> Accommodated:
    """Grant more or less time, which holds at once for an attempt that runs."""
    return services().assignments.change_accommodation(new, admin, exam_id, student_id)


@bp.delete("/assignments/<uuid:student_id>")
@may_fail(409)
@returns(None, 204)
@authenticated(Role.ADMIN)
def unassign_student(admin: Principal, exam_id: UUID, student_id: UUID) -> None:
    """Take a student off the exam, unless he has an attempt."""
    services().assignments.unassign_student(admin, exam_id, student_id)


@bp.post("/proctors")
@idempotent
@returns(ProctorsAssignedResponse, 201, or_status=(200,))
@authenticated(Role.ADMIN)
@accepts(NewProctors, max_bytes=MAX_ASSIGNMENT_BYTES)
def assign_proctors(new: NewProctors, admin: Principal, exam_id: UUID) -> Reply:
    """Assign proctors, who may then watch and review the exam; 200 if all were."""
    done = services().assignments.assign_proctors(new, admin, exam_id)
    return Reply(done, 201 if done.assigned else 200)


@bp.get("/proctors")
@returns(PageResponse[ExamProctorResponse])
@authenticated(Role.ADMIN, Role.PROCTOR)
@queries(PageQuery)
def list_proctors(
    query: PageQuery, staff: Principal, exam_id: UUID
) -> Page[ExamProctor]:
    """List who watches the exam."""
    return services().assignments.list_proctors(
        staff, exam_id, limit=query.limit, after=query.after_id()
    )


@bp.delete("/proctors/<uuid:proctor_id>")
@returns(None, 204)
@authenticated(Role.ADMIN)
def unassign_proctor(admin: Principal, exam_id: UUID, proctor_id: UUID) -> None:
    """Take a proctor off the exam."""
    services().assignments.unassign_proctor(admin, exam_id, proctor_id)
