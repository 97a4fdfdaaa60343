"""The checkpoint_timestamps table: what authorities of time have answered (RFC 3161).

Rows are inserted and read. They were verified before; who distrusts us verifies again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import LiteralString

from models.transaction import Transaction, columns_of


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTimestamp:
    size: int
    note: str
    tsa_url: str
    response: bytes
    stamped_at: datetime
    is_chain_verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTimestamp:
    """`response` is a TimeStampResp in DER, over the very bytes of `note`.

    `stamped_at` is what the authority says, `received_at` is by our database's clock.
    """

    id: int
    size: int
    note: str
    tsa_url: str
    response: bytes
    stamped_at: datetime
    is_chain_verified: bool
    received_at: datetime

    @property
    def note_sha256(self) -> bytes:
        """What the authority has stamped."""
        return sha256(self.note.encode()).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """The checkpoint that is to be stamped, with the signatures that it has by now."""

    size: int
    note: str


# The newest, if this authority has not stamped it, nor any within the interval. A row
# of the future was stored while the clock was ahead: it says nothing of today.
GET_DUE: LiteralString = """
    SELECT newest.size, coalesce(newest.cosigned_note, newest.note) AS note
      FROM (SELECT size, note, cosigned_note FROM checkpoints
             ORDER BY size DESC LIMIT 1) AS newest
     WHERE NOT EXISTS (
           SELECT FROM checkpoint_timestamps AS stamped
            WHERE stamped.tsa_url = %(tsa_url)s
              AND (stamped.size = newest.size
                   OR stamped.received_at BETWEEN clock_timestamp()
                          - make_interval(secs => %(interval_seconds)s)
                      AND clock_timestamp()))
"""

INSERT: LiteralString = """
    INSERT INTO checkpoint_timestamps (size, note, tsa_url, response, stamped_at,
                                       is_chain_verified)
    VALUES (%(size)s, %(note)s, %(tsa_url)s, %(response)s, %(stamped_at)s,
            %(is_chain_verified)s)
    ON CONFLICT (size, tsa_url) DO NOTHING
"""

GET: LiteralString = """
    SELECT id, size, note, tsa_url, response, stamped_at, is_chain_verified, received_at
      FROM checkpoint_timestamps WHERE id = %(id)s
"""

LIST: LiteralString = """
    SELECT id, size, note, tsa_url, response, stamped_at, is_chain_verified, received_at
      FROM checkpoint_timestamps WHERE id < %(before)s
     ORDER BY id DESC LIMIT %(limit)s
"""

LIST_FIRST_OVER: LiteralString = """
    SELECT DISTINCT ON (tsa_url)
           id, size, note, tsa_url, response, stamped_at, is_chain_verified, received_at
      FROM checkpoint_timestamps
     WHERE size > %(seq)s AND size <= %(until)s
     ORDER BY tsa_url, size
"""


def get_due(tx: Transaction, tsa_url: str, *, interval_seconds: float) -> Due | None:
    return tx.one_or_none(
        Due, GET_DUE, {"tsa_url": tsa_url, "interval_seconds": interval_seconds}
    )


def insert(tx: Transaction, new: NewTimestamp) -> None:
    """Store a timestamp, unless there is this authority's for the checkpoint."""
    tx.execute(INSERT, columns_of(new))


def get(tx: Transaction, timestamp_id: int) -> StoredTimestamp | None:
    return tx.one_or_none(StoredTimestamp, GET, {"id": timestamp_id})


def list_newest(
    tx: Transaction, *, before: int, limit: int
) -> Sequence[StoredTimestamp]:
    """Return timestamps with smaller ids than `before`, the newest first."""
    return tx.all(StoredTimestamp, LIST, {"before": before, "limit": limit})


def list_first_over(
    tx: Transaction, seq: int, *, until: int
) -> Sequence[StoredTimestamp]:
    """Return each authority's first over an entry, of at most `until` entries."""
    return tx.all(StoredTimestamp, LIST_FIRST_OVER, {"seq": seq, "until": until})
