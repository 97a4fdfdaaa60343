"""Ending a suspension: the log agrees again, or goes on in a new epoch. Never silently.

Both append the entry that says so, and the database lets nothing else be appended.
"""

from dataclasses import dataclass

from models import audit_suspension, checkpoint, user
from models.audit_event import AuditEvent
from models.audit_suspension import Contradiction, Suspension
from models.database import Database
from models.principal import Role
from models.transaction import Transaction
from models.user import User
from models.wire import canonical_email
from services import audit, errors
from services.epochs import Contradicted, EpochOpened, next_origin, read_epochs
from services.log_watch import HERE, LogWatch, Testimony, compare
from utils.checkpoint import Checkpoint
from utils.signed_note import Note


class EpochRefusedError(errors.ConflictError):
    """The command does not fit the state of the log, or who gives it is no admin."""

    slug = "epoch-refused"
    title = "Not the way out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The epoch that was opened, and by which entry."""

    origin: str
    seq: int


class EpochService:
    def __init__(self, database: Database, watch: LogWatch) -> None:
        self._database = database
        self._watch = watch

    def get_suspension(self) -> Suspension | None:
        with self._database.read() as tx:
            return audit_suspension.get(tx)

    def open_epoch(self, *, admin_email: str, reason: str) -> Opened:
        """Let the log go on under a new origin, for which nothing was signed yet.

        Raises EpochRefusedError and BrokenEpochsError.
        """
        if self._still_found() is None:
            raise EpochRefusedError(
                "The log has all that was signed, so it needs no new epoch: `flask"
                " --app app audit resume`."
            )
        agreed_size = self._agreed_size()
        with self._database.transaction() as tx:
            suspended = _suspended(audit_suspension.get_to_end(tx))
            admin = _admin(tx, admin_email)
            epochs = read_epochs(tx)
            opened = EpochOpened(
                epoch=len(epochs) + 1,
                origin=next_origin(epochs),
                previous_origin=epochs[-1].origin,
                reason=reason,
                agreed_size=agreed_size,
                contradiction=Contradicted.of(suspended),
            )
            entry = audit.append(
                tx,
                AuditEvent.EPOCH_OPENED,
                "log",
                opened.origin,
                actor=admin.id,
                payload=opened,
            )
        return Opened(origin=opened.origin, seq=entry.seq)

    def resume(self, *, admin_email: str, reason: str) -> int:
        """Go on as before, if the log has all again that was signed.

        Returns the number of the entry that says so. Raises EpochRefusedError and
        BrokenEpochsError.
        """
        found = self._still_found() or self._watch.find_contradiction()[0]
        if found is not None:
            raise EpochRefusedError(
                f"{found.seen_by} has a checkpoint of {found.size} entries that we"
                f" signed, and the log, of {found.log_size}, does not continue it."
            )
        with self._database.transaction() as tx:
            suspended = _suspended(audit_suspension.get_to_end(tx))
            entry = audit.append(
                tx,
                AuditEvent.LOG_RESUMED,
                "log",
                read_epochs(tx)[-1].origin,
                actor=_admin(tx, admin_email).id,
                payload={
                    "reason": reason,
                    "contradiction": Contradicted.of(suspended),
                },
            )
        return entry.seq

    def _still_found(self) -> Contradiction | None:
        """Compare the log once more with what it was suspended for."""
        suspended = _suspended(self.get_suspension())
        return _compared(self._database, suspended.seen_by, suspended.note)

    def _agreed_size(self) -> int:
        """Return of how many entries the log's own newest checkpoint is."""
        with self._database.read() as tx:
            newest = checkpoint.get_newest(tx)
        if newest is None:
            return 0
        if _compared(self._database, HERE, newest.note) is not None:
            raise EpochRefusedError(
                f"The database has a checkpoint of {newest.size} entries that its own"
                " log does not continue: this is no old copy, entries were changed or"
                " deleted in place. Restore a backup in which the two agree, however"
                " old, and open the epoch there."
            )
        return newest.size


def _compared(database: Database, kept_by: str, note: str) -> Contradiction | None:
    """Compare with a note whose signature was checked when it was stored."""
    parsed = Note.parse(note.encode())
    testimony = Testimony(kept_by, parsed)
    return compare(database, testimony, Checkpoint.parse(parsed.text))


def _suspended(found: Suspension | None) -> Suspension:
    if found is None:
        raise EpochRefusedError(
            "The log is not suspended: nothing contradicts it, and entries are being"
            " appended."
        )
    return found


def _admin(tx: Transaction, email: str) -> User:
    try:
        known = user.find_credentials(tx, canonical_email(email))
    except ValueError:
        known = None
    found = None if known is None else user.get(tx, known.id)
    if found is None or not found.is_active or found.role is not Role.ADMIN:
        raise EpochRefusedError(f"{email} is not the address of an active admin.")
    return found
