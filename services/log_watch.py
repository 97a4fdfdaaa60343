"""Comparing the log with what was signed of it and is kept elsewhere.

A database can be an old copy of itself: a backup, or a standby that took over without
the last entries. It can not tell. Witnesses can, and whoever else has a checkpoint.
docs/decisions/0013-epochs.md
"""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from models import audit_suspension, checkpoint
from models.audit_snapshot import HASH_IN_ROW, ReadInterruptedError, row_of, snapshot
from models.audit_suspension import Contradiction
from models.database import Database
from models.database_errors import DatabaseUnavailableError
from services import witness_client
from services.epochs import BrokenEpochsError, read_epochs
from services.merkle_service import ProofDoesNotHoldError, root_from_tiles
from services.witness_client import NeverSeen, Seen
from services.witnessing import ConfiguredWitness
from utils.checkpoint import Checkpoint
from utils.merkle import Frontier
from utils.signed_note import Note, NoteError, VerifierKey, verified

logger = logging.getLogger(__name__)

# Of one witness. Looking up its name has no end of its own.
TIMEOUT_SECONDS: Final = 1.0
# How long a start waits for the outcome: an exam must not hang on another house.
START_TIMEOUT_SECONDS: Final = 3.0
# While all is well, and while it is not known.
INTERVAL_SECONDS: Final = 60.0
RETRY_SECONDS: Final = 10.0

HERE: Final = "this database"


class LogCheck(StrEnum):
    """What is known of the log; it is shown to whoever asks for the server's health."""

    # It continues what was signed, as far as somebody else has seen that.
    AGREES = "agrees"
    # No witness answered, or none had seen the log: it may be an old copy.
    NOT_CHECKED = "not_checked"
    # Nobody was named whom to ask.
    NOT_CONFIGURED = "not_configured"
    CONTRADICTED = "contradicted"


@dataclass(frozen=True, slots=True)
class Testimony:
    """A note that somebody has kept. Whether we signed it is yet to be seen."""

    kept_by: str
    note: Note


class LogWatch:
    """Compares, and stops all writing if the log contradicts what was signed.

    `log_keys` are the public keys of the log. `result` says how the last comparison in
    this process ended.
    """

    def __init__(
        self,
        database: Database,
        witnesses: Sequence[ConfiguredWitness],
        log_keys: Sequence[VerifierKey],
    ) -> None:
        self._database = database
        self._witnesses = tuple(witnesses)
        self._log_keys = tuple(log_keys)
        self._next_at = 0.0
        self._connections_seen = 0
        self._said: LogCheck | None = None
        self.result = (
            LogCheck.NOT_CHECKED if self._witnesses else LogCheck.NOT_CONFIGURED
        )

    def know(self, log_keys: Sequence[VerifierKey]) -> None:
        """Believe these keys from now on: those of the log may have been rotated."""
        self._log_keys = tuple(log_keys)

    @property
    def is_configured(self) -> bool:
        return bool(self._witnesses)

    def check_at_start(self) -> None:
        """Compare, but let nobody wait for long: what is late is still heard."""
        asking = threading.Thread(target=self.check, name="log-watch", daemon=True)
        asking.start()
        asking.join(START_TIMEOUT_SECONDS)
        if asking.is_alive():
            logger.warning("the log is not compared yet: a witness lets us wait")

    def check_if_due(self) -> int:
        """Compare if it is time, or if the database may be another one by now.

        A connection that is opened may lead to a standby that has taken over.
        """
        is_reconnected = self._database.connections_opened != self._connections_seen
        if not is_reconnected and time.monotonic() < self._next_at:
            return 0
        self.check()
        return 0

    def check(self, *more: Testimony) -> LogCheck:
        """Compare with what witnesses, the database and `more` testify.

        Never raises: a database that is away is asked again.
        """
        try:
            self.result = self._check(more)
        except (DatabaseUnavailableError, BrokenEpochsError) as error:
            self.result = LogCheck.NOT_CHECKED
            logger.warning("the log is not compared", extra={"cause": str(error)})
        self._connections_seen = self._database.connections_opened
        is_known = self.result is LogCheck.AGREES
        self._next_at = time.monotonic() + (
            INTERVAL_SECONDS if is_known else RETRY_SECONDS
        )
        if self.result is not self._said:
            self._said = self.result
            _say(self.result)
        return self.result

    def find_contradiction(self, *more: Testimony) -> tuple[Contradiction | None, int]:
        """Return the first contradiction, and how many testimonies were compared.

        Raises DatabaseUnavailableError and BrokenEpochsError.
        """
        with self._database.read() as tx:
            origin = read_epochs(tx)[-1].origin
        keys = [key for key in self._log_keys if key.name == origin]
        if self._log_keys and not keys:
            logger.warning("no key of the log is known", extra={"origin": origin})
        # All is heard before the log is looked at: it may only have grown since.
        heard = [*more, *self._testimonies(origin)] if keys else []
        compared = 0
        for testimony in heard:
            stated = _stated(testimony.note, origin, keys)
            if stated is None:
                continue
            found = compare(self._database, testimony, stated)
            if found is not None:
                return found, compared
            compared += testimony.kept_by != HERE
        return None, compared

    def _check(self, more: Sequence[Testimony]) -> LogCheck:
        with self._database.read() as tx:
            if audit_suspension.is_suspended(tx):
                return LogCheck.CONTRADICTED
            origin = read_epochs(tx)[-1].origin
        found, compared = self.find_contradiction(*more)
        if found is not None:
            with self._database.bookkeeping() as tx:
                is_new = audit_suspension.suspend(tx, origin, found)
                is_suspended = audit_suspension.is_suspended(tx)
            if is_new:
                logger.error(
                    "the log contradicts a checkpoint that was signed",
                    extra={
                        "seen_by": found.seen_by,
                        "signed_size": found.size,
                        "log_size": found.log_size,
                    },
                )
            if is_suspended:
                return LogCheck.CONTRADICTED
            # It has gone on in a new epoch meanwhile.
            return LogCheck.NOT_CHECKED
        if compared:
            return LogCheck.AGREES
        return LogCheck.NOT_CHECKED if self._witnesses else LogCheck.NOT_CONFIGURED

    def _testimonies(self, origin: str) -> Iterator[Testimony]:
        for witness in self._witnesses:
            answer = witness_client.latest(
                witness.url, origin, timeout_seconds=TIMEOUT_SECONDS
            )
            if isinstance(answer, Seen):
                yield Testimony(witness.key.name, answer.note)
            elif not isinstance(answer, NeverSeen):
                logger.warning(
                    "a witness did not say what it has seen",
                    extra={"url": witness.url, "answer": repr(answer)},
                )
        with self._database.read() as tx:
            newest = checkpoint.get_newest(tx)
        if newest is not None:
            try:
                yield Testimony(HERE, Note.parse(newest.note.encode()))
            except NoteError:
                logger.warning("the newest checkpoint here is no note")


