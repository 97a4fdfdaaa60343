"""The audit_suspensions table: what showed that the log is not the one that was signed.

While one of them stands, no entry can be appended (0010_epochs.sql). And the log's
epochs, which are entries: each says under which origin the log goes on, and why.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

from models.audit_event import AuditEvent
from models.transaction import Transaction, columns_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """A note with the log's own signature, and the log that does not fit it.

    `log_root` is the root at the size of the note; None if the log is shorter.
    """

    seen_by: str
    note: str
    size: int
    root: bytes
    log_size: int
    log_root: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspension(Contradiction):
    found_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginEntry:
    """An entry that gives the log its origin: the first of all, or of an epoch."""

    seq: int
    recorded_at: datetime
    actor_id: str | None
    payload: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEnd:
    """Where the log ends, and the last entry before `size`, if it has that many."""

    next_seq: int
    last_hash: bytes | None
    is_in_recovery: bool


GET: LiteralString = """
    SELECT found_at, seen_by, note, size, root, log_size, log_root
      FROM public.audit_suspensions
     WHERE id = (SELECT suspension FROM public.audit_head
                  ORDER BY next_seq DESC LIMIT 1)
"""

IS_SUSPENDED: LiteralString = """
    SELECT EXISTS (SELECT FROM public.audit_head WHERE suspension IS NOT NULL)
"""

SUSPEND: LiteralString = """
    SELECT audit_suspend(%(origin)s, %(seen_by)s, %(note)s, %(size)s, %(root)s,
                         %(log_size)s, %(log_root)s)
"""

# Of two who end a suspension one finds that it has ended.
TAKE_TURN: LiteralString = "SELECT pg_advisory_xact_lock(hashtext('audit_suspensions'))"

LIST_ORIGINS: LiteralString = """
    SELECT seq, recorded_at, actor_id, payload
      FROM public.audit_log
     WHERE seq = 0 OR event_type = %(epoch_opened)s
     ORDER BY seq
"""

# Of two entries with one number neither is the last.
GET_END: LiteralString = """
    SELECT next_seq,
           (SELECT (array_agg(hash))[1] FROM audit_log WHERE seq = %(size)s - 1
            HAVING count(*) = 1) AS last_hash,
           pg_is_in_recovery() AS is_in_recovery
      FROM audit_head ORDER BY next_seq DESC LIMIT 1
"""


def get(tx: Transaction) -> Suspension | None:
    """Return what the log is suspended for, None if it may be written."""
    return tx.one_or_none(Suspension, GET)


def is_suspended(tx: Transaction) -> bool:
    return bool(tx.scalar(IS_SUSPENDED))


def suspend(tx: Transaction, origin: str, found: Contradiction) -> bool:
    """Stop all writing; False if it was stopped already, or the origin is another."""
    return bool(tx.scalar(SUSPEND, columns_of(found) | {"origin": origin}))


def get_to_end(tx: Transaction) -> Suspension | None:
    """Return what `get` does, and let nobody else end it until `tx` has."""
    tx.execute(TAKE_TURN)
    return get(tx)


def list_origins(tx: Transaction) -> Sequence[OriginEntry]:
    return tx.all(OriginEntry, LIST_ORIGINS, {"epoch_opened": AuditEvent.EPOCH_OPENED})


def get_end(tx: Transaction, size: int) -> LogEnd | None:
    """Look at the log as one of `size` entries or more; None: it has no head."""
    return tx.one_or_none(LogEnd, GET_END, {"size": size})
