"""Legal holds: what must be kept although its time is over or somebody asks."""

from typing import Annotated, Final, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from models import legal_hold
from models.audit_event import AuditEvent
from models.database import Database
from models.database_errors import ConstraintError
from models.legal_hold import Hold
from models.page import Page, paged
from models.principal import Principal
from models.transaction import Transaction
from models.wire import Text, WireModel
from services import audit
from services.access import ExamNotFoundError
from services.attempt_errors import AttemptNotFoundError
from services.erasure_errors import HoldNotFoundError, HoldReleasedError
from services.user_service import UserNotFoundError
from utils.uuid7 import uuid7

Reason = Annotated[Text, StringConstraints(min_length=1, max_length=2000)]
NOT_THERE: Final = {
    "legal_holds_user_id_fkey": UserNotFoundError,
    "legal_holds_attempt_id_fkey": AttemptNotFoundError,
    "legal_holds_exam_id_fkey": ExamNotFoundError,
}


class NewHold(WireModel):
    """What is held, one of the three, and why."""

    user_id: UUID | None = None
    attempt_id: UUID | None = None
    exam_id: UUID | None = None
    reason: Reason

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if [self.user_id, self.attempt_id, self.exam_id].count(None) != 2:  # noqa: PLR2004
            raise ValueError("must name one of user_id, attempt_id and exam_id")
        return self


class HoldRelease(WireModel):
    reason: Reason = Field(description="Why the case needs the data no longer.")


class HoldService:
    def __init__(self, database: Database) -> None:
        self._database = database

    def place_hold(self, admin: Principal | None, new: NewHold) -> Hold:
        """Keep the data from being erased. `admin` is None for the terminal.

        Raises UserNotFoundError, AttemptNotFoundError and ExamNotFoundError.
        """
        admin_id = None if admin is None else admin.id
        try:
            with self._database.transaction() as tx:
                legal_hold.lock_people(tx, new.user_id, admin_id)
                placed = legal_hold.insert(
                    tx,
                    uuid7(),
                    user_id=new.user_id,
                    attempt_id=new.attempt_id,
                    exam_id=new.exam_id,
                    reason=new.reason,
                    placed_by=admin_id,
                )
                _record(tx, AuditEvent.HOLD_PLACED, placed, placed.reason, admin)
        except ConstraintError as error:
            missing = NOT_THERE.get(error.constraint)
            if missing is None:
                raise
            raise missing(_held(new)[1]) from error
        return placed

    def release_hold(
        self, admin: Principal | None, hold_id: UUID, release: HoldRelease
    ) -> Hold:
        """Let the data go. Raises HoldNotFoundError and HoldReleasedError."""
        admin_id = None if admin is None else admin.id
        with self._database.transaction() as tx:
            legal_hold.lock_people(tx, admin_id)
            released = legal_hold.release(
                tx, hold_id, released_by=admin_id, reason=release.reason
            )
            if released is None:
                if legal_hold.get(tx, hold_id) is None:
                    raise HoldNotFoundError(hold_id)
                raise HoldReleasedError(hold_id)
            _record(tx, AuditEvent.HOLD_RELEASED, released, release.reason, admin)
        return released

    def list_holds(
        self, *, is_active: bool | None, before: UUID | None, limit: int
    ) -> Page[Hold]:
        """Return holds, the newest first."""
        with self._database.read() as tx:
            rows = legal_hold.list_page(
                tx, before=before, is_active=is_active, limit=limit + 1
            )
        return paged(rows, limit, lambda row: (row.id,))


def _held(hold: NewHold | Hold) -> tuple[str, UUID]:
    for kind in ("user", "attempt", "exam"):
        found: UUID | None = getattr(hold, f"{kind}_id")
        if found is not None:
            return kind, found
    raise LookupError("a hold on nothing")


def _record(
    tx: Transaction,
    event: AuditEvent,
    hold: Hold,
    reason: str,
    admin: Principal | None,
) -> None:
    kind, held_id = _held(hold)
    audit.append(
        tx,
        event,
        kind,
        held_id,
        actor=audit.SYSTEM if admin is None else admin.id,
        attempt_id=hold.attempt_id,
        payload={"hold_id": hold.id, "reason": reason},
    )
