"""One's own account: registering, changing the password, and where one is logged in."""

from uuid import UUID

from models import session, user
from models.audit_event import AuditEvent
from models.database import Database
from models.page import Page, paged
from models.principal import Principal, Role
from models.session import EndedReason, Session
from models.transaction import Transaction
from models.user import Credentials, NewUser, User
from models.wire import canonical_email
from services import audit, errors
from services.account_fields import NewAccount, PasswordChange, Registration
from services.audit import Actor
from services.errors import in_our_words
from services.passwords import (
    PasswordHasher,
    PasswordRefusedError,
    check_new,
    is_same,
)
from services.tokens import InvalidTokenError
from utils.uuid7 import uuid7


class EmailTakenError(errors.ConflictError):
    slug = "email-taken"
    title = "E-mail address taken"

    def __init__(self) -> None:
        super().__init__("There is an account with this e-mail address already.")


class SessionNotFoundError(errors.NotFoundError):
    slug = "session-not-found"
    title = "No such session"

    def __init__(self, session_id: UUID) -> None:
        super().__init__(f"You have no session {session_id}, or it has ended.")


class WrongPasswordError(errors.UnprocessableError):
    slug = "wrong-password"
    title = "Wrong password"

    def __init__(self) -> None:
        detail = "Is not your password."
        super().__init__(
            "The current password is wrong.", [("#/current_password", detail)]
        )


class AccountService:
    def __init__(self, database: Database, passwords: PasswordHasher) -> None:
        self._database = database
        self._passwords = passwords

    def register(self, new: Registration) -> User:
        """Make a student's account: whatever the body says, nothing more than that."""
        account = new_user(
            new, self._passwords, role=Role.STUDENT, must_change_password=False
        )
        return insert_account(
            self._database, account, AuditEvent.USER_REGISTERED, actor=account.id
        )

    def get_me(self, principal: Principal) -> User:
        with self._database.read() as tx:
            found = user.get(tx, principal.id)
        if found is None:
            raise InvalidTokenError
        return found

    def change_password(self, principal: Principal, change: PasswordChange) -> None:
        """Set a new password and end the caller's other sessions.

        The same sent again, because the answer was lost, is done already. Raises
        PasswordRefusedError, and WrongPasswordError, which is audited: who finds a
        device logged in may sit there and guess.
        """
        with self._database.read() as tx:
            known = user.get_credentials(tx, principal.id)
        field = "new_password"
        check_new(change.new_password, field, (known.email, known.full_name))
        if is_same(change.new_password, change.current_password):
            raise PasswordRefusedError(field, "Is the one that you gave as current.")
        if not self._passwords.verify(change.current_password, known.password_hash):
            if self._is_done(principal, change):
                return
            self._record_refusal(principal)
            raise WrongPasswordError
        new_hash = self._passwords.hash(change.new_password)
        # Another change may have come between; then the current one was not given.
        if not self._replace(principal, known, new_hash) and not self._is_done(
            principal, change
        ):
            raise WrongPasswordError

    def _replace(self, principal: Principal, known: Credentials, new_hash: str) -> bool:
        with self._database.transaction() as tx:
            if user.lock_verified(tx, known.id, known.password_hash) is None:
                return False
            user.set_password(tx, known.id, new_hash, must_change=False)
            ended = session.end_all(
                tx,
                known.id,
                EndedReason.PASSWORD_CHANGED,
                keep=principal.session_id,
            )
            audit.append(
                tx,
                AuditEvent.USER_PASSWORD_CHANGED,
                "user",
                known.id,
                actor=principal.id,
                payload={"ended_sessions": ended},
            )
        return True

    def _is_done(self, principal: Principal, change: PasswordChange) -> bool:
        """Say whether the new password was set a short while ago.

        Only then: a guess at it would otherwise be one at the password, and leave no
        entry when it is right. It takes as long if not.
        """
        with self._database.read() as tx:
            fresh_hash = user.get_fresh_hash(tx, principal.id)
        return self._passwords.verify(change.new_password, fresh_hash)

    def _record_refusal(self, principal: Principal) -> None:
        with self._database.transaction(is_aside=True) as tx:
            audit.append(
                tx,
                AuditEvent.PASSWORD_CHANGE_REFUSED,
                "user",
                principal.id,
                actor=principal.id,
                payload={"session_id": principal.session_id},
            )

    def list_sessions(
        self, principal: Principal, before: UUID | None, limit: int
    ) -> Page[Session]:
        """Return where the caller is logged in, the newest first."""
        with self._database.read() as tx:
            rows = session.list_live(tx, principal.id, limit=limit + 1, before=before)
        return paged(rows, limit, lambda row: (row.id,))

    def end_session(self, principal: Principal, session_id: UUID) -> None:
        """End one of the caller's sessions. Raises SessionNotFoundError."""
        with self._database.transaction() as tx:
            if not session.end(tx, session_id, principal.id, EndedReason.ENDED_BY_USER):
                raise SessionNotFoundError(session_id)
            _note_end(tx, principal, "session", session_id, 1)

    def end_other_sessions(self, principal: Principal) -> None:
        """End all sessions of the caller but this one."""
        with self._database.transaction() as tx:
            ended = session.end_all(
                tx,
                principal.id,
                EndedReason.ENDED_BY_USER,
                keep=principal.session_id,
            )
            _note_end(tx, principal, "user", principal.id, ended)


def new_user(
    new: Registration | NewAccount,
    passwords: PasswordHasher,
    *,
    role: Role,
    must_change_password: bool,
) -> NewUser:
    """Return the row of an account that is to be. Raises PasswordRefusedError.

    Hashes the password, and so belongs before any transaction.
    """
    check_new(new.password, "password", (new.email, new.full_name))
    return NewUser(
        id=uuid7(),
        email=new.email,
        email_canonical=canonical_email(new.email),
        full_name=new.full_name,
        role=role,
        password_hash=passwords.hash(new.password),
        must_change_password=must_change_password,
    )


def insert_account(
    database: Database, account: NewUser, event: AuditEvent, *, actor: UUID | Actor
) -> User:
    """Insert an account with its entry. Raises EmailTakenError."""
    with (
        in_our_words({"users_email_canonical_key": EmailTakenError}),
        database.transaction() as tx,
    ):
        made = user.insert(tx, account)
        audit.append(
            tx, event, "user", made.id, actor=actor, payload=account_facts(made)
        )
    return made


def account_facts(account: User) -> dict[str, str | bool]:
    """Return what the audit log says of an account."""
    return {
        "email": account.email,
        "full_name": account.full_name,
        "is_active": account.is_active,
        "role": account.role,
    }


def _note_end(
    tx: Transaction, principal: Principal, kind: str, entity_id: UUID, ended: int
) -> None:
    audit.append(
        tx,
        AuditEvent.SESSION_ENDED,
        kind,
        entity_id,
        actor=principal.id,
        payload={"ended_sessions": ended},
    )
