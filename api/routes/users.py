"""Endpoints through which admins manage accounts."""

from uuid import UUID

from flask import Blueprint

from api.context import services
from api.contract import accepts, authenticated, idempotent, may_fail, queries, returns
from api.paging import PageQuery, PageResponse
from api.schemas.auth import UserResponse
from models.page import Page
from models.principal import Principal, Role
from models.user import User
from services.account_fields import (
    AccountChange,
    AccountFilter,
    NewAccount,
    PasswordReset,
)

bp = Blueprint("users", __name__, url_prefix="/api/users")


class UserQuery(AccountFilter, PageQuery):
    """A page of accounts, filtered."""


@bp.post("")
@idempotent
@may_fail(409)
@returns(UserResponse, 201)
@authenticated(Role.ADMIN)
@accepts(NewAccount)
def create_user(new: NewAccount, admin: Principal) -> User:
    """Make an account of any role. Its owner must change the password first."""
    return services().users.create_user(admin, new)


@bp.get("/<uuid:user_id>")
@returns(UserResponse)
@authenticated(Role.ADMIN)
def get_user(_: Principal, user_id: UUID) -> User:
    """Return one account."""
    return services().users.get_user(user_id)


@bp.get("")
@returns(PageResponse[UserResponse])
@authenticated(Role.ADMIN)
@queries(UserQuery)
def list_users(query: UserQuery, _: Principal) -> Page[User]:
    """List accounts, the newest first; `q` is how the e-mail address begins."""
    return services().users.list_users(query, query.after_id(), query.limit)


@bp.patch("/<uuid:user_id>")
@may_fail(409)
@returns(UserResponse)
@authenticated(Role.ADMIN)
@accepts(AccountChange)
def change_user(change: AccountChange, admin: Principal, user_id: UUID) -> User:
    """Change a name or a role, disable or enable; ends logins where that matters."""
    return services().users.change_user(admin, user_id, change)


@bp.post("/<uuid:user_id>/reset-password")
@may_fail(409)
@returns(None, 204)
@authenticated(Role.ADMIN)
@accepts(PasswordReset)
def reset_password(reset: PasswordReset, admin: Principal, user_id: UUID) -> None:
    """Set a password that its owner must change, and end all his sessions."""
    services().users.reset_password(admin, user_id, reset)
