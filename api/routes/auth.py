"""Endpoints for registering, logging in and out, and one's own sessions."""

from uuid import UUID

from flask import Blueprint, request

from api.context import services
from api.contract import (
    accepts,
    authenticated,
    idempotent,
    may_fail,
    public,
    queries,
    returns,
)
from api.paging import PageQuery, PageResponse
from api.schemas.auth import SessionResponse, TokenResponse, UserResponse
from models.page import Page
from models.principal import Principal
from models.session import Client
from models.user import User
from models.wire import CONTROLS
from services.account_fields import Login, PasswordChange, Refresh, Registration
from services.auth_service import LoggedIn
from utils.addresses import ip_address_of

bp = Blueprint("auth", __name__, url_prefix="/api/auth")


def _client() -> Client:
    agent = CONTROLS.sub(" ", request.headers.get("User-Agent", ""))[:500]
    address = ip_address_of(request.remote_addr)
    return Client(ip_address=str(address) if address else None, user_agent=agent)


@bp.post("/register")
@idempotent
@may_fail(409)
@returns(UserResponse, 201)
@public
@accepts(Registration)
def register(new: Registration) -> User:
    """Make a student's account for oneself."""
    return services().accounts.register(new)


@bp.post("/login")
@may_fail(401)
@returns(TokenResponse)
@public
@accepts(Login)
def login(body: Login) -> LoggedIn:
    """Open a session, and get tokens for it."""
    return services().auth.login(body, _client())


@bp.post("/refresh")
@may_fail(401)
@returns(TokenResponse)
@public
@accepts(Refresh)
def refresh(body: Refresh) -> LoggedIn:
    """Exchange a refresh token, which works once, for new tokens.

    Using an old one again ends the session, except within ten seconds and while the new
    one is unused: then it gives that one to a second tab, with an access token.
    """
    return services().auth.refresh(body.refresh_token, _client())


@bp.get("/me")
@returns(UserResponse)
@authenticated(is_password_pending_allowed=True)
def me(principal: Principal) -> User:
    """Return the caller's own account."""
    return services().accounts.get_me(principal)


@bp.post("/logout")
@returns(None, 204)
@authenticated(is_password_pending_allowed=True)
def logout(principal: Principal) -> None:
    """End this session: its access token and its refresh token stop working."""
    services().auth.logout(principal)


@bp.post("/change-password")
@returns(None, 204)
@authenticated(is_password_pending_allowed=True)
@accepts(PasswordChange)
def change_password(change: PasswordChange, principal: Principal) -> None:
    """Set a new password. All other sessions of the caller end."""
    services().accounts.change_password(principal, change)


@bp.get("/sessions")
@returns(PageResponse[SessionResponse])
@authenticated()
@queries(PageQuery)
def list_sessions(query: PageQuery, principal: Principal) -> Page[SessionResponse]:
    """List where the caller is logged in, the newest first."""
    page = services().accounts.list_sessions(principal, query.after_id(), query.limit)
    return Page(
        [SessionResponse.of(row, principal.session_id) for row in page.items],
        page.next_key,
    )


@bp.delete("/sessions/<uuid:session_id>")
@returns(None, 204)
@authenticated()
def end_session(principal: Principal, session_id: UUID) -> None:
    """End one of the caller's sessions."""
    services().accounts.end_session(principal, session_id)


@bp.delete("/sessions")
@returns(None, 204)
@authenticated()
def end_other_sessions(principal: Principal) -> None:
    """End all sessions of the caller but this one."""
    services().accounts.end_other_sessions(principal)
