"""The verification_runs table: verifications that take longer than a request may.

Bookkeeping, and no evidence: whoever doubts a result verifies again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import LiteralString
from uuid import UUID

from models.transaction import Transaction


class RunState(StrEnum):
    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    # It did not get to its end: it failed, or its process died.
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationRun:
    """`result` is the report as JSON; only a run that has finished has one."""

    id: UUID
    requested_by: UUID
    deep: bool
    state: RunState
    started_at: datetime
    ended_at: datetime | None
    entries_total: int
    entries_checked: int
    result: str | None
    failure: str | None


# Whose process has not been heard of for half a minute will never end.
INSERT: LiteralString = """
    INSERT INTO verification_runs (id, requested_by, deep, entries_total)
    VALUES (%(id)s, %(requested_by)s, %(deep)s,
            coalesce((SELECT max(next_seq) FROM audit_head), 0))
    ON CONFLICT ((true)) WHERE state = 'running' DO NOTHING
"""

END_DEAD: LiteralString = """
    UPDATE verification_runs
       SET state = 'incomplete', ended_at = clock_timestamp(),
           failure = 'the process that ran it died'
     WHERE state = 'running' AND alive_at < clock_timestamp() - interval '30 s'
"""

# One whose process died is shown as what it is, before END_DEAD finds it.
RUNS: LiteralString = """
    SELECT id, requested_by, deep, started_at, entries_total, entries_checked, result,
           CASE WHEN is_dead THEN 'incomplete' ELSE state END AS state,
           CASE WHEN is_dead THEN alive_at ELSE ended_at END AS ended_at,
           CASE WHEN is_dead THEN 'the process that ran it died' ELSE failure END
               AS failure
      FROM (SELECT *, state = 'running'
                   AND alive_at < clock_timestamp() - interval '30 s' AS is_dead
              FROM verification_runs) AS runs
"""

GET: LiteralString = (
    RUNS
    + """
     WHERE id = %(id)s
"""
)

LIST: LiteralString = (
    RUNS
    + """
     WHERE %(before)s::uuid IS NULL OR id < %(before)s
     ORDER BY id DESC LIMIT %(limit)s
"""
)

REQUEST_CANCEL: LiteralString = """
    UPDATE verification_runs SET cancel_requested = true
     WHERE id = %(id)s AND state = 'running'
"""

BEAT: LiteralString = """
    UPDATE verification_runs
       SET alive_at = clock_timestamp(), entries_checked = %(entries_checked)s
     WHERE id = %(id)s AND state = 'running' AND NOT cancel_requested
"""

SETTLE: LiteralString = """
    UPDATE verification_runs
       SET state = %(state)s, ended_at = clock_timestamp(), result = %(result)s,
           failure = %(failure)s, entries_checked = %(entries_checked)s
     WHERE id = %(id)s AND state = 'running'
"""


def insert(tx: Transaction, *, id: UUID, requested_by: UUID, deep: bool) -> bool:  # noqa: A002
    """Note that a run begins; False if there is one that has not ended."""
    row = {"id": id, "requested_by": requested_by, "deep": deep}
    return tx.execute(INSERT, row) == 1


def end_dead(tx: Transaction) -> None:
    """Note of a run whose process died that it is incomplete."""
    tx.execute(END_DEAD)


def get(tx: Transaction, run_id: UUID) -> VerificationRun | None:
    return tx.one_or_none(VerificationRun, GET, {"id": run_id})


def list_newest(
    tx: Transaction, *, before: UUID | None, limit: int
) -> Sequence[VerificationRun]:
    return tx.all(VerificationRun, LIST, {"before": before, "limit": limit})


def request_cancel(tx: Transaction, run_id: UUID) -> bool:
    """Ask the process that runs it to stop; False if it has ended."""
    return tx.execute(REQUEST_CANCEL, {"id": run_id}) == 1


def beat(tx: Transaction, run_id: UUID, entries_checked: int) -> bool:
    """Say that the run goes on; False if it is to stop."""
    return tx.execute(BEAT, {"id": run_id, "entries_checked": entries_checked}) == 1


def settle(
    tx: Transaction,
    run_id: UUID,
    state: RunState,
    *,
    entries_checked: int,
    result: str | None = None,
    failure: str | None = None,
) -> bool:
    """Note how a run ended; False if somebody has noted it already."""
    outcome = {
        "id": run_id,
        "state": state,
        "entries_checked": entries_checked,
        "result": result,
        "failure": failure,
    }
    return tx.execute(SETTLE, outcome) == 1
