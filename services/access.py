"""Which exams a member of staff may look at."""

from uuid import UUID

from models import exam, exam_proctor
from models.exam import Exam
from models.principal import Principal, Role
from models.transaction import Transaction
from services import errors


class ExamNotFoundError(errors.NotFoundError):
    slug = "exam-not-found"
    title = "No such exam"

    def __init__(self, exam_id: UUID) -> None:
        super().__init__(f"Exam {exam_id} does not exist or is not yours.")


def require_exam(tx: Transaction, principal: Principal, exam_id: UUID) -> Exam:
    """Return the exam, if it is the principal's: any of an admin, his of a proctor.

    Raises ExamNotFoundError, the same for a missing exam and for somebody else's. A
    student has no exam by this way; his assignment is his right.
    """
    match principal.role:
        case Role.ADMIN:
            is_his = True
        case Role.PROCTOR:
            is_his = exam_proctor.is_assigned(tx, exam_id, principal.id)
        case Role.STUDENT:
            is_his = False
    found = exam.get(tx, exam_id) if is_his else None
    if found is None:
        raise ExamNotFoundError(exam_id)
    return found
