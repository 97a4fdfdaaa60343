"""What a report is judged against: its attempt, the exam's policy and the clock."""

from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from models.attempt import AttemptClock
from models.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContext(AttemptClock):
    """An attempt with what is known of its reports so far.

    `policy` is the exam's, as JSON text, and does not change once there is an attempt.
    """

    policy: str
    held_by_session: UUID | None
    # Every client sequence number up to and with this one has arrived.
    contiguous_sequence: int
    # The highest that has arrived; 0 if none has.
    highest_sequence: int
    # How many events clients have reported, duplicates left out.
    reported_events: int
    # The login from which another one took the attempt over, if it was not heard of
    # since, and when that was.
    displaced_session: UUID | None
    displaced_at: datetime | None


# What it locks, and why, stands with the function (migration 0013).
LOCK: LiteralString = """
    SELECT * FROM lock_report_context(%(id)s, %(student_id)s)
"""


def lock(tx: Transaction, attempt_id: UUID, student_id: UUID) -> ReportContext | None:
    """Lock and read the attempt, or return None if it is not this student's."""
    names = {"id": attempt_id, "student_id": student_id}
    return tx.one_or_none(ReportContext, LOCK, names)


# What the deadline ended, ended then; the newest entry says when a server came to note
# it. None says it of what was voided while it ran, which ended at that moment.
GET_END_NOTED_AT: LiteralString = """
    SELECT greatest(attempts.ended_at, (
               SELECT recorded_at FROM audit_log
                WHERE entity_type = 'attempt' AND entity_id = attempts.id::text
                  AND event_type IN
                      ('attempt.submitted', 'attempt.ended', 'attempt.terminated')
                ORDER BY seq DESC
                LIMIT 1))
      FROM attempts WHERE id = %(id)s
"""


def get_end_noted_at(tx: Transaction, attempt_id: UUID) -> datetime:
    """Read when the server noted the end of an attempt that is locked and has ended.

    As a statement after the one that locks, it also sees an end that this waited for.
    """
    noted_at: datetime = tx.scalar(GET_END_NOTED_AT, {"id": attempt_id})
    return noted_at


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyNow:
    """The policy of an attempt's exam, as JSON text, and the database's clock."""

    policy: str
    now: datetime


GET_POLICY: LiteralString = """
    SELECT exams.proctoring::text AS policy, clock_timestamp() AS now
      FROM attempts JOIN exams ON exams.id = attempts.exam_id
     WHERE attempts.id = %(id)s
"""


def get_policy(tx: Transaction, attempt_id: UUID) -> PolicyNow:
    """Read the policy of an attempt that exists."""
    return tx.one(PolicyNow, GET_POLICY, {"id": attempt_id})
