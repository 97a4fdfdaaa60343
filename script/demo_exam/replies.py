"""What the server answers, as far as the demonstration reads it."""

from datetime import datetime
from typing import Generic, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, JsonValue

Item = TypeVar("Item")


class Nothing(BaseModel):
    """A reply of which nothing is of interest."""


class Tokens(BaseModel):
    access_token: str
    refresh_token: str
    expires_in: int


class User(BaseModel):
    id: UUID


class PageOf(BaseModel, Generic[Item]):
    items: list[Item]
    next_cursor: str | None


class Problem(BaseModel):
    title: str


class Option(BaseModel):
    id: UUID
    is_correct: bool


class KeyedQuestion(BaseModel):
    """A question as an admin sees it."""

    id: UUID
    kind: str
    points: float
    options: list[Option] = []
    correct: bool | None = None
    answer: float | None = None
    tolerance: float = 0.0
    accepted_answers: list[str] = []


class Exam(BaseModel):
    id: UUID
    status: str
    version: int
    duration_minutes: int


class AvailableExam(BaseModel):
    id: UUID
    can_start: bool


class Attempt(BaseModel):
    id: UUID
    deadline_at: datetime
    ended_at: datetime | None
    ended_by: str | None


class Paper(Attempt):
    server_time: datetime


class Saved(BaseModel):
    server_time: datetime


class Receipt(BaseModel):
    attempt: Attempt
    answers_digest: str
    receipt_hash: str
    audit_seq: int


class EventResult(BaseModel):
    status: Literal["accepted", "duplicate", "rejected"]
    audit_seq: int | None = None
    problem: Problem | None = None


class BatchReceipt(BaseModel):
    results: list[EventResult]
    missing_sequences: list[int]


class Watched(BaseModel):
    """A row of a proctor's board."""

    id: UUID
    ended_at: datetime | None


class Reason(BaseModel):
    explanation: str


class Suspect(BaseModel):
    """A row of the suspicious list."""

    student_email: str
    student_name: str
    exam_title: str
    risk_score: float
    risk_level: str
    checked_at: datetime
    reasons: list[Reason]


class StoredEvent(BaseModel):
    client_event_id: UUID
    # None: the server or a proctor reported it.
    sequence: int | None
    event_type: str
    audit_seq: int


class GivenAnswer(BaseModel):
    question_id: UUID
    response: JsonValue
    client_version: int


class GradedQuestion(BaseModel):
    question: KeyedQuestion
    answer: GivenAnswer | None


class GradedAttempt(BaseModel):
    questions: list[GradedQuestion]


class Result(BaseModel):
    """One attempt in an exam's results."""

    attempt_id: UUID
    email: str
    percent: float | None
    is_passed: bool | None
    ended_at: datetime | None
    ended_by: str | None


class Entry(BaseModel):
    """An entry of the audit log."""

    seq: int
    hash: str


class EventCount(BaseModel):
    event_type: str
    entries: int


class AuditSummary(BaseModel):
    event_types: list[EventCount]


class VerificationCheck(BaseModel):
    name: str
    result: str


class Verification(BaseModel):
    valid: bool
    verdict: str
    entries_checked: int
    head_hash: str | None
    checks: list[VerificationCheck]
    duration_ms: int
