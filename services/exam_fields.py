"""What an admin sends of an exam. The policy's type keeps it out of models/exam.py."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints, ValidationInfo, field_validator

from models.exam import ExamContent, ExamStatus
from models.question_types import NewQuestion
from models.wire import Instant, Integer, Number, Text, Title, WireModel
from services.proctoring_policy import ProctoringPolicy

MAX_QUESTIONS = 500

Description = Annotated[Text, StringConstraints(max_length=5000)]
Instructions = Annotated[Text, StringConstraints(max_length=10_000)]
DurationMinutes = Annotated[Integer, Field(ge=1, le=1440)]
MaxAttempts = Annotated[Integer, Field(ge=1, le=20)]
Percent = Annotated[Number, Field(ge=0, le=100, decimal_places=2)]
Questions = Annotated[tuple[NewQuestion, ...], Field(max_length=MAX_QUESTIONS)]


class ExamFields(WireModel):
    """An exam's own fields. All are required, so that none is reset by silence."""

    title: Title
    description: Description
    instructions: Instructions
    duration_minutes: DurationMinutes
    starts_at: Instant | None
    ends_at: Instant | None
    passing_score_percent: Percent
    shuffle_questions: bool
    shuffle_options: bool
    max_attempts: MaxAttempts
    proctoring: ProctoringPolicy

    @field_validator("ends_at")
    @classmethod
    def _after_start(
        cls, ends_at: datetime | None, info: ValidationInfo
    ) -> datetime | None:
        starts_at = info.data.get("starts_at")
        if ends_at is not None and starts_at is not None and ends_at <= starts_at:
            raise ValueError("must be later than starts_at")
        return ends_at

    def content(self) -> ExamContent:
        return ExamContent(
            title=self.title,
            description=self.description,
            instructions=self.instructions,
            duration_minutes=self.duration_minutes,
            starts_at=self.starts_at,
            ends_at=self.ends_at,
            passing_score_percent=self.passing_score_percent,
            shuffle_questions=self.shuffle_questions,
            shuffle_options=self.shuffle_options,
            max_attempts=self.max_attempts,
            # Without the defaults, so that the same policy is always the same JSON.
            proctoring=self.proctoring.model_dump(mode="json", exclude_defaults=True),
        )


class NewExam(ExamFields):
    """A draft: a title and a duration are enough to begin with."""

    description: Description = ""
    instructions: Instructions = ""
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    passing_score_percent: Percent = Field(default=50, validate_default=True)
    shuffle_questions: bool = False
    shuffle_options: bool = False
    max_attempts: MaxAttempts = 1
    proctoring: ProctoringPolicy = ProctoringPolicy()
    questions: Questions = ()


class NewQuestions(WireModel):
    """All questions of an exam, in order."""

    questions: Questions


class NewStatus(WireModel):
    status: ExamStatus
