"""What authorities of time have answered, for whoever wants to verify it himself."""

from models import checkpoint_timestamp
from models.checkpoint_timestamp import StoredTimestamp
from models.database import Database
from models.page import Page, paged
from services import errors


class TimestampNotFoundError(errors.NotFoundError):
    slug = "timestamp-not-found"
    title = "No such timestamp"

    def __init__(self, timestamp_id: int) -> None:
        super().__init__(f"There is no timestamp {timestamp_id}.")


class TimestampService:
    def __init__(self, database: Database) -> None:
        self._database = database

    def list_timestamps(self, *, before: int, limit: int) -> Page[StoredTimestamp]:
        """Return timestamps, the newest first."""
        with self._database.read() as tx:
            rows = checkpoint_timestamp.list_newest(tx, before=before, limit=limit + 1)
        return paged(rows, limit, lambda row: (row.id,))

    def get_timestamp(self, timestamp_id: int) -> StoredTimestamp:
        """Raises TimestampNotFoundError."""
        with self._database.read() as tx:
            found = checkpoint_timestamp.get(tx, timestamp_id)
        if found is None:
            raise TimestampNotFoundError(timestamp_id)
        return found
