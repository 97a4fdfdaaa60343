"""How life's seconds become ours: an exam's minutes are whole ones, so life gives."""

from dataclasses import dataclass

from services.proctoring_policy import ProctoringPolicy

LIFE_MINUTES = 60
LIFE_REPORT_SECONDS = 15.0
# Two reports a second from each student is what one machine can play.
SHORTEST_REPORT_SECONDS = 0.5
# A report vouches for twice the time between two of them.
REPORTS_VOUCHED_FOR = 2


@dataclass(frozen=True, slots=True)
class Pace:
    speed: float

    @property
    def exam_minutes(self) -> int:
        """Real minutes of an exam of about an hour."""
        return max(1, round(LIFE_MINUTES / self.speed))

    @property
    def life_seconds(self) -> float:
        return self.exam_minutes * 60 * self.speed

    @property
    def report_seconds(self) -> float:
        """Real seconds between two reports of an exam client."""
        return max(LIFE_REPORT_SECONDS / self.speed, SHORTEST_REPORT_SECONDS)

    def real(self, life_seconds: float) -> float:
        return life_seconds / self.speed

    def policy(self) -> ProctoringPolicy:
        """Return the default policy at this speed."""
        scaled = ProctoringPolicy().scaled(self.speed)
        expected = self.report_seconds * REPORTS_VOUCHED_FOR
        return scaled.model_copy(update={"expected_report_interval_seconds": expected})
