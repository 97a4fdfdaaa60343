"""The memory of a witness: one SQLite file, the latest checkpoint of each log in it.

Whatever has been answered is on disk. A commit of SQLite is the removal of its journal,
and only `synchronous = EXTRA` makes that durable: under FULL a power cut can bring the
journal back, and with it the state from before. A write-ahead log would be faster, but
then the state is two files, and whoever moves one of them takes the witness back.
"""

import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from witness.refusals import BusyError

logger = logging.getLogger(__name__)

# What this program writes at the head of the file, so that no other is taken for it.
APPLICATION_ID: Final = 0x7769746E
VERSION: Final = 1
# How long another process may hold the file: `show`, or a second server by mistake.
LOCK_TIMEOUT_SECONDS: Final = 5.0
# A log that was caught once needs no thousand pieces of evidence.
MAX_FORKS: Final = 100

# The triggers repeat what the code checks: whoever edits this file with a shell, or
# breaks the code one day, has to break them too.
SCHEMA: Final = f"""
    BEGIN IMMEDIATE;
    PRAGMA application_id = {APPLICATION_ID};
    PRAGMA user_version = {VERSION};
    CREATE TABLE latest (
        origin      TEXT PRIMARY KEY,
        origin_hash TEXT NOT NULL UNIQUE,
        size        INTEGER NOT NULL CHECK (size >= 0),
        root        BLOB NOT NULL CHECK (length(root) = 32),
        cosigned_at INTEGER NOT NULL CHECK (cosigned_at > 0),
        note        TEXT NOT NULL
    ) STRICT;
    CREATE TABLE forks (
        origin      TEXT NOT NULL,
        size        INTEGER NOT NULL,
        root        BLOB NOT NULL,
        refused_at  INTEGER NOT NULL,
        note        TEXT NOT NULL,
        seen_note   TEXT NOT NULL,
        PRIMARY KEY (origin, size, root)
    ) STRICT;
    CREATE TRIGGER latest_never_goes_back BEFORE UPDATE ON latest
    WHEN new.origin <> old.origin OR new.size < old.size
        OR (new.size = old.size AND new.root <> old.root)
        OR new.cosigned_at < old.cosigned_at
    BEGIN SELECT RAISE(ABORT, 'a witness does not go back'); END;
    CREATE TRIGGER latest_is_never_forgotten BEFORE DELETE ON latest
    BEGIN SELECT RAISE(ABORT, 'a witness does not forget'); END;
    COMMIT;
"""

GET_LATEST: Final = """
    SELECT origin, size, root, cosigned_at, note FROM latest WHERE origin = :origin
"""
GET_LATEST_BY_HASH: Final = """
    SELECT origin, size, root, cosigned_at, note FROM latest
     WHERE origin_hash = :origin_hash
"""
LIST_LATEST: Final = """
    SELECT origin, size, root, cosigned_at, note FROM latest ORDER BY origin
"""
# A comparison and a swap, though the transaction holds the lock: no reader of this
# statement has to know that.
ADVANCE: Final = """
    INSERT INTO latest (origin, origin_hash, size, root, cosigned_at, note)
    VALUES (:origin, :origin_hash, :size, :root, :cosigned_at, :note)
        ON CONFLICT (origin) DO UPDATE
       SET size = excluded.size, root = excluded.root,
           cosigned_at = excluded.cosigned_at, note = excluded.note
     WHERE size = :old_size
"""
KEEP_FORK: Final = """
    INSERT INTO forks (origin, size, root, refused_at, note, seen_note)
    SELECT :origin, :size, :root, :refused_at, :note, :seen_note
     WHERE (SELECT count(*) FROM forks WHERE origin = :origin) < :limit
        ON CONFLICT DO NOTHING
"""
LIST_FORKS: Final = """
    SELECT origin, size, root, refused_at, note, seen_note FROM forks
     ORDER BY origin, size, refused_at
"""


class StateError(Exception):
    """The state file cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The latest checkpoint of a log that was cosigned, and the note that says so."""

    origin: str
    size: int
    root: bytes
    cosigned_at: int
    note: str


