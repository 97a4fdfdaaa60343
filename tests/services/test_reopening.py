"""An attempt that staff or the server has ended goes on, and loses no time."""

from datetime import timedelta
from functools import partial
from uuid import UUID

import psycopg2
import pytest
from psycopg2.extensions import connection

from models import question, risk_subject
from models.attempt import Attempt, AttemptStatus, EndedBy, ReviewStatus
from models.attempt_review import Review
from models.database import Database
from models.principal import Principal
from services.analysis_inputs import read_inputs
from services.analysis_job import AnalysisJob
from services.attempt_errors import (
    AttemptStepError,
    ExtensionTooLongError,
    NoTimeLeftError,
    StudentSitsAnotherError,
)
from services.attempt_service import AttemptService, SentAnswer
from services.deadlines import end_overdue_attempts
from services.proctor_actions import ProctorActions
from services.review_service import ReviewService
from tests.at_once import at_once
from tests.audit_trail import run, scalar
from tests.exam_room import ESSAY, PRODUCT, ExamRoom
from tests.exams import Json

REASON = "the alarm was a false one"


@pytest.fixture
def room(sql: connection) -> ExamRoom:
    return ExamRoom(sql, questions=[PRODUCT, ESSAY], max_attempts=3)


@pytest.fixture
def alice(room: ExamRoom) -> Principal:
    return room.new_student()


@pytest.fixture
def own(room: ExamRoom, alice: Principal, attempts: AttemptService) -> Attempt:
    return attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt


def save(
    attempts: AttemptService, room: ExamRoom, alice: Principal, own: Attempt, value: int
) -> None:
    version = 2 if value == 42 else 1
    sent = [
        SentAnswer(
            question_id=room.questions[0].id, response=value, client_version=version
        )
    ]
    attempts.save_answers(alice, own.id, sent)


def entry(sql: connection) -> Json:
    found: Json = scalar(
        sql,
        "SELECT payload::json FROM audit_log WHERE event_type = 'attempt.reopened'",
    )
    return found


def test_the_clock_stood_still_between_end_and_reopening(
    room: ExamRoom,
    own: Attempt,
    actions: ProctorActions,
) -> None:
    room.let_time_pass(own.id, 600)
    ended = actions.terminate_attempt(room.new_proctor(), own.id, "an alarm").attempt
    assert ended.ended_at is not None
    left = ended.deadline_at - ended.ended_at
    room.let_time_pass(own.id, 2700)

    reopened = actions.reopen_attempt(room.admin, own.id, 0, REASON).attempt

    assert reopened.status is AttemptStatus.IN_PROGRESS
    assert (reopened.ended_at, reopened.ended_by, reopened.end_reason) == (None,) * 3
    assert (reopened.score, reopened.is_passed) == (None, None)
    again = reopened.deadline_at - reopened.read_at
    # A begun second counts in the student's favour.
    assert left - timedelta(seconds=1) <= again <= left + timedelta(seconds=1)
    assert reopened.paused_seconds in range(2700, 2720)


def test_a_begun_second_of_it_is_given_back(
    room: ExamRoom, own: Attempt, actions: ProctorActions
) -> None:
    actions.terminate_attempt(room.admin, own.id, "an alarm")

    reopened = actions.reopen_attempt(room.admin, own.id, 0, REASON).attempt

    assert reopened.paused_seconds >= 1


def test_its_student_goes_on_and_gets_a_new_receipt(
    room: ExamRoom,
    alice: Principal,
    own: Attempt,
    attempts: AttemptService,
    actions: ProctorActions,
    sql: connection,
) -> None:
    save(attempts, room, alice, own, 41)
    room.let_time_pass(own.id, 3700)
    first = attempts.submit_attempt(alice, own.id)
    assert first.attempt.ended_by is EndedBy.DEADLINE

    actions.reopen_attempt(room.admin, own.id, 300, REASON)
    started = attempts.start_attempt(alice, room.exam_id, take_over=False)
    save(attempts, room, alice, own, 42)
    second = attempts.submit_attempt(alice, own.id)
    once_more = attempts.submit_attempt(alice, own.id)

    assert not started.is_new
    assert [first.attempt.score, second.attempt.score] == [0, 3]
    assert second.attempt.ended_by is EndedBy.STUDENT
    assert second.audit_seq > first.audit_seq
    assert second.answers_digest != first.answers_digest
    assert (once_more.receipt_hash, once_more.audit_seq) == (
        second.receipt_hash,
        second.audit_seq,
    )
    # The old one still is what it was.
    assert first.receipt_hash == scalar(
        sql, "SELECT encode(hash, 'hex') FROM audit_log WHERE seq = %s", first.audit_seq
    )
    assert room.event_types(own.id) == [
        "attempt.started",
        "attempt.answers_saved",
        "attempt.ended",
        "attempt.reopened",
        "attempt.answers_saved",
        "attempt.submitted",
    ]


