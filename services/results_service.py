"""The results of an exam, a page at a time or all of them."""

from collections.abc import Iterator, Sequence
from itertools import chain
from uuid import UUID

from models import exam_result
from models.database import Database
from models.exam_result import ExamResult
from models.page import Page, paged
from models.principal import Principal
from services.access import require_exam


class ResultsService:
    def __init__(self, database: Database, *, piece_size: int = 500) -> None:
        self._database = database
        self._piece_size = piece_size

    def list_results(
        self, admin: Principal, exam_id: UUID, *, limit: int, after: UUID | None
    ) -> Page[ExamResult]:
        rows = self._read(admin, exam_id, limit + 1, after)
        return paged(rows, limit, lambda row: (row.attempt_id,))

    def export_results(
        self, admin: Principal, exam_id: UUID
    ) -> Iterator[Sequence[ExamResult]]:
        """Return all results in pieces; what can fail fails before the first.

        Each piece is a read of its own, so a client that takes its time holds no
        connection; the keyset lets no attempt come twice or be left out.
        """
        first = self._read(admin, exam_id, self._piece_size, None)
        return chain([first], self._following(admin, exam_id, first))

    def _following(
        self, admin: Principal, exam_id: UUID, last: Sequence[ExamResult]
    ) -> Iterator[Sequence[ExamResult]]:
        while len(last) == self._piece_size:
            last = self._read(admin, exam_id, self._piece_size, last[-1].attempt_id)
            yield last

    def _read(
        self, admin: Principal, exam_id: UUID, limit: int, after: UUID | None
    ) -> Sequence[ExamResult]:
        with self._database.read() as tx:
            require_exam(tx, admin, exam_id)
            return exam_result.list_page(tx, exam_id, limit=limit, after=after)
