"""Questions in memory: read once, for everybody, and only those that can't change."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from uuid import UUID

import psycopg2
import pytest
from psycopg2.extensions import connection

from models import exam
from models.database import Database
from models.database_errors import DatabaseUnavailableError
from models.transaction import Transaction
from services.attempt_service import AttemptService
from services.open_questions import MAX_EXAMS, Asked, Edition, OpenQuestions
from tests.audit_trail import run
from tests.exam_room import CAPITAL, ESSAY, PRODUCT, ExamRoom


@contextmanager
def nobody_reads_questions(dsn: str) -> Iterator[None]:
    with closing(psycopg2.connect(dsn)) as blocker, blocker.cursor() as cursor:
        cursor.execute("LOCK TABLE questions IN ACCESS EXCLUSIVE MODE")
        yield


def edition_of(tx: Transaction, exam_id: UUID) -> Edition:
    found = exam.get(tx, exam_id)
    assert found is not None
    return Edition(exam_id=found.id, version=found.version, frozen_at=found.frozen_at)


def texts(asked: Asked) -> set[str]:
    return {each.text for each in asked.values()}


def test_the_second_start_reads_no_question(
    room: ExamRoom, attempts: AttemptService, dsn: str
) -> None:
    alice, bert = room.new_student(), room.new_student()
    hers = attempts.start_attempt(alice, room.exam_id, take_over=False).paper

    with nobody_reads_questions(dsn):
        his = attempts.start_attempt(bert, room.exam_id, take_over=False).paper
        again = attempts.read_attempt(alice, hers.attempt.id)
        sheet = attempts.read_sheet(alice, hers.attempt.id)

    assert his.questions == hers.questions
    assert again.questions == hers.questions
    assert sheet.questions == hers.questions


def test_another_process_reads_for_itself(
    room: ExamRoom, attempts: AttemptService, database: Database, dsn: str
) -> None:
    alice = room.new_student()
    hers = attempts.start_attempt(alice, room.exam_id, take_over=False).paper
    elsewhere = AttemptService(database)

    with nobody_reads_questions(dsn), pytest.raises(DatabaseUnavailableError):
        elsewhere.read_attempt(alice, hers.attempt.id)

    assert elsewhere.read_attempt(alice, hers.attempt.id).questions == hers.questions


def test_each_student_keeps_his_own_order(
    sql: connection, attempts: AttemptService
) -> None:
    room = ExamRoom(sql, questions=[CAPITAL, PRODUCT, ESSAY] * 4, shuffle=True)
    students = [room.new_student() for _ in range(4)]
    papers = [
        attempts.start_attempt(each, room.exam_id, take_over=False).paper
        for each in students
    ]

    again = [
        attempts.read_attempt(student, paper.attempt.id)
        for student, paper in zip(students, papers, strict=True)
    ]

    orders = {tuple(question.id for question in paper.questions) for paper in papers}
    assert len(orders) == 4
    assert [paper.questions for paper in again] == [p.questions for p in papers]


def test_what_may_still_change_is_read_each_time(
    room: ExamRoom, database: Database, sql: connection
) -> None:
    questions = OpenQuestions()
    with database.read() as tx:
        before = questions.of(tx, edition_of(tx, room.exam_id))
    run(sql, "UPDATE questions SET text = 'What is 7 times 6?'")

    with database.read() as tx:
        after = questions.of(tx, edition_of(tx, room.exam_id))

    assert texts(before) == {CAPITAL["text"], PRODUCT["text"]}
    assert texts(after) == {"What is 7 times 6?"}


def test_a_freeze_that_was_rolled_back_is_not_remembered(
    room: ExamRoom, database: Database, sql: connection
) -> None:
    questions = OpenQuestions()
    with pytest.raises(InterruptedError), database.transaction() as tx:
        exam.freeze(tx, room.exam_id)
        questions.of(tx, edition_of(tx, room.exam_id))
        raise InterruptedError
    run(sql, "UPDATE questions SET text = 'What is 7 times 6?'")
    run(sql, "UPDATE exams SET version = version + 1, frozen_at = clock_timestamp()")

    with database.read() as tx:
        after = questions.of(tx, edition_of(tx, room.exam_id))

    assert texts(after) == {"What is 7 times 6?"}


def test_the_exam_that_was_asked_for_longest_ago_is_forgotten(
    database: Database, sql: connection, dsn: str
) -> None:
    questions = OpenQuestions()
    rooms = [ExamRoom(sql) for _ in range(MAX_EXAMS + 1)]
    run(sql, "UPDATE exams SET frozen_at = clock_timestamp()")
    first, second, *_, last = rooms

    def read(room: ExamRoom) -> Asked:
        with database.read() as tx:
            return questions.of(tx, edition_of(tx, room.exam_id))

    for room in (*rooms[:-1], first, last):
        read(room)

    with nobody_reads_questions(dsn):
        assert read(first).keys() == {each.id for each in first.questions}
        assert read(last).keys() == {each.id for each in last.questions}
        with pytest.raises(DatabaseUnavailableError):
            read(second)
