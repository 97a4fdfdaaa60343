"""The time of one student's exam: where in his plan he is, and when he has to stop."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from script.demo_exam.replies import Paper


@dataclass(slots=True)
class ExamClock:
    """Runs by the server's clock, as its replies tell it."""

    _began: float
    _server_began: datetime
    _deadline: float
    # While a student is away, his plan stands still.
    _away_seconds: float = 0.0

    @classmethod
    def of(cls, paper: Paper) -> "ExamClock":
        now = time.monotonic()
        return cls(now, paper.server_time, now + _left(paper))

    @property
    def offset(self) -> float:
        """Seconds of the plan that are over."""
        return time.monotonic() - self._began - self._away_seconds

    @property
    def seconds_left(self) -> float:
        return self._deadline - time.monotonic()

    def moment(self, offset: float) -> datetime:
        """Return when that second of the plan was, by the server's clock."""
        return self._server_began + timedelta(seconds=offset + self._away_seconds)

    def come_back(self, away_seconds: float, paper: Paper) -> None:
        self._away_seconds += away_seconds
        self._deadline = time.monotonic() + _left(paper)


def _left(paper: Paper) -> float:
    return (paper.deadline_at - paper.server_time).total_seconds()
