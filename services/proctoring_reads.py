"""What staff and the student see of an attempt's proctoring."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from models import (
    ai_analysis,
    appeal,
    attempt,
    attempt_board,
    exam,
    proctoring,
    report_context,
)
from models.appeal import Appeal
from models.attempt import Attempt
from models.attempt_board import WatchedAttempt
from models.attempt_review import VERDICTS
from models.database import Database
from models.exam import Exam
from models.page import Page, paged
from models.principal import Principal
from models.proctoring import EventCount, EventFilter, StoredEvent
from models.transaction import Transaction
from services.analysis_record import RecordedAnalysis, StoredFactor, from_row
from services.appeal_service import HandledAppeal, handled, read_own
from services.attempt_access import require_attempt
from services.attempt_errors import AttemptNotFoundError
from services.event_catalogue import EVENT_TYPES, EventClass
from services.event_intake import parse_policy
from services.proctoring_policy import ProctoringPolicy
from services.review_service import ReviewedAttempt, reviewed
from services.risk import Coverage, RiskLevel
from services.risk.weighting import FACTOR_OF_CODE

MAX_FLAGS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptOverview:
    """All that a proctor wants to know at a glance."""

    attempt: WatchedAttempt
    exam: Exam
    analysis: RecordedAnalysis | None
    event_counts: Sequence[EventCount]
    review: ReviewedAttempt
    appeals: Sequence[HandledAppeal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """An integrity event, in words for its student.

    `factor` is the reason that it belongs to, if it can weigh anything in this exam.
    """

    event: StoredEvent
    label: str
    factor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnFactor:
    """A reason without the questions that it rests on."""

    code: str
    weight: float
    contribution: float | None
    evidence: Sequence[UUID]
    evidence_count: int
    explanation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnAnalysis:
    """What the model says, as far as its student may know.

    While the attempt runs, reasons that come of answers are left out, and all numbers
    that they have a part in, which are the score and every share of it: they would tell
    which answers were right.
    """

    risk_score: Decimal | None
    risk_level: RiskLevel | None
    confidence: Decimal
    factors: Sequence[OwnFactor]
    coverage: Coverage
    model_version: str
    is_erased: bool
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnAttempt:
    """A student's attempt, with what is held against it."""

    attempt: Attempt
    flags: Sequence[Flag]
    # There are more than MAX_FLAGS.
    is_truncated: bool
    analysis: OwnAnalysis | None
    # What the reviewer says to it, once there is a verdict.
    review_note: str | None
    appeals: Sequence[Appeal]
    # Until when the verdict can be contested; None if it can't.
    appeal_until: datetime | None


class ProctoringReads:
    def __init__(self, database: Database) -> None:
        self._database = database

    def read_attempt(self, staff: Principal, attempt_id: UUID) -> AttemptOverview:
        """Raise AttemptNotFoundError."""
        with self._database.read() as tx:
            its_exam = exam.get(tx, require_attempt(tx, staff, attempt_id).exam_id)
            watched = attempt_board.get(tx, attempt_id)
            if its_exam is None or watched is None:
                raise AttemptNotFoundError(attempt_id)
            appeals = appeal.list_of_attempt(tx, attempt_id)
            return AttemptOverview(
                attempt=watched,
                exam=its_exam,
                analysis=_analysis(tx, attempt_id),
                event_counts=proctoring.count(tx, attempt_id),
                review=reviewed(
                    watched,
                    staff,
                    is_contested=any(each.is_pending for each in appeals),
                ),
                appeals=[handled(each, staff) for each in appeals],
            )

    def list_events(
        self,
        staff: Principal,
        attempt_id: UUID,
        wanted: EventFilter,
        *,
        limit: int,
        after: tuple[datetime, UUID] | None,
    ) -> Page[StoredEvent]:
        """Read an attempt's events in the order in which they occurred.

        Raises AttemptNotFoundError.
        """
        with self._database.read() as tx:
            require_attempt(tx, staff, attempt_id)
            rows = proctoring.list_page(
                tx, attempt_id, wanted, limit=limit + 1, after=after
            )
        return paged(rows, limit, lambda row: (row.occurred_at, row.id))

    def read_own_attempt(self, student: Principal, attempt_id: UUID) -> OwnAttempt:
        """Show a student what is held against him, and what it weighs.

        Raises AttemptNotFoundError.
        """
        with self._database.read() as tx:
            own = attempt.get(tx, attempt_id)
            if own is None or own.student_id != student.id:
                raise AttemptNotFoundError(attempt_id)
            events = proctoring.list_page(
                tx,
                attempt_id,
                EventFilter(event_class=EventClass.INTEGRITY),
                limit=MAX_FLAGS + 1,
            )
            analysis = _analysis(tx, attempt_id)
            policy = parse_policy(report_context.get_policy(tx, attempt_id).policy)
            appeals = read_own(tx, own)
        return OwnAttempt(
            attempt=own,
            flags=[_flag(event, policy) for event in events[:MAX_FLAGS]],
            is_truncated=len(events) > MAX_FLAGS,
            analysis=None if analysis is None else _own_analysis(analysis, own),
            review_note=own.review_note if own.review_status in VERDICTS else None,
            appeals=appeals.appeals,
            appeal_until=appeals.until,
        )


def _own_analysis(analysis: RecordedAnalysis, own: Attempt) -> OwnAnalysis:
    is_over = not own.is_running
    return OwnAnalysis(
        risk_score=analysis.risk_score if is_over else None,
        risk_level=analysis.risk_level if is_over else None,
        confidence=analysis.confidence,
        factors=[
            _own_factor(each, is_over=is_over)
            for each in analysis.factors
            if is_over or not each.questions
        ],
        coverage=analysis.coverage,
        model_version=analysis.model_version,
        is_erased=analysis.is_erased,
        created_at=analysis.created_at,
    )


def _own_factor(factor: StoredFactor, *, is_over: bool) -> OwnFactor:
    return OwnFactor(
        code=factor.code,
        weight=factor.weight,
        contribution=factor.contribution if is_over else None,
        evidence=factor.evidence,
        evidence_count=factor.evidence_count,
        explanation=factor.explanation,
    )


def _analysis(tx: Transaction, attempt_id: UUID) -> RecordedAnalysis | None:
    row = ai_analysis.get_latest(tx, attempt_id)
    return None if row is None else from_row(row)


def _flag(event: StoredEvent, policy: ProctoringPolicy) -> Flag:
    # What a proctor writes of a student is for staff.
    shown = event if event.sequence is not None else replace(event, payload={})
    return Flag(
        event=shown,
        label=EVENT_TYPES[event.event_type].label,
        factor=FACTOR_OF_CODE.get(event.event_type)
        if policy.is_scored(event.event_type)
        else None,
    )
