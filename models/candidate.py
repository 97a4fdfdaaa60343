"""Users by id or address, as candidates for an exam: to sit it or to watch it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID

from models.principal import Role
from models.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    id: UUID
    email_canonical: str


LIST_ACTIVE: LiteralString = """
    SELECT id, email_canonical
      FROM users
     WHERE role = %(role)s AND is_active
       AND (id = ANY (%(ids)s::uuid[]) OR email_canonical = ANY (%(emails)s::text[]))
"""


def list_active(
    tx: Transaction, role: Role, ids: Sequence[UUID], emails: Sequence[str]
) -> Sequence[Candidate]:
    """Read the active users of a role that are named. `emails` are canonical."""
    names = {"role": role, "ids": list(ids), "emails": list(emails)}
    return tx.all(Candidate, LIST_ACTIVE, names)
