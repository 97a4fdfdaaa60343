"""An audit entry on its way into the log: queued by a service, sent by the commit."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEntry:
    """What the caller knows of an entry; the database adds the rest.

    `actor_id` is a user's id, `system` for background work, or None for a caller who
    did not say who he is. `payload` is the canonical JSON text that is hashed.
    """

    event_type: str
    entity_type: str
    entity_id: str
    actor_id: str | None
    attempt_id: UUID | None
    payload: str


class PendingEntry:
    """The promise of an entry. Its place in the log is known after the commit."""

    __slots__ = ("_seq",)

    def __init__(self) -> None:
        self._seq: int | None = None

    def settle(self, seq: int) -> None:
        self._seq = seq

    @property
    def seq(self) -> int:
        """The entry's number. Raises RuntimeError inside the transaction."""
        if self._seq is None:
            raise RuntimeError("the entry has no number before its transaction commits")
        return self._seq
