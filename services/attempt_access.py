"""Which attempts a member of staff may look at or act on."""

from uuid import UUID

from models import attempt
from models.attempt import Attempt
from models.principal import Principal
from models.transaction import Transaction
from services.access import ExamNotFoundError, require_exam
from services.attempt_errors import AttemptNotFoundError, OwnAttemptError


def require_attempt(tx: Transaction, staff: Principal, attempt_id: UUID) -> Attempt:
    """Return an attempt of an exam that is the principal's, and not his own.

    Raises AttemptNotFoundError, the same for a missing attempt and another's, and
    OwnAttemptError.
    """
    return _checked(tx, staff, attempt.get(tx, attempt_id), attempt_id)


def lock_attempt(tx: Transaction, staff: Principal, attempt_id: UUID) -> Attempt:
    """Return the same, locked until the end of the transaction."""
    return _checked(tx, staff, attempt.get_for_update(tx, attempt_id), attempt_id)


def _checked(
    tx: Transaction, staff: Principal, found: Attempt | None, attempt_id: UUID
) -> Attempt:
    if found is None:
        raise AttemptNotFoundError(attempt_id)
    try:
        require_exam(tx, staff, found.exam_id)
    except ExamNotFoundError as error:
        raise AttemptNotFoundError(attempt_id) from error
    # He sat it before he was given his role.
    if found.student_id == staff.id:
        raise OwnAttemptError
    return found
