"""What an admin does with accounts."""

from dataclasses import replace
from uuid import UUID

from models import session, user
from models.audit_event import AuditEvent
from models.database import Database
from models.page import Page, paged
from models.principal import Principal, Role
from models.session import EndedReason
from models.user import User
from services import audit, errors
from services.account_fields import (
    AccountChange,
    AccountFilter,
    NewAccount,
    NewAdmin,
    PasswordReset,
)
from services.account_service import account_facts, insert_account, new_user
from services.audit import SYSTEM, Actor
from services.erasure_errors import refuse_if_erased
from services.passwords import PasswordHasher, check_new
from utils.like import prefix_pattern


class UserNotFoundError(errors.NotFoundError):
    slug = "user-not-found"
    title = "No such user"

    def __init__(self, user_id: UUID) -> None:
        super().__init__(f"There is no user {user_id}.")


class LastAdminError(errors.ConflictError):
    slug = "last-admin"
    title = "The last admin"

    def __init__(self) -> None:
        super().__init__(
            "This is the last active admin. Make another one before you disable or "
            "demote this one."
        )


class UserService:
    def __init__(self, database: Database, passwords: PasswordHasher) -> None:
        self._database = database
        self._passwords = passwords

    def create_user(self, admin: Principal, new: NewAccount) -> User:
        """Make an account of any role, whose owner must choose another password."""
        return self._create(new, admin.id)

    def create_admin(self, new: NewAdmin) -> User:
        """Do what `create_user` does for whoever may use the server's terminal."""
        account = NewAccount(
            email=new.email,
            password=new.password,
            full_name=new.full_name,
            role=Role.ADMIN,
        )
        return self._create(account, SYSTEM)

    def _create(self, new: NewAccount, actor: UUID | Actor) -> User:
        account = new_user(
            new, self._passwords, role=new.role, must_change_password=True
        )
        return insert_account(
            self._database, account, AuditEvent.USER_CREATED, actor=actor
        )

    def list_users(
        self, wanted: AccountFilter, before: UUID | None, limit: int
    ) -> Page[User]:
        """Return accounts, the newest first."""
        pattern = prefix_pattern(wanted.q.lower()) if wanted.q else None
        with self._database.read() as tx:
            rows = user.list_page(
                tx,
                limit=limit + 1,
                before=before,
                role=wanted.role,
                is_active=wanted.is_active,
                email_pattern=pattern,
            )
        return paged(rows, limit, lambda row: (row.id,))

    def get_user(self, user_id: UUID) -> User:
        with self._database.read() as tx:
            found = user.get(tx, user_id)
        if found is None:
            raise UserNotFoundError(user_id)
        return found

    def change_user(
        self, admin: Principal, user_id: UUID, change: AccountChange
    ) -> User:
        """Change what is given. Another role or a disabled account ends all logins.

        What is already so is no change, and leaves no entry in the log.
        Raises UserNotFoundError, AccountErasedError and LastAdminError.
        """
        with self._database.transaction() as tx:
            # All active admins are locked: of two who demote each other, the second
            # waits here and then finds himself the last.
            locked = {row.id: row for row in user.lock_with_active_admins(tx, user_id)}
            before = locked.get(user_id)
            if before is None:
                raise UserNotFoundError(user_id)
            refuse_if_erased(before)
            wanted = replace(before, **change.model_dump(exclude_none=True))
            if wanted == before:
                return before
            after = user.update(
                tx,
                user_id,
                full_name=wanted.full_name,
                role=wanted.role,
                is_active=wanted.is_active,
            )
            locked[user_id] = after
            if not any(map(_is_acting_admin, locked.values())):
                raise LastAdminError
            if before.is_active and not after.is_active:
                session.end_all(tx, user_id, EndedReason.ACCOUNT_DISABLED)
            elif before.role is not after.role:
                session.end_all(tx, user_id, EndedReason.ROLE_CHANGED)
            audit.append(
                tx,
                _event_of(before, after),
                "user",
                user_id,
                actor=admin.id,
                payload={
                    "after": account_facts(after),
                    "before": account_facts(before),
                },
            )
        return after

    def reset_password(
        self, admin: Principal, user_id: UUID, reset: PasswordReset
    ) -> None:
        """Set a password that its owner must change, and end all his logins.

        Raises UserNotFoundError and AccountErasedError.
        """
        owner = self.get_user(user_id)
        refuse_if_erased(owner)
        check_new(reset.new_password, "new_password", (owner.email, owner.full_name))
        password_hash = self._passwords.hash(reset.new_password)
        with self._database.transaction() as tx:
            # Locks the account: it may have been erased since it was read.
            changed = user.set_password(tx, user_id, password_hash, must_change=True)
            if changed is None:
                raise UserNotFoundError(user_id)
            refuse_if_erased(changed)
            ended = session.end_all(tx, user_id, EndedReason.PASSWORD_RESET)
            audit.append(
                tx,
                AuditEvent.USER_PASSWORD_RESET,
                "user",
                user_id,
                actor=admin.id,
                payload={"ended_sessions": ended},
            )


def _is_acting_admin(account: User) -> bool:
    return account.role is Role.ADMIN and account.is_active


def _event_of(before: User, after: User) -> AuditEvent:
    if before.is_active and not after.is_active:
        return AuditEvent.USER_DISABLED
    if after.is_active and not before.is_active:
        return AuditEvent.USER_ENABLED
    return AuditEvent.USER_UPDATED
