"""Naming the people whom an exam is given to: by id, by address, or both."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from pydantic import Field

from models import candidate
from models.principal import Role
from models.transaction import Transaction
from models.wire import Email, canonical_email
from services import errors

MAX_CANDIDATES = 1000

Ids = Annotated[tuple[UUID, ...], Field(max_length=MAX_CANDIDATES)]
Emails = Annotated[tuple[Email, ...], Field(max_length=MAX_CANDIDATES)]


class CandidatesInvalidError(errors.UnprocessableError):
    slug = "candidates-invalid"
    title = "Nobody to assign"

    def __init__(self, role: Role, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__(f"Nobody was assigned: not all are active {role}s.", problems)


def resolve(
    tx: Transaction,
    role: Role,
    ids: Sequence[UUID],
    emails: Sequence[str],
    *,
    ids_field: str,
) -> list[UUID]:
    """Return the ids of all who are named, each once.

    Raises CandidatesInvalidError, which points to each one who is no active user of
    this role.
    """
    canonical = [canonical_email(email) for email in emails]
    found = candidate.list_active(tx, role, ids, canonical)
    known = {one.id for one in found}
    by_email = {one.email_canonical: one.id for one in found}
    sentence = f"Is no active {role}."
    problems = [
        (f"#/{ids_field}/{index}", sentence)
        for index, user_id in enumerate(ids)
        if user_id not in known
    ] + [
        (f"#/emails/{index}", sentence)
        for index, email in enumerate(canonical)
        if email not in by_email
    ]
    if problems:
        raise CandidatesInvalidError(role, problems[:50])
    return list(dict.fromkeys([*ids, *(by_email[email] for email in canonical)]))
