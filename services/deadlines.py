"""What happens because time passes: exams open and close, and attempts end."""

import random
from uuid import UUID

from models import attempt, exam
from models.database import Database
from models.database_errors import DatabaseUnavailableError
from models.exam import ExamStatus
from services import attempt_ending, audit
from services.exam_status import record_change

MAX_AT_ONCE = 1000


def end_overdue_attempts(database: Database) -> int:
    """End the attempts whose time is over, each in a transaction of its own.

    One that can't be ended does not keep the others from it; raises ExceptionGroup of
    such failures when it is done with the rest.
    """
    with database.read() as tx:
        overdue = attempt.list_overdue(tx, MAX_AT_ONCE)
    # Several processes that sweep at once do not wait for each other in one order.
    random.shuffle(overdue)
    ended = 0
    failures: list[Exception] = []
    for attempt_id in overdue:
        try:
            with database.transaction() as tx:
                found = attempt.try_lock(tx, attempt_id)
                # It may have been submitted or extended since we looked.
                if found is not None and found.is_overdue:
                    attempt_ending.end_overdue(tx, [found])
                    ended += 1
        except DatabaseUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - raised below, with its traceback.
            failures.append(error)
    if failures:
        raise ExceptionGroup("attempts that could not be ended", failures)
    return ended


def end_overdue_of_exam(database: Database, exam_id: UUID) -> None:
    """End those of an exam whose time is over, before somebody decides about the rest.

    As the sweeper would, however many they are: if it was away over their deadline, all
    of them. Graded in one transaction, two thousand exceed every limit of time.
    """
    with database.read() as tx:
        overdue = attempt.list_overdue_of_exam(tx, exam_id)
    for portion in attempt_ending.portions(overdue):
        with database.transaction() as tx:
            attempt_ending.end_overdue(tx, attempt.lock_running_among(tx, portion))


def open_and_close_exams(database: Database) -> int:
    """Open the exams whose time has come, and close those that are over.

    An exam that is over stays open until nobody sits it any more.
    """
    with database.read() as tx:
        if not exam.is_any_due(tx):
            return 0
    with database.transaction() as tx:
        opened = exam.open_due(tx)
        closed = exam.close_due(tx)
        for each in opened:
            record_change(tx, ExamStatus.SCHEDULED, each, audit.SYSTEM)
        for each in closed:
            record_change(tx, ExamStatus.ACTIVE, each, audit.SYSTEM)
    return len(opened) + len(closed)
