"""Saving answers: AttemptService.save_answers."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from uuid import UUID

import psycopg2
import pytest
from psycopg2.extensions import connection

from services.attempt_errors import (
    AnswersInvalidError,
    AnswerVersionReusedError,
    AttemptNotFoundError,
    AttemptOverError,
    AttemptPausedError,
)
from services.attempt_service import AttemptService, SentAnswer
from services.proctor_actions import ProctorActions
from tests.audit_trail import run, scalar
from tests.by_hand import stated
from tests.exam_room import ExamRoom
from tests.waiting import until_somebody_waits_for_a_lock


def sent(question_id: UUID, response: object, version: int = 1) -> SentAnswer:
    # The tests also send what is no JSON value of the question's kind.
    return SentAnswer(
        question_id=question_id,
        response=response,  # type: ignore[arg-type]
        client_version=version,
    )


def test_what_is_saved_together_has_one_time(
    room: ExamRoom, attempts: AttemptService, sql: connection
) -> None:
    """The risk model would take microseconds between answers for haste."""
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    capital, product = room.questions
    options = [str(each) for each in capital.option_ids]
    times = (
        "SELECT count(DISTINCT first_saved_at), count(DISTINCT saved_at) FROM answers"
    )

    for version in (1, 2):
        both = [
            sent(product.id, version, version),
            sent(capital.id, options[version], version),
        ]
        saved = attempts.save_answers(alice, own.id, both).saved
        assert len({each.saved_at for each in saved}) == 1
        assert run(sql, times) == [(1, 1)]


def test_who_saves_was_heard_of(
    room: ExamRoom, attempts: AttemptService, sql: connection
) -> None:
    """Or a proctor would see as missing who works and reports nothing."""
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    heard = "SELECT last_seen_at FROM attempt_activity"
    before = scalar(sql, heard)

    attempts.save_answers(alice, own.id, [sent(room.questions[1].id, 42)])

    assert scalar(sql, heard) > before


def test_answers_are_stored_and_audited_together(
    sql: connection, room: ExamRoom, attempts: AttemptService
) -> None:
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    capital, product = room.questions
    vienna = str(capital.option_ids[0])

    saved = attempts.save_answers(
        alice, own.id, [sent(product.id, 41.5), sent(capital.id, vienna)]
    )

    assert [s.question_id for s in saved.saved] == [product.id, capital.id]
    assert saved.attempt.seconds_remaining > 3500
    found = attempts.read_attempt(alice, own.id).answers
    assert {a.question_id: a.response for a in found} == {
        capital.id: vienna,
        product.id: 41.5,
    }
    assert room.event_types(own.id) == ["attempt.started", "attempt.answers_saved"]
    ((of, by, logged),) = run(
        sql,
        "SELECT entity_id, actor_id, payload::jsonb -> 'answers' FROM audit_log"
        " WHERE event_type = 'attempt.answers_saved'",
    )
    assert (of, by) == (str(own.id), str(alice.id))
    assert logged == [
        {"question_id": str(product.id), "response": 41.5, "client_version": 1},
        {"question_id": str(capital.id), "response": vienna, "client_version": 1},
    ]


def test_the_highest_client_version_wins(
    room: ExamRoom, attempts: AttemptService, sql: connection
) -> None:
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    capital, product = room.questions
    first = attempts.save_answers(alice, own.id, [sent(product.id, 1, version=5)])

    second = attempts.save_answers(
        alice, own.id, [sent(product.id, 2, version=4), sent(capital.id, None)]
    )
    same = attempts.save_answers(alice, own.id, [sent(product.id, 1, version=5)])

    assert second.saved[0].client_version == 5
    assert second.saved[0].saved_at == first.saved[0].saved_at
    assert same.saved[0].saved_at == first.saved[0].saved_at
    found = attempts.read_attempt(alice, own.id).answers
    assert {a.question_id: a.response for a in found} == {
        capital.id: None,
        product.id: 1,
    }
    # What changed nothing left no entry, and the second save names one answer only.
    logged = run(
        sql,
        "SELECT payload::jsonb -> 'answers' FROM audit_log"
        " WHERE event_type = 'attempt.answers_saved' ORDER BY seq",
    )
    assert [[each["question_id"] for each in answers] for (answers,) in logged] == [
        [str(product.id)],
        [str(capital.id)],
    ]


def test_another_answer_of_a_version_that_is_stored_is_not_taken_for_saved(
    room: ExamRoom, attempts: AttemptService
) -> None:
    """The reply to the first got lost, and its student has changed his mind since."""
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    capital, product = room.questions
    attempts.save_answers(alice, own.id, [sent(product.id, 1, version=5)])

    with pytest.raises(AnswerVersionReusedError) as refused:
        attempts.save_answers(
            alice,
            own.id,
            [sent(capital.id, None, version=1), sent(product.id, 2, version=5)],
        )

    assert [pointer for pointer, _ in refused.value.problems] == [
        "#/answers/1/client_version"
    ]
    assert [a.response for a in attempts.read_attempt(alice, own.id).answers] == [1]
    attempts.save_answers(alice, own.id, [sent(product.id, 2, version=6)])
    assert [a.response for a in attempts.read_attempt(alice, own.id).answers] == [2]


def test_one_bad_answer_saves_none_and_each_is_named(
    sql: connection, room: ExamRoom, attempts: AttemptService
) -> None:
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    capital, product = room.questions
    foreign = ExamRoom(sql).questions[1].id

    with pytest.raises(AnswersInvalidError) as refused:
        attempts.save_answers(
            alice,
            own.id,
            [
                sent(product.id, 42),
                sent(capital.id, "Vienna"),
                sent(product.id, 43),
                sent(foreign, 42),
            ],
        )

    assert [pointer for pointer, _ in refused.value.problems] == [
        "#/answers/1/response",
        "#/answers/2/question_id",
        "#/answers/3/question_id",
    ]
    assert room.scalar("SELECT count(*) FROM answers") == 0


def test_another_student_finds_no_attempt(
    room: ExamRoom, attempts: AttemptService
) -> None:
    alice, mallory = room.new_student(), room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt

    with pytest.raises(AttemptNotFoundError):
        attempts.save_answers(mallory, own.id, [sent(room.questions[1].id, 42)])
    with pytest.raises(AttemptNotFoundError):
        attempts.read_attempt(mallory, own.id)
    with pytest.raises(AttemptNotFoundError):
        attempts.submit_attempt(mallory, own.id)


def test_a_paused_attempt_takes_no_answers(
    room: ExamRoom, attempts: AttemptService, actions: ProctorActions
) -> None:
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    actions.pause_attempt(room.admin, own.id, "fire alarm")

    with pytest.raises(AttemptPausedError):
        attempts.save_answers(alice, own.id, [sent(room.questions[1].id, 42)])


@pytest.mark.parametrize(
    ("step", "refusal"),
    [
        (
            "UPDATE attempts SET status = 'paused', paused_at = now()",
            AttemptPausedError,
        ),
        (
            (
                "UPDATE attempts SET status = 'terminated', ended_at = now(),"
                " ended_by = 'proctor'"
            ),
            AttemptOverError,
        ),
    ],
)
def test_a_save_that_comes_while_a_step_is_taken_is_told_so(
    room: ExamRoom,
    attempts: AttemptService,
    sql: connection,
    dsn: str,
    step: str,
    refusal: type[Exception],
) -> None:
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    answers = [sent(room.questions[1].id, 42)]

    with closing(psycopg2.connect(dsn)) as staff, ThreadPoolExecutor(1) as pool:
        run(staff, stated(step))
        saving = pool.submit(attempts.save_answers, alice, own.id, answers)
        until_somebody_waits_for_a_lock(sql)
        staff.commit()

    with pytest.raises(refusal):
        saving.result()


@pytest.mark.parametrize(
    ("seconds_late", "is_taken"), [(-1, True), (1, True), (3, False)]
)
def test_answers_are_taken_until_the_deadline_and_two_seconds(
    room: ExamRoom, attempts: AttemptService, seconds_late: int, *, is_taken: bool
) -> None:
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    room.let_time_pass(own.id, 3600 + seconds_late)
    answers = [sent(room.questions[1].id, 42)]

    if is_taken:
        attempts.save_answers(alice, own.id, answers)
    else:
        with pytest.raises(AttemptOverError) as refused:
            attempts.save_answers(alice, own.id, answers)
        assert refused.value.allowed_actions == ("submit",)

    assert room.scalar("SELECT count(*) FROM answers") == int(is_taken)


def test_nothing_is_saved_after_the_end(
    room: ExamRoom, attempts: AttemptService
) -> None:
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    attempts.submit_attempt(alice, own.id)

    with pytest.raises(AttemptOverError) as refused:
        attempts.save_answers(alice, own.id, [sent(room.questions[1].id, 42)])

    assert refused.value.current_status == "submitted"
