"""Response bodies about accounts and logins."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from api.schemas.base import ResponseModel, Time
from models.principal import Role
from models.session import Session


class UserResponse(ResponseModel):
    id: UUID
    email: str
    full_name: str
    role: Role
    must_change_password: bool
    is_active: bool
    created_at: Time
    updated_at: Time


class TokenResponse(ResponseModel):
    access_token: str
    refresh_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105
    expires_in: int = Field(description="Seconds until the access token expires.")
    user: UserResponse


class SessionResponse(ResponseModel):
    id: UUID
    created_at: Time
    last_used_at: Time
    expires_at: Time
    ip_address: str | None
    user_agent: str
    is_current: bool = Field(description="Whether this request came through it.")

    @classmethod
    def of(cls, row: Session, current: UUID) -> "SessionResponse":
        return cls(
            id=row.id,
            created_at=row.created_at,
            last_used_at=row.last_used_at,
            expires_at=row.expires_at,
            ip_address=row.ip_address,
            user_agent=row.user_agent,
            is_current=row.id == current,
        )
