"""Which attempts wait for an analysis: attempt_activity.analysis_due_since.

Derived state: what is lost here is found again, and none of it is evidence. So its
statements are bookkeeping, and leave no audit entry.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import LiteralString
from uuid import UUID

from models.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An attempt that the holder analyses. `until` is also the claim's name."""

    attempt_id: UUID
    exam_id: UUID
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    attempt_id: UUID


# A claim is a time in the future: who dies with it leaves the attempt due by then, and
# an event that comes meanwhile puts its own time in place of the claim.
CLAIM: LiteralString = """
    UPDATE attempt_activity
       SET analysis_due_since = clock_timestamp() + %(lease)s
      FROM attempts
     WHERE attempts.id = attempt_activity.attempt_id
       AND attempt_activity.attempt_id IN (
           SELECT due.attempt_id
             FROM attempt_activity AS due
             LEFT JOIN attempt_risk ON attempt_risk.attempt_id = due.attempt_id
            WHERE due.analysis_due_since <= statement_timestamp()
              AND (attempt_risk.checked_at IS NULL
                   OR attempt_risk.checked_at < statement_timestamp() - %(spacing)s)
            ORDER BY due.analysis_due_since
            LIMIT %(limit)s
              FOR UPDATE OF due SKIP LOCKED)
 RETURNING attempt_activity.attempt_id, attempts.exam_id,
           attempt_activity.analysis_due_since AS until
"""

# Neither touches an attempt of which something new has come: the claim is gone.
SETTLE: LiteralString = """
    UPDATE attempt_activity SET analysis_due_since = NULL
     WHERE attempt_id = %(attempt_id)s AND analysis_due_since = %(until)s
"""

GIVE_BACK: LiteralString = """
    UPDATE attempt_activity SET analysis_due_since = clock_timestamp()
      FROM unnest(%(attempt_ids)s::uuid[], %(untils)s::timestamptz[])
           AS claim(attempt_id, until)
     WHERE attempt_activity.attempt_id = claim.attempt_id
       AND analysis_due_since = claim.until
"""

# What an attempt is compared with is complete once all attempts have ended, and that is
# known when the exam is completed: that the deadline has ended an attempt may have been
# noted later. It may be archived at once; but nobody is judged anew, maybe years later
# and by another model, for being archived. OFFSET 0 keeps the last of an exam from
# being looked for among those of all exams, by when they ended: for an exam that nobody
# has sat that is all there are.
LIST_FINAL: LiteralString = """
    SELECT attempt_activity.attempt_id
      FROM exams
     CROSS JOIN LATERAL (
           SELECT max(ended_at) AS ended_at
             FROM (SELECT ended_at FROM attempts
                    WHERE exam_id = exams.id OFFSET 0) AS its) AS last
      JOIN attempt_risk ON attempt_risk.exam_id = exams.id
      JOIN attempt_activity ON attempt_activity.attempt_id = attempt_risk.attempt_id
     WHERE exams.status IN ('completed', 'archived')
       AND exams.updated_at > statement_timestamp() - interval '1 day'
       AND checked_at < CASE exams.status
           WHEN 'completed' THEN greatest(exams.updated_at, last.ended_at)
           ELSE last.ended_at END
       AND analysis_due_since IS NULL AND NOT is_evidence_erased
"""


def claim(
    tx: Transaction, *, limit: int, lease: timedelta, spacing: timedelta
) -> list[Claim]:
    """Take the attempts that have waited longest, but none twice within `spacing`."""
    names = {"limit": limit, "lease": lease, "spacing": spacing}
    return tx.all(Claim, CLAIM, names)


def settle(tx: Transaction, done: Claim) -> None:
    """End a claim whose analysis is stored."""
    tx.execute(SETTLE, {"attempt_id": done.attempt_id, "until": done.until})


def give_back(tx: Transaction, claims: Sequence[Claim]) -> None:
    """Let others have what was claimed and not analysed."""
    names = {
        "attempt_ids": [each.attempt_id for each in claims],
        "untils": [each.until for each in claims],
    }
    tx.execute(GIVE_BACK, names)


def list_final(tx: Transaction) -> list[UUID]:
    """Return the attempts of exams that are over and not compared with all others."""
    return [each.attempt_id for each in tx.all(_Attempt, LIST_FINAL)]