@dataclass(frozen=True, slots=True)
class Fork:
    """Two checkpoints that one log signed for one size.

    It shows different people different histories, and its signatures prove it.
    """

    origin: str
    size: int
    root: bytes
    refused_at: int
    note: str
    seen_note: str


class Store:
    """One connection, used by one thread at a time. Other processes may have theirs."""

    def __init__(self, path: Path) -> None:
        """Open the state, which has to be there. Raises StateError."""
        self._connection = connect(path)
        self._lock = threading.Lock()

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator["Transaction"]:
        """Hold the only right to write, and commit at the end of the block.

        Raises BusyError if nothing could be written; then nothing was.
        """
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield Transaction(self._connection)
                self._connection.execute("COMMIT")
            except sqlite3.OperationalError as error:
                logger.exception("the state could not be written")
                raise BusyError from error
            finally:
                # A commit that failed may have ended the transaction, or not.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def get_by_hash(self, origin_hash: str) -> Seen | None:
        with self.transaction() as tx:
            return tx.get_by_hash(origin_hash)

    def list_all(self) -> tuple[list[Seen], list[Fork]]:
        """Return the latest checkpoint of each log, and every fork that was tried."""
        with self.transaction() as tx:
            return tx.list_latest(), tx.list_forks()


class Transaction:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def get(self, origin: str) -> Seen | None:
        row = self._connection.execute(GET_LATEST, {"origin": origin}).fetchone()
        return None if row is None else Seen(*row)

    def get_by_hash(self, origin_hash: str) -> Seen | None:
        row = self._connection.execute(
            GET_LATEST_BY_HASH, {"origin_hash": origin_hash}
        ).fetchone()
        return None if row is None else Seen(*row)

    def list_latest(self) -> list[Seen]:
        return [Seen(*row) for row in self._connection.execute(LIST_LATEST)]

    def list_forks(self) -> list[Fork]:
        return [Fork(*row) for row in self._connection.execute(LIST_FORKS)]

    def advance(self, old_size: int, seen: Seen) -> None:
        """Make `seen` the latest, if the latest still has the size `old_size`."""
        found = self._connection.execute(
            ADVANCE,
            {
                **asdict(seen),
                "origin_hash": hash_of(seen.origin),
                "old_size": old_size,
            },
        )
        if found.rowcount != 1:
            raise BusyError

    def keep_fork(self, fork: Fork) -> None:
        self._connection.execute(KEEP_FORK, {**asdict(fork), "limit": MAX_FORKS})

    def write_nothing_new(self) -> None:
        """Write what is there already: the right to write alone needs no disk."""
        self._connection.execute(f"PRAGMA user_version = {VERSION}")


def hash_of(origin: str) -> str:
    """Return what stands for an origin in an address (C2SP tlog-witness)."""
    return sha256(origin.encode()).hexdigest()


def create(path: Path) -> None:
    """Begin an empty state. Raises StateError if there is a file already."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with closing(_connect(path)) as connection:
            connection.executescript(SCHEMA)
        directory = os.open(path.parent, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
    except FileExistsError as error:
        raise StateError(f"{path} is there already, and is not overwritten.") from error
    except (OSError, sqlite3.OperationalError) as error:
        raise StateError(f"{path} cannot be made: {error}") from error


def connect(path: Path) -> sqlite3.Connection:
    """Open a state that is there. Raises StateError."""
    if not path.is_file():
        # A witness with an empty memory and a known key would cosign any fork, so
        # none is ever made in passing, such as when a disk has not been mounted.
        raise StateError(
            f"There is no state {path}. A new witness begins with `python -m witness"
            " init`; one that lost its state needs a new key too."
        )
    try:
        connection = _connect(path)
        found = (
            *connection.execute("PRAGMA application_id").fetchone(),
            *connection.execute("PRAGMA user_version").fetchone(),
        )
    except sqlite3.DatabaseError as error:
        raise StateError(f"{path} cannot be read: {error}") from error
    if found != (APPLICATION_ID, VERSION):
        connection.close()
        raise StateError(f"{path} is not the state of a witness of this version.")
    return connection


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=LOCK_TIMEOUT_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("PRAGMA synchronous = EXTRA")
    return connection
