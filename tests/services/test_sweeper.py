"""The sweeper, and what it does to attempts and exams when their time has come."""

import os
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from uuid import UUID

import psycopg2
import pytest
from psycopg2.extensions import connection

from app import create_app
from config import Settings
from models.attempt import EndedBy
from models.database import Database
from models.database_errors import DatabaseUnavailableError
from models.principal import Principal
from models.question_response import ResponseMismatchError
from services.attempt_errors import AttemptStepError
from services.attempt_service import AttemptService, SentAnswer
from services.background import prune
from services.deadlines import end_overdue_attempts, open_and_close_exams
from services.proctor_actions import ProctorActions
from services.sweeper import Job, Sweeper
from tests.at_once import at_once
from tests.audit_trail import run
from tests.exam_room import ExamRoom
from tests.waiting import until, until_somebody_waits_for_a_lock

PATIENCE_SECONDS = 10
STATUS_CHANGES = """
    SELECT entity_type, entity_id, actor_id, payload::jsonb FROM audit_log
     WHERE event_type = 'exam.status_changed' ORDER BY seq
"""


@contextmanager
def sweeping(*jobs: Job, interval_seconds: float = 0.01) -> Iterator[Sweeper]:
    sweeper = Sweeper(jobs, interval_seconds)
    sweeper.start()
    try:
        yield sweeper
    finally:
        sweeper.stop()


def test_an_overdue_attempt_ends_by_itself_with_what_was_saved(
    room: ExamRoom, attempts: AttemptService, database: Database
) -> None:
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    product = room.questions[1].id
    saved = SentAnswer(question_id=product, response=42, client_version=1)
    attempts.save_answers(alice, own.id, [saved])
    room.let_time_pass(own.id, 3602.5)

    has_ended = threading.Event()

    def job() -> int:
        done = end_overdue_attempts(database)
        if done:
            has_ended.set()
        return done

    with sweeping(Job("end attempts", job)):
        assert has_ended.wait(PATIENCE_SECONDS)

    ended = attempts.read_attempt(alice, own.id).attempt
    assert ended.ended_by is EndedBy.DEADLINE
    assert ended.ended_at == ended.deadline_at
    assert ended.score == Decimal(3)
    assert room.event_types(own.id)[-1] == "attempt.ended"
    actor = "SELECT actor_id FROM audit_log WHERE event_type = 'attempt.ended'"
    assert room.scalar(actor) == "system"
    assert room.observed(own.id) == ["session.started", "session.submitted"]


def test_an_attempt_in_time_or_paused_is_left_alone(
    room: ExamRoom,
    attempts: AttemptService,
    actions: ProctorActions,
    database: Database,
) -> None:
    alice, bert = room.new_student(), room.new_student()
    start = partial(attempts.start_attempt, exam_id=room.exam_id, take_over=False)
    in_time, paused = start(alice).paper.attempt, start(bert).paper.attempt
    actions.pause_attempt(room.admin, paused.id, "fire alarm")
    # Within the leeway for what is still on its way.
    room.let_time_pass(in_time.id, 3601)
    room.let_time_pass(paused.id, 7200)

    assert end_overdue_attempts(database) == 0


def test_two_sweepers_end_each_attempt_once(
    room: ExamRoom, attempts: AttemptService, database: Database
) -> None:
    ids = []
    for _ in range(12):
        student = room.new_student()
        started = attempts.start_attempt(student, room.exam_id, take_over=False)
        ids.append(started.paper.attempt.id)
        room.let_time_pass(ids[-1], 3700)

    done = at_once([partial(end_overdue_attempts, database)] * 3)

    assert sum(done) == len(ids)
    for attempt_id in ids:
        assert room.event_types(attempt_id) == ["attempt.started", "attempt.ended"]


def test_a_locked_attempt_is_skipped_and_keeps_no_other_waiting(
    sql: connection, room: ExamRoom, attempts: AttemptService, database: Database
) -> None:
    ids = []
    for _ in range(2):
        student = room.new_student()
        started = attempts.start_attempt(student, room.exam_id, take_over=False)
        ids.append(started.paper.attempt.id)
        room.let_time_pass(ids[-1], 3700)
    with sql.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT FROM attempts WHERE id = %s FOR SHARE", [ids[0]])

        assert end_overdue_attempts(database) == 1

        cursor.execute("ROLLBACK")
    assert end_overdue_attempts(database) == 1


def overdue(room: ExamRoom, attempts: AttemptService, student: Principal) -> UUID:
    started = attempts.start_attempt(student, room.exam_id, take_over=False)
    room.let_time_pass(started.paper.attempt.id, 3700)
    return started.paper.attempt.id


