"""When whoever holds an attempt acts from another address than before."""

from uuid import UUID

from models.transaction import Transaction
from services.server_events import record_server_event
from utils.addresses import has_moved, is_other_network


def note_if_moved(
    tx: Transaction, attempt_id: UUID, before: str | None, now: str | None
) -> None:
    """Note another address as information: people have good reasons to change it.

    The addresses themselves stay where they are, with the sessions. The event does not
    claim `is_new_network`, which would weigh something: that would need to know whose
    an address is, and not only that it is far from another.
    """
    if has_moved(before, now):
        record_server_event(
            tx,
            attempt_id,
            "session.ip_changed",
            {"is_other_network": is_other_network(before, now)},
        )
