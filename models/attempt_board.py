"""What a proctor watches: the attempts of one exam, and who is heard of."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final
from uuid import UUID

from models.attempt import COLUMNS, Attempt, AttemptStatus
from models.transaction import Transaction

ONLINE_FOR: Final = timedelta(seconds=20)
LATE_FOR: Final = timedelta(seconds=45)


class Connection(StrEnum):
    """How the client is heard. Never stored, and never evidence of anything."""

    ONLINE = "online"
    LATE = "late"
    MISSING = "missing"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedAttempt(Attempt):
    student_name: str
    student_email: str
    last_seen_at: datetime
    # None: the answers were erased.
    answered_count: int | None
    risk_score: Decimal | None
    is_evidence_erased: bool

    @property
    def connection(self) -> Connection:
        if not self.is_running:
            return Connection.CLOSED
        silence = self.read_at - self.last_seen_at
        if silence <= ONLINE_FOR:
            return Connection.ONLINE
        return Connection.LATE if silence <= LATE_FOR else Connection.MISSING


FROM = """
         , users.full_name AS student_name, users.email AS student_email,
           attempt_activity.last_seen_at, attempt_activity.is_evidence_erased,
           attempt_risk.risk_score,
           (SELECT CASE WHEN attempt_activity.is_evidence_erased
                        THEN nullif(count(*), 0) ELSE count(*) END
              FROM answers
             WHERE answers.attempt_id = attempts.id AND response <> 'null'
           ) AS answered_count
      FROM attempts
      JOIN users ON users.id = attempts.student_id
      JOIN attempt_activity ON attempt_activity.attempt_id = attempts.id
      LEFT JOIN attempt_risk ON attempt_risk.attempt_id = attempts.id
"""
SELECT = "SELECT " + COLUMNS + FROM
LIST = (
    SELECT
    + """
     WHERE attempts.exam_id = %(exam_id)s
       AND (%(status)s::text IS NULL OR attempts.status = %(status)s)
       AND (NOT %(is_ungraded)s
            OR score IS NULL AND attempts.status IN ('submitted', 'terminated'))
       AND (%(before)s::uuid IS NULL OR attempts.id < %(before)s)
     ORDER BY attempts.id DESC
     LIMIT %(limit)s
"""
)
GET = SELECT + " WHERE attempts.id = %(id)s"


def list_by_exam(
    tx: Transaction,
    exam_id: UUID,
    *,
    limit: int,
    before: UUID | None = None,
    status: AttemptStatus | None = None,
    is_ungraded: bool = False,
) -> list[WatchedAttempt]:
    """Read the attempts of an exam, the last started first.

    `is_ungraded`: only of those that have ended and have no score yet.
    """
    names = {
        "exam_id": exam_id,
        "status": status,
        "is_ungraded": is_ungraded,
        "before": before,
        "limit": limit,
    }
    return tx.all(WatchedAttempt, LIST, names)


def get(tx: Transaction, attempt_id: UUID) -> WatchedAttempt | None:
    return tx.one_or_none(WatchedAttempt, GET, {"id": attempt_id})
