"""When the time of an attempt is over: computed here and nowhere else."""

from uuid import UUID

from models.attempt import RETURNING, Attempt
from models.database import Transaction

# Who may work longer than the exam's duration may also work that much longer than its
# window: extra time is real at the end of the window too. A begun minute is granted, as
# nobody may get less than he is entitled to.
RECOMPUTE = """
    UPDATE attempts
       SET deadline_at = least(
               attempts.started_at + allowed.time,
               exams.ends_at + allowed.time
                   - make_interval(mins => exams.duration_minutes)
           ) + make_interval(
               secs => attempts.paused_seconds + attempts.extended_seconds)
      FROM exams
      JOIN exam_assignments ON exam_assignments.exam_id = exams.id
     CROSS JOIN LATERAL (
           SELECT make_interval(mins => (
               ceil(exams.duration_minutes * exam_assignments.time_multiplier)
               + exam_assignments.extra_time_minutes)::integer)
           ) AS allowed(time)
     WHERE exams.id = attempts.exam_id
       AND exam_assignments.student_id = attempts.student_id
       AND attempts.status IN ('in_progress', 'paused')
"""
OF_ATTEMPT = RECOMPUTE + " AND attempts.id = %(id)s " + RETURNING
OF_STUDENT = (
    RECOMPUTE
    + " AND attempts.exam_id = %(exam_id)s AND attempts.student_id = %(student_id)s "
    + RETURNING
)
OF_EXAM = RECOMPUTE + " AND attempts.exam_id = %(exam_id)s " + RETURNING


def recompute(tx: Transaction, attempt_id: UUID) -> Attempt | None:
    """Bring a running attempt's deadline up to date; None if it has ended."""
    return tx.one_or_none(Attempt, OF_ATTEMPT, {"id": attempt_id})


def recompute_of_student(
    tx: Transaction, exam_id: UUID, student_id: UUID
) -> Attempt | None:
    """Recompute after a change of what the student was granted."""
    names = {"exam_id": exam_id, "student_id": student_id}
    return tx.one_or_none(Attempt, OF_STUDENT, names)


def recompute_of_exam(tx: Transaction, exam_id: UUID) -> list[Attempt]:
    """Recompute all that run after a change of the exam's window."""
    return tx.all(Attempt, OF_EXAM, {"exam_id": exam_id})
