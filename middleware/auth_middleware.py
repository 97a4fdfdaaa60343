"""From a bearer token to `g.principal`, and from a principal to a yes or no."""

from collections.abc import Sequence

from flask import Flask, current_app, g, request

from models.principal import Principal, Role
from services import errors
from services.auth_service import AuthService
from services.tokens import MAX_TOKEN_LENGTH


class NotAuthenticatedError(errors.UnauthenticatedError):
    slug = "not-authenticated"
    title = "Not authenticated"

    def __init__(self) -> None:
        super().__init__("Send an access token as `Authorization: Bearer <token>`.")


class RoleNotAllowedError(errors.ForbiddenError):
    slug = "role-not-allowed"
    title = "Not allowed for your role"

    def __init__(self, role: Role) -> None:
        super().__init__(f"The role {role} may not do this.")


class PasswordChangeRequiredError(errors.ForbiddenError):
    slug = "password-change-required"
    title = "Password change required"

    def __init__(self) -> None:
        super().__init__(
            "This password was set by somebody else. Choose one of your own with "
            "POST /api/auth/change-password first."
        )


def init_app(app: Flask, auth: AuthService) -> None:
    """Identify the caller before each request that is not open to all."""
    app.extensions["auth"] = auth
    app.before_request(_identify)


def _identify() -> None:
    handler = current_app.view_functions.get(request.endpoint or "")
    contract = getattr(handler, "contract", None)
    # Flask answers OPTIONS itself, and a browser asks it without credentials.
    if contract is None or contract.roles == () or request.method == "OPTIONS":
        return
    g.principal = _auth().principal_of(_bearer_token())


def _auth() -> AuthService:
    found: AuthService = current_app.extensions["auth"]
    return found


def _bearer_token() -> str:
    header = request.headers.get("Authorization", "")
    scheme, _, token = header.partition(" ")
    # The scheme's case is free (RFC 9110 section 11.1); the token is one word.
    if (
        scheme.lower() != "bearer"
        or not token
        or len(token) > MAX_TOKEN_LENGTH
        or not token.isascii()
        or " " in token
    ):
        raise NotAuthenticatedError
    return token


def require_role(
    roles: Sequence[Role], *, is_password_pending_allowed: bool = False
) -> Principal:
    """Return the caller if his role is one of `roles`; a refusal is audited.

    Raises NotAuthenticatedError, RoleNotAllowedError, PasswordChangeRequiredError.
    """
    principal: Principal | None = g.get("principal")
    if principal is None:
        raise NotAuthenticatedError
    if principal.must_change_password and not is_password_pending_allowed:
        raise PasswordChangeRequiredError
    if principal.role not in roles:
        rule = request.url_rule.rule if request.url_rule else request.path
        _auth().record_denial(principal, request.method, rule)
        raise RoleNotAllowedError(principal.role)
    return principal
