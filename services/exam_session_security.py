"""The rules against concurrent attempts: one attempt a student, one device an attempt.

That a student has one running attempt is kept by the database (the unique index
attempts_one_running_key). Which of his devices may write to it is kept here: the login
(session) that started the attempt holds it until another one takes it over.
"""

from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from models.attempt import Attempt
from models.attempt_activity import Holder
from services.attempt_errors import (
    AttemptHeldByAnotherDeviceError,
    AttemptHeldElsewhereError,
)


class HandOver(StrEnum):
    # The same login came again.
    NONE = "none"
    # The login that held the attempt has ended.
    RESUMED = "resumed"
    # The other device may have died, or its student may have walked to another one.
    TAKEN_OVER = "taken_over"
    # A device that was displaced takes the attempt back from one that is at work.
    CONCURRENT = "concurrent"


def hand_over(
    running: Attempt,
    holder: Holder | None,
    session_id: UUID,
    *,
    take_over: bool,
    concurrent_within: timedelta,
) -> HandOver:
    """Decide what it means that this login wants to go on with a running attempt.

    That the other device was heard of until now proves nothing: a browser that crashed
    was at work a moment before. Only what is heard of a device after it was displaced
    tells that there are two. A device that was heard of within `concurrent_within`
    counts as being at work. Raises AttemptHeldByAnotherDeviceError if it has to say
    that it takes over.
    """
    if running.held_by_session == session_id:
        return HandOver.NONE
    if holder is None or not holder.is_alive:
        return HandOver.RESUMED
    if not take_over:
        raise AttemptHeldByAnotherDeviceError(running)
    is_back = holder.displaced_session == session_id
    is_concurrent = is_back and holder.silence <= concurrent_within
    return HandOver.CONCURRENT if is_concurrent else HandOver.TAKEN_OVER


def displaced_by(how: HandOver, holder: Holder | None, session_id: UUID) -> UUID | None:
    """Return the login that is displaced by a hand-over, or still is from before."""
    if holder is None:
        return None
    if how is not HandOver.RESUMED:
        return holder.session_id
    return None if holder.displaced_session == session_id else holder.displaced_session


def require_hold(running: Attempt, session_id: UUID) -> None:
    """Let only the login that holds the attempt write to it, or read its paper.

    Raises AttemptHeldElsewhereError.
    """
    if running.held_by_session != session_id:
        raise AttemptHeldElsewhereError(running)