def compare(
    database: Database, testimony: Testimony, stated: Checkpoint
) -> Contradiction | None:
    """Say whether the log contradicts a checkpoint; None if it continues it.

    Raises DatabaseUnavailableError, also of a standby: that may be behind.
    """
    with database.read() as tx:
        end = audit_suspension.get_end(tx, stated.size)
        if end is None or end.is_in_recovery:
            raise DatabaseUnavailableError("the log has no head, or is a standby's")
        log_root = None
        if 0 < stated.size <= end.next_seq:
            try:
                leaf, log_root = root_from_tiles(tx, stated.size)
            except ProofDoesNotHoldError:
                leaf = b""
            # The last hash follows from all that was before, so the tiles, which are a
            # cache, tell of the log as it is.
            if leaf == end.last_hash and log_root == stated.root:
                return None
    if stated.size == 0:
        return None
    if stated.size <= end.next_seq:
        log_root = _root_from_entries(database, stated.size)
        if log_root == stated.root:
            logger.warning("the tiles of the log are not its own: rebuild-tiles")
            return None
    return Contradiction(
        seen_by=testimony.kept_by,
        note=testimony.note.render(),
        size=stated.size,
        root=stated.root,
        log_size=end.next_seq,
        log_root=log_root,
    )


def _root_from_entries(database: Database, size: int) -> bytes:
    """Read the hash of every entry: a second or more for a million."""
    tree = Frontier()

    def receive(message: bytes) -> None:
        row = row_of(message)
        if row is not None:
            tree.append(row[HASH_IN_ROW])

    try:
        with snapshot(database.settings) as log:
            log.copy(0, size - 1, receive)
    except ReadInterruptedError as error:
        raise DatabaseUnavailableError(str(error)) from error
    return tree.root()


def _stated(note: Note, origin: str, keys: Sequence[VerifierKey]) -> Checkpoint | None:
    """Return what we have signed; None if it was not us, or of another log.

    So no witness can stop the log: it can not make our signature.
    """
    try:
        stated = Checkpoint.parse(note.text)
    except NoteError:
        return None
    is_ours = any(verified(note, key) is not None for key in keys)
    return stated if is_ours and stated.origin == origin else None


def _say(result: LogCheck) -> None:
    if result is LogCheck.CONTRADICTED:
        logger.error(
            "nothing is written: the log contradicts what was signed of it."
            ' docs/audit-log.md, "When the server refuses to write"'
        )
    elif result is LogCheck.NOT_CHECKED:
        logger.warning("no witness has confirmed that the log is not an old copy")
    elif result is LogCheck.AGREES:
        logger.info("the log continues what witnesses have seen of it")
