"""The users table. A user is never deleted, only disabled."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from models.principal import Role
from models.transaction import Transaction, columns_of


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """What may be shown of a user; never his password's hash."""

    id: UUID
    email: str
    full_name: str
    role: Role
    is_active: bool
    must_change_password: bool
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    id: UUID
    email: str
    full_name: str
    is_active: bool
    password_hash: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUser:
    id: UUID
    email: str
    # models.wire.canonical_email of the address: unique.
    email_canonical: str
    full_name: str
    role: Role
    password_hash: str = field(repr=False)
    must_change_password: bool


INSERT: LiteralString = """
    INSERT INTO users (id, email, email_canonical, full_name, role, password_hash,
                       must_change_password)
    VALUES (%(id)s, %(email)s, %(email_canonical)s, %(full_name)s, %(role)s,
            %(password_hash)s, %(must_change_password)s)
    RETURNING id, email, full_name, role, is_active, must_change_password,
              created_at, updated_at
"""

GET: LiteralString = """
    SELECT id, email, full_name, role, is_active, must_change_password,
           created_at, updated_at
      FROM users
     WHERE id = %(id)s
"""

GET_CREDENTIALS: LiteralString = """
    SELECT id, email, full_name, is_active, password_hash
      FROM users
     WHERE id = %(id)s
"""

GET_FRESH_HASH: LiteralString = """
    SELECT (SELECT password_hash FROM users
             WHERE id = %(id)s AND NOT must_change_password
               AND updated_at > clock_timestamp() - interval '10 minutes')
"""

FIND_CREDENTIALS: LiteralString = """
    SELECT id, email, full_name, is_active, password_hash
      FROM users
     WHERE email_canonical = %(email_canonical)s
"""

# Whoever changes the password or disables the account waits for this, or this for him.
LOCK_VERIFIED: LiteralString = """
    SELECT id, email, full_name, role, is_active, must_change_password,
           created_at, updated_at
      FROM users
     WHERE id = %(id)s AND password_hash = %(password_hash)s AND is_active
       FOR NO KEY UPDATE
"""

# In the order of their ids, so that two who demote each other can not deadlock.
LOCK_WITH_ACTIVE_ADMINS: LiteralString = """
    SELECT id, email, full_name, role, is_active, must_change_password,
           created_at, updated_at
      FROM users
     WHERE id = %(id)s OR (role = 'admin' AND is_active)
     ORDER BY id
       FOR NO KEY UPDATE
"""

LIST_PAGE: LiteralString = """
    SELECT id, email, full_name, role, is_active, must_change_password,
           created_at, updated_at
      FROM users
     WHERE (%(before)s::uuid IS NULL OR id < %(before)s::uuid)
       AND (%(role)s::text IS NULL OR role = %(role)s)
       AND (%(is_active)s::boolean IS NULL OR is_active = %(is_active)s)
       AND (%(email_pattern)s::text IS NULL OR email_canonical LIKE %(email_pattern)s)
     ORDER BY id DESC
     LIMIT %(limit)s
"""

UPDATE: LiteralString = """
    UPDATE users
       SET full_name = %(full_name)s, role = %(role)s, is_active = %(is_active)s,
           updated_at = clock_timestamp()
     WHERE id = %(id)s
    RETURNING id, email, full_name, role, is_active, must_change_password,
              created_at, updated_at
"""

SET_HASH: LiteralString = """
    UPDATE users
       SET password_hash = %(password_hash)s,
           must_change_password = %(must_change_password)s,
           updated_at = clock_timestamp()
     WHERE id = %(id)s
    RETURNING id, email, full_name, role, is_active, must_change_password,
              created_at, updated_at
"""

REHASH: LiteralString = """
    UPDATE users SET password_hash = %(password_hash)s WHERE id = %(id)s
"""


def insert(tx: Transaction, new: NewUser) -> User:
    """Insert a user. A taken address is ConstraintError users_email_canonical_key."""
    return tx.one(User, INSERT, columns_of(new))


def get(tx: Transaction, user_id: UUID) -> User | None:
    return tx.one_or_none(User, GET, {"id": user_id})


def get_credentials(tx: Transaction, user_id: UUID) -> Credentials:
    """Return the credentials of a user who exists."""
    return tx.one(Credentials, GET_CREDENTIALS, {"id": user_id})


def get_fresh_hash(tx: Transaction, user_id: UUID) -> str | None:
    """Return the hash of a password that its owner may have set a short while ago."""
    fresh: str | None = tx.scalar(GET_FRESH_HASH, {"id": user_id})
    return fresh


def find_credentials(tx: Transaction, email_canonical: str) -> Credentials | None:
    names = {"email_canonical": email_canonical}
    return tx.one_or_none(Credentials, FIND_CREDENTIALS, names)


def lock_verified(tx: Transaction, user_id: UUID, password_hash: str) -> User | None:
    """Lock a user, or return None if he was disabled or has another hash by now."""
    names = {"id": user_id, "password_hash": password_hash}
    return tx.one_or_none(User, LOCK_VERIFIED, names)


def lock_with_active_admins(tx: Transaction, user_id: UUID) -> Sequence[User]:
    """Lock the user, if he exists, and all active admins."""
    return tx.all(User, LOCK_WITH_ACTIVE_ADMINS, {"id": user_id})


def list_page(
    tx: Transaction,
    *,
    limit: int,
    before: UUID | None,
    role: Role | None,
    is_active: bool | None,
    email_pattern: str | None,
) -> Sequence[User]:
    """List users, newest first. `email_pattern` is one for LIKE."""
    return tx.all(
        User,
        LIST_PAGE,
        {
            "limit": limit,
            "before": before,
            "role": role,
            "is_active": is_active,
            "email_pattern": email_pattern,
        },
    )


def update(
    tx: Transaction, user_id: UUID, *, full_name: str, role: Role, is_active: bool
) -> User:
    names = {"id": user_id, "full_name": full_name, "role": role}
    return tx.one(User, UPDATE, names | {"is_active": is_active})


def set_password(
    tx: Transaction, user_id: UUID, password_hash: str, *, must_change: bool
) -> User | None:
    names = {"id": user_id, "password_hash": password_hash}
    return tx.one_or_none(User, SET_HASH, names | {"must_change_password": must_change})


def rehash(tx: Transaction, user_id: UUID, password_hash: str) -> None:
    """Keep the same password under another cost."""
    tx.execute(REHASH, {"id": user_id, "password_hash": password_hash})
