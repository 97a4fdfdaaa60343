"""When each student's program is to start an exam, so that not all come at once.

A slot costs nobody time: the deadline counts from his own start, and where the end of
the exam would cut off what a slot took, there is none.
docs/decisions/0017-start-rush.md
"""

from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final
from uuid import UUID

# So many start in a second; up to as many need no slots.
STARTS_PER_SECOND: Final = 50
LONGEST_WINDOW: Final = timedelta(seconds=30)
# What a start at its slot may be late by, and still have its full time: a timer, a
# network and a second try.
GRACE: Final = timedelta(seconds=5)


def start_at(
    exam_id: UUID,
    student_id: UUID,
    *,
    starts_at: datetime,
    ends_at: datetime,
    duration: timedelta,
    assigned: int,
) -> datetime:
    """Return the moment at which a student is to start; the same one each time.

    The window has a second for each STARTS_PER_SECOND of `assigned`, and ends before
    whoever starts later loses some of `duration` to the end of the exam.
    """
    if assigned <= STARTS_PER_SECOND:
        return starts_at
    wanted = timedelta(seconds=assigned / STARTS_PER_SECOND)
    harmless = ends_at - duration - GRACE - starts_at
    window = min(wanted, LONGEST_WINDOW, harmless)
    return starts_at + max(window, timedelta()) * _share(exam_id, student_id)


def _share(exam_id: UUID, student_id: UUID) -> float:
    """Draw from [0, 1), evenly; who comes late in one exam does not in the next."""
    digest = sha256(exam_id.bytes + student_id.bytes).digest()
    # As many bits as a float has: with more, it could round to 1.
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53
