"""A proctor: watches the board of his exam, helps, and grades the essays."""

from dataclasses import dataclass, field
from uuid import UUID

from script.demo_exam.client import Client, UnexpectedAnswerError
from script.demo_exam.link import StoppedError
from script.demo_exam.questions import THOROUGH
from script.demo_exam.replies import Attempt, GradedAttempt, Suspect, Watched

BOARD_SECONDS = 1.0
# What an essay of the demonstration deserves: its writer's plan says how good it is.
SHARES = {True: 1.0, False: 0.4}


@dataclass(slots=True)
class Proctor:
    client: Client
    full_name: str
    user_id: UUID
    exam_id: UUID | None = None
    board: list[Watched] = field(default_factory=list)
    suspects: list[Suspect] = field(default_factory=list)
    error: str | None = None

    def watch(self) -> None:
        """Read the board and the suspicious list again and again, until the end."""
        try:
            while True:
                self.look()
                self.client.link.wait(BOARD_SECONDS)
        except StoppedError:
            return
        except UnexpectedAnswerError as error:
            self.error = str(error)

    def look(self) -> None:
        path = f"/api/exams/{self.exam_id}/attempts"
        self.board = self.client.list_all(Watched, path)
        self.suspects = self.list_judged()

    def list_judged(self) -> list[Suspect]:
        """Read all attempts that were analysed, those without any risk too."""
        path = f"/api/proctoring/suspicious?exam_id={self.exam_id}&min_risk=0"
        return self.client.list_all(Suspect, path)

    def pause(self, attempt_id: UUID | None, reason: str) -> Attempt:
        return self._act(attempt_id, "pause", reason)

    def resume(self, attempt_id: UUID | None, reason: str) -> Attempt:
        return self._act(attempt_id, "resume", reason)

    def _act(self, attempt_id: UUID | None, action: str, reason: str) -> Attempt:
        path = f"/api/exams/attempts/{attempt_id}/{action}"
        return self.client.post(Attempt, path, {"reason": reason})

    def read_answers(self, attempt_id: UUID) -> GradedAttempt:
        path = f"/api/exams/attempts/{attempt_id}/answers"
        return self.client.get(GradedAttempt, path)

    def grade_essays(self, attempt_id: UUID) -> None:
        found = self.read_answers(attempt_id)
        grades = [
            {
                "question_id": str(each.question.id),
                "points": round(
                    SHARES[str(each.answer.response).startswith(THOROUGH)]
                    * each.question.points,
                    2,
                ),
            }
            for each in found.questions
            if each.question.kind == "essay" and each.answer is not None
        ]
        if grades:
            path = f"/api/exams/attempts/{attempt_id}/grades"
            self.client.put(GradedAttempt, path, {"grades": grades})
