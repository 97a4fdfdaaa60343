"""Questions of an exam, with their keys: for admins alone."""

from typing import Annotated
from uuid import UUID

from flask import Blueprint
from pydantic import Field, RootModel

from api.context import services
from api.contract import (
    Reply,
    TextFile,
    accepts,
    accepts_text,
    authenticated,
    idempotent,
    may_fail,
    queries,
    returns,
)
from api.etags import if_match, if_none_match, tagged
from api.routes.exams import MAX_EXAM_BYTES
from api.schemas.exams import ImportResponse, QuestionsResponse
from models.principal import Principal, Role
from models.question_storage import QuestionView
from models.question_types import NewQuestion
from models.wire import WireModel
from services.exam_fields import NewQuestions
from services.question_service import ImportFormat, ImportMode, QuestionFile
from services.versions import ExpectedVersions

bp = Blueprint("questions", __name__, url_prefix="/api/exams/<uuid:exam_id>/questions")


class QuestionBody(RootModel[NewQuestion], frozen=True):
    """One question, of any kind."""


class ImportQuery(WireModel):
    format: ImportFormat | None = Field(
        default=None, description="Else it is told from the Content-Type."
    )
    mode: ImportMode = ImportMode.APPEND
    skip_bad: Annotated[
        bool, Field(description="Import the good questions of a file with mistakes.")
    ] = False
    dry_run: Annotated[
        bool, Field(description="Say what would be imported, and import nothing.")
    ] = False


@bp.get("")
@if_none_match
@returns(QuestionsResponse)
@authenticated(Role.ADMIN)
def list_questions(admin: Principal, exam_id: UUID) -> Reply:
    """List all questions in their order, with their keys."""
    found = services().questions.list_questions(admin, exam_id)
    return tagged({"items": found.questions}, found.version)


@bp.put("")
@may_fail(409)
@returns(QuestionsResponse)
@authenticated(Role.ADMIN)
@if_match(is_required=True)
@accepts(NewQuestions, max_bytes=MAX_EXAM_BYTES)
def replace_questions(
    new: NewQuestions, expected: ExpectedVersions, admin: Principal, exam_id: UUID
) -> Reply:
    """Put these questions in the place of all that the exam has."""
    written = services().questions.replace_questions(
        new.questions, expected, admin, exam_id
    )
    return tagged({"items": written.questions}, written.version)


@bp.post("")
@idempotent
@may_fail(409)
@returns(QuestionView, 201)
@authenticated(Role.ADMIN)
@if_match(is_required=False)
@accepts(QuestionBody, max_bytes=MAX_EXAM_BYTES)
def append_question(
    new: QuestionBody, expected: ExpectedVersions, admin: Principal, exam_id: UUID
) -> Reply:
    """Add one question at the end."""
    added = services().questions.append_question(new.root, expected, admin, exam_id)
    return tagged(added.questions[0], added.version)


@bp.post("/import")
@idempotent
@may_fail(409)
@returns(ImportResponse, 201, or_status=(200,))
@authenticated(Role.ADMIN)
@if_match(is_required=False)
@queries(ImportQuery)
@accepts_text("text/plain", "text/csv", max_bytes=MAX_EXAM_BYTES)
def import_questions(
    file: TextFile,
    query: ImportQuery,
    expected: ExpectedVersions,
    admin: Principal,
    exam_id: UUID,
) -> Reply:
    """Import questions from Moodle's GIFT (text/plain) or from CSV (text/csv).

    A file with mistakes is refused with the lines that have them, unless skip_bad.
    """
    is_csv = file.media_type == "text/csv"
    report = services().questions.import_questions(
        QuestionFile(
            text=file.text,
            format=query.format or (ImportFormat.CSV if is_csv else ImportFormat.GIFT),
            mode=query.mode,
            is_skipping_bad=query.skip_bad,
            is_dry_run=query.dry_run,
        ),
        expected,
        admin,
        exam_id,
    )
    return tagged(report, report.version, 200 if report.is_dry_run else 201)


@bp.put("/<uuid:question_id>")
@may_fail(409)
@returns(QuestionView)
@authenticated(Role.ADMIN)
@if_match(is_required=True)
@accepts(QuestionBody, max_bytes=MAX_EXAM_BYTES)
def replace_question(
    new: QuestionBody,
    expected: ExpectedVersions,
    admin: Principal,
    exam_id: UUID,
    question_id: UUID,
) -> Reply:
    """Write one question anew, in its place."""
    written = services().questions.replace_question(
        new.root, expected, admin, exam_id, question_id
    )
    return tagged(written.questions[0], written.version)


@bp.delete("/<uuid:question_id>")
@may_fail(409)
@returns(None, 204)
@authenticated(Role.ADMIN)
@if_match(is_required=False)
def delete_question(
    expected: ExpectedVersions, admin: Principal, exam_id: UUID, question_id: UUID
) -> None:
    """Remove one question; those behind it move up."""
    services().questions.delete_question(expected, admin, exam_id, question_id)
