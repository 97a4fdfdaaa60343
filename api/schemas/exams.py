"""What is shown of exams: to admins, to proctors, and apart from them to students."""

from collections.abc import Sequence
from uuid import UUID

from pydantic import Field

from api.schemas.base import Number, ResponseModel, Time
from models.attempt import AttemptStatus, EndedBy, ReviewStatus
from models.exam import ExamStatus
from models.question_storage import QuestionView
from models.question_types import NewQuestion
from models.sitting import StartBlock
from services.proctoring_policy import ProctoringPolicy


class ExamResponse(ResponseModel):
    id: UUID
    title: str
    description: str
    duration_minutes: int
    starts_at: Time | None
    ends_at: Time | None
    passing_score_percent: Number
    shuffle_questions: bool
    shuffle_options: bool
    max_attempts: int
    status: ExamStatus
    version: int = Field(description="Counts every change; the ETag.")
    frozen_at: Time | None = Field(
        description="When the first attempt froze questions and rules."
    )
    question_count: int
    total_points: Number
    created_by: UUID
    created_at: Time
    updated_at: Time


class ListedExamResponse(ExamResponse):
    assigned_count: int
    attempt_count: int


class ExamDetailResponse(ExamResponse):
    instructions: str
    proctoring: ProctoringPolicy
    allowed_statuses: Sequence[ExamStatus] = Field(
        description="What PATCH …/status can make of it now."
    )
    questions: Sequence[QuestionView] | None = Field(
        description="With their keys, for an admin; null for a proctor."
    )


class QuestionsResponse(ResponseModel):
    """All questions of an exam; there is never a second page."""

    items: Sequence[QuestionView]
    next_cursor: None = None


class LineProblemResponse(ResponseModel):
    line: int
    column: str | None
    detail: str


class ImportResponse(ResponseModel):
    is_dry_run: bool
    questions: Sequence[NewQuestion] = Field(description="What the file asks.")
    problems: Sequence[LineProblemResponse] = Field(
        description="Lines whose questions were left out."
    )
    notes: Sequence[LineProblemResponse]
    question_count: int = Field(description="How many the exam has now, or would.")
    version: int


class AssignmentResponse(ResponseModel):
    exam_id: UUID
    student_id: UUID
    email: str
    full_name: str
    extra_time_minutes: int
    time_multiplier: Number
    attempts_used: int
    assigned_at: Time


class AssignedResponse(ResponseModel):
    assigned: Sequence[AssignmentResponse]
    already_assigned: Sequence[UUID] = Field(
        description="Those who were assigned before, and stay as they were."
    )


class RunningAttemptResponse(ResponseModel):
    id: UUID
    status: AttemptStatus
    server_time: Time
    deadline_at: Time
    seconds_remaining: int


class AccommodatedResponse(ResponseModel):
    assignment: AssignmentResponse
    running_attempt: RunningAttemptResponse | None = Field(
        description="With its new deadline, if the student is sitting the exam."
    )


class ExamProctorResponse(ResponseModel):
    exam_id: UUID
    proctor_id: UUID
    email: str
    full_name: str
    assigned_at: Time


class ProctorsAssignedResponse(ResponseModel):
    assigned: Sequence[ExamProctorResponse]
    already_assigned: Sequence[UUID]


class AvailableExamResponse(ResponseModel):
    """A student's view. There is no question in it, and no key."""

    id: UUID
    title: str
    description: str
    status: ExamStatus
    starts_at: Time
    ends_at: Time
    start_at: Time = Field(
        description="When your client is to call start: at starts_at, or up to 30 "
        "seconds later if many sit the exam. It costs no time, and it binds nobody: "
        "from starts_at on a start is taken whenever it comes."
    )
    duration_minutes: int
    extra_time_minutes: int
    time_multiplier: Number
    allowed_minutes: int = Field(
        description="Your own time: duration times multiplier, and the extra time."
    )
    max_attempts: int
    attempts_used: int
    attempts_left: int
    running_attempt_id: UUID | None = Field(
        validation_alias="running_here", description="Your attempt, while it runs."
    )
    can_start: bool = Field(description="Whether starting, or going on, works now.")
    blocked_by: StartBlock | None = Field(description="Why it does not.")
    question_count: int
    total_points: Number
    server_time: Time


class SittingResponse(AvailableExamResponse):
    instructions: str
    passing_score_percent: Number


class ResultResponse(ResponseModel):
    """One attempt."""

    attempt_id: UUID
    student_id: UUID
    email: str
    full_name: str
    attempt_number: int
    status: AttemptStatus
    score: Number | None = Field(description="null while an answer waits for a human.")
    max_score: Number
    percent: Number | None
    is_passed: bool | None
    started_at: Time
    deadline_at: Time
    ended_at: Time | None
    ended_by: EndedBy | None
    risk_score: Number | None = Field(description="null before the first analysis.")
    risk_level: str | None
    review_status: ReviewStatus