def test_one_that_can_not_be_ended_keeps_no_other_from_it_and_is_told(
    sql: connection, room: ExamRoom, attempts: AttemptService, database: Database
) -> None:
    students = [room.new_student() for _ in range(3)]
    broken, *others = [overdue(room, attempts, each) for each in students]
    run(
        sql,
        "SET session_replication_role = replica;"
        "INSERT INTO answers (attempt_id, question_id, exam_id, response,"
        " client_version) VALUES (%s, %s, %s, '\"no number\"', 1)",
        broken,
        room.questions[1].id,
        room.exam_id,
    )

    with pytest.raises(ExceptionGroup) as failed:
        end_overdue_attempts(database)

    assert [type(each) for each in failed.value.exceptions] == [ResponseMismatchError]
    assert room.event_types(broken) == ["attempt.started"]
    for attempt_id in others:
        assert room.event_types(attempt_id) == ["attempt.started", "attempt.ended"]


def test_no_more_are_ended_at_once_than_are_read_at_once(
    room: ExamRoom,
    attempts: AttemptService,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.deadlines.MAX_AT_ONCE", 2)
    for _ in range(3):
        overdue(room, attempts, room.new_student())

    assert [end_overdue_attempts(database) for _ in range(3)] == [2, 1, 0]


@pytest.mark.parametrize("seconds_late", [3601.9, 3601.98, 3602.01])
def test_an_extension_races_with_the_deadline(
    room: ExamRoom,
    attempts: AttemptService,
    actions: ProctorActions,
    database: Database,
    seconds_late: float,
) -> None:
    """Either the extension came in time and the attempt runs, or it ended."""
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    room.let_time_pass(own.id, seconds_late)

    def extend() -> bool:
        try:
            actions.extend_attempt(room.admin, own.id, 10, "late start")
        except AttemptStepError:
            return False
        return True

    def sweep() -> bool:
        return end_overdue_attempts(database) == 1

    is_extended, *_ = at_once([extend, sweep, sweep])
    if not is_extended:
        room.let_time_pass(own.id, 1)
    end_overdue_attempts(database)

    last = "attempt.extended" if is_extended else "attempt.ended"
    assert room.event_types(own.id) == ["attempt.started", last]


def test_exams_open_and_close_by_the_clock(
    sql: connection, database: Database, attempts: AttemptService
) -> None:
    opening = ExamRoom(sql, status="scheduled", starts_in="-1 second")
    later = ExamRoom(sql, status="scheduled", starts_in="1 hour")
    over = ExamRoom(sql, ends_in="-1 second")
    busy = ExamRoom(sql)
    alice = busy.new_student(extra_time_minutes=30)
    own = attempts.start_attempt(alice, busy.exam_id, take_over=False).paper.attempt
    with sql.cursor() as cursor:
        cursor.execute(
            "UPDATE exams SET ends_at = clock_timestamp() WHERE id = %s",
            [busy.exam_id],
        )

    assert open_and_close_exams(database) == 2

    assert status_of(opening) == "active"
    assert status_of(later) == "scheduled"
    assert status_of(over) == "completed"
    # Somebody with extra time still sits in it.
    assert status_of(busy) == "active"
    attempts.submit_attempt(alice, own.id)
    assert open_and_close_exams(database) == 1
    assert status_of(busy) == "completed"
    assert open_and_close_exams(database) == 0
    opened = {"from": "scheduled", "to": "active", "version": 2}
    closed = {"from": "active", "to": "completed", "version": 2}
    assert run(sql, STATUS_CHANGES) == [
        ("exam", str(opening.exam_id), "system", opened),
        ("exam", str(over.exam_id), "system", closed),
        # Its first start had frozen it.
        ("exam", str(busy.exam_id), "system", closed | {"version": 3}),
    ]


def test_forgotten_pauses_keep_no_other_exam_open(
    sql: connection,
    attempts: AttemptService,
    actions: ProctorActions,
    database: Database,
) -> None:
    """As many of them as are closed at once, and all ended before the other did."""
    forgotten = [ExamRoom(sql) for _ in range(100)]
    for each in forgotten:
        student = each.new_student()
        own = attempts.start_attempt(student, each.exam_id, take_over=False)
        actions.pause_attempt(each.admin, own.paper.attempt.id, "fire alarm")
    run(sql, "UPDATE exams SET ends_at = clock_timestamp()")
    over = ExamRoom(sql, ends_in="0")

    assert open_and_close_exams(database) == 1

    assert status_of(over) == "completed"
    assert {status_of(each) for each in forgotten} == {"active"}


def status_of(room: ExamRoom) -> object:
    return room.scalar("SELECT status FROM exams WHERE id = %s", room.exam_id)


def test_a_rare_job_runs_rarely() -> None:
    runs: list[str] = []
    has_run_thrice = threading.Event()

    def often() -> int:
        runs.append("often")
        if runs.count("often") == 3:
            has_run_thrice.set()
        return 0

    def rarely() -> int:
        runs.append("rarely")
        return 0

    with sweeping(Job("often", often), Job("rarely", rarely, every_seconds=600)):
        assert has_run_thrice.wait(PATIENCE_SECONDS)

    assert runs.count("rarely") == 1


def test_a_failing_job_is_logged_once_and_keeps_no_other_from_running(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> int:
        raise ValueError("a defect")

    has_run_thrice = threading.Event()
    runs = iter(range(3))

    def succeed() -> int:
        if next(runs, None) is None:
            has_run_thrice.set()
        return 0

    with sweeping(Job("bad", fail), Job("good", succeed)):
        assert has_run_thrice.wait(PATIENCE_SECONDS)

    assert [record.message for record in caplog.records] == ["job failed"]


def test_a_job_that_the_database_can_not_do_keeps_no_other_from_running() -> None:
    """A statement that takes too long each time looks like a database that is away."""
    runs: list[str] = []

    def time_out() -> int:
        raise DatabaseUnavailableError("a statement took too long")

    def succeed() -> int:
        runs.append("good")
        return 1

    sweeper = Sweeper([Job("bad", time_out), Job("good", succeed)], 0.01)

    assert not sweeper.sweep()
    assert runs == ["good"]


def test_a_rare_job_that_failed_makes_no_other_wait_until_it_is_tried_again() -> None:
    def fail() -> int:
        raise DatabaseUnavailableError("restarting")

    sweeper = Sweeper([Job("rare", fail, every_seconds=600)], 0.01)

    assert not sweeper.sweep()
    assert sweeper.sweep()


def test_a_deadline_waits_for_no_analysis(
    sql: connection, room: ExamRoom, attempts: AttemptService, settings: Settings
) -> None:
    """One may take minutes: after a start, when a large exam is measured."""
    patient = replace(
        settings.database, lock_timeout_seconds=60, statement_timeout_seconds=60
    )
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    with closing(psycopg2.connect(sql.dsn)) as holder, holder.cursor() as cursor:
        cursor.execute("LOCK TABLE attempt_risk IN ACCESS EXCLUSIVE MODE")
        app = create_app(
            replace(settings, database=patient, sweeper_interval_seconds=0.01)
        )
        until_somebody_waits_for_a_lock(sql)
        room.let_time_pass(own.id, 3700)

        until(lambda: room.event_types(own.id)[-1] == "attempt.ended")

        holder.rollback()
    for each in app.extensions["sweepers"]:
        each.stop()
    app.extensions["database"].close()


def test_it_goes_on_when_the_database_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    is_back = threading.Event()
    outcomes = iter([DatabaseUnavailableError("restarting")] * 3)

    def job() -> int:
        if (error := next(outcomes, None)) is not None:
            raise error
        is_back.set()
        return 1

    with sweeping(Job("job", job)):
        assert is_back.wait(PATIENCE_SECONDS)

    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1


def test_a_forked_process_sweeps_too() -> None:
    reader, writer = os.pipe()
    parent = os.getpid()

    def job() -> int:
        if os.getpid() != parent:
            os.write(writer, b"swept")
            os._exit(0)
        return 0

    with sweeping(Job("job", job)):
        child = os.fork()
        if child == 0:
            threading.Event().wait(PATIENCE_SECONDS)
            os._exit(1)
        _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert os.read(reader, 5) == b"swept"
    os.close(reader)
    os.close(writer)


def test_it_stops_before_the_next_job() -> None:
    is_running, may_finish = threading.Event(), threading.Event()
    done: list[str] = []

    def slow() -> int:
        is_running.set()
        may_finish.wait(PATIENCE_SECONDS)
        done.append("slow")
        return 0

    def never() -> int:
        done.append("never")
        return 0

    sweeper = Sweeper([Job("slow", slow), Job("never", never)], 0.01)
    sweeper.start()
    assert is_running.wait(PATIENCE_SECONDS)
    stopper = threading.Thread(target=sweeper.stop)
    stopper.start()
    may_finish.set()
    stopper.join(timedelta(seconds=PATIENCE_SECONDS).total_seconds())

    assert done == ["slow"]


def test_what_still_counts_is_not_forgotten(
    database: Database, sql: connection
) -> None:
    run(
        sql,
        "INSERT INTO rate_limits (key, hits, expires_at, seconds) VALUES"
        " ('over', 5, now(), 60), ('runs', 5, now() + interval '1 minute', 60)",
    )
    run(
        sql,
        "INSERT INTO idempotency_keys (scope, route, key, body_hash, created_at) VALUES"
        " ('', '', 'of yesterday', sha256(''), now() - interval '25 h'),"
        " ('', '', 'of today', sha256(''), now() - interval '23 h')",
    )

    assert prune(database) == 2

    assert run(sql, "SELECT key FROM rate_limits") == [("runs",)]
    assert run(sql, "SELECT key FROM idempotency_keys") == [("of today",)]
