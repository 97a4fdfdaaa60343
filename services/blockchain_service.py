"""Reading the audit log: trails, its summary, its verification, its export."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from models import audit_suspension, blockchain_log
from models.audit_event import AuditEvent
from models.audit_suspension import Suspension
from models.blockchain_log import AuditEntry, EventCount, Head
from models.database import Database
from models.page import FROM_THE_OLDEST, Page, paged
from models.principal import Principal, Role
from models.transaction import Transaction
from services import audit, errors
from services.access import ExamNotFoundError, require_exam
from services.attempt_access import require_attempt
from services.attempt_errors import AttemptNotFoundError
from services.audit_anchors import NOBODY, Trust
from services.audit_check import Progress
from services.audit_findings import Verification
from services.audit_verification import Outside, verify
from services.epochs import BrokenEpochsError, Epoch, read_epochs

# What a request may take. The command line has no bound.
VERIFY_TIMEOUT_SECONDS: Final = 60.0
EXPORT_PAGE: Final = 1000
ORIGIN: Final = "proctoring/audit"


class AuditTrailNotFoundError(errors.NotFoundError):
    slug = "audit-trail-not-found"
    title = "No such audit trail"

    def __init__(self, entity_type: str, entity_id: str) -> None:
        super().__init__(f"There is no trail of {entity_type} {entity_id} for you.")


class EventTypeUnknownError(errors.NotFoundError):
    slug = "event-type-unknown"
    title = "Unknown event type"

    def __init__(self, event_type: str) -> None:
        super().__init__(
            f"No event type is called {event_type}; GET /api/blockchain/event-types"
            " lists them."
        )


class AuditLogNotBegunError(errors.ConflictError):
    slug = "audit-log-not-begun"
    title = "The audit log has not begun"

    def __init__(self) -> None:
        super().__init__(
            "The audit log has no genesis entry.", allowed_actions=["initialize"]
        )


class VerificationBusyError(errors.BusyError):
    slug = "verification-busy"
    title = "A verification is running"

    def __init__(self) -> None:
        super().__init__(
            "This server is verifying the log for somebody else at the moment.",
            retry_after_seconds=5,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The log at a glance. Nothing here was verified."""

    log_id: bytes
    origin: str
    entries: int
    genesis_hash: bytes
    began_at: datetime
    head_seq: int
    head_hash: bytes
    last_recorded_at: datetime
    event_types: Sequence[EventCount]
    # Empty if the entries do not say: a verification tells what is wrong with them.
    epochs: Sequence[Epoch]
    suspension: Suspension | None


@dataclass(frozen=True, slots=True)
class Initialization:
    entry: AuditEntry
    is_new: bool


