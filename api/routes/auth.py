"""Endpoints for registering, logging in and out, and one's own sessions."""

from uuid import UUID

from flask import Blueprint, request

from api.context import services
from api.contract import accepts, authenticated, idempotent, may_fail, public, returns
from api.paging import PageResponse
from api.schemas.auth import SessionResponse, TokenResponse, UserResponse
from models.accounts import Login, PasswordChange, Refresh, Registration
from models.page import Page
from models.principal import Principal
from models.session import Session
from models.user import User
from models.wire import CONTROLS
from services.auth_service import Device, TokenPair

bp = Blueprint("auth", __name__, url_prefix="/api/auth")


def _device() -> Device:
    agent = CONTROLS.sub(" ", request.headers.get("User-Agent", ""))[:500]
    return Device(ip_address=request.remote_addr, user_agent=agent)


@bp.post("/register")
@idempotent
@may_fail(409)
@returns(UserResponse, 201)
@public
@accepts(Registration)
def register(new: Registration) -> User:
    """Make a student's account for oneself."""
    return services().auth.register(new)


@bp.post("/login")
@may_fail(401)
@returns(TokenResponse)
@public
@accepts(Login)
def login(body: Login) -> TokenPair:
    """Open a session, and get tokens for it."""
    return services().auth.log_in(body, _device())


@bp.post("/refresh")
@may_fail(401)
@returns(TokenResponse)
@public
@accepts(Refresh)
def refresh(body: Refresh) -> TokenPair:
    """Exchange a refresh token, which works once, for new tokens.

    Using an old one again ends the session, except within ten seconds, when it gives
    the same tokens to a second tab.
    """
    return services().auth.refresh(body.refresh_token)


@bp.get("/me")
@returns(UserResponse)
@authenticated(is_password_pending_allowed=True)
def me(principal: Principal) -> User:
    """Return the caller's own account."""
    return services().auth.get_me(principal)


@bp.post("/logout")
@returns(None, 204)
@authenticated(is_password_pending_allowed=True)
def logout(principal: Principal) -> None:
    """End this session: its access token and its refresh token stop working."""
    services().auth.log_out(principal)


@bp.post("/change-password")
@returns(None, 204)
@authenticated(is_password_pending_allowed=True)
@accepts(PasswordChange)
def change_password(change: PasswordChange, principal: Principal) -> None:
    """Set a new password. All other sessions of the caller end."""
    services().auth.change_password(principal, change)


@bp.get("/sessions")
@returns(PageResponse[SessionResponse])
@authenticated()
def list_sessions(principal: Principal) -> Page[Session]:
    """List where the caller is logged in, the newest first (at most 200)."""
    return Page(services().auth.list_sessions(principal), None)


@bp.delete("/sessions/<uuid:session_id>")
@returns(None, 204)
@authenticated()
def end_session(principal: Principal, session_id: UUID) -> None:
    """End one of the caller's sessions."""
    services().auth.end_session(principal, session_id)


@bp.delete("/sessions")
@returns(None, 204)
@authenticated()
def end_other_sessions(principal: Principal) -> None:
    """End all sessions of the caller but this one."""
    services().auth.end_other_sessions(principal)
