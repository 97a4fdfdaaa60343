"""What an admin does with accounts."""

from uuid import UUID

from models import session, user
from models.accounts import NewUser, PasswordReset, UserChange, UserFilter
from models.audit_event import AuditEvent
from models.database import ConstraintError, Database, Transaction
from models.page import Page, paged
from models.principal import Principal, Role
from models.session import EndReason
from models.user import User
from models.wire import canonical_email
from services import audit, errors
from services.auth_service import EmailTakenError, account_facts
from services.passwords import PasswordHasher, check_new_password
from utils.like import prefix_pattern
from utils.uuid7 import uuid7


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
    def __init__(self, database: Database, hasher: PasswordHasher) -> None:
        self._database = database
        self._hasher = hasher

    def create_user(self, admin: Principal, new: NewUser) -> User:
        """Make an account of any role, whose owner must choose another password."""
        check_new_password(new.password, (new.email, new.full_name))
        password_hash = self._hasher.hash(new.password)
        try:
            with self._database.transaction() as tx:
                made = user.insert(
                    tx,
                    user_id=uuid7(),
                    email=new.email,
                    email_canonical=canonical_email(new.email),
                    full_name=new.full_name,
                    role=new.role,
                    password_hash=password_hash,
                    must_change_password=True,
                )
                audit.append(
                    tx,
                    AuditEvent.USER_CREATED,
                    "user",
                    made.id,
                    actor=admin.id,
                    payload=account_facts(made),
                )
        except ConstraintError as error:
            if error.constraint == "users_email_canonical_key":
                raise EmailTakenError from error
            raise
        return made

    def list_users(
        self, wanted: UserFilter, after: UUID | None, limit: int
    ) -> Page[User]:
        """Return accounts, the newest first; `q` is how the address begins."""
        prefix = prefix_pattern(wanted.q.lower()) if wanted.q else None
        with self._database.read() as tx:
            rows = user.list_all(
                tx,
                role=wanted.role,
                is_active=wanted.is_active,
                prefix=prefix,
                before=after,
                limit=limit + 1,
            )
        return paged(rows, limit, lambda row: (row.id,))

    def get_user(self, user_id: UUID) -> User:
        with self._database.read() as tx:
            found = user.get(tx, user_id)
        if found is None:
            raise UserNotFoundError(user_id)
        return found

    def change_user(self, admin: Principal, user_id: UUID, change: UserChange) -> User:
        """Change what is given. Another role or a disabled account ends all logins."""
        with self._database.transaction() as tx:
            # Locked first, always: two admins who demote each other wait here, and the
            # second one finds himself the last.
            admins = user.lock_active_admins(tx)
            before = user.get_for_update(tx, user_id)
            if before is None:
                raise UserNotFoundError(user_id)
            role = change.role or before.role
            is_active = (
                before.is_active if change.is_active is None else change.is_active
            )
            was_admin = before.role is Role.ADMIN and before.is_active
            if was_admin and not (role is Role.ADMIN and is_active) and admins <= 1:
                raise LastAdminError
            after = user.update(
                tx,
                user_id,
                full_name=change.full_name or before.full_name,
                role=role,
                is_active=is_active,
            )
            self._end_sessions(tx, before, after)
            audit.append(
                tx,
                _event_of(before, after),
                "user",
                user_id,
                actor=admin.id,
                payload={
                    "before": account_facts(before),
                    "after": account_facts(after),
                },
            )
        return after

    def _end_sessions(self, tx: Transaction, before: User, after: User) -> None:
        if before.is_active and not after.is_active:
            session.end_of_user(tx, after.id, EndReason.ACCOUNT_DISABLED)
        elif before.role is not after.role:
            session.end_of_user(tx, after.id, EndReason.ROLE_CHANGED)

    def reset_password(
        self, admin: Principal, user_id: UUID, reset: PasswordReset
    ) -> None:
        """Set a password that its owner must change, and end all his logins."""
        owner = self.get_user(user_id)
        check_new_password(
            reset.new_password, (owner.email, owner.full_name), "#/new_password"
        )
        password_hash = self._hasher.hash(reset.new_password)
        with self._database.transaction() as tx:
            user.replace_password(
                tx, user_id, password_hash, old_hash=None, must_change_password=True
            )
            ended = session.end_of_user(tx, user_id, EndReason.PASSWORD_RESET)
            audit.append(
                tx,
                AuditEvent.USER_PASSWORD_RESET,
                "user",
                user_id,
                actor=admin.id,
                payload={"ended_sessions": ended},
            )


def _event_of(before: User, after: User) -> AuditEvent:
    if before.is_active and not after.is_active:
        return AuditEvent.USER_DISABLED
    if after.is_active and not before.is_active:
        return AuditEvent.USER_ENABLED
    return AuditEvent.USER_UPDATED