def test_it_is_analysed_anew(
    room: ExamRoom,
    actions: ProctorActions,
    own: Attempt,
    sql: connection,
) -> None:
    """What the break explains was not explained before."""
    actions.terminate_attempt(room.admin, own.id, "a mistake")
    run(sql, "UPDATE attempt_activity SET analysis_due_since = NULL")

    actions.reopen_attempt(room.admin, own.id, 0, "it was one")

    due = "SELECT analysis_due_since <= clock_timestamp() FROM attempt_activity"
    assert run(sql, due) == [(True,)]


def test_grading_starts_anew(
    room: ExamRoom,
    alice: Principal,
    own: Attempt,
    attempts: AttemptService,
    actions: ProctorActions,
    sql: connection,
) -> None:
    save(attempts, room, alice, own, 41)
    actions.terminate_attempt(room.admin, own.id, "an alarm")
    run(
        sql,
        "UPDATE answers SET points_awarded = 3, grader_comment = 'Nearly.',"
        " graded_by = %s",
        str(room.admin.id),
    )

    actions.reopen_attempt(room.admin, own.id, 0, REASON)
    ((points, comment, by),) = run(
        sql, "SELECT points_awarded, grader_comment, graded_by FROM answers"
    )
    save(attempts, room, alice, own, 42)
    attempts.submit_attempt(alice, own.id)

    assert (points, comment, by) == (None, None, None)
    assert scalar(sql, "SELECT points_awarded FROM answers") == 3


def test_the_log_says_what_was_ended_and_what_goes_on(
    room: ExamRoom, own: Attempt, actions: ProctorActions, sql: connection
) -> None:
    actions.terminate_attempt(room.new_proctor(), own.id, "an alarm")

    reopened = actions.reopen_attempt(room.admin, own.id, 90, REASON).attempt

    said = entry(sql)
    assert said["reason"] == REASON
    assert said["extra_seconds"] == 90
    assert said["status"] == {"from": "terminated", "to": "in_progress"}
    assert (said["ended_by"], said["end_reason"]) == ("proctor", "an alarm")
    assert said["clock"]["extended_seconds"] == reopened.extended_seconds == 90
    assert room.observed(own.id) == [
        "session.started",
        "session.terminated",
        "session.resumed",
    ]


def test_without_time_left_some_has_to_be_given(
    room: ExamRoom, own: Attempt, actions: ProctorActions, database: Database
) -> None:
    room.let_time_pass(own.id, 3700)
    end_overdue_attempts(database)

    with pytest.raises(NoTimeLeftError):
        actions.reopen_attempt(room.admin, own.id, 0, REASON)
    before = actions.list_attempts(
        room.admin, room.exam_id, status=None, before=None, limit=1
    )
    reopened = actions.reopen_attempt(room.admin, own.id, 120, REASON).attempt

    assert before.items[0].attempt.status is AttemptStatus.SUBMITTED
    assert before.items[0].allowed_actions == ["grade", "reopen", "void"]
    assert 118 <= reopened.seconds_remaining <= 121
    assert reopened.extended_seconds == 120


def test_what_its_student_handed_in_stays_handed_in(
    room: ExamRoom,
    alice: Principal,
    own: Attempt,
    attempts: AttemptService,
    actions: ProctorActions,
    sql: connection,
) -> None:
    attempts.submit_attempt(alice, own.id)

    with pytest.raises(AttemptStepError) as refused:
        actions.reopen_attempt(room.admin, own.id, 600, REASON)
    # Nor does the database let it, whatever any code believes.
    with pytest.raises(psycopg2.errors.CheckViolation) as guarded:
        run(
            sql,
            "UPDATE attempts SET status = 'in_progress', ended_at = NULL,"
            " ended_by = NULL, score = NULL, is_passed = NULL",
        )

    assert list(refused.value.allowed_actions) == ["grade", "void"]
    assert guarded.value.diag.constraint_name == "attempts_status_step"


@pytest.mark.parametrize("status", ["paused", "in_progress"])
def test_the_database_knows_no_other_way_back(
    room: ExamRoom,
    own: Attempt,
    actions: ProctorActions,
    sql: connection,
    status: str,
) -> None:
    """Not into a pause, and not with a score."""
    actions.terminate_attempt(room.admin, own.id, "an alarm")
    run(sql, "UPDATE attempts SET score = 0, is_passed = false")

    with pytest.raises(psycopg2.errors.CheckViolation) as refused:
        run(
            sql,
            "UPDATE attempts SET status = %s, ended_at = NULL, ended_by = NULL,"
            " paused_at = CASE WHEN %s = 'paused' THEN clock_timestamp() END",
            status,
            status,
        )

    assert refused.value.diag.constraint_name == "attempts_status_step"


