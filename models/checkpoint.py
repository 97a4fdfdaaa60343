"""The checkpoints table: what the checkpointer has signed, for whoever reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

from models.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCheckpoint:
    """A signed note. `cosigned_note` is the same with signatures of witnesses."""

    size: int
    root: bytes
    note: str
    signed_at: datetime
    cosigned_note: str | None
    cosigned_at: datetime | None

    @property
    def origin(self) -> str:
        return self.note.partition("\n")[0]

    @property
    def best_note(self) -> str:
        return self.note if self.cosigned_note is None else self.cosigned_note


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Where the log ends, and whether what is new must be signed at once."""

    log_id: bytes
    origin: str
    next_seq: int
    hash: bytes
    is_urgent: bool
    is_suspended: bool


GET: LiteralString = """
    SELECT size, root, note, signed_at, cosigned_note, cosigned_at
      FROM checkpoints WHERE size = %(size)s
"""

GET_NEWEST: LiteralString = """
    SELECT size, root, note, signed_at, cosigned_note, cosigned_at
      FROM checkpoints ORDER BY size DESC LIMIT 1
"""

GET_NEWEST_COSIGNED: LiteralString = """
    SELECT size, root, note, signed_at, cosigned_note, cosigned_at
      FROM checkpoints WHERE cosigned_note IS NOT NULL ORDER BY size DESC LIMIT 1
"""

GET_FIRST_OVER: LiteralString = """
    SELECT size, root, note, signed_at, cosigned_note, cosigned_at
      FROM checkpoints WHERE size > %(seq)s ORDER BY size LIMIT 1
"""

GET_FIRST_COSIGNED_OVER: LiteralString = """
    SELECT size, root, note, signed_at, cosigned_note, cosigned_at
      FROM checkpoints WHERE size > %(seq)s AND cosigned_note IS NOT NULL
     ORDER BY size LIMIT 1
"""

GET_NEWEST_WITNESSED: LiteralString = """
    SELECT size, root, note, signed_at, cosigned_note, cosigned_at
      FROM checkpoints WHERE witnessed_at IS NOT NULL ORDER BY size DESC LIMIT 1
"""

LIST_WITNESSED_OVER: LiteralString = """
    SELECT size, root, note, signed_at, cosigned_note, cosigned_at
      FROM checkpoints WHERE size > %(seq)s AND witnessed_at IS NOT NULL
     ORDER BY size LIMIT %(limit)s
"""

LIST: LiteralString = """
    SELECT size, root, note, signed_at, cosigned_note, cosigned_at
      FROM checkpoints WHERE size < %(before)s
     ORDER BY size DESC LIMIT %(limit)s
"""

STORE: LiteralString = """
    INSERT INTO checkpoints (size, root, note) VALUES (%(size)s, %(root)s, %(note)s)
    ON CONFLICT (size) DO NOTHING
"""

STORE_COSIGNED: LiteralString = """
    UPDATE checkpoints
       SET cosigned_note = %(cosigned_note)s, cosigned_at = clock_timestamp(),
           witnessed_at = CASE WHEN %(is_witnessed)s
               THEN coalesce(witnessed_at, clock_timestamp()) ELSE witnessed_at END
     WHERE size = %(size)s
"""

# Nothing is to be read behind what is signed: the range is short.
GET_NEWS: LiteralString = """
    SELECT log_id, origin, next_seq, hash,
           EXISTS (SELECT FROM audit_log
                    WHERE seq >= %(size)s AND event_type = ANY(%(urgent)s))
               AS is_urgent,
           suspension IS NOT NULL AS is_suspended
      FROM audit_head ORDER BY next_seq DESC LIMIT 1
"""

# The first entry that is not signed yet is the oldest of them.
IS_KEEPING_UP: LiteralString = """
    SELECT EXISTS (SELECT FROM checkpoints)
       AND NOT EXISTS (
           SELECT FROM audit_log
            WHERE seq = (SELECT max(size) FROM checkpoints)
              AND recorded_at
                  < clock_timestamp() - make_interval(secs => %(seconds)s))
"""


def get(tx: Transaction, size: int) -> StoredCheckpoint | None:
    return tx.one_or_none(StoredCheckpoint, GET, {"size": size})


def get_newest(tx: Transaction) -> StoredCheckpoint | None:
    return tx.one_or_none(StoredCheckpoint, GET_NEWEST)


def get_newest_cosigned(tx: Transaction) -> StoredCheckpoint | None:
    return tx.one_or_none(StoredCheckpoint, GET_NEWEST_COSIGNED)


def get_first_over(tx: Transaction, seq: int) -> StoredCheckpoint | None:
    """Return the smallest checkpoint that covers an entry."""
    return tx.one_or_none(StoredCheckpoint, GET_FIRST_OVER, {"seq": seq})


def get_first_cosigned_over(tx: Transaction, seq: int) -> StoredCheckpoint | None:
    """Return the smallest checkpoint that covers an entry and that witnesses signed."""
    return tx.one_or_none(StoredCheckpoint, GET_FIRST_COSIGNED_OVER, {"seq": seq})


def get_newest_witnessed(tx: Transaction) -> StoredCheckpoint | None:
    """Return the newest that the checkpointer saw a quorum cosign."""
    return tx.one_or_none(StoredCheckpoint, GET_NEWEST_WITNESSED)


def list_witnessed_over(
    tx: Transaction, seq: int, *, limit: int
) -> Sequence[StoredCheckpoint]:
    """Return the first of them that cover an entry, the smallest first."""
    return tx.all(StoredCheckpoint, LIST_WITNESSED_OVER, {"seq": seq, "limit": limit})


def list_newest(
    tx: Transaction, *, before: int, limit: int
) -> Sequence[StoredCheckpoint]:
    """Return checkpoints of smaller size than `before`, the newest first."""
    return tx.all(StoredCheckpoint, LIST, {"before": before, "limit": limit})


def store(tx: Transaction, *, size: int, root: bytes, note: str) -> None:
    """Publish a checkpoint, unless one of this size is there already."""
    tx.execute(STORE, {"size": size, "root": root, "note": note})


def store_cosigned(
    tx: Transaction, size: int, cosigned_note: str, *, is_witnessed: bool
) -> None:
    """Complete a checkpoint; `is_witnessed` says that it has a quorum by now."""
    tx.execute(
        STORE_COSIGNED,
        {"size": size, "cosigned_note": cosigned_note, "is_witnessed": is_witnessed},
    )


def get_news(tx: Transaction, *, size: int, urgent: Sequence[str]) -> News | None:
    """Look at the log's end from where `size` entries are signed; None: no head."""
    return tx.one_or_none(News, GET_NEWS, {"size": size, "urgent": list(urgent)})


def is_keeping_up(tx: Transaction, *, within_seconds: int) -> bool:
    """Say whether all entries are signed but such as are not older than that."""
    return bool(tx.scalar(IS_KEEPING_UP, {"seconds": within_seconds}))


def flush(tx: Transaction) -> None:
    """Wait until all that was committed before is on disk. Tests kill it here."""
    tx.flush()
