"""Response bodies about accounts and logins."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from api.schemas.base import ResponseModel, Time
from models.principal import Role


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
    token_type: Literal["Bearer"]
    expires_in: int = Field(description="Seconds until the access token expires.")
    user: UserResponse


class SessionResponse(ResponseModel):
    id: UUID
    created_at: Time
    last_used_at: Time
    expires_at: Time
    ip_address: str | None
    user_agent: str
    is_current: bool
