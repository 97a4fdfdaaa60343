"""What clients send about accounts and logins."""

from typing import Annotated

from pydantic import Field, StringConstraints

from models.principal import Role
from models.wire import Email, Line, Title, WireModel

# Any text may be tried as a password; what a new one must be is another matter.
Password = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
RefreshToken = Annotated[str, StringConstraints(min_length=1, max_length=4096)]


class Registration(WireModel):
    email: Email
    password: Password
    full_name: Title


class Login(WireModel):
    # Not `Email`: an address that is none is answered like any other wrong one.
    email: Annotated[Line, StringConstraints(min_length=1, max_length=254)]
    password: Password


class Refresh(WireModel):
    refresh_token: RefreshToken


class PasswordChange(WireModel):
    current_password: Password
    new_password: Password


class NewUser(WireModel):
    """An account that an admin makes. Its owner chooses another password first."""

    email: Email
    full_name: Title
    role: Role
    password: Password


class UserChange(WireModel):
    """What an admin changes; what is left out stays."""

    full_name: Title | None = None
    role: Role | None = None
    is_active: bool | None = None


class PasswordReset(WireModel):
    new_password: Password


class UserFilter(WireModel):
    role: Role | None = None
    is_active: bool | None = None
    q: Annotated[Line, Field(min_length=1, max_length=254)] | None = None
