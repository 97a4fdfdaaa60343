"""The attempts table: every step of an attempt's life, each a guarded statement.

The caller has locked the row and knows that the step is allowed; the WHERE clause holds
all the same, and a step that finds no row raises LookupError.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from models.attempt import (
    RETURNING,
    Attempt,
    AttemptStatus,
    EndedBy,
    PlacedQuestion,
)
from models.attempt_deadline import OF_ATTEMPT, OF_ATTEMPTS
from models.transaction import Transaction, as_json, columns_of


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAttempt:
    id: UUID
    exam_id: UUID
    student_id: UUID
    session_id: UUID
    max_attempts: int
    layout: Sequence[PlacedQuestion]
    max_score: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an attempt is worth when it ends; None while an essay waits for a human."""

    attempt_id: UUID
    score: Decimal | None
    is_passed: bool | None


# Another running attempt of the student, or a start of his at this very moment, makes
# this insert nothing. Number and count come from one snapshot, so that an attempt begun
# and ended after it collides with the number. The deadline follows in the same message.
INSERT = """
    INSERT INTO attempts (id, exam_id, student_id, attempt_number, deadline_at,
                          held_by_session, layout, max_score)
    SELECT %(id)s, %(exam_id)s, %(student_id)s,
           coalesce(max(attempt_number), 0) + 1, 'infinity'::timestamptz,
           %(session_id)s, %(layout)s::jsonb, %(max_score)s
      FROM attempts
     WHERE exam_id = %(exam_id)s AND student_id = %(student_id)s
    HAVING count(*) FILTER (WHERE status <> 'voided') < %(max_attempts)s
        ON CONFLICT DO NOTHING;
"""
INSERT_AND_SET_DEADLINE = INSERT + OF_ATTEMPT

MOVE_HOLD = """
    UPDATE attempts SET held_by_session = %(session_id)s
     WHERE id = %(id)s AND status IN ('in_progress', 'paused')
"""
MOVE_HOLD_RETURNING = MOVE_HOLD + RETURNING

PAUSE = """
    UPDATE attempts SET status = 'paused', paused_at = clock_timestamp()
     WHERE id = %(id)s AND status = 'in_progress'
"""
PAUSE_RETURNING = PAUSE + RETURNING

# A begun second counts in the student's favour. A clock that was put back meanwhile may
# have it end before it began.
UNPAUSE = """
    UPDATE attempts
       SET status = 'in_progress', paused_at = NULL,
           paused_seconds = paused_seconds + greatest(0,
               ceil(extract(epoch FROM clock_timestamp() - paused_at))::integer)
     WHERE id = %(id)s AND status = 'paused';
"""
UNPAUSE_AND_SET_DEADLINE = UNPAUSE + OF_ATTEMPT

EXTEND = """
    UPDATE attempts SET extended_seconds = extended_seconds + %(seconds)s
     WHERE id = %(id)s AND status IN ('in_progress', 'paused');
"""
EXTEND_AND_SET_DEADLINE = EXTEND + OF_ATTEMPT

EXTEND_MANY = """
    UPDATE attempts SET extended_seconds = extended_seconds + %(seconds)s
     WHERE id = ANY(%(ids)s) AND status IN ('in_progress', 'paused');
"""
EXTEND_MANY_AND_SET_DEADLINES = EXTEND_MANY + OF_ATTEMPTS

# What the deadline ended was over at the deadline, whenever somebody came to note it; a
# program whose clock is a little fast ends it a moment earlier.
END = """
    UPDATE attempts
       SET status = %(status)s, ended_by = %(ended_by)s, end_reason = %(reason)s,
           ended_at = CASE WHEN %(ended_by)s = 'deadline'
                           THEN least(deadline_at, clock_timestamp())
                           ELSE clock_timestamp() END,
           paused_seconds = paused_seconds + greatest(0,
               ceil(extract(epoch FROM clock_timestamp() - paused_at))::integer),
           paused_at = NULL,
           score = outcome.score, is_passed = outcome.is_passed,
           review_status = CASE
               WHEN %(status)s = 'terminated' AND review_status = 'none' THEN 'queued'
               ELSE review_status END
      FROM unnest(%(ids)s::uuid[], %(scores)s::numeric[], %(passes)s::boolean[])
           AS outcome(id, score, is_passed)
     WHERE attempts.id = outcome.id AND attempts.status IN ('in_progress', 'paused')
"""
END_RETURNING = END + RETURNING

