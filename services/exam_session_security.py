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
    # The other device was silent: most likely it died, which is no evidence.
    TAKEN_OVER = "taken_over"
    # Two devices were at work at once.
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

    A device that was heard of within `concurrent_within` counts as being at work.
    Raises AttemptHeldByAnotherDeviceError if it has to say that it takes over.
    """
    if running.held_by_session == session_id:
        return HandOver.NONE
    if holder is None or not holder.is_alive:
        return HandOver.RESUMED
    if not take_over:
        raise AttemptHeldByAnotherDeviceError(running)
    is_concurrent = holder.silence <= concurrent_within
    return HandOver.CONCURRENT if is_concurrent else HandOver.TAKEN_OVER


def require_hold(running: Attempt, session_id: UUID) -> None:
    """Let only the login that holds the attempt write to it, or read its paper.

    Raises AttemptHeldElsewhereError.
    """
    if running.held_by_session != session_id:
        raise AttemptHeldElsewhereError(running)
