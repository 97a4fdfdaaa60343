"""Which jobs the sweeper does."""

from functools import partial

from models import idempotency_key, rate_limit
from models.database import Database
from services.analysis_job import AnalysisJob
from services.deadlines import end_overdue_attempts, open_and_close_exams
from services.retention_service import RetentionService
from services.sweeper import Job

PRUNE_EVERY_SECONDS = 300.0
# A small step each time, until a day's work is done.
RETAIN_EVERY_SECONDS = 10.0


def jobs(database: Database) -> list[Job]:
    return [
        Job("end attempts", partial(end_overdue_attempts, database)),
        Job("open and close exams", partial(open_and_close_exams, database)),
        Job("analyse attempts", AnalysisJob(database).run),
        Job("prune", partial(prune, database), every_seconds=PRUNE_EVERY_SECONDS),
        Job(
            "apply retention",
            RetentionService(database).run,
            every_seconds=RETAIN_EVERY_SECONDS,
        ),
    ]


def prune(database: Database) -> int:
    """Forget kept answers and counted hits whose time is over."""
    with database.bookkeeping() as tx:
        return idempotency_key.prune(tx) + rate_limit.prune(tx)