# The time since the end was a pause, and a begun second counts in the student's favour.
# A verdict was on an attempt that had ended; what a human thinks of it now, he has yet
# to say.
REOPEN = """
    UPDATE attempts
       SET status = 'in_progress',
           paused_seconds = paused_seconds + greatest(0,
               ceil(extract(epoch FROM clock_timestamp() - ended_at))::integer),
           extended_seconds = extended_seconds + %(extra_seconds)s,
           ended_at = NULL, ended_by = NULL, end_reason = NULL,
           score = NULL, is_passed = NULL,
           review_status = CASE
               WHEN review_status IN
                    ('cleared', 'confirmed_violation', 'technical_error')
               THEN 'in_review' ELSE review_status END
     WHERE id = %(id)s AND status IN ('submitted', 'terminated')
       AND ended_by <> 'student';
"""
REOPEN_AND_SET_DEADLINE = REOPEN + OF_ATTEMPT

VOID = """
    UPDATE attempts
       SET status = 'voided', paused_at = NULL, score = NULL, is_passed = NULL,
           ended_at = coalesce(ended_at, clock_timestamp()),
           ended_by = coalesce(ended_by, %(ended_by)s), end_reason = %(reason)s
     WHERE id = ANY(%(ids)s) AND status <> 'voided'
"""
VOID_RETURNING = VOID + RETURNING

SET_SCORE = """
    UPDATE attempts SET score = %(score)s, is_passed = %(is_passed)s
     WHERE id = %(id)s AND status IN ('submitted', 'terminated')
"""
SET_SCORE_RETURNING = SET_SCORE + RETURNING


def insert(tx: Transaction, new: NewAttempt) -> Attempt | None:
    """Insert an attempt that starts now, or None if another runs or none is left.

    Raises ConstraintError `attempts_deadline_check` when the window has just closed.
    """
    layout = [
        {
            "question_id": str(placed.question_id),
            "option_ids": [str(option_id) for option_id in placed.option_ids],
        }
        for placed in new.layout
    ]
    names = columns_of(new) | {"layout": as_json(layout)}
    return tx.one_or_none(Attempt, INSERT_AND_SET_DEADLINE, names)


def move_hold(tx: Transaction, attempt_id: UUID, session_id: UUID) -> Attempt:
    """Let another login write to the attempt."""
    names = {"id": attempt_id, "session_id": session_id}
    return tx.one(Attempt, MOVE_HOLD_RETURNING, names)


def pause(tx: Transaction, attempt_id: UUID) -> Attempt:
    return tx.one(Attempt, PAUSE_RETURNING, {"id": attempt_id})


def unpause(tx: Transaction, attempt_id: UUID) -> Attempt:
    """Let the clock run again, with the deadline moved by what the pause took."""
    return tx.one(Attempt, UNPAUSE_AND_SET_DEADLINE, {"id": attempt_id})


def extend(tx: Transaction, attempt_id: UUID, seconds: int) -> Attempt:
    names = {"id": attempt_id, "seconds": seconds}
    return tx.one(Attempt, EXTEND_AND_SET_DEADLINE, names)


def extend_many(tx: Transaction, ids: Sequence[UUID], seconds: int) -> list[Attempt]:
    """Extend running attempts by the same time, in any order."""
    names = {"ids": list(ids), "seconds": seconds}
    return tx.all(Attempt, EXTEND_MANY_AND_SET_DEADLINES, names)


def end(
    tx: Transaction,
    outcomes: Sequence[Outcome],
    status: AttemptStatus,
    ended_by: EndedBy,
    reason: str | None,
) -> list[Attempt]:
    """End running attempts, in no particular order."""
    names = {
        "status": status,
        "ended_by": ended_by,
        "reason": reason,
        "ids": [outcome.attempt_id for outcome in outcomes],
        "scores": [outcome.score for outcome in outcomes],
        "passes": [outcome.is_passed for outcome in outcomes],
    }
    return tx.all(Attempt, END_RETURNING, names)


def reopen(tx: Transaction, attempt_id: UUID, extra_seconds: int) -> Attempt:
    """Let an ended attempt run again, with the deadline moved by what was lost.

    Raises ConstraintError `attempts_one_running_key` if another one has just begun.
    """
    names = {"id": attempt_id, "extra_seconds": extra_seconds}
    return tx.one(Attempt, REOPEN_AND_SET_DEADLINE, names)


def void(
    tx: Transaction,
    attempt_ids: Sequence[UUID],
    ended_by: EndedBy,
    reason: str,
) -> list[Attempt]:
    """Declare attempts worth nothing, whether they run or have ended."""
    names = {"ids": list(attempt_ids), "ended_by": ended_by, "reason": reason}
    return tx.all(Attempt, VOID_RETURNING, names)


def set_score(
    tx: Transaction, attempt_id: UUID, score: Decimal | None, *, is_passed: bool | None
) -> Attempt:
    names = {"id": attempt_id, "score": score, "is_passed": is_passed}
    return tx.one(Attempt, SET_SCORE_RETURNING, names)
