"""The refresh_tokens table. A token is used once; there is one live one a session."""

from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from models.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    used_at: datetime


INSERT: LiteralString = """
    INSERT INTO refresh_tokens (token_hash, session_id, issued_at)
    VALUES (%(token_hash)s, %(session_id)s, %(issued_at)s)
"""

USE: LiteralString = """
    UPDATE refresh_tokens SET used_at = clock_timestamp()
     WHERE token_hash = %(token_hash)s AND session_id = %(session_id)s
       AND used_at IS NULL
    RETURNING used_at
"""

GET_RECENT_USE: LiteralString = """
    SELECT used.used_at
      FROM refresh_tokens AS used
      JOIN refresh_tokens AS successor USING (session_id)
     WHERE used.token_hash = %(token_hash)s AND session_id = %(session_id)s
       AND used.used_at
           > clock_timestamp() - make_interval(secs => %(grace_seconds)s)
       AND successor.token_hash = %(successor_hash)s AND successor.used_at IS NULL
"""

EXISTS: LiteralString = """
    SELECT EXISTS (SELECT FROM refresh_tokens
                    WHERE token_hash = %(token_hash)s AND session_id = %(session_id)s)
"""


def insert(
    tx: Transaction, token_hash: bytes, session_id: UUID, issued_at: datetime
) -> None:
    names = {"token_hash": token_hash, "session_id": session_id}
    tx.execute(INSERT, names | {"issued_at": issued_at})


def use(tx: Transaction, token_hash: bytes, session_id: UUID) -> Use | None:
    """Use a token up, or return None if it is used already or unknown."""
    names = {"token_hash": token_hash, "session_id": session_id}
    return tx.one_or_none(Use, USE, names)


def get_recent_use(
    tx: Transaction,
    token_hash: bytes,
    session_id: UUID,
    *,
    successor_hash: bytes,
    grace_seconds: int,
) -> Use | None:
    """Return when a token was used, if just now and its successor is not used yet."""
    names = {"token_hash": token_hash, "session_id": session_id}
    bounds = {"successor_hash": successor_hash, "grace_seconds": grace_seconds}
    return tx.one_or_none(Use, GET_RECENT_USE, names | bounds)


def exists(tx: Transaction, token_hash: bytes, session_id: UUID) -> bool:
    names = {"token_hash": token_hash, "session_id": session_id}
    return bool(tx.scalar(EXISTS, names))