class BlockchainService:
    def __init__(self, database: Database, trust: Trust = NOBODY) -> None:
        """Verify with the anchors of those whom `trust` names."""
        self._database = database
        self.trust = trust
        # Checking keeps a core busy, so one at a time in each process.
        self._verifying = threading.Lock()

    def initialize(self) -> Initialization:
        """Begin the log, or find that it has begun. The genesis is its own record."""
        with self._database.bookkeeping() as tx:
            is_new = blockchain_log.initialize(tx, ORIGIN)
            entry = blockchain_log.get_genesis(tx)
        if entry is None:
            raise AuditLogNotBegunError
        return Initialization(entry, is_new)

    def summarize(self) -> Summary:
        with self._database.read() as tx:
            head = blockchain_log.get_head(tx)
            genesis = blockchain_log.get_genesis(tx)
            if head is None or genesis is None:
                raise AuditLogNotBegunError
            return Summary(
                log_id=head.log_id,
                origin=head.origin,
                entries=head.next_seq,
                genesis_hash=genesis.hash,
                began_at=genesis.recorded_at,
                head_seq=head.next_seq - 1,
                head_hash=head.hash,
                last_recorded_at=head.recorded_at,
                event_types=blockchain_log.count_by_event_type(tx),
                epochs=_epochs(tx),
                suspension=audit_suspension.get(tx),
            )

    def get_head(self) -> Head | None:
        """Return where the log ends, None if it has no head (any more)."""
        with self._database.read() as tx:
            return blockchain_log.get_head(tx)

    def list_by_seq(self, seq: int) -> Sequence[AuditEntry]:
        """Return what stands at a number: one entry, unless somebody was at the log."""
        with self._database.read() as tx:
            return blockchain_log.list_by_seq(tx, seq)

    def verify(
        self,
        *,
        from_seq: int | None = None,
        to_seq: int | None = None,
        deep: bool = False,
    ) -> Verification:
        """Check every entry, or a range. Raises VerificationBusyError."""
        if not self._verifying.acquire(blocking=False):
            raise VerificationBusyError
        try:
            return verify(
                self._database.settings,
                from_seq=from_seq,
                to_seq=to_seq,
                deep=deep,
                timeout_seconds=VERIFY_TIMEOUT_SECONDS,
                outside=self.gather(),
            )
        finally:
            self._verifying.release()

    def gather(self) -> Outside:
        """Ask the witnesses of the configuration. It takes seconds if one is away."""
        return Outside(anchors=self.trust.ask(), log_keys=self.trust.keys)

    def verify_thoroughly(
        self,
        *,
        from_seq: int | None = None,
        to_seq: int | None = None,
        processes: int = 1,
        deep: bool = False,
        progress: Progress | None = None,
        outside: Outside | None = None,
    ) -> Verification:
        """Check without a bound in time, as the command line does.

        Without `outside` it takes what the configuration names. Raises BookmarkError.
        """
        return verify(
            self._database.settings,
            from_seq=from_seq,
            to_seq=to_seq,
            processes=processes,
            deep=deep,
            progress=progress,
            outside=self.gather() if outside is None else outside,
        )

    def list_entity_trail(
        self,
        reader: Principal,
        entity_type: str,
        entity_id: str,
        *,
        after: int,
        limit: int,
    ) -> Page[AuditEntry]:
        """Return what happened to one thing, the oldest first.

        A proctor sees his exams and their attempts. Raises AuditTrailNotFoundError.
        """
        with self._database.read() as tx:
            if reader.role is not Role.ADMIN:
                _require_entity(tx, reader, entity_type, entity_id)
            rows = blockchain_log.list_by_entity(
                tx,
                entity_type,
                entity_id,
                after=after,
                limit=limit + 1,
            )
        return paged(rows, limit, _key)

    def list_attempt_trail(
        self, reader: Principal, attempt_id: UUID, *, after: int, limit: int
    ) -> Page[AuditEntry]:
        """Return everything that was recorded of an attempt, the oldest first.

        Raises AttemptNotFoundError, also for an attempt of another proctor's exam.
        """
        with self._database.read() as tx:
            require_attempt(tx, reader, attempt_id)
            rows = blockchain_log.list_by_attempt(
                tx,
                attempt_id,
                after=after,
                limit=limit + 1,
            )
        return paged(rows, limit, _key)

    def list_events(
        self, reader: Principal, event_type: str, *, after: int, limit: int
    ) -> Page[AuditEntry]:
        """Return the entries of one type; a proctor's own exams only.

        Raises EventTypeUnknownError.
        """
        if event_type not in set(AuditEvent):
            raise EventTypeUnknownError(event_type)
        with self._database.read() as tx:
            if reader.role is Role.ADMIN:
                rows = blockchain_log.list_by_event_type(
                    tx, event_type, after=after, limit=limit + 1
                )
            else:
                rows = blockchain_log.list_by_event_type_for_proctor(
                    tx, event_type, reader.id, after=after, limit=limit + 1
                )
        return paged(rows, limit, _key)

    def export(self, reason: str) -> Iterator[AuditEntry]:
        """Return all entries up to and with the one that records this export.

        What leaves has been flushed to disk: the commit of that entry waits for it.
        """
        with self._database.transaction() as tx:
            entry = audit.append(
                tx,
                AuditEvent.EVIDENCE_EXPORTED,
                "log",
                "all",
                actor=audit.SYSTEM,
                payload={"reason": reason},
            )
        last = entry.seq
        after = FROM_THE_OLDEST
        while after < last:
            with self._database.read() as tx:
                rows = blockchain_log.list_all(
                    tx, after=after, limit=min(EXPORT_PAGE, last - after)
                )
            if not rows:
                return
            yield from rows
            after = rows[-1].seq


def _epochs(tx: Transaction) -> Sequence[Epoch]:
    try:
        return read_epochs(tx)
    except BrokenEpochsError:
        return ()


def _require_entity(
    tx: Transaction, reader: Principal, entity_type: str, entity_id: str
) -> None:
    try:
        allowed = _ENTITY_GUARDS[entity_type]
        allowed(tx, reader, UUID(entity_id))
    except (KeyError, ValueError, ExamNotFoundError, AttemptNotFoundError) as error:
        raise AuditTrailNotFoundError(entity_type, entity_id) from error


# What a proctor may ask about, and who decides whether it is his.
_ENTITY_GUARDS: Final[dict[str, Callable[[Transaction, Principal, UUID], object]]] = {
    "exam": require_exam,
    "attempt": require_attempt,
}


def _key(entry: AuditEntry) -> tuple[int]:
    return (entry.seq,)
