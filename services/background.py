"""Which jobs the sweepers do."""

from collections.abc import Callable
from functools import partial

from models import audit_suspension, evidence_view, idempotency_key, rate_limit
from models.database import Database
from services.analysis_job import AnalysisJob
from services.deadlines import end_overdue_attempts, open_and_close_exams
from services.retention_service import RetentionService
from services.sweeper import Job

PRUNE_EVERY_SECONDS = 300.0
# A small step each time, until a day's work is done.
RETAIN_EVERY_SECONDS = 10.0


def jobs(database: Database) -> list[Job]:
    """Return all of them, for whoever does them himself."""
    return [job for group in groups(database) for job in group]


def groups(database: Database) -> list[list[Job]]:
    """Return the jobs that may wait for each other; each group has its own thread.

    Deadlines are in the first. They wait for nothing that takes minutes, as measuring a
    large exam for the first time does, or erasing a day's worth.
    """

    def writing(run: Callable[[], int]) -> Callable[[], int]:
        return lambda: 0 if _is_suspended(database) else run()

    return [
        [
            Job("end attempts", writing(partial(end_overdue_attempts, database))),
            Job(
                "open and close exams",
                writing(partial(open_and_close_exams, database)),
            ),
            Job("prune", partial(prune, database), every_seconds=PRUNE_EVERY_SECONDS),
        ],
        [
            Job("analyse attempts", writing(AnalysisJob(database).run)),
            Job(
                "apply retention",
                RetentionService(database).run,
                every_seconds=RETAIN_EVERY_SECONDS,
            ),
        ],
    ]


def _is_suspended(database: Database) -> bool:
    """Say whether nothing may be written. The database refuses it in any case."""
    with database.read() as tx:
        return audit_suspension.is_suspended(tx)


def prune(database: Database) -> int:
    """Forget kept answers, counted hits and noted looks whose time is over."""
    with database.bookkeeping() as tx:
        return (
            idempotency_key.prune(tx) + rate_limit.prune(tx) + evidence_view.prune(tx)
        )
