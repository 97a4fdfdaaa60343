"""Signs checkpoints of the audit log, and only such that continue what it has signed.

The order is what makes it safe: flush, read and check, store tiles, write the state,
sign, publish. Whatever is interrupted, the state says what was promised, and the next
start publishes exactly that. docs/decisions/0011-checkpoints.md
"""

import logging
from collections.abc import Sequence
from typing import Final

from models import checkpoint, merkle_tile
from models.audit_event import AuditEvent
from models.audit_snapshot import ReadInterruptedError, snapshot
from models.checkpoint import News, StoredCheckpoint
from models.database import Database
from models.database_errors import DatabaseUnavailableError
from models.merkle_tile import Tile
from services.checkpoint_files import (
    CheckpointFileError,
    Files,
    KeyPeriod,
    State,
    end_rotation,
    read_keys,
    read_state,
    write_state,
)
from services.merkle_growth import BrokenLogError, GrowingTree, edge_tiles, grow
from utils.blockchain_hasher import NO_HASH
from utils.checkpoint import Checkpoint
from utils.signed_note import Note, NoteError, VerifierKey, verified

logger = logging.getLogger(__name__)

# What a student or a hearing will want to prove: it waits for no interval.
URGENT: Final = (
    AuditEvent.ATTEMPT_SUBMITTED,
    AuditEvent.ATTEMPT_ENDED,
    AuditEvent.ATTEMPT_TERMINATED,
    AuditEvent.ATTEMPT_VOIDED,
    AuditEvent.ATTEMPT_REVIEWED,
    # Whoever asked for the bundle waits for it.
    AuditEvent.EVIDENCE_EXPORTED,
)

WHAT_TO_DO: Final = (
    " Nothing was signed, and nothing will be until a person has decided: keep this"
    " database and the state file as they are, and see docs/decisions/0011-checkpoints"
    '.md, "When it refuses".'
)


class RefusedError(Exception):
    """The database contradicts what was signed. The message says how."""

    def __init__(self, why: str) -> None:
        super().__init__(why + WHAT_TO_DO)


