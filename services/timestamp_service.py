"""What authorities of time have answered, for whoever wants to verify it himself."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Self

from models import checkpoint_timestamp
from models.checkpoint_timestamp import StoredTimestamp
from models.database import Database
from models.page import FROM_THE_NEWEST, Page, paged
from services import errors

# More than any id: the newest comes first.


class TimestampNotFoundError(errors.NotFoundError):
    slug = "timestamp-not-found"
    title = "No such timestamp"

    def __init__(self, timestamp_id: int) -> None:
        super().__init__(f"There is no timestamp {timestamp_id}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownTimestamp:
    """A timestamp, and the hash that it is over: that of `note`, byte by byte."""

    id: int
    size: int
    note: str
    note_sha256: bytes
    tsa_url: str
    stamped_at: datetime
    is_chain_verified: bool
    received_at: datetime

    @classmethod
    def of(cls, stored: StoredTimestamp) -> Self:
        return cls(
            id=stored.id,
            size=stored.size,
            note=stored.note,
            note_sha256=sha256(stored.note.encode()).digest(),
            tsa_url=stored.tsa_url,
            stamped_at=stored.stamped_at,
            is_chain_verified=stored.is_chain_verified,
            received_at=stored.received_at,
        )


class TimestampService:
    def __init__(self, database: Database) -> None:
        self._database = database

    def list_timestamps(
        self, *, before: int | None, limit: int
    ) -> Page[ShownTimestamp]:
        """Return timestamps, the newest first."""
        with self._database.read() as tx:
            rows = checkpoint_timestamp.list_newest(
                tx,
                before=FROM_THE_NEWEST if before is None else before,
                limit=limit + 1,
            )
        found = paged(rows, limit, lambda row: (row.id,))
        return Page([ShownTimestamp.of(row) for row in found.items], found.next_key)

    def get_timestamp(self, timestamp_id: int) -> StoredTimestamp:
        """Raises TimestampNotFoundError."""
        with self._database.read() as tx:
            found = checkpoint_timestamp.get(tx, timestamp_id)
        if found is None:
            raise TimestampNotFoundError(timestamp_id)
        return found
