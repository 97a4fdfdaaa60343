"""Grading by hand: GradeService."""

from contextlib import closing
from decimal import Decimal
from uuid import UUID

import psycopg2
import pytest
from psycopg2.extensions import connection

from models.answer import HandMark
from models.attempt import Attempt
from models.database import Database
from models.principal import Principal
from services.attempt_errors import (
    AttemptNotFoundError,
    AttemptStepError,
    GradesInvalidError,
)
from services.attempt_service import AttemptService, SentAnswer
from services.grade_service import GradeService
from tests.audit_trail import run
from tests.exam_room import CAPITAL, ESSAY, PRODUCT, ExamRoom


@pytest.fixture
def room(sql: connection) -> ExamRoom:
    return ExamRoom(sql, questions=(CAPITAL, PRODUCT, ESSAY))


@pytest.fixture
def grades(database: Database) -> GradeService:
    return GradeService(database)


@pytest.fixture
def alice(room: ExamRoom) -> Principal:
    return room.new_student()


@pytest.fixture
def running(room: ExamRoom, alice: Principal, attempts: AttemptService) -> Attempt:
    """An attempt with a right product and an essay, and no capital."""
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    sent = [
        SentAnswer(question_id=room.questions[1].id, response=42, client_version=1),
        SentAnswer(question_id=room.questions[2].id, response="So.", client_version=1),
    ]
    attempts.save_answers(alice, own.id, sent)
    return own


def award(question_id: UUID, points: str) -> HandMark:
    return HandMark(question_id=question_id, points=Decimal(points), comment="Good.")


def test_an_essay_completes_the_score(
    room: ExamRoom,
    alice: Principal,
    running: Attempt,
    attempts: AttemptService,
    grades: GradeService,
) -> None:
    receipt = attempts.submit_attempt(alice, running.id)
    bob = room.new_proctor()
    essay = room.questions[2].id
    assert receipt.score is None

    graded = grades.grade_answers(bob, running.id, [award(essay, "4.50")])

    assert graded.attempt.score == Decimal("7.50")
    assert graded.attempt.is_passed is True
    answer = graded.questions[2].answer
    assert answer is not None
    assert (answer.points_awarded, answer.graded_by) == (Decimal("4.50"), bob.id)
    assert room.event_types(running.id)[-1] == "attempt.graded"
    # The receipt says what was so when it was issued.
    again = attempts.submit_attempt(alice, running.id)
    assert (again.score, again.attempt.score) == (None, Decimal("7.50"))
    assert again.receipt_hash == receipt.receipt_hash


def test_nobody_who_sits_the_exam_waits_for_a_grader_nor_he_for_them(
    *,
    room: ExamRoom,
    alice: Principal,
    running: Attempt,
    attempts: AttemptService,
    grades: GradeService,
    dsn: str,
) -> None:
    attempts.submit_attempt(alice, running.id)
    bert = room.new_student()
    own = attempts.start_attempt(bert, room.exam_id, take_over=False).paper.attempt
    lock = "SELECT FROM attempt_activity WHERE attempt_id = %s FOR UPDATE"
    with closing(psycopg2.connect(dsn)) as saving:
        run(saving, lock, own.id)

        graded = grades.grade_answers(
            room.admin, running.id, [award(room.questions[1].id, "0")]
        )

    assert graded.questions[1].answer is not None


@pytest.mark.parametrize(
    ("mark", "is_analysed"),
    [((2, "4.50"), False), ((1, "3.00"), False), ((1, "0"), True)],
    ids=["an essay", "as it was", "another mark"],
)
def test_whose_analysis_nothing_has_changed_is_not_analysed_anew(
    *,
    sql: connection,
    room: ExamRoom,
    alice: Principal,
    running: Attempt,
    attempts: AttemptService,
    grades: GradeService,
    mark: tuple[int, str],
    is_analysed: bool,
) -> None:
    """Each analysis stays in the log for ever, of all who sat the exam."""
    other = room.new_student()
    own = attempts.start_attempt(other, room.exam_id, take_over=False).paper.attempt
    attempts.submit_attempt(other, own.id)
    attempts.submit_attempt(alice, running.id)
    run(sql, "UPDATE attempt_activity SET analysis_due_since = NULL")

    place, points = mark
    grades.grade_answers(
        room.admin, running.id, [award(room.questions[place].id, points)]
    )

    due = room.scalar("SELECT count(analysis_due_since) FROM attempt_activity")
    assert due == (2 if is_analysed else 0)


def test_graders_see_keys_responses_and_what_is_missing(
    room: ExamRoom,
    alice: Principal,
    running: Attempt,
    attempts: AttemptService,
    grades: GradeService,
) -> None:
    proctor = room.new_proctor()
    # While it runs the keys are for those who have made them.
    early = grades.read_answers(room.admin, running.id)
    with pytest.raises(AttemptStepError):
        grades.read_answers(proctor, running.id)
    attempts.submit_attempt(alice, running.id)

    shown = grades.read_answers(proctor, running.id)

    assert len(early.questions) == len(shown.questions)

    assert [each.question.id for each in shown.questions] == [
        question.id for question in room.questions
    ]
    capital, product, essay = shown.questions
    assert capital.answer is None
    assert product.answer is not None
    assert product.answer.response == 42
    assert essay.answer is not None
    assert essay.answer.points_awarded is None


def test_bad_grades_are_named_and_none_is_written(
    sql: connection,
    room: ExamRoom,
    alice: Principal,
    running: Attempt,
    attempts: AttemptService,
    grades: GradeService,
) -> None:
    attempts.submit_attempt(alice, running.id)
    capital, _, essay = room.questions
    foreign = ExamRoom(sql).questions[0].id

    with pytest.raises(GradesInvalidError) as refused:
        grades.grade_answers(
            room.admin,
            running.id,
            [
                award(essay.id, "5"),
                award(capital.id, "1"),
                award(foreign, "1"),
                award(essay.id, "1"),
            ],
        )
    with pytest.raises(GradesInvalidError) as too_many:
        grades.grade_answers(room.admin, running.id, [award(essay.id, "5.01")])

    assert [pointer for pointer, _ in refused.value.problems] == [
        "#/grades/1/question_id",
        "#/grades/2/question_id",
        "#/grades/3/question_id",
    ]
    assert [pointer for pointer, _ in too_many.value.problems] == ["#/grades/0/points"]
    assert room.scalar("SELECT count(graded_by) FROM answers") == 0


def test_a_running_attempt_can_not_be_graded(
    room: ExamRoom, running: Attempt, grades: GradeService
) -> None:
    with pytest.raises(AttemptStepError):
        grades.grade_answers(room.admin, running.id, [award(room.questions[2].id, "1")])


def test_a_proctor_of_another_exam_grades_nothing(
    sql: connection, room: ExamRoom, running: Attempt, grades: GradeService
) -> None:
    eve = ExamRoom(sql).new_proctor()

    with pytest.raises(AttemptNotFoundError):
        grades.read_answers(eve, running.id)
    with pytest.raises(AttemptNotFoundError):
        grades.grade_answers(eve, running.id, [award(room.questions[2].id, "1")])
