"""Exams as an assigned student sees them: his times, and never a question."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import LiteralString
from uuid import UUID

from models.exam import ExamStatus
from models.transaction import Transaction
from utils import start_slots


class StartBlock(StrEnum):
    """Why a student can not start, or go on, at this moment."""

    NOT_OPEN_YET = "not_open_yet"
    OVER = "over"
    CANCELLED = "cancelled"
    NO_ATTEMPTS_LEFT = "no_attempts_left"
    ANOTHER_ATTEMPT_RUNNING = "another_attempt_running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sitting:
    """One student's view of one exam."""

    id: UUID
    student_id: UUID
    title: str
    description: str
    instructions: str
    status: ExamStatus
    starts_at: datetime
    ends_at: datetime
    duration_minutes: int
    extra_time_minutes: int
    time_multiplier: Decimal
    # What he has in all: duration times multiplier, and the extra time.
    allowed_minutes: int
    passing_score_percent: Decimal
    max_attempts: int
    attempts_used: int
    # His attempt that runs, and whether it is one of this exam.
    running_attempt_id: UUID | None
    is_running_here: bool
    assigned_count: int
    question_count: int
    total_points: Decimal
    server_time: datetime

    @property
    def start_at(self) -> datetime:
        """When he is to start, so that not all start at once. It binds nobody."""
        return start_slots.start_at(
            self.id,
            self.student_id,
            starts_at=self.starts_at,
            ends_at=self.ends_at,
            duration=timedelta(minutes=self.duration_minutes),
            assigned=self.assigned_count,
        )

    @property
    def attempts_left(self) -> int:
        return max(0, self.max_attempts - self.attempts_used)

    @property
    def running_here(self) -> UUID | None:
        return self.running_attempt_id if self.is_running_here else None

    @property
    def blocked_by(self) -> StartBlock | None:
        if self.is_running_here:
            return None
        is_to_come = self.status in (ExamStatus.SCHEDULED, ExamStatus.ACTIVE)
        if not is_to_come or self.ends_at <= self.server_time:
            is_cancelled = self.status is ExamStatus.CANCELLED
            return StartBlock.CANCELLED if is_cancelled else StartBlock.OVER
        # An admin may open an exam early, which moves its start.
        if self.server_time < self.starts_at:
            return StartBlock.NOT_OPEN_YET
        if self.running_attempt_id is not None:
            return StartBlock.ANOTHER_ATTEMPT_RUNNING
        if self.attempts_left == 0:
            return StartBlock.NO_ATTEMPTS_LEFT
        return None

    @property
    def can_start(self) -> bool:
        return self.blocked_by is None


SITTINGS: LiteralString = """
    SELECT exams.id, assigned.student_id, exams.title, exams.description,
           exams.instructions, exams.status, exams.starts_at, exams.ends_at,
           exams.duration_minutes,
           assigned.extra_time_minutes, assigned.time_multiplier,
           (ceil(exams.duration_minutes * assigned.time_multiplier)
            + assigned.extra_time_minutes)::integer AS allowed_minutes,
           exams.passing_score_percent, exams.max_attempts,
           (SELECT count(*) FROM attempts
             WHERE attempts.student_id = assigned.student_id
               AND attempts.exam_id = exams.id
               AND attempts.status <> 'voided') AS attempts_used,
           running.id AS running_attempt_id,
           coalesce(running.exam_id = exams.id, false) AS is_running_here,
           (SELECT count(*) FROM exam_assignments AS anybody
             WHERE anybody.exam_id = exams.id) AS assigned_count,
           content.question_count, content.total_points,
           clock_timestamp() AS server_time
      FROM exam_assignments AS assigned
      JOIN exams ON exams.id = assigned.exam_id
      LEFT JOIN attempts AS running
             ON running.student_id = assigned.student_id
            AND running.status IN ('in_progress', 'paused')
     CROSS JOIN LATERAL (
           SELECT count(*) AS question_count, coalesce(sum(points), 0) AS total_points
             FROM questions WHERE questions.exam_id = exams.id) AS content
     WHERE assigned.student_id = %(student_id)s
       AND exams.starts_at IS NOT NULL AND exams.ends_at IS NOT NULL
"""

AVAILABLE: LiteralString = """
       AND (exams.status IN ('scheduled', 'active')
            AND exams.ends_at > clock_timestamp()
            -- Also of an exam that is over but for whom an outage gave time back.
            OR running.exam_id = exams.id)
       AND (%(after_start)s::timestamptz IS NULL
            OR (exams.starts_at, exams.id) > (%(after_start)s, %(after_id)s))
     ORDER BY exams.starts_at, exams.id
     LIMIT %(limit)s
"""

# A draft is nothing that a student should know of.
ONE: LiteralString = " AND exams.id = %(exam_id)s AND exams.status <> 'draft'"


def list_available(
    tx: Transaction,
    student_id: UUID,
    *,
    limit: int,
    after: tuple[datetime, UUID] | None = None,
) -> Sequence[Sitting]:
    """Read what is to come and what is on, soonest first."""
    after_start, after_id = after or (None, None)
    return tx.all(
        Sitting,
        SITTINGS + AVAILABLE,
        {
            "student_id": student_id,
            "after_start": after_start,
            "after_id": after_id,
            "limit": limit,
        },
    )


def get(tx: Transaction, student_id: UUID, exam_id: UUID) -> Sitting | None:
    names = {"student_id": student_id, "exam_id": exam_id}
    return tx.one_or_none(Sitting, SITTINGS + ONE, names)
