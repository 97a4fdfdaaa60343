"""When the time of an attempt is over: computed here and nowhere else."""

from datetime import timedelta
from typing import Final
from uuid import UUID

from models.attempt import RETURNING, Attempt
from models.transaction import Transaction

# Who loses time that he counted on can still save what he has.
NOTICE: Final = timedelta(seconds=60)

# Who may work longer than the exam's duration may also work that much longer than its
# window: extra time is real at the end of the window too. A begun minute is granted, as
# nobody may get less than he is entitled to. The row is joined to itself, since a
# subquery does not see the row that is updated.
ENTITLED = """
      FROM attempts AS present
      JOIN exams ON exams.id = present.exam_id
      JOIN exam_assignments ON exam_assignments.exam_id = present.exam_id
                           AND exam_assignments.student_id = present.student_id
     CROSS JOIN LATERAL (
           SELECT make_interval(mins => (
               ceil(exams.duration_minutes * exam_assignments.time_multiplier)
               + exam_assignments.extra_time_minutes)::integer)
           ) AS allowed(time)
     CROSS JOIN LATERAL (
           SELECT least(
               present.started_at + allowed.time,
               exams.ends_at + allowed.time
                   - make_interval(mins => exams.duration_minutes)
           ) + make_interval(secs => present.paused_seconds + present.extended_seconds)
           ) AS entitled(until)
"""
RUNNING = """
     WHERE present.id = attempts.id AND attempts.status IN ('in_progress', 'paused')
"""

MOVE = """
    UPDATE attempts
       SET deadline_at = entitled.until
               + make_interval(secs => attempts.notice_seconds)
"""
RECOMPUTE = MOVE + ENTITLED + RUNNING

# After less was granted: not before the notice is over, unless it had been over by then
# in any case. Otherwise never earlier than it was: a notice that was given is kept. A
# paused clock stands where it was stopped. Whole seconds, so that the same again
# changes nothing.
MOVE_WITH_NOTICE = """
    UPDATE attempts
       SET notice_seconds = noticed.seconds,
           deadline_at = entitled.until + make_interval(secs => noticed.seconds)
"""
NOTICED = """
     CROSS JOIN LATERAL (
           SELECT greatest(0, ceil(extract(epoch FROM
               CASE WHEN entitled.until < present.deadline_at
                             - make_interval(secs => present.notice_seconds)
                    THEN least(present.deadline_at,
                               coalesce(present.paused_at, clock_timestamp())
                                   + %(notice)s)
                    ELSE present.deadline_at END
               - entitled.until)))::integer
           ) AS noticed(seconds)
"""
RECOMPUTE_WITH_NOTICE = MOVE_WITH_NOTICE + ENTITLED + NOTICED + RUNNING

OF_ATTEMPT = RECOMPUTE + " AND attempts.id = %(id)s " + RETURNING
OF_ATTEMPTS = RECOMPUTE + " AND attempts.id = ANY(%(ids)s) " + RETURNING
OF_STUDENT = (
    RECOMPUTE_WITH_NOTICE
    + " AND attempts.exam_id = %(exam_id)s AND attempts.student_id = %(student_id)s "
    + RETURNING
)
OF_EXAM = RECOMPUTE_WITH_NOTICE + " AND attempts.exam_id = %(exam_id)s " + RETURNING


def recompute_of_student(
    tx: Transaction, exam_id: UUID, student_id: UUID
) -> Attempt | None:
    """Recompute after a change of what the student was granted."""
    names = {"exam_id": exam_id, "student_id": student_id, "notice": NOTICE}
    return tx.one_or_none(Attempt, OF_STUDENT, names)


def recompute_of_exam(tx: Transaction, exam_id: UUID) -> list[Attempt]:
    """Recompute all that run after a change of the exam's window."""
    return tx.all(Attempt, OF_EXAM, {"exam_id": exam_id, "notice": NOTICE})
