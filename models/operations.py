"""How the work stands at this moment, for whoever runs the system. All by index."""

from dataclasses import dataclass
from typing import LiteralString

from models.attempt import NETWORK_LEEWAY
from models.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """Counts of rows, and ages in seconds; an age is 0 where nothing waits."""

    # Seconds since the epoch, by the database's clock.
    clock: float
    log_entries: int
    checkpoint_size: int
    checkpoint_age: float
    # Entries that no checkpoint covers, and since when the first of them waits.
    unsigned_entries: int
    unsigned_age: float
    # The same of checkpoints with a witness's signature.
    unwitnessed_entries: int
    unwitnessed_age: float
    running_attempts: int
    paused_attempts: int
    # Whose time is over, leeway included, and whom the sweeper has not ended yet.
    overdue_attempts: int
    overdue_age: float
    analysis_waiting: int
    analysis_age: float


LOOK: LiteralString = """
    SELECT extract(epoch FROM now.it)::float8 AS clock,
           head.next_seq AS log_entries,
           coalesce(signed.size, 0) AS checkpoint_size,
           coalesce(extract(epoch FROM now.it - signed.signed_at), 0)::float8
               AS checkpoint_age,
           head.next_seq - coalesce(signed.size, 0) AS unsigned_entries,
           coalesce((
               SELECT extract(epoch FROM now.it - min(recorded_at)) FROM audit_log
                WHERE seq = coalesce(signed.size, 0)), 0)::float8 AS unsigned_age,
           head.next_seq - coalesce(cosigned.size, 0) AS unwitnessed_entries,
           coalesce((
               SELECT extract(epoch FROM now.it - min(recorded_at)) FROM audit_log
                WHERE seq = coalesce(cosigned.size, 0)), 0)::float8 AS unwitnessed_age,
           running.in_progress AS running_attempts,
           running.paused AS paused_attempts,
           overdue.attempts AS overdue_attempts,
           coalesce(extract(epoch FROM now.it - overdue.since), 0)::float8
               AS overdue_age,
           due.attempts AS analysis_waiting,
           coalesce(extract(epoch FROM now.it - due.since), 0)::float8 AS analysis_age
      FROM (SELECT clock_timestamp() AS it) AS now
     CROSS JOIN LATERAL (
           SELECT next_seq FROM audit_head ORDER BY next_seq DESC LIMIT 1) AS head
      LEFT JOIN LATERAL (
           SELECT size, signed_at FROM checkpoints ORDER BY size DESC LIMIT 1
           ) AS signed ON true
      LEFT JOIN LATERAL (
           SELECT size FROM checkpoints WHERE cosigned_note IS NOT NULL
            ORDER BY size DESC LIMIT 1) AS cosigned ON true
     CROSS JOIN LATERAL (
           SELECT count(*) FILTER (WHERE status = 'in_progress') AS in_progress,
                  count(*) FILTER (WHERE status = 'paused') AS paused
             FROM attempts WHERE status IN ('in_progress', 'paused')) AS running
     CROSS JOIN LATERAL (
           SELECT count(*) AS attempts, min(deadline_at) + %(leeway)s AS since
             FROM attempts
            WHERE status = 'in_progress' AND deadline_at < now.it - %(leeway)s
           ) AS overdue
     CROSS JOIN LATERAL (
           SELECT count(*) AS attempts, min(analysis_due_since) AS since
             FROM attempt_activity WHERE analysis_due_since <= now.it) AS due
"""


def look(tx: Transaction) -> Operations | None:
    """Return None if the log has no head: not even its genesis is there."""
    return tx.one_or_none(Operations, LOOK, {"leeway": NETWORK_LEEWAY})
