"""Bodies of the attempts: what students and staff send, and what each may see."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import (
    AliasGenerator,
    AliasPath,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
)

from api.paging import PageQuery
from api.schemas.base import Number, ResponseModel, Time
from models.attempt import AttemptStatus, EndedBy, ReviewStatus
from models.attempt_board import Connection
from models.question_storage import QuestionView
from models.question_types import MAX_SHORT_TEXT_CHARACTERS, QuestionKind
from models.wire import Instant, Integer, Line, Text, WireModel
from models.wire import Number as WireNumber

MAX_ANSWERS = 500
# A save of essays; its audit entry may have a mebibyte.
MAX_ANSWERS_BYTES = 512 * 1024

ANSWERED = "null: the answers were erased, so that nobody can tell."

Reason = Annotated[Text, StringConstraints(min_length=1, max_length=2000)]


class StartRequest(WireModel):
    take_over: bool = Field(
        default=False,
        description="Go on here although another device of yours holds the attempt.",
    )


class SubmitRequest(WireModel):
    """Why the attempt ends. The answers have been saved, and are ours to grade."""

    ended_by: Literal[EndedBy.STUDENT, EndedBy.DEADLINE] = Field(
        default=EndedBy.STUDENT,
        description=(
            "`deadline` when the program submits by itself because its clock says that"
            " the time is over: if more time was given meanwhile, nothing is ended."
        ),
    )


class SentAnswerBody(WireModel):
    question_id: UUID
    response: JsonValue = Field(
        description="Of single_choice the id of an option, of multiple_choice a list"
        " of such ids, of true_false a boolean, of numeric a number, of short_text a"
        f" string of at most {MAX_SHORT_TEXT_CHARACTERS} characters, of essay a string"
        " of at most the question's max_characters. null clears the answer."
    )
    client_version: Annotated[Integer, Field(ge=0, le=2**53 - 1)] = Field(
        description="Grows with every change of the answer; the highest one wins."
    )


class AnswersRequest(WireModel):
    answers: Annotated[
        list[SentAnswerBody], Field(min_length=1, max_length=MAX_ANSWERS)
    ]


class ReasonRequest(WireModel):
    reason: Reason


class ExtendRequest(WireModel):
    minutes: Annotated[Integer, Field(ge=1, le=1440)]
    reason: Reason


class ExtraTimeRequest(WireModel):
    incident: Annotated[Line, StringConstraints(min_length=1, max_length=100)] = Field(
        description="Your name for what happened. Every attempt gets time back once for"
        " a name, however often this is sent."
    )
    minutes: Annotated[Integer, Field(ge=1, le=1440)]
    reason: Reason
    since: Instant | None = Field(
        default=None,
        description="When it began, within the last 24 hours. Attempts whose time ran"
        " out after that are reopened, with what they had left then.",
    )


class ExtraTimeResponse(ResponseModel):
    extended: list[UUID]
    reopened: list[UUID]
    already_granted: list[UUID]
    not_reopened: list[UUID] = Field(
        description="Their students sit another exam, their answers were erased, it"
        " is the admin's own attempt, or somebody has to decide."
    )


class ReopenRequest(WireModel):
    reason: Reason
    extra_seconds: Annotated[Integer, Field(ge=0, le=86_400)] = Field(
        default=0, description="On top of what was left; needed if nothing was."
    )


class GradeBody(WireModel):
    question_id: UUID
    points: Annotated[WireNumber, Field(ge=0, le=1000, decimal_places=2)]
    comment: Annotated[Text, StringConstraints(max_length=5000)] | None = None


class GradesRequest(WireModel):
    grades: Annotated[list[GradeBody], Field(min_length=1, max_length=MAX_ANSWERS)]


class OwnAttemptsQuery(PageQuery):
    exam_id: UUID | None = None


class BoardQuery(PageQuery):
    status: AttemptStatus | None = None
    ungraded: bool = Field(
        default=False,
        description="Only those that have ended and wait for points by hand.",
    )


class AttemptResponse(ResponseModel):
    """An attempt as its student sees it."""

    id: UUID
    exam_id: UUID
    attempt_number: int
    status: AttemptStatus
    started_at: Time
    deadline_at: Time
    paused_at: Time | None
    paused_seconds: int
    extended_seconds: int
    ended_at: Time | None
    ended_by: EndedBy | None
    score: Number | None = Field(
        description="null while it runs, and while an essay waits for a human."
    )
    max_score: Number
    is_passed: bool | None


class OptionResponse(ResponseModel):
    id: UUID
    text: str


class PaperQuestionResponse(ResponseModel):
    id: UUID
    number: int = Field(description="Its place in this student's paper, from 1.")
    kind: QuestionKind
    text: str
    points: Number
    options: list[OptionResponse] | None = Field(
        description="In this student's order; null for a kind without options."
    )
    max_characters: int | None = Field(description="Of an essay.")


class OwnAnswerResponse(ResponseModel):
    question_id: UUID
    response: JsonValue
    client_version: int
    saved_at: Time


def _within_attempt(name: str) -> str | AliasPath:
    # These come beside the attempt, the others from it.
    beside = {
        "questions",
        "answers",
        "next_sequence",
        "saved",
        "allowed_actions",
    }
    return name if name in beside else AliasPath("attempt", name)


# For what a service returns as an attempt with something beside it, and the client
# gets as one object.
FLAT = ConfigDict(alias_generator=AliasGenerator(validation_alias=_within_attempt))


class PaperResponse(AttemptResponse):
    """An attempt with all that is needed to go on with it."""

    model_config = FLAT

    questions: list[PaperQuestionResponse] = Field(
        description="In this student's order; empty once the attempt has ended."
    )
    answers: list[OwnAnswerResponse] = Field(
        description="Those that are saved; empty once the attempt has ended."
    )
    next_sequence: int = Field(
        description="The sequence of the next proctoring event, for a client that "
        "does not remember its counter."
    )
    server_time: Time
    seconds_remaining: int


class SheetResponse(ResponseModel):
    """What a running attempt asks. It has a strong ETag."""

    attempt_id: UUID
    questions: list[PaperQuestionResponse] = Field(
        description="In this student's order."
    )


class SavedVersionResponse(ResponseModel):
    question_id: UUID
    client_version: int = Field(description="The stored one, whoever sent it.")
    saved_at: Time


class SavedResponse(ResponseModel):
    model_config = FLAT

    saved: list[SavedVersionResponse]
    server_time: Time
    deadline_at: Time
    seconds_remaining: int


class ReceiptResponse(ResponseModel):
    attempt: AttemptResponse
    score: Number | None = Field(
        description="As it was at the end; null if an essay waited for a human."
    )
    answers_digest: str | None = Field(
        description="SHA-256 of the RFC 8785 form of the answers, as it is logged;"
        " null once they were erased."
    )
    receipt_hash: str = Field(description="The hash of the audit entry.")
    audit_seq: int


class ManagedAttemptResponse(AttemptResponse):
    """An attempt as staff sees it."""

    model_config = FLAT

    student_id: UUID
    student_name: str
    student_email: str
    end_reason: str | None
    connection: Connection = Field(
        description="How the client is heard of: no evidence of anything."
    )
    last_seen_at: Time
    answered_count: int | None = Field(description=ANSWERED)
    risk_score: Number | None
    review_status: ReviewStatus
    server_time: Time
    seconds_remaining: int
    allowed_actions: list[
        Literal["pause", "resume", "extend", "terminate", "grade", "reopen", "void"]
    ]


class GivenAnswerResponse(OwnAnswerResponse):
    first_saved_at: Time
    points_awarded: Number | None
    grader_comment: str | None
    graded_by: UUID | None


class GradedQuestionResponse(ResponseModel):
    question: QuestionView
    answer: GivenAnswerResponse | None = Field(description="null: not answered.")


class GradedAttemptResponse(ResponseModel):
    attempt: AttemptResponse
    questions: list[GradedQuestionResponse]
