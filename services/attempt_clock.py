"""What the log says of an attempt's time, so that a verifier can follow it.

Whatever moves a deadline, ends a pause or grants time leaves an entry about the attempt
that says how its clock stands afterwards.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

from models.attempt import Attempt
from models.audit_event import AuditEvent
from models.principal import Principal
from models.transaction import Transaction
from services import audit


def clock_of(one: Attempt) -> dict[str, datetime | int]:
    """Return what entries have as `clock`: the deadline, and the seconds that count."""
    return {
        "deadline_at": one.deadline_at,
        "paused_seconds": one.paused_seconds,
        "extended_seconds": one.extended_seconds,
    }


def moved(before: datetime, after: Attempt) -> dict[str, object]:
    """Return what an entry says of a step that may have moved a deadline."""
    return {
        "deadline_at": {"from": before, "to": after.deadline_at},
        "clock": clock_of(after),
    }


def record_moved(
    tx: Transaction,
    before: Mapping[UUID, datetime],
    after: Iterable[Attempt],
    admin: Principal,
) -> None:
    """Note whose deadline is another than `before`: by a window or an accommodation."""
    for one in after:
        if one.deadline_at == before[one.id]:
            continue
        audit.append_of_attempt(
            tx,
            AuditEvent.ATTEMPT_DEADLINE_MOVED,
            one.id,
            actor=admin.id,
            payload=moved(before[one.id], one),
        )
