"""The sessions table: one row a login. What has ended never begins again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import LiteralString
from uuid import UUID

from models.principal import Principal
from models.transaction import Transaction


class EndedReason(StrEnum):
    LOGOUT = "logout"
    ENDED_BY_USER = "ended_by_user"
    TOKEN_REUSE = "token_reuse"  # noqa: S105 - No secret.
    PASSWORD_CHANGED = "password_changed"  # noqa: S105
    PASSWORD_RESET = "password_reset"  # noqa: S105
    ACCOUNT_DISABLED = "account_disabled"
    ROLE_CHANGED = "role_changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Where a login comes from, as far as it can be known."""

    ip_address: str | None = None
    user_agent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    id: UUID
    user_id: UUID
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    ip_address: str | None
    user_agent: str


# A function in FROM is evaluated once, so the session lasts exactly its seconds.
INSERT: LiteralString = """
    INSERT INTO sessions (id, user_id, created_at, last_used_at, expires_at,
                          ip_address, user_agent)
    SELECT %(id)s, %(user_id)s, moment, moment,
           moment + make_interval(secs => %(seconds)s),
           %(ip_address)s::inet, %(user_agent)s
      FROM clock_timestamp() AS moment
    RETURNING id, user_id, created_at, last_used_at, expires_at,
              host(ip_address) AS ip_address, user_agent
"""

# What it looks at stands with the function (migration 0032).
GET_PRINCIPAL: LiteralString = """
    SELECT * FROM live_principal(
        %(session_id)s, %(user_id)s, %(issued_at)s, %(expires_at)s, %(leeway_seconds)s)
"""

# Two refreshes of one session take turns here.
LOCK_LIVE: LiteralString = """
    SELECT sessions.id, user_id, sessions.created_at, last_used_at, expires_at,
           host(ip_address) AS ip_address, user_agent
      FROM sessions
      JOIN users ON users.id = sessions.user_id
     WHERE sessions.id = %(id)s AND user_id = %(user_id)s AND ended_at IS NULL
       AND expires_at > clock_timestamp() AND users.is_active
       FOR NO KEY UPDATE OF sessions
"""

TOUCH: LiteralString = """
    UPDATE sessions
       SET last_used_at = %(used_at)s,
           ip_address = coalesce(%(ip_address)s::inet, ip_address)
     WHERE id = %(id)s
"""

GET_ADDRESS: LiteralString = """
    SELECT host(ip_address) AS ip_address FROM sessions WHERE id = %(id)s
"""

LIST_LIVE: LiteralString = """
    SELECT id, user_id, created_at, last_used_at, expires_at,
           host(ip_address) AS ip_address, user_agent
      FROM sessions
     WHERE user_id = %(user_id)s AND ended_at IS NULL
       AND expires_at > clock_timestamp()
       AND (%(before)s::uuid IS NULL OR id < %(before)s::uuid)
     ORDER BY id DESC
     LIMIT %(limit)s
"""

END: LiteralString = """
    UPDATE sessions SET ended_at = clock_timestamp(), ended_reason = %(reason)s
     WHERE id = %(id)s AND user_id = %(user_id)s AND ended_at IS NULL
       AND expires_at > clock_timestamp()
"""

END_ALL: LiteralString = """
    UPDATE sessions SET ended_at = clock_timestamp(), ended_reason = %(reason)s
     WHERE user_id = %(user_id)s AND ended_at IS NULL
       AND expires_at > clock_timestamp()
       AND id IS DISTINCT FROM %(keep)s::uuid
"""


def insert(
    tx: Transaction, session_id: UUID, user_id: UUID, seconds: int, client: Client
) -> Session:
    """Begin a session that lasts `seconds` at most."""
    names = {"id": session_id, "user_id": user_id, "seconds": seconds}
    where = {"ip_address": client.ip_address, "user_agent": client.user_agent}
    return tx.one(Session, INSERT, names | where)


def get_principal(
    tx: Transaction,
    *,
    session_id: UUID,
    user_id: UUID,
    issued_at: int,
    expires_at: int,
    leeway_seconds: int,
) -> Principal | None:
    """Return who speaks through a token with these claims (times since the epoch).

    None if it has expired or was issued in the future by the database's clock, if its
    session has ended, or if its user was disabled.
    """
    return tx.one_or_none(
        Principal,
        GET_PRINCIPAL,
        {
            "session_id": session_id,
            "user_id": user_id,
            "issued_at": issued_at,
            "expires_at": expires_at,
            "leeway_seconds": leeway_seconds,
        },
    )


def lock_live(tx: Transaction, session_id: UUID, user_id: UUID) -> Session | None:
    """Lock a session that lasts and whose user is active."""
    return tx.one_or_none(Session, LOCK_LIVE, {"id": session_id, "user_id": user_id})


def touch(
    tx: Transaction, session_id: UUID, used_at: datetime, ip_address: str | None
) -> None:
    """Note when a session was used, and from where if that is known."""
    names = {"id": session_id, "used_at": used_at, "ip_address": ip_address}
    tx.execute(TOUCH, names)


@dataclass(frozen=True, slots=True)
class _Address:
    ip_address: str | None


def get_address(tx: Transaction, session_id: UUID) -> str | None:
    """Return where a session was last used from, if that is known."""
    return tx.one(_Address, GET_ADDRESS, {"id": session_id}).ip_address


def list_live(
    tx: Transaction, user_id: UUID, *, limit: int, before: UUID | None
) -> Sequence[Session]:
    names = {"user_id": user_id, "limit": limit, "before": before}
    return tx.all(Session, LIST_LIVE, names)


def end(tx: Transaction, session_id: UUID, user_id: UUID, reason: EndedReason) -> bool:
    """End a user's session, and return whether it lasted until now."""
    names = {"id": session_id, "user_id": user_id, "reason": reason}
    return tx.execute(END, names) == 1


def end_all(
    tx: Transaction, user_id: UUID, reason: EndedReason, *, keep: UUID | None = None
) -> int:
    """End all sessions of a user but `keep`, and return how many they were."""
    return tx.execute(END_ALL, {"user_id": user_id, "reason": reason, "keep": keep})
