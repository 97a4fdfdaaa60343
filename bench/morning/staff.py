"""An admin or a proctor, who looks at one thing after another."""

from collections.abc import Callable, Sequence
from itertools import cycle

from bench.morning.http import Connection
from bench.morning.student import Account, Student
from bench.morning.timetable import Action

OF_THE_EXAM = (
    "/api/exams/{exam}/attempts?limit=50",
    "/api/proctoring/suspicious?exam_id={exam}&min_risk=0",
)
OF_AN_ATTEMPT = (
    "/api/proctoring/attempt/{attempt}",
    "/api/proctoring/attempt/{attempt}/events?limit=100",
    "/api/blockchain/attempt/{attempt}",
)
OF_AN_ADMIN = (
    "/api/exams/{exam}/results?limit=100",
    "/api/blockchain/summary",
    "/api/blockchain/events/attempt.submitted?limit=50",
)


class Staff(Student):
    """Somebody with no attempt of his own, who logs in and refreshes like students."""

    def __init__(
        self,
        account: Account,
        exam_ids: Sequence[str],
        connection: Connection,
        clock: Callable[[], float],
        *,
        seconds: float,
    ) -> None:
        """`seconds` is how long all exams take, one after another."""
        super().__init__(account, exam_ids[0], connection, clock, is_polite=False)
        of_role = OF_AN_ADMIN if account.email.startswith("admin") else ()
        self._exam_ids = exam_ids
        self._seconds = seconds
        self._looks_at = cycle((*OF_THE_EXAM, *OF_AN_ATTEMPT, *of_role))
        self._attempt_id: str | None = None

    async def _keep(self, action: Action, due: float) -> None:
        if action is not Action.WATCH:
            await super()._keep(action, due)
            return
        path = next(self._looks_at)
        while "{attempt}" in path and self._attempt_id is None:
            path = next(self._looks_at)
        if path == OF_THE_EXAM[0]:
            share = min(1.0, self._clock() / self._seconds)
            self._exam_id = self._exam_ids[round(share * (len(self._exam_ids) - 1))]
        path = path.format(exam=self._exam_id, attempt=self._attempt_id)
        answer = await self._send(action, due, "GET", path)
        if "/attempts?" in path:
            rows = answer.json()["items"]
            self._attempt_id = self._rng.choice(rows)["id"] if rows else None
