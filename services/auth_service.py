"""Who is speaking: logging in, staying logged in, and logging out."""

import hmac
import logging
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from config import Settings
from models import attempt, refresh_token, session, user
from models.audit_event import AuditEvent
from models.database import Database
from models.database_errors import DatabaseUnavailableError
from models.principal import Principal
from models.session import Client, EndedReason, Session
from models.transaction import Transaction
from models.user import Credentials, User
from models.wire import canonical_email
from services import audit, errors
from services.account_fields import Login
from services.address_changes import note_if_moved
from services.passwords import DEFAULT_PASSWORD, PasswordHasher, is_default
from services.tokens import (
    ACCESS,
    LEEWAY_SECONDS,
    REFRESH,
    InvalidTokenError,
    Tokens,
    new_token_id,
    seconds_of,
    stored_form,
)
from utils.addresses import has_moved
from utils.uuid7 import uuid7

logger = logging.getLogger(__name__)

# Two tabs that refresh at once, or a lost answer, are no theft (RFC 9700 section 4.14).
GRACE_SECONDS = 10
# The account of database/seed_data.sql.
DEFAULT_EMAIL = "admin@gmail.com"


class LoginFailedError(errors.UnauthenticatedError):
    slug = "login-failed"
    title = "Login failed"

    def __init__(self) -> None:
        # The same whether the account is unknown, disabled, or the password wrong.
        super().__init__("The e-mail address or the password is wrong.")


class TokenReusedError(errors.UnauthenticatedError):
    slug = "token-reused"
    title = "Refresh token used twice"

    def __init__(self) -> None:
        super().__init__(
            "This refresh token was used before, so somebody may have copied it. The "
            "session has ended. Log in again."
        )


