"""A receipt is the audit entry of an attempt's end: it is read, never stored twice."""

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from models.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptEntry:
    """Score and digest as they were at the end; `receipt_hash` is the entry's own.

    The two are None once the answers were erased.
    """

    audit_seq: int
    receipt_hash: str
    score: Decimal | None
    answers_digest: str | None


# An attempt that was reopened ends again, and what it ended by before is undone: a copy
# that was taken home still says what was handed in then. What staff has ended was not
# handed in. Voiding one undoes no submission.
GET = """
    SELECT seq AS audit_seq, encode(hash, 'hex') AS receipt_hash,
           (payload::jsonb ->> 'score')::numeric AS score,
           payload::jsonb ->> 'answers_digest' AS answers_digest
      FROM (SELECT seq, hash, payload, event_type
              FROM audit_log
             WHERE entity_type = 'attempt' AND entity_id = %(entity_id)s
               AND event_type IN ('attempt.submitted', 'attempt.ended',
                                  'attempt.terminated', 'attempt.reopened')
             ORDER BY seq DESC
             LIMIT 1) AS newest
     WHERE event_type IN ('attempt.submitted', 'attempt.ended')
"""


def get(tx: Transaction, attempt_id: UUID) -> ReceiptEntry | None:
    """Return None for an attempt that runs, or that staff has ended."""
    return tx.one_or_none(ReceiptEntry, GET, {"entity_id": str(attempt_id)})
