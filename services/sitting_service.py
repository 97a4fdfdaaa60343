"""What a student may know of the exams that he is assigned to."""

from datetime import datetime
from uuid import UUID

from models import sitting
from models.database import Database
from models.page import Page, paged
from models.principal import Principal
from models.sitting import Sitting
from services.access import ExamNotFoundError


class SittingService:
    def __init__(self, database: Database) -> None:
        self._database = database

    def list_available(
        self,
        student: Principal,
        *,
        limit: int,
        after: tuple[datetime, UUID] | None,
    ) -> Page[Sitting]:
        """List what is scheduled or open for him, soonest first."""
        with self._database.read() as tx:
            rows = sitting.list_available(tx, student.id, limit=limit + 1, after=after)
        return paged(rows, limit, lambda row: (row.starts_at, row.id))

    def get_details(self, student: Principal, exam_id: UUID) -> Sitting:
        """Return his exam without its questions, which come with the attempt.

        Raises ExamNotFoundError, also for a draft and for one that is not his.
        """
        with self._database.read() as tx:
            found = sitting.get(tx, student.id, exam_id)
        if found is None:
            raise ExamNotFoundError(exam_id)
        return found
