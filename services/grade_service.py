"""Grading by hand: the essays, and any answer that the key judged wrongly."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from models import answer, attempt_activity, attempt_steps, exam, question
from models.answer import Answer, HandMark, Mark
from models.attempt import Attempt, AttemptStatus
from models.audit_event import AuditEvent
from models.database import Database
from models.principal import Principal, Role
from models.question import Question
from models.question_storage import QuestionView, from_storage
from models.question_types import QuestionKind
from models.transaction import Transaction
from services import attempt_ending, audit
from services.attempt_access import lock_attempt, require_attempt
from services.attempt_errors import AttemptStepError, GradesInvalidError

GRADABLE: Final = (AttemptStatus.SUBMITTED, AttemptStatus.TERMINATED)
# Each analysis stays in the log for ever: of those who are compared with somebody who
# was graded there is one for all that staff grades meanwhile.
ANALYSED_WITHIN: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class GradedQuestion:
    """A question with its key, and what the student made of it; None: nothing."""

    question: QuestionView
    answer: Answer | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GradedAttempt:
    attempt: Attempt
    # In the exam's order.
    questions: Sequence[GradedQuestion]


class GradeService:
    def __init__(self, database: Database) -> None:
        self._database = database

    def read_answers(self, staff: Principal, attempt_id: UUID) -> GradedAttempt:
        """Return all questions with their keys, responses and points.

        Raises AttemptNotFoundError, and AttemptStepError for a proctor while the
        attempt runs: until there is something to grade the keys are for admins alone.
        """
        with self._database.read() as tx:
            found = require_attempt(tx, staff, attempt_id)
            if found.is_running and staff.role is not Role.ADMIN:
                raise AttemptStepError("read the answers of", found, staff.role)
            return _graded(tx, found)

    def grade_answers(
        self, staff: Principal, attempt_id: UUID, grades: Sequence[HandMark]
    ) -> GradedAttempt:
        """Award points by hand, and compute the score anew when all are there.

        Raises AttemptNotFoundError, AttemptStepError before the attempt has ended, and
        GradesInvalidError; then nothing is graded.
        """
        with self._database.transaction() as tx:
            before = lock_attempt(tx, staff, attempt_id)
            if before.status not in GRADABLE:
                raise AttemptStepError("grade", before, staff.role)
            its_exam = exam.get_of_row(tx, before.exam_id)
            given = {
                each.question_id: each
                for each in answer.list_by_attempts(tx, [attempt_id])
            }
            asked = {each.id: each for each in question.list_by_exam(tx, its_exam.id)}
            _check(grades, asked, given)
            answer.mark_by_hand(tx, attempt_id, staff.id, grades)
            # Nobody is accused of sharing wrong answers that are right.
            if any(
                asked[each.question_id].kind is not QuestionKind.ESSAY
                and given[each.question_id].points_awarded != each.points
                for each in grades
            ):
                attempt_activity.request_analysis_of_exam(
                    tx, its_exam.id, within=ANALYSED_WITHIN
                )
                attempt_activity.request_analysis(tx, [attempt_id])
            awarded = {each.question_id: each.points for each in grades}
            marks = [
                Mark(
                    attempt_id=attempt_id,
                    question_id=each.question_id,
                    points=awarded.get(each.question_id, each.points_awarded),
                )
                for each in given.values()
            ]
            worth = attempt_ending.outcome(its_exam, before, marks)
            after = attempt_steps.set_score(
                tx, attempt_id, worth.score, is_passed=worth.is_passed
            )
            _record(tx, staff, before, after, grades, given)
            return _graded(tx, after)


def _check(
    grades: Sequence[HandMark],
    asked: dict[UUID, Question],
    given: dict[UUID, Answer],
) -> None:
    seen: set[UUID] = set()
    problems = []
    for index, each in enumerate(grades):
        pointer = f"#/grades/{index}"
        found = asked.get(each.question_id)
        if found is None:
            problems.append(
                (f"{pointer}/question_id", "The exam has no such question.")
            )
        elif each.question_id not in given:
            problems.append((f"{pointer}/question_id", "It was not answered."))
        elif each.question_id in seen:
            problems.append((f"{pointer}/question_id", "The question came before."))
        elif each.points > found.points:
            problems.append(
                (f"{pointer}/points", f"The question is worth {found.points}.")
            )
        seen.add(each.question_id)
    if problems:
        raise GradesInvalidError(problems)


def _graded(tx: Transaction, found: Attempt) -> GradedAttempt:
    given = {each.question_id: each for each in answer.list_by_attempts(tx, [found.id])}
    return GradedAttempt(
        attempt=found,
        questions=[
            GradedQuestion(
                question=from_storage(each.id, each.position, each),
                answer=given.get(each.id),
            )
            for each in question.list_by_exam(tx, found.exam_id)
        ],
    )


def _record(
    tx: Transaction,
    staff: Principal,
    before: Attempt,
    after: Attempt,
    grades: Sequence[HandMark],
    given: dict[UUID, Answer],
) -> None:
    audit.append_of_attempt(
        tx,
        AuditEvent.ATTEMPT_GRADED,
        after.id,
        actor=staff.id,
        payload={
            "grades": [
                {
                    "question_id": each.question_id,
                    "points": {
                        "from": given[each.question_id].points_awarded,
                        "to": each.points,
                    },
                    "comment": each.comment,
                }
                for each in grades
            ],
            "score": {"from": before.score, "to": after.score},
            "is_passed": {"from": before.is_passed, "to": after.is_passed},
        },
    )
