"""What comes in about accounts: the bodies of /api/auth and /api/users."""

from typing import Annotated

from pydantic import Field

from models.principal import Role
from models.wire import Email, Line, Title, WireModel
from services.tokens import MAX_TOKEN_LENGTH

# Never trimmed: a space at the end is part of it. How long a new one may be is for
# services/passwords.py to say; an old one that is too long is simply wrong.
Password = Annotated[
    str,
    Field(min_length=1, max_length=1024, pattern=r"^[^\x00-\x1f\x7f]*$", repr=False),
]
NewPassword = Annotated[
    Password, Field(description="12 to 72 bytes of UTF-8, and not a common one.")
]


class Registration(WireModel):
    email: Email
    password: NewPassword
    full_name: Title


class Login(WireModel):
    email: Email
    password: Password


class Refresh(WireModel):
    refresh_token: Annotated[
        str, Field(min_length=1, max_length=MAX_TOKEN_LENGTH, repr=False)
    ]


class PasswordChange(WireModel):
    current_password: Password
    new_password: NewPassword


class NewAdmin(WireModel):
    """As the command line gives it."""

    email: Email
    password: NewPassword
    full_name: Title


class NewAccount(WireModel):
    """Of any role. Its owner has to change the password at his first login."""

    email: Email
    password: NewPassword
    full_name: Title
    role: Role


class AccountChange(WireModel):
    """What is left out, or null, stays as it is."""

    full_name: Title | None = None
    role: Role | None = None
    is_active: bool | None = None


class PasswordReset(WireModel):
    new_password: NewPassword


class AccountFilter(WireModel):
    role: Role | None = None
    is_active: bool | None = None
    # How the e-mail address begins.
    q: Annotated[Line, Field(min_length=1, max_length=254)] | None = None
