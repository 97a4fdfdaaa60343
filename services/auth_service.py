"""Registering, logging in, refreshing, logging out, and who a token speaks for."""

import hmac
import secrets
import time
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final
from uuid import UUID

from config import Settings
from models import refresh_token, session, user
from models.accounts import Login, PasswordChange, Registration
from models.audit_event import AuditEvent
from models.database import ConstraintError, Database, Transaction
from models.principal import Principal, Role
from models.session import EndReason, Session
from models.user import User
from models.wire import canonical_email
from services import audit, errors
from services.passwords import (
    DEFAULT_PASSWORD,
    PasswordHasher,
    PasswordRefusedError,
    check_new_password,
)
from services.tokens import (
    Claims,
    InvalidTokenError,
    TokenKind,
    Tokens,
    token_hash,
)
from utils.uuid7 import uuid7

# Two tabs that refresh at the same moment both get the same successor (RFC 9700 4.14).
GRACE_SECONDS: Final = 10.0
SEEDED_EMAIL: Final = "admin@gmail.com"


class LoginFailedError(errors.UnauthenticatedError):
    slug = "login-failed"
    title = "Login failed"

    def __init__(self) -> None:
        super().__init__("The e-mail address or the password is wrong.")


class EmailTakenError(errors.ConflictError):
    slug = "email-taken"
    title = "E-mail address taken"

    def __init__(self) -> None:
        super().__init__("There is an account with this e-mail address already.")


