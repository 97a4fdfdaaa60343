"""Which of a student's logins held his attempt when: at which device he sat."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final
from uuid import UUID

from models.attempt_activity import QUEUED_FOR

EVER: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Hold:
    since: datetime
    session_id: UUID


@dataclass(frozen=True, slots=True)
class _Displacement:
    """A time in which a login had lost the attempt to another one."""

    lost_at: datetime
    regained_at: datetime
    # What was observed in it may be delivered by then, and as a rule at once.
    delivered_by: datetime


class Holds:
    """The holds of one attempt, in the order in which they began.

    A login that never held the attempt was never displaced.
    """

    def __init__(self, holds: Sequence[Hold]) -> None:
        self._holds = holds

    @property
    def has_moved(self) -> bool:
        return len({each.session_id for each in self._holds}) > 1

    def is_displaced(
        self, session_id: UUID, observed_at: datetime, received_at: datetime
    ) -> bool:
        """Say whether a login had lost the attempt when it observed something.

        A device that has the attempt again sends at once what it kept meanwhile. What
        it still claims of that time later on may be a clock that was put back.
        """
        return any(
            each.lost_at <= observed_at < each.regained_at
            and received_at < each.delivered_by
            for each in self._displacements(session_id)
        )

    def lost_after(self, session_id: UUID, moment: datetime) -> datetime | None:
        """Return when a login first lost the attempt after a moment, if it did."""
        lost = (each.lost_at for each in self._displacements(session_id))
        return next((each for each in lost if each > moment), None)

    def _displacements(self, session_id: UUID) -> Iterator[_Displacement]:
        for number, (hold, following) in enumerate(pairwise(self._holds), 1):
            if session_id != hold.session_id or session_id == following.session_id:
                continue
            regained = next(
                (e.since for e in self._holds[number:] if e.session_id == session_id),
                None,
            )
            yield _Displacement(
                lost_at=following.since,
                regained_at=regained or EVER,
                delivered_by=regained + QUEUED_FOR if regained else EVER,
            )
