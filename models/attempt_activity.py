"""The attempt_activity table: when a student was last heard of.

Apart from the attempt itself, so that reporting never waits for the row that decides.
"""

from collections.abc import Sequence
from uuid import UUID

from models.database import Transaction

INSERT = """
    INSERT INTO attempt_activity (attempt_id) VALUES (%(attempt_id)s)
"""

TOUCH = """
    UPDATE attempt_activity SET last_seen_at = clock_timestamp()
     WHERE attempt_id = %(attempt_id)s
"""

REQUEST_ANALYSIS = """
    UPDATE attempt_activity
       SET analysis_due_since = coalesce(analysis_due_since, clock_timestamp())
     WHERE attempt_id = ANY(%(attempt_ids)s)
"""


def insert(tx: Transaction, attempt_id: UUID) -> None:
    tx.execute(INSERT, {"attempt_id": attempt_id})


def touch(tx: Transaction, attempt_id: UUID) -> None:
    """Note that the student was heard of just now."""
    tx.execute(TOUCH, {"attempt_id": attempt_id})


def request_analysis(tx: Transaction, attempt_ids: Sequence[UUID]) -> None:
    """Have the attempts analysed soon, by whichever process comes to it first."""
    tx.execute(REQUEST_ANALYSIS, {"attempt_ids": list(attempt_ids)})
