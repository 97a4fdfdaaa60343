"""A receipt is the audit entry of an attempt's end: it is read, never stored twice."""

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from models.database import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptEntry:
    """Score and digest as they were at the end; `receipt_hash` is the entry's own.

    The two are None once the answers were erased.
    """

    audit_seq: int
    receipt_hash: str
    score: Decimal | None
    answers_digest: str | None


# An attempt that was reopened ends again: the newest is its receipt, and each older one
# still says what was handed in then.
GET = """
    SELECT seq AS audit_seq, encode(hash, 'hex') AS receipt_hash,
           (payload::jsonb ->> 'score')::numeric AS score,
           payload::jsonb ->> 'answers_digest' AS answers_digest
      FROM audit_log
     WHERE entity_type = 'attempt' AND entity_id = %(entity_id)s
       AND event_type IN ('attempt.submitted', 'attempt.ended')
     ORDER BY seq DESC
     LIMIT 1
"""


def get(tx: Transaction, attempt_id: UUID) -> ReceiptEntry | None:
    return tx.one_or_none(ReceiptEntry, GET, {"entity_id": str(attempt_id)})
