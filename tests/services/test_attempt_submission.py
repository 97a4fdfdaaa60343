"""Submitting: AttemptService.submit_attempt, its receipt and its races."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from decimal import Decimal
from functools import partial
from hashlib import sha256
from typing import Literal

import pytest
from psycopg2.extensions import connection

from models.attempt import AttemptStatus, EndedBy
from models.database import Database
from models.transaction import Transaction
from services.attempt_errors import (
    AttemptHeldElsewhereError,
    AttemptOverError,
    AttemptPausedError,
    DeadlineNotReachedError,
    NoReceiptError,
)
from services.attempt_service import AttemptService, Receipt, SentAnswer
from services.deadlines import end_overdue_attempts
from services.proctor_actions import ProctorActions
from tests.at_once import at_once
from tests.audit_trail import run
from tests.exam_room import CAPITAL, ESSAY, PRODUCT, ExamRoom
from tests.reports import deliver, observed
from utils.blockchain_hasher import canonical_json
from utils.instants import rfc3339


def answers(room: ExamRoom, product: int = 42, version: int = 1) -> list[SentAnswer]:
    capital_, product_ = room.questions[:2]
    return [
        SentAnswer(
            question_id=capital_.id,
            response=str(capital_.option_ids[0]),
            client_version=version,
        ),
        SentAnswer(question_id=product_.id, response=product, client_version=version),
    ]


def test_a_submission_is_graded_and_its_receipt_is_in_the_log(
    room: ExamRoom, attempts: AttemptService
) -> None:
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    attempts.save_answers(alice, own.id, answers(room, product=41))

    receipt = attempts.submit_attempt(alice, own.id)

    assert receipt.attempt.status is AttemptStatus.SUBMITTED
    assert receipt.attempt.ended_by is EndedBy.STUDENT
    assert (receipt.score, receipt.attempt.score) == (Decimal(2), Decimal(2))
    assert receipt.attempt.is_passed is False
    logged = room.scalar(
        "SELECT encode(hash, 'hex') FROM audit_log WHERE seq = %s", receipt.audit_seq
    )
    assert logged == receipt.receipt_hash
    given = [
        {
            "question_id": str(each.question_id),
            "response": each.response,
            "client_version": 1,
        }
        for each in sorted(answers(room, product=41), key=lambda a: a.question_id)
    ]
    digest = sha256(canonical_json({"answers": given}).encode()).hexdigest()
    assert receipt.answers_digest == digest
    assert room.observed(own.id) == ["session.started", "session.submitted"]
    assert room.scalar("SELECT analysis_due_since IS NOT NULL FROM attempt_activity")


def test_the_entry_of_an_end_says_what_was_handed_in_and_by_whom(
    sql: connection, attempts: AttemptService
) -> None:
    room = ExamRoom(sql, questions=(CAPITAL, PRODUCT, PRODUCT, PRODUCT))
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    capital, product = answers(room)
    again = replace(product, question_id=room.questions[2].id)
    taken_back = replace(again, response=None, client_version=2)
    wrong = replace(product, question_id=room.questions[3].id, response=41)
    attempts.save_answers(alice, own.id, [capital, product, again, wrong])
    attempts.save_answers(alice, own.id, [taken_back])

    receipt = attempts.submit_attempt(alice, own.id)

    ((actor, said),) = run(
        sql,
        "SELECT actor_id, payload::jsonb - 'ended_at' FROM audit_log"
        " WHERE event_type = 'attempt.submitted'",
    )
    assert actor == str(alice.id)
    assert said == {
        "status": "submitted",
        "ended_by": "student",
        "reason": None,
        "score": "5.00",
        "max_score": "11.00",
        "is_passed": False,
        "answered": 3,
        "answers_digest": receipt.answers_digest,
        "clock": {
            "deadline_at": rfc3339(own.deadline_at),
            "paused_seconds": 0,
            "extended_seconds": 0,
        },
    }
    event = "SELECT payload FROM proctoring_events WHERE event_type = %s"
    assert room.scalar(event, "session.submitted") == {"ended_by": "student"}


def test_submitting_again_gives_the_same_receipt(
    room: ExamRoom, attempts: AttemptService
) -> None:
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    first = attempts.submit_attempt(alice, own.id)

    # From another device too, which may read it as well: nothing is written any more.
    spare = room.login(alice.id)
    again = attempts.submit_attempt(spare, own.id)

    assert proof(again) == proof(first)
    assert attempts.read_attempt(spare, own.id).attempt.id == own.id
    assert room.event_types(own.id) == ["attempt.started", "attempt.submitted"]


def proof(receipt: Receipt) -> tuple[object, ...]:
    return receipt.audit_seq, receipt.receipt_hash, receipt.score, receipt.attempt.score


def test_twenty_submissions_at_once_are_one(
    room: ExamRoom, attempts: AttemptService
) -> None:
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    attempts.save_answers(alice, own.id, answers(room))

    receipts = at_once([partial(attempts.submit_attempt, alice, own.id)] * 20)

    assert len({proof(receipt) for receipt in receipts}) == 1
    assert receipts[0].score == Decimal(5)
    assert room.event_types(own.id).count("attempt.submitted") == 1


def test_the_score_waits_for_an_essay(
    sql: connection, attempts: AttemptService
) -> None:
    room = ExamRoom(sql, questions=(CAPITAL, PRODUCT, ESSAY))
    alice, bert = room.new_student(), room.new_student()
    hers = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    his = attempts.start_attempt(bert, room.exam_id, take_over=False).paper.attempt
    essay = room.questions[2].id
    written = SentAnswer(question_id=essay, response="Because.", client_version=1)
    attempts.save_answers(alice, hers.id, [*answers(room), written])
    attempts.save_answers(bert, his.id, answers(room))

    assert attempts.submit_attempt(alice, hers.id).score is None
    # Who wrote nothing needs no reader.
    assert attempts.submit_attempt(bert, his.id).score == Decimal(5)


def test_a_submission_after_the_deadline_is_the_deadlines(
    room: ExamRoom, attempts: AttemptService
) -> None:
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    attempts.save_answers(alice, own.id, answers(room))
    room.let_time_pass(own.id, 3603)

    # From any device, as if the sweeper had been there before.
    receipt = attempts.submit_attempt(room.login(alice.id), own.id)

    assert receipt.attempt.ended_by is EndedBy.DEADLINE
    assert receipt.attempt.ended_at == receipt.attempt.deadline_at
    assert receipt.score == Decimal(5)
    assert room.event_types(own.id)[-1] == "attempt.ended"
    assert proof(attempts.submit_attempt(alice, own.id)) == proof(receipt)


def test_a_program_does_not_end_an_attempt_that_was_given_more_time(
    room: ExamRoom, attempts: AttemptService, actions: ProctorActions
) -> None:
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    actions.extend_attempt(room.admin, own.id, 10, "the power was out")
    room.let_time_pass(own.id, 3600)

    with pytest.raises(DeadlineNotReachedError) as refused:
        attempts.submit_attempt(alice, own.id, EndedBy.DEADLINE)

    assert refused.value.current_status == "in_progress"
    assert refused.value.allowed_actions == ("submit",)
    assert 590 < (refused.value.retry_after_seconds or 0) <= 600
    assert room.event_types(own.id)[-1] == "attempt.extended"
    # What the student himself wants is another matter.
    mine = attempts.submit_attempt(alice, own.id)
    assert mine.attempt.ended_by is EndedBy.STUDENT


def test_a_program_whose_clock_is_fast_ends_nothing(
    room: ExamRoom, attempts: AttemptService
) -> None:
    """By more than two seconds, that is."""
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    room.let_time_pass(own.id, 3600 - 3.9)

    with pytest.raises(DeadlineNotReachedError):
        attempts.submit_attempt(alice, own.id, EndedBy.DEADLINE)


def test_a_program_does_not_end_an_attempt_that_is_paused(
    room: ExamRoom, attempts: AttemptService, actions: ProctorActions
) -> None:
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    room.let_time_pass(own.id, 3599)
    actions.pause_attempt(room.admin, own.id, "fire alarm")

    with pytest.raises(AttemptPausedError):
        attempts.submit_attempt(alice, own.id, EndedBy.DEADLINE)

    assert attempts.submit_attempt(alice, own.id).attempt.ended_by is EndedBy.STUDENT


@pytest.mark.parametrize(
    ("seconds", "wanted", "ended_by"),
    [
        (-1, EndedBy.DEADLINE, EndedBy.DEADLINE),
        (-60, EndedBy.STUDENT, EndedBy.STUDENT),
        (0, EndedBy.DEADLINE, EndedBy.DEADLINE),
        (0, EndedBy.STUDENT, EndedBy.DEADLINE),
    ],
)
def test_what_is_submitted_around_the_deadline(
    room: ExamRoom,
    attempts: AttemptService,
    actions: ProctorActions,
    *,
    seconds: float,
    wanted: Literal[EndedBy.STUDENT, EndedBy.DEADLINE],
    ended_by: EndedBy,
) -> None:
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    room.let_time_pass(own.id, 3600 + seconds)

    ended = attempts.submit_attempt(alice, own.id, wanted).attempt

    assert ended.ended_by is ended_by
    assert ended.ended_at is not None
    assert ended.ended_at <= min(ended.deadline_at, ended.read_at)
    if ended_by is EndedBy.DEADLINE:
        actions.reopen_attempt(room.admin, own.id, 600, "outage")
        assert room.scalar("SELECT paused_seconds FROM attempts") in range(4)


def test_an_attempt_that_is_reopened_at_that_moment_has_no_receipt_yet(
    room: ExamRoom,
    attempts: AttemptService,
    actions: ProctorActions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    room.let_time_pass(own.id, 3600)

    with monkeypatch.context() as patched:
        # Between its commit and the reading of what was committed.
        read = Database.read

        def read_late(database: Database) -> AbstractContextManager[Transaction]:
            patched.undo()
            actions.reopen_attempt(room.admin, own.id, 600, "outage")
            return read(database)

        patched.setattr(Database, "read", read_late)
        with pytest.raises(NoReceiptError) as refused:
            attempts.submit_attempt(alice, own.id)

    assert refused.value.current_status == "in_progress"
    assert refused.value.allowed_actions == ("submit",)
    assert attempts.submit_attempt(alice, own.id).attempt.ended_by is EndedBy.STUDENT


def test_a_program_on_a_device_that_was_displaced_ends_nothing(
    room: ExamRoom, attempts: AttemptService
) -> None:
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    spare = room.login(alice.id)
    attempts.start_attempt(spare, room.exam_id, take_over=True)
    room.let_time_pass(own.id, 3600)

    with pytest.raises(AttemptHeldElsewhereError):
        attempts.submit_attempt(alice, own.id, EndedBy.DEADLINE)

    ended = attempts.submit_attempt(spare, own.id, EndedBy.DEADLINE).attempt
    assert ended.ended_by is EndedBy.DEADLINE


def test_what_staff_ended_can_not_be_submitted(
    room: ExamRoom, attempts: AttemptService, actions: ProctorActions
) -> None:
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    actions.terminate_attempt(room.admin, own.id, "somebody else sat there")

    with pytest.raises(AttemptOverError) as refused:
        attempts.submit_attempt(alice, own.id)

    assert refused.value.current_status == "terminated"
    assert refused.value.allowed_actions == ()


@pytest.mark.parametrize("seconds_late", [0, 1.99, 2.01])
def test_saves_race_with_a_submission_and_the_sweeper(
    room: ExamRoom,
    attempts: AttemptService,
    database: Database,
    seconds_late: float,
) -> None:
    """Whatever was acknowledged is graded, and nothing is acknowledged afterwards."""
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    room.let_time_pass(own.id, 3600 + seconds_late)

    def save(version: int) -> int:
        sent = answers(room, product=version, version=version)
        try:
            attempts.save_answers(alice, own.id, sent)
        except AttemptOverError:
            return 0
        return version

    def submit() -> int:
        attempts.submit_attempt(alice, own.id)
        return 0

    def sweep() -> int:
        end_overdue_attempts(database)
        return 0

    work: list[Callable[[], int]] = [submit, sweep]
    work += [partial(save, version) for version in range(1, 11)]
    acknowledged = max(at_once(work))

    stored = "SELECT coalesce(max(client_version), 0) FROM answers"
    assert room.scalar(stored) == acknowledged
    entries = room.event_types(own.id)
    assert entries[-1] in {"attempt.submitted", "attempt.ended"}
    assert not {"attempt.submitted", "attempt.ended"} & set(entries[:-1])
    ungraded = "SELECT count(*) FROM answers WHERE points_awarded IS NULL"
    assert room.scalar(ungraded) == 0


def test_what_came_in_another_order_is_not_missing(
    sql: connection, room: ExamRoom, attempts: AttemptService, database: Database
) -> None:
    """The number up to which nothing is missing may lag behind."""
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    deliver(database, alice, own.id, observed(1), observed(2), observed(3))
    run(sql, "UPDATE attempt_activity SET contiguous_sequence = 1")

    attempts.submit_attempt(alice, own.id)

    assert "client.event_gap" not in room.observed(own.id)
