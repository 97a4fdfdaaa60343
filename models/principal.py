"""Who is calling."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    ADMIN = "admin"
    PROCTOR = "proctor"
    STUDENT = "student"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A user, and the login through which he speaks."""

    id: UUID
    role: Role
    session_id: UUID
    must_change_password: bool