class SessionNotFoundError(errors.NotFoundError):
    slug = "session-not-found"
    title = "No such session"

    def __init__(self, session_id: UUID) -> None:
        super().__init__(f"You have no running session {session_id}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Where a login comes from."""

    ip_address: str | None
    user_agent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPair:
    access_token: str
    refresh_token: str
    # Seconds until the access token expires.
    expires_in: int
    user: User
    token_type: str = "Bearer"  # noqa: S105 - the kind of token


class AuthService:
    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._tokens = Tokens(settings.jwt_secret_key, settings.jwt_previous_secret_key)
        self.hasher = PasswordHasher(
            settings.bcrypt_rounds, settings.hashing_concurrency, settings.hashing_queue
        )

    def register(self, new: Registration) -> User:
        """Make a student's account: whatever the body says, nothing more than that."""
        check_new_password(new.password, (new.email, new.full_name))
        password_hash = self.hasher.hash(new.password)
        try:
            with self._database.transaction() as tx:
                made = user.insert(
                    tx,
                    user_id=uuid7(),
                    email=new.email,
                    email_canonical=canonical_email(new.email),
                    full_name=new.full_name,
                    role=Role.STUDENT,
                    password_hash=password_hash,
                    must_change_password=False,
                )
                audit.append(
                    tx,
                    AuditEvent.USER_REGISTERED,
                    "user",
                    made.id,
                    actor=made.id,
                    payload=account_facts(made),
                )
        except ConstraintError as error:
            if error.constraint == "users_email_canonical_key":
                raise EmailTakenError from error
            raise
        return made

    def log_in(self, login: Login, device: Device) -> TokenPair:
        """Open a session. Unknown, wrong and disabled look alike, and take as long."""
        try:
            address = canonical_email(login.email)
        except ValueError:
            address = ""
        with self._database.read() as tx:
            known = user.get_credentials(tx, address)
        is_right = self.hasher.verify(
            login.password, known.password_hash if known else None
        )
        is_default = self._settings.is_production and login.password == DEFAULT_PASSWORD
        if known is None or not is_right or not known.is_active or is_default:
            self._record_failed_login(known.id if known else None, address, device)
            raise LoginFailedError
        new_hash = None
        if self.hasher.needs_rehash(known.password_hash):
            new_hash = self.hasher.hash(login.password)
        with self._database.transaction() as tx:
            found = user.get_for_update(tx, known.id)
            if found is None or not found.is_active:
                raise LoginFailedError
            if new_hash is not None:
                user.rehash(tx, found.id, new_hash, known.password_hash)
            opened = session.insert(
                tx,
                session_id=uuid7(),
                user_id=found.id,
                seconds=self._settings.refresh_token_seconds,
                ip_address=device.ip_address,
                user_agent=device.user_agent,
            )
            token_id = secrets.token_urlsafe(32)
            refresh_token.insert(tx, token_hash(token_id), opened.id)
            audit.append(
                tx,
                AuditEvent.LOGIN_SUCCEEDED,
                "session",
                opened.id,
                actor=found.id,
                payload={
                    "ip_address": device.ip_address,
                    "user_agent": device.user_agent,
                },
            )
        return self._pair(
            found, opened.id, opened.expires_at, token_id, opened.created_at
        )

    def _record_failed_login(
        self, user_id: UUID | None, address: str, device: Device
    ) -> None:
        # The address of somebody without an account is nobody's business; a keyed hash
        # still shows that the same one was tried again.
        key = self._settings.secret_key.encode()
        pseudonym = hmac.digest(key, address.encode(), sha256).hex()[:32]
        with self._database.transaction() as tx:
            audit.append(
                tx,
                AuditEvent.LOGIN_FAILED,
                "user" if user_id else "address",
                user_id or pseudonym,
                actor=None,
                payload={
                    "ip_address": device.ip_address,
                    "user_agent": device.user_agent,
                },
            )

    def refresh(self, token: str) -> TokenPair:
        """Exchange a refresh token for new tokens. It works once.

        Coming a second time ends its session, unless that is a second tab within
        GRACE_SECONDS, which gets what the first got. Raises InvalidTokenError.
        """
        claims = self._tokens.read(
            TokenKind.REFRESH, token, max_seconds=self._settings.refresh_token_seconds
        )
        old_hash = token_hash(claims.token_id)
        successor = self._tokens.successor_of(claims.token_id)
        is_stolen = False
        issued_at: datetime | None = None
        with self._database.transaction() as tx:
            live = session.get_live(tx, claims.session_id, claims.user_id)
            found = user.get(tx, claims.user_id)
            if live is None or found is None:
                raise InvalidTokenError
            used = refresh_token.use(tx, old_hash)
            if used is not None and used.used_at is not None:
                issued_at = used.used_at
                refresh_token.insert(
                    tx, token_hash(successor), claims.session_id, issued_at
                )
                session.touch(tx, claims.session_id)
                audit.append(
                    tx,
                    AuditEvent.TOKEN_REFRESHED,
                    "session",
                    claims.session_id,
                    actor=claims.user_id,
                    payload={},
                )
            else:
                issued_at = self._second_tab(tx, old_hash, token_hash(successor))
                is_stolen = issued_at is None
            if is_stolen:
                session.end(
                    tx, claims.session_id, claims.user_id, EndReason.TOKEN_REUSE
                )
                audit.append(
                    tx,
                    AuditEvent.TOKEN_REUSE_DETECTED,
                    "session",
                    claims.session_id,
                    actor=claims.user_id,
                    payload={},
                )
        if issued_at is None:
            raise InvalidTokenError
        return self._pair(
            found, claims.session_id, live.expires_at, successor, issued_at
        )

    def _second_tab(
        self, tx: Transaction, old_hash: bytes, successor_hash: bytes
    ) -> datetime | None:
        """Return when the successor was issued, if it may be given once more."""
        old = refresh_token.get(tx, old_hash, grace_seconds=GRACE_SECONDS)
        if old is None:
            # Signed by us and unknown: a database that was set back. Nobody's theft.
            raise InvalidTokenError
        successor = refresh_token.get(tx, successor_hash, grace_seconds=GRACE_SECONDS)
        is_unused = successor is not None and successor.used_at is None
        return old.used_at if old.is_in_grace and is_unused else None

    def _pair(
        self,
        owner: User,
        session_id: UUID,
        session_ends_at: datetime,
        token_id: str,
        issued_at: datetime,
    ) -> TokenPair:
        settings = self._settings
        now = int(time.time())
        ends_at = int(session_ends_at.timestamp())
        access = Claims(
            user_id=owner.id,
            session_id=session_id,
            token_id=secrets.token_urlsafe(12),
            issued_at=now,
            expires_at=max(now, min(now + settings.access_token_seconds, ends_at)),
        )
        issued = int(issued_at.timestamp())
        renewal = Claims(
            user_id=owner.id,
            session_id=session_id,
            token_id=token_id,
            issued_at=issued,
            expires_at=min(issued + settings.refresh_token_seconds, ends_at),
        )
        return TokenPair(
            access_token=self._tokens.issue(TokenKind.ACCESS, access),
            refresh_token=self._tokens.issue(TokenKind.REFRESH, renewal),
            expires_in=access.expires_at - now,
            user=owner,
        )

    def principal_of(self, access_token: str) -> Principal:
        """Return who speaks through the token, as he is in the database right now.

        So a logout, a new role or a disabled account takes effect with the next
        request. Raises InvalidTokenError.
        """
        claims = self._tokens.read(
            TokenKind.ACCESS,
            access_token,
            max_seconds=self._settings.access_token_seconds,
        )
        with self._database.read() as tx:
            live = session.get_live(tx, claims.session_id, claims.user_id)
        if live is None:
            raise InvalidTokenError
        return Principal(
            id=live.user_id,
            role=live.role,
            session_id=claims.session_id,
            must_change_password=live.must_change_password,
        )

    def record_denial(self, principal: Principal, method: str, route: str) -> None:
        """Note that somebody asked for what his role may not do."""
        with self._database.transaction() as tx:
            audit.append(
                tx,
                AuditEvent.ACCESS_DENIED,
                "access",
                principal.id,
                actor=principal.id,
                payload={"method": method, "role": principal.role, "route": route},
            )

    def get_me(self, principal: Principal) -> User:
        with self._database.read() as tx:
            found = user.get(tx, principal.id)
        if found is None:
            raise InvalidTokenError
        return found

    def log_out(self, principal: Principal) -> None:
        """End the caller's session, and all its tokens with it."""
        with self._database.transaction() as tx:
            session.end(tx, principal.session_id, principal.id, EndReason.LOGOUT)
            audit.append(
                tx,
                AuditEvent.LOGGED_OUT,
                "session",
                principal.session_id,
                actor=principal.id,
                payload={},
            )

    def change_password(self, principal: Principal, change: PasswordChange) -> None:
        """Set a new password and end the caller's other sessions."""
        with self._database.read() as tx:
            owner = user.get(tx, principal.id)
            old_hash = user.get_password_hash(tx, principal.id)
        if owner is None:
            raise InvalidTokenError
        pointer = "#/new_password"
        check_new_password(change.new_password, (owner.email, owner.full_name), pointer)
        if not self.hasher.verify(change.current_password, old_hash):
            raise PasswordRefusedError("is not your current one", "#/current_password")
        if change.new_password == change.current_password:
            raise PasswordRefusedError("is the one that you have", pointer)
        new_hash = self.hasher.hash(change.new_password)
        with self._database.transaction() as tx:
            if not user.replace_password(
                tx,
                principal.id,
                new_hash,
                old_hash=old_hash,
                must_change_password=False,
            ):
                raise PasswordRefusedError(
                    "was changed by somebody else meanwhile", "#/current_password"
                )
            ended = session.end_of_user(
                tx, principal.id, EndReason.PASSWORD_CHANGED, but=principal.session_id
            )
            audit.append(
                tx,
                AuditEvent.USER_PASSWORD_CHANGED,
                "user",
                principal.id,
                actor=principal.id,
                payload={"ended_sessions": ended},
            )

    def list_sessions(self, principal: Principal) -> list[Session]:
        with self._database.read() as tx:
            return session.list_live(tx, principal.id, principal.session_id)

    def end_session(self, principal: Principal, session_id: UUID) -> None:
        """End one of the caller's sessions, on whatever device it is."""
        with self._database.transaction() as tx:
            if not session.end(tx, session_id, principal.id, EndReason.ENDED_BY_USER):
                raise SessionNotFoundError(session_id)
            audit.append(
                tx,
                AuditEvent.SESSION_ENDED,
                "session",
                session_id,
                actor=principal.id,
                payload={},
            )

    def end_other_sessions(self, principal: Principal) -> None:
        with self._database.transaction() as tx:
            ended = session.end_of_user(
                tx, principal.id, EndReason.ENDED_BY_USER, but=principal.session_id
            )
            audit.append(
                tx,
                AuditEvent.SESSION_ENDED,
                "user",
                principal.id,
                actor=principal.id,
                payload={"ended_sessions": ended},
            )

    def has_default_password(self) -> bool:
        """Whether the seeded account still opens with the password that all know."""
        with self._database.read() as tx:
            known = user.get_credentials(tx, SEEDED_EMAIL)
        return (
            known is not None
            and known.is_active
            and self.hasher.verify(DEFAULT_PASSWORD, known.password_hash)
        )


def account_facts(account: User) -> dict[str, str | bool]:
    """Return what the audit log says of an account."""
    return {
        "email": account.email,
        "full_name": account.full_name,
        "role": account.role,
        "is_active": account.is_active,
    }
