"""Endpoints through which a student sits an exam."""

from uuid import UUID

from flask import Blueprint

from api.context import services
from api.contract import (
    PageResponse,
    Reply,
    accepts,
    authenticated,
    may_accept,
    may_fail,
    queries,
    returns,
)
from api.etags import if_none_match, tagged_unless_known
from api.schemas.attempts import (
    MAX_ANSWERS_BYTES,
    AnswersRequest,
    AttemptResponse,
    OwnAttemptsQuery,
    PaperResponse,
    ReceiptResponse,
    SavedResponse,
    SheetResponse,
    StartRequest,
    SubmitRequest,
)
from models.attempt import Attempt
from models.page import Page
from models.principal import Principal, Role
from services.attempt_service import Receipt, Saved, SentAnswer
from services.paper import Paper

bp = Blueprint("attempts", __name__, url_prefix="/api/exams")


@bp.post("/<uuid:exam_id>/start")
@returns(PaperResponse, 201, or_status=(200,))
@may_fail(404, 409)
@authenticated(Role.STUDENT)
@may_accept(StartRequest)
def start_attempt(body: StartRequest, student: Principal, exam_id: UUID) -> Reply:
    """Start an attempt (201), or go on with the one that runs (200)."""
    started = services().attempts.start_attempt(
        student, exam_id, take_over=body.take_over
    )
    return Reply(started.paper, 201 if started.is_new else 200)


@bp.get("/attempts")
@returns(PageResponse[AttemptResponse])
@authenticated(Role.STUDENT)
@queries(OwnAttemptsQuery)
def list_own_attempts(query: OwnAttemptsQuery, student: Principal) -> Page[Attempt]:
    """List one's own attempts, the last started first."""
    return services().attempts.list_attempts(
        student,
        exam_id=query.exam_id,
        before=query.after_id(),
        limit=query.limit,
    )


@bp.get("/attempts/<uuid:attempt_id>")
@returns(PaperResponse)
@may_fail(404, 409)
@authenticated(Role.STUDENT)
def read_own_attempt(student: Principal, attempt_id: UUID) -> Paper:
    """Return one's own attempt, and while it runs its questions and saved answers."""
    return services().attempts.read_attempt(student, attempt_id)


@bp.get("/attempts/<uuid:attempt_id>/paper")
@if_none_match
@returns(SheetResponse)
@may_fail(404, 409)
@authenticated(Role.STUDENT)
def read_sheet(student: Principal, attempt_id: UUID) -> Reply:
    """Return the questions of one's own running attempt, and nothing that changes.

    Whoever keeps them asks with If-None-Match whether they still are what he has to
    answer (304).
    """
    sheet = services().attempts.read_sheet(student, attempt_id)
    return tagged_unless_known(sheet, sheet.tag)


@bp.put("/attempts/<uuid:attempt_id>/answers")
@returns(SavedResponse)
@may_fail(404, 409)
@authenticated(Role.STUDENT)
@accepts(AnswersRequest, max_bytes=MAX_ANSWERS_BYTES)
def save_answers(body: AnswersRequest, student: Principal, attempt_id: UUID) -> Saved:
    """Save answers, all of them or none; sent again, they change nothing."""
    sent = [
        SentAnswer(
            question_id=each.question_id,
            response=each.response,
            client_version=each.client_version,
        )
        for each in body.answers
    ]
    return services().attempts.save_answers(student, attempt_id, sent)


@bp.post("/attempts/<uuid:attempt_id>/submit")
@returns(ReceiptResponse)
@may_fail(404, 409)
@authenticated(Role.STUDENT)
@may_accept(SubmitRequest)
def submit_attempt(
    body: SubmitRequest, student: Principal, attempt_id: UUID
) -> Receipt:
    """End the attempt for good. Again, it gives the same receipt."""
    return services().attempts.submit_attempt(student, attempt_id, body.ended_by)