class DefaultPasswordError(Exception):
    """Production can be entered with the password that the documentation prints."""

    def __init__(self) -> None:
        super().__init__(
            f"The account {DEFAULT_EMAIL} still has the default password. Change it "
            "before FLASK_ENV becomes production."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedIn:
    """A user, and the tokens through which he speaks."""

    access_token: str
    refresh_token: str
    # Seconds until the access token expires.
    expires_in: int
    user: User


class AuthService:
    def __init__(
        self,
        database: Database,
        settings: Settings,
        passwords: PasswordHasher,
        tokens: Tokens,
    ) -> None:
        self._database = database
        self._is_production = settings.is_production
        self._pseudonym_key = settings.secret_key.encode()
        self._passwords = passwords
        self._tokens = tokens

    def principal_of(self, access_token: str) -> Principal:
        """Return who speaks through this token now. Raises InvalidTokenError.

        Ending a session, disabling an account and changing a role take effect at the
        next request, because the database is asked each time.
        """
        claims = self._tokens.read(access_token, ACCESS)
        with self._database.bookkeeping() as tx:
            found = session.get_principal(
                tx,
                session_id=claims.sid,
                user_id=claims.sub,
                issued_at=claims.iat,
                expires_at=claims.exp,
                leeway_seconds=LEEWAY_SECONDS,
            )
        if found is None:
            raise InvalidTokenError
        return found

    def record_denial(self, principal: Principal, method: str, route: str) -> None:
        """Note that somebody asked for what his role may not do."""
        with self._database.transaction(is_aside=True) as tx:
            audit.append(
                tx,
                AuditEvent.ACCESS_DENIED,
                "access",
                f"{method} {route}"[:200],
                actor=principal.id,
                payload={"role": principal.role, "session_id": principal.session_id},
            )

    def login(self, given: Login, client: Client) -> LoggedIn:
        """Begin a session. Raises LoginFailedError, and HashingBusyError.

        Unknown, wrong and disabled take the same time: each reads, hashes and writes.
        """
        email = canonical_email(given.email)
        verified = self._verify(email, given.password, client)
        logged_in = self._begin(verified, given.password, client)
        if logged_in is None:
            # It changed meanwhile. Perhaps another login has made its hash anew, which
            # happens once.
            verified = self._verify(email, given.password, client)
            logged_in = self._begin(verified, given.password, client)
        if logged_in is None:
            self._record_failure(verified, email, client)
            raise LoginFailedError
        return logged_in

    def _verify(self, email: str, password: str, client: Client) -> Credentials:
        with self._database.read() as tx:
            found = user.find_credentials(tx, email)
        is_right = self._passwords.verify(
            password, found.password_hash if found else None
        )
        if self._is_production and is_default(password):
            is_right = False
        if found is None or not is_right or not found.is_active:
            self._record_failure(found, email, client)
            raise LoginFailedError
        return found

    def _begin(
        self, verified: Credentials, password: str, client: Client
    ) -> LoggedIn | None:
        """Begin a session, unless the account has changed since it was verified."""
        new_hash = None
        if self._passwords.is_outdated(verified.password_hash):
            new_hash = self._passwords.hash(password)
        token_id = new_token_id()
        with self._database.transaction() as tx:
            # Disabling an account, or changing its password, ends the sessions that
            # it finds. It must not miss this one.
            who = user.lock_verified(tx, verified.id, verified.password_hash)
            if who is None:
                return None
            if new_hash is not None:
                user.rehash(tx, who.id, new_hash)
            begun = session.insert(
                tx, uuid7(), who.id, self._tokens.refresh_seconds, client
            )
            refresh_token.insert(tx, stored_form(token_id), begun.id, begun.created_at)
            audit.append(
                tx,
                AuditEvent.LOGIN_SUCCEEDED,
                "session",
                begun.id,
                actor=who.id,
                payload={
                    "ip_address": client.ip_address,
                    "user_agent": client.user_agent,
                    "expires_at": begun.expires_at,
                    "is_rehashed": new_hash is not None,
                },
            )
        return self._tokens_for(who, begun, token_id, begun.created_at)

    def _record_failure(
        self, found: Credentials | None, email: str, client: Client
    ) -> None:
        # Who mistypes his address, or types his password there, is not to be read in
        # a log that nobody can correct.
        pseudonym = hmac.new(self._pseudonym_key, email.encode(), sha256).hexdigest()
        with self._database.transaction(is_aside=True) as tx:
            audit.append(
                tx,
                AuditEvent.LOGIN_FAILED,
                "user",
                found.id if found else pseudonym,
                actor=None,
                payload={"ip_address": client.ip_address, "is_known": bool(found)},
            )

    def refresh(self, token: str, client: Client) -> LoggedIn:
        """Give new tokens for a refresh token, which works once.

        For GRACE_SECONDS the same token gives the same successor again, as long as
        that one is unused. After that its session ends, and TokenReusedError is raised;
        InvalidTokenError for what never was a token of a session that still lasts.
        Who holds an attempt and comes from another address leaves a note of it there.
        """
        claims = self._tokens.read(token, REFRESH)
        spent = stored_form(claims.jti)
        successor_id = self._tokens.successor_of(token, claims)
        with self._database.transaction() as tx:
            lasting = session.lock_live(tx, claims.sid, claims.sub)
            who = user.get(tx, claims.sub)
            if lasting is None or who is None:
                raise InvalidTokenError
            if not refresh_token.exists(tx, spent, lasting.id):
                raise InvalidTokenError
            issued_at = _rotate(tx, lasting, spent, stored_form(successor_id), client)
            if issued_at is None:
                _end_family(tx, lasting)
        if issued_at is None:
            raise TokenReusedError
        return self._tokens_for(who, lasting, successor_id, issued_at)

    def logout(self, principal: Principal) -> None:
        """End the session, and with it its access and refresh tokens."""
        with self._database.transaction() as tx:
            ended = session.end(
                tx, principal.session_id, principal.id, EndedReason.LOGOUT
            )
            if ended:
                audit.append(
                    tx,
                    AuditEvent.LOGGED_OUT,
                    "session",
                    principal.session_id,
                    actor=principal.id,
                    payload={},
                )

    def refuse_default_password(self) -> None:
        """In production, raise DefaultPasswordError while the seeded account is open.

        A database that is away keeps nobody from starting: `login` refuses that
        password in any case.
        """
        if not self._is_production:
            return
        try:
            with self._database.read() as tx:
                found = user.find_credentials(tx, DEFAULT_EMAIL)
        except DatabaseUnavailableError:
            logger.warning("the default password could not be looked for")
            return
        if found is not None and self._passwords.verify(
            DEFAULT_PASSWORD, found.password_hash
        ):
            raise DefaultPasswordError

    def _tokens_for(
        self, who: User, lasting: Session, token_id: str, issued_at: datetime
    ) -> LoggedIn:
        begins, ends = seconds_of(issued_at), seconds_of(lasting.expires_at)
        access_ends = min(begins + self._tokens.access_seconds, ends)
        return LoggedIn(
            access_token=self._tokens.issue(
                ACCESS,
                user_id=who.id,
                session_id=lasting.id,
                token_id=new_token_id(),
                issued_at=begins,
                expires_at=access_ends,
            ),
            refresh_token=self._tokens.issue(
                REFRESH,
                user_id=who.id,
                session_id=lasting.id,
                token_id=token_id,
                issued_at=begins,
                expires_at=ends,
            ),
            expires_in=access_ends - begins,
            user=who,
        )


def _rotate(
    tx: Transaction, lasting: Session, spent: bytes, successor: bytes, client: Client
) -> datetime | None:
    """Return when the token was used: now, or a moment ago; None is reuse."""
    use = refresh_token.use(tx, spent, lasting.id)
    if use is None:
        recent = refresh_token.get_recent_use(
            tx, spent, lasting.id, successor_hash=successor, grace_seconds=GRACE_SECONDS
        )
        return recent.used_at if recent else None
    refresh_token.insert(tx, successor, lasting.id, use.used_at)
    session.touch(tx, lasting.id, use.used_at, client.ip_address)
    if has_moved(lasting.ip_address, client.ip_address):
        attempt_id = attempt.find_held(tx, lasting.id)
        if attempt_id is not None:
            note_if_moved(tx, attempt_id, lasting.ip_address, client.ip_address)
    audit.append(
        tx,
        AuditEvent.TOKEN_REFRESHED,
        "session",
        lasting.id,
        actor=lasting.user_id,
        payload={},
    )
    return use.used_at


def _end_family(tx: Transaction, lasting: Session) -> None:
    session.end(tx, lasting.id, lasting.user_id, EndedReason.TOKEN_REUSE)
    audit.append(
        tx,
        AuditEvent.TOKEN_REUSE_DETECTED,
        "session",
        lasting.id,
        # Whether it was the user or the thief is exactly what nobody knows.
        actor=None,
        payload={"user_id": lasting.user_id},
    )