def test_a_student_sits_one_exam_at_a_time(
    room: ExamRoom,
    alice: Principal,
    own: Attempt,
    attempts: AttemptService,
    actions: ProctorActions,
) -> None:
    actions.terminate_attempt(room.admin, own.id, "an alarm")
    other = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt

    with pytest.raises(StudentSitsAnotherError):
        actions.reopen_attempt(room.admin, own.id, 0, REASON)
    attempts.submit_attempt(alice, other.id)
    reopened = actions.reopen_attempt(room.admin, own.id, 0, REASON).attempt

    assert reopened.is_running


def test_of_a_start_and_reopenings_at_once_one_runs(
    room: ExamRoom,
    alice: Principal,
    own: Attempt,
    attempts: AttemptService,
    actions: ProctorActions,
    sql: connection,
) -> None:
    actions.terminate_attempt(room.admin, own.id, "an alarm")
    second = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    actions.terminate_attempt(room.admin, second.id, "an alarm")

    def reopen(attempt_id: UUID) -> UUID | None:
        try:
            return actions.reopen_attempt(room.admin, attempt_id, 0, REASON).attempt.id
        except StudentSitsAnotherError:
            return None

    def start() -> UUID | None:
        started = attempts.start_attempt(alice, room.exam_id, take_over=False)
        return started.paper.attempt.id

    results: list[UUID | None] = at_once(
        [partial(reopen, own.id), partial(reopen, second.id), start]
    )

    ((running,),) = run(
        sql, "SELECT id FROM attempts WHERE status IN ('in_progress', 'paused')"
    )
    # Whoever got an attempt at all got the one that runs.
    assert {str(each) for each in results if each is not None} == {str(running)}


def test_an_extension_has_its_limit_here_too(
    room: ExamRoom, own: Attempt, actions: ProctorActions
) -> None:
    actions.extend_attempt(room.admin, own.id, 1440, "a long alarm")
    actions.terminate_attempt(room.admin, own.id, "an alarm")

    with pytest.raises(ExtensionTooLongError) as refused:
        actions.reopen_attempt(room.admin, own.id, 1, REASON)

    assert refused.value.problems[0][0] == "#/extra_seconds"


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([], ReviewStatus.QUEUED),
        ([ReviewStatus.IN_REVIEW], ReviewStatus.IN_REVIEW),
        # A verdict was on what had ended.
        ([ReviewStatus.IN_REVIEW, ReviewStatus.CLEARED], ReviewStatus.IN_REVIEW),
    ],
)
def test_a_review_is_not_forgotten(
    room: ExamRoom,
    own: Attempt,
    actions: ProctorActions,
    database: Database,
    steps: list[ReviewStatus],
    expected: ReviewStatus,
) -> None:
    actions.terminate_attempt(room.admin, own.id, "an alarm")
    for status in steps:
        ReviewService(database).review_attempt(
            room.admin, own.id, Review(status=status, note="A note.")
        )

    reopened = actions.reopen_attempt(room.admin, own.id, 0, REASON).attempt

    assert reopened.review_status is expected
    assert reopened.review_note == ("A note." if steps else None)


def test_nobody_was_missing_while_the_attempt_was_over(
    room: ExamRoom,
    own: Attempt,
    actions: ProctorActions,
    database: Database,
    sql: connection,
) -> None:
    job = AnalysisJob(database, spacing=timedelta())
    actions.terminate_attempt(room.admin, own.id, "an alarm")
    # An hour passes before somebody reopens it.
    room.let_time_pass(own.id, 3600)
    run(sql, "ALTER TABLE proctoring_events DISABLE TRIGGER proctoring_events_guard")
    run(
        sql,
        "UPDATE proctoring_events SET occurred_at = occurred_at - interval '1 hour',"
        " received_at = received_at - interval '1 hour'",
    )
    run(sql, "ALTER TABLE proctoring_events ENABLE TRIGGER proctoring_events_guard")

    actions.reopen_attempt(room.admin, own.id, 0, REASON)
    actions.terminate_attempt(room.admin, own.id, "once more")
    job.run()

    longest = scalar(
        sql,
        "SELECT (result -> 'coverage' ->> 'longest_gap_seconds')::numeric"
        " FROM ai_analyses ORDER BY created_at DESC LIMIT 1",
    )
    assert longest < 60
    assert "client.heartbeat_missed" not in room.observed(own.id)


def test_the_pause_begins_with_the_deadline_whenever_its_end_was_noted(
    room: ExamRoom,
    own: Attempt,
    actions: ProctorActions,
    database: Database,
) -> None:
    """The server was down over the deadline: nobody sat there until it was back."""
    room.let_time_pass(own.id, own.seconds_remaining + 900)
    end_overdue_attempts(database)
    actions.reopen_attempt(room.admin, own.id, 600, REASON)

    with database.read() as tx:
        subjects = risk_subject.list_subjects(tx, room.exam_id)
        asked = {each.id: each for each in question.list_by_exam(tx, room.exam_id)}
        (pause,) = read_inputs(tx, subjects, asked)[own.id].pauses

    assert pause.ended_at is not None
    assert timedelta(seconds=895) < pause.ended_at - pause.started_at