class Checkpointer:
    """One signer at work. There must be one only: the caller holds the state's lock."""

    def __init__(self, database: Database, files: Files) -> None:
        self._database = database
        self._files = files
        self._state: State | None = None
        self._tree: GrowingTree | None = None

    @property
    def size(self) -> int:
        return 0 if self._state is None else self._state.size

    @property
    def verifiers(self) -> Sequence[VerifierKey]:
        """The public keys that have signed, or may. Raises CheckpointFileError."""
        return read_keys(self._files.keys).verifiers

    @property
    def promised(self) -> Note | None:
        """What was signed last, signed again. Raises CheckpointFileError."""
        state = read_state(self._files.state)
        return None if state is None else self._signed(state)

    def begin(self, *, is_thorough: bool) -> None:
        """Compare the database with what was signed, and publish what was promised.

        A thorough one reads and hashes every entry that was signed, and makes the
        tiles anew; else the last entry and the edge of the tree have to do. Raises
        RefusedError, CheckpointFileError and DatabaseUnavailableError.
        """
        self._state = state = read_state(self._files.state)
        news = self.look()
        with self._database.read() as tx:
            newest = checkpoint.get_newest(tx)
        self._compare_published(newest, news.origin)
        self._check_name(news.origin)
        self._tree = self._resume(is_thorough=is_thorough)
        if state is not None and (newest is None or newest.size < state.size):
            self._publish(state)

    def look(self) -> News:
        """Ask where the log ends. Raises RefusedError if that can not be."""
        with self._database.bookkeeping() as tx:
            news = checkpoint.get_news(tx, size=self.size, urgent=URGENT)
        if news is None:
            raise RefusedError("The audit log has no head.")
        self._compare_state(news)
        if news.is_suspended:
            raise RefusedError(
                "The log is suspended: it contradicts a checkpoint that was signed."
            )
        return news

    def _compare_state(self, news: News) -> None:
        state = self._state
        if state is None:
            return
        if (news.log_id.hex(), news.origin) != (state.log_id, state.origin):
            raise RefusedError(
                f"This is the log {news.log_id.hex()} ({news.origin}), and the state"
                f" file is of {state.log_id} ({state.origin}): another database, or"
                " one that was made anew; or the log has opened a new epoch"
                " (`python -m checkpointer new-epoch`)."
            )
        if news.next_seq < state.size:
            raise RefusedError(
                f"The log has {news.next_seq} entries, and {state.size} were signed:"
                " its end was cut off, or the database was set back to an old copy."
            )
        if news.next_seq == state.size and news.hash.hex() != state.last_hash:
            raise RefusedError(
                f"Entry {state.size - 1} has another hash than when it was signed:"
                " the log was written anew, or went on from an old copy."
            )

    def advance(self, news: News) -> StoredCheckpoint | None:
        """Sign everything up to `news`; None if there is nothing new.

        Raises RefusedError, CheckpointFileError and DatabaseUnavailableError; after
        the last of these, begin again.
        """
        if news.next_seq <= self.size:
            return None
        # What must be there to sign is looked for before anything is promised.
        read_keys(self._files.keys)
        tree, self._tree = self._tree, None
        if tree is None:
            tree = self._resume(is_thorough=False)
        before = self._state
        last_hash = self._grow(
            tree,
            news,
            last_hash=bytes.fromhex(before.last_hash) if before else NO_HASH,
            until=news.next_seq,
        )
        if last_hash != news.hash:
            raise RefusedError(
                f"Entry {news.next_seq - 1} has not the hash that the log's head says."
            )
        return self._promise_and_publish(tree, news, last_hash)

    def reread(self) -> int:
        """Make the tiles anew from the entries that were signed; return how many.

        Raises RefusedError if the entries do not make the root that was signed.
        """
        self._state = read_state(self._files.state)
        self.look()
        self._tree = self._resume(is_thorough=True)
        return self.size

    def recover(self, note: Note) -> StoredCheckpoint:
        """Make a lost state anew from a checkpoint of ours that somebody has kept.

        Raises RefusedError if we did not sign it, if it is not the newest that is
        known, or if the log is not the one that it describes.
        """
        try:
            known = Checkpoint.parse(note.text)
        except NoteError as error:
            raise RefusedError(f"This is no checkpoint: {error}.") from error
        keys = read_keys(self._files.keys)
        if not any(
            verified(note, key) and _is_valid_at(period, known.size)
            for key, period in zip(keys.verifiers, keys.periods, strict=True)
        ):
            raise RefusedError("No key of ours has signed this checkpoint.")
        try:
            state = read_state(self._files.state)
        except CheckpointFileError:
            # That nobody can read it any more is what this is for.
            state = None
        if state is not None and state.size >= known.size:
            raise RefusedError(
                f"The state is of {state.size} entries already, this of {known.size}."
            )
        self._state = None
        news = self.look()
        if news.origin != known.origin or news.next_seq < known.size:
            raise RefusedError(
                f"The checkpoint is of {known.size} entries of {known.origin}, and"
                f" this database has {news.next_seq} of {news.origin}."
            )
        with self._database.read() as tx:
            newest = checkpoint.get_newest(tx)
        if newest is not None and newest.size > known.size:
            raise RefusedError(
                f"The database has a newer checkpoint, of {newest.size} entries: give"
                " that, or a newer one that a witness has."
            )
        tree = GrowingTree()
        last_hash = self._grow(tree, news, last_hash=NO_HASH, until=known.size)
        if tree.root() != known.root:
            raise RefusedError("The entries do not make the root of the checkpoint.")
        return self._promise_and_publish(tree, news, last_hash)

    def _compare_published(self, newest: StoredCheckpoint | None, origin: str) -> None:
        """See that nothing was published that the state does not know of."""
        if newest is None:
            return
        if self._state is None and self._is_over(newest.origin, origin):
            return
        if self._state is None:
            raise RefusedError(
                f"There is no state in {self._files.state}, and a checkpoint of"
                f" {newest.size} entries was published: the state was lost"
                " (`python -m checkpointer recover`), or another signer is at work."
            )
        if newest.size > self._state.size:
            raise RefusedError(
                f"A checkpoint of {newest.size} entries was published, and the state"
                f" knows of {self._state.size} only: it is an old copy"
                " (`python -m checkpointer recover`), or another signer is at work."
            )
        if newest.size == self._state.size and newest.root.hex() != self._state.root:
            raise RefusedError(
                f"The checkpoint of {newest.size} entries in the database has another"
                " root than the one that was signed."
            )

    def _check_name(self, origin: str) -> None:
        """See that the key is called as the log, by which everybody looks for it."""
        name = read_keys(self._files.keys).signers[0].verifier.name
        if name == origin:
            return
        why = (
            f"The key in {self._files.keys} is called {name}, and the log {origin}:"
            " no witness, receipt or policy would find its signatures."
        )
        if self._state is None:
            raise CheckpointFileError(
                f"{why} Move it away: `python -m checkpointer keygen` makes another."
            )
        # What was signed so far is not worth less if it goes on.
        logger.error(why)

    def _is_over(self, published: str, origin: str) -> bool:
        """Say whether an epoch has ended, and its operator has been told (new-epoch).

        The state of the one that has begun is then yet to be made.
        """
        signers = read_keys(self._files.keys).signers
        return published != origin and signers[0].verifier.name == origin

    def _resume(self, *, is_thorough: bool) -> GrowingTree:
        """Return the tree that was signed, from the tiles or from the entries."""
        state = self._state
        if state is None:
            return GrowingTree()
        if not is_thorough:
            with self._database.read() as tx:
                tiles = merkle_tile.get_many(tx, edge_tiles(state.size))
            tree = GrowingTree.resume(state.size, state.subtrees, tiles)
            if tree is not None:
                return tree
            logger.warning("the tiles are not those of the signed tree: made anew")
        tree = GrowingTree()
        self._grow(tree, self.look(), last_hash=NO_HASH, until=state.size)
        if tree.root().hex() != state.root:
            raise RefusedError(
                f"The {state.size} entries that were signed do not make the root that"
                " was signed: history was rewritten. `flask --app app audit verify`"
                " may show where."
            )
        return tree

    def _grow(
        self, tree: GrowingTree, news: News, *, last_hash: bytes, until: int
    ) -> bytes:
        """Read on to before `until`, and store the tiles on the way."""
        with self._database.bookkeeping() as tx:
            # All that `news` tells of was committed, and now it is also on disk.
            checkpoint.flush(tx)
        try:
            with snapshot(self._database.settings) as log:
                return grow(
                    tree,
                    log,
                    news.log_id,
                    last_hash=last_hash,
                    until=until,
                    store=self._store_tiles,
                )
        except BrokenLogError as error:
            raise RefusedError(f"The log does not hold: {error}.") from error
        except ReadInterruptedError as error:
            raise DatabaseUnavailableError(str(error)) from error

    def _store_tiles(self, tiles: Sequence[Tile]) -> None:
        if tiles:
            with self._database.bookkeeping() as tx:
                merkle_tile.store(tx, tiles)

    def _promise_and_publish(
        self, tree: GrowingTree, news: News, last_hash: bytes
    ) -> StoredCheckpoint:
        state = State(
            origin=news.origin,
            log_id=news.log_id.hex(),
            size=tree.size,
            root=tree.root().hex(),
            frontier=tuple(each.hex() for each in tree.frontier()),
            last_hash=last_hash.hex(),
        )
        write_state(self._files.state, state)
        self._state, self._tree = state, tree
        return self._publish(state)

    def _signed(self, state: State) -> Note:
        root = bytes.fromhex(state.root)
        text = Checkpoint(state.origin, state.size, root).render()
        signers = read_keys(self._files.keys).signers
        return Note(text, tuple(signer.sign(text) for signer in signers))

    def _publish(self, state: State) -> StoredCheckpoint:
        """Sign what the state says, and store it for everybody."""
        keys = read_keys(self._files.keys)
        root = bytes.fromhex(state.root)
        note = self._signed(state)
        with self._database.bookkeeping() as tx:
            checkpoint.store(tx, size=state.size, root=root, note=note.render())
            stored = checkpoint.get(tx, state.size)
        if stored is None or stored.root != root:
            raise RefusedError(
                f"Another checkpoint of {state.size} entries was published meanwhile:"
                " another signer is at work."
            )
        if keys.is_rotating:
            end_rotation(self._files.keys, state.size)
        return stored


def _is_valid_at(period: KeyPeriod, size: int) -> bool:
    return period.from_size <= size and (
        period.to_size is None or size <= period.to_size
    )
