"""The analyses that the sweeper makes."""

from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest
from psycopg2.extensions import connection

from models import ai_analysis, analysis_queue, attempt_activity
from models.database import Database
from models.exam import ExamStatus
from models.principal import Principal
from services import audit
from services.analysis_job import LEASE, AnalysisJob
from services.analysis_record import from_row
from services.analysis_service import store
from services.attempt_service import AttemptService, SentAnswer
from services.deadlines import open_and_close_exams
from services.exam_service import ExamService
from services.proctor_actions import ProctorActions
from services.proctoring_policy import PayloadError
from services.versions import ANY_VERSION
from tests.at_once import at_once
from tests.audit_trail import run, scalar
from tests.exam_room import ExamRoom
from tests.reports import deliver, moment, observed
from utils.uuid7 import uuid7

NOW = timedelta()
POLICY = (
    '{"minimum_cohort_size": 3, "minimum_shared_wrong_answers": 3,'
    ' "is_answer_timing_enabled": false}'
)


def question(number: int) -> object:
    return {
        "kind": "single_choice",
        "text": f"Question {number}?",
        "points": 1,
        "options": [
            {"text": f"Answer {option}", "is_correct": option == 0}
            for option in range(6)
        ],
    }


@pytest.fixture
def room(sql: connection) -> ExamRoom:
    made = ExamRoom(sql, questions=[question(number) for number in range(12)])
    with sql.cursor() as cursor:
        cursor.execute(
            "UPDATE exams SET proctoring = %s WHERE id = %s",
            [POLICY, str(made.exam_id)],
        )
    return made


def start(database: Database, room: ExamRoom, student: Principal) -> UUID:
    attempts = AttemptService(database)
    started = attempts.start_attempt(student, room.exam_id, take_over=False)
    return started.paper.attempt.id


def report(
    database: Database,
    student: Principal,
    attempt_id: UUID,
    *,
    sequence: int = 1,
    event_type: str = "focus.lost",
    **ago: float,
) -> None:
    """Send an event, an integrity event unless another type is named."""
    event = observed(sequence, event_type, occurred_at=moment(**ago))
    deliver(database, student, attempt_id, event)


def answer(
    database: Database,
    room: ExamRoom,
    student: Principal,
    attempt_id: UUID,
    chosen: list[int],
) -> None:
    sent = [
        SentAnswer(
            question_id=asked.id,
            response=str(asked.option_ids[option]),
            client_version=1,
        )
        for asked, option in zip(room.questions, chosen, strict=True)
    ]
    AttemptService(database).save_answers(student, attempt_id, sent)


def submit(database: Database, student: Principal, attempt_id: UUID) -> None:
    AttemptService(database).submit_attempt(student, attempt_id)


def analyses(sql: connection, attempt_id: UUID) -> int:
    query = "SELECT count(*) FROM ai_analyses WHERE attempt_id = %s"
    return int(scalar(sql, query, attempt_id))


def is_due(sql: connection, attempt_id: UUID) -> bool:
    query = """
        SELECT analysis_due_since <= clock_timestamp() FROM attempt_activity
         WHERE attempt_id = %s
    """
    return scalar(sql, query, attempt_id) is True


def let_wait(sql: connection, attempt_id: UUID, minutes: int) -> None:
    longer = (
        "UPDATE attempt_activity SET analysis_due_since = analysis_due_since"
        " - %s * interval '1 min' WHERE attempt_id = %s"
    )
    run(sql, longer, minutes, attempt_id)


def newest(sql: connection, attempt_id: UUID, path: str) -> Any:
    """Return what the newest analysis has at a JSON path, or None."""
    query = """
        SELECT jsonb_path_query_first(result, %s::jsonpath)
          FROM attempt_risk JOIN ai_analyses ON ai_analyses.id = analysis_id
         WHERE attempt_risk.attempt_id = %s
    """
    return scalar(sql, query, path, attempt_id)


def observed_percent(sql: connection, attempt_id: UUID) -> float:
    return float(newest(sql, attempt_id, "$.coverage.observed_percent"))


def similar(sql: connection, attempt_id: UUID) -> list[str]:
    """Return which attempts the newest analysis calls similar."""
    found = newest(sql, attempt_id, "$.cohort.similar_attempts")
    return [each["attempt_id"] for each in found or []]


def test_jobs_of_several_processes_share_the_work(
    database: Database, room: ExamRoom, sql: connection
) -> None:
    attempts = [start(database, room, room.new_student()) for _ in range(8)]
    jobs = [AnalysisJob(database, spacing=NOW) for _ in range(4)]

    done = at_once([job.run for job in jobs])

    assert sum(done) == 8
    assert [analyses(sql, each) for each in attempts] == [1] * 8
    assert [is_due(sql, each) for each in attempts] == [False] * 8


def test_who_claims_takes_first_who_has_waited_longest(
    database: Database, room: ExamRoom, sql: connection
) -> None:
    first, second = (start(database, room, room.new_student()) for _ in range(2))
    let_wait(sql, second, minutes=1)
    claims = partial(analysis_queue.claim, limit=1, lease=LEASE, spacing=NOW)

    with database.bookkeeping() as one, database.bookkeeping() as other:
        claimed = [*claims(one), *claims(other)]

    assert [each.attempt_id for each in claimed] == [second, first]


def test_who_claims_waits_for_nobody(
    database: Database, room: ExamRoom, sql: connection, dsn: str
) -> None:
    """Not for another process that claims, nor for a report that is being stored."""
    attempts = [start(database, room, room.new_student()) for _ in range(3)]
    for minutes, attempt_id in zip((3, 2, 1), attempts, strict=True):
        let_wait(sql, attempt_id, minutes)
    names = {"limit": 1, "lease": LEASE, "spacing": NOW}
    with (
        closing(psycopg2.connect(dsn)) as other,
        other.cursor() as claiming,
        closing(psycopg2.connect(dsn)) as reporting,
    ):
        claiming.execute(analysis_queue.CLAIM, names)
        lock = "SELECT FROM attempt_activity WHERE attempt_id = %s FOR NO KEY UPDATE"
        run(reporting, lock, attempts[1])

        with database.bookkeeping() as tx:
            claimed = analysis_queue.claim(tx, limit=3, lease=LEASE, spacing=NOW)

        assert claiming.fetchall()[0][0] == attempts[0]
    assert [each.attempt_id for each in claimed] == [attempts[2]]


def test_an_attempt_is_not_analysed_again_and_again(
    database: Database, room: ExamRoom, sql: connection
) -> None:
    student = room.new_student()
    attempt_id = start(database, room, student)
    job = AnalysisJob(database)
    job.run()
    report(database, student, attempt_id)

    assert job.run() == 0
    assert is_due(sql, attempt_id)
    assert AnalysisJob(database, spacing=NOW).run() == 1
    assert analyses(sql, attempt_id) == 2


def explanation(sql: connection, attempt_id: UUID) -> str:
    """Return the sentence of the weightiest factor of an attempt's risk."""
    return str(newest(sql, attempt_id, "$.factors[0].explanation") or "")


def test_an_excuse_that_arrives_after_the_end_is_heard(
    database: Database, room: ExamRoom, sql: connection
) -> None:
    student = room.new_student()
    attempt_id = start(database, room, student)
    report(database, student, attempt_id, seconds=1)
    submit(database, student, attempt_id)
    job = AnalysisJob(database, spacing=NOW)
    job.run()
    assert "a lost connection" not in explanation(sql, attempt_id)

    report(
        database,
        student,
        attempt_id,
        sequence=2,
        event_type="client.disconnected",
        seconds=2,
    )
    job.run()

    assert "fell into a lost connection" in explanation(sql, attempt_id)


def test_a_spare_device_does_not_end_the_break_that_was_granted(
    database: Database, room: ExamRoom, sql: connection
) -> None:
    student = room.new_student()
    attempt_id = start(database, room, student)
    actions, proctor = ProctorActions(database), room.new_proctor()
    actions.pause_attempt(proctor, attempt_id, "His laptop does not start any more.")
    room.log_out(student)
    AttemptService(database).start_attempt(
        room.login(student.id), room.exam_id, take_over=False
    )

    report(database, student, attempt_id)
    actions.resume_attempt(proctor, attempt_id, "He has another one.")
    AnalysisJob(database, spacing=NOW).run()

    assert "leaving the exam window" not in explanation(sql, attempt_id)


def test_a_heartbeat_that_comes_after_the_end_shows_that_somebody_was_watched(
    database: Database, room: ExamRoom, sql: connection
) -> None:
    student = room.new_student()
    attempt_id = start(database, room, student)
    room.let_time_pass(attempt_id, 1800)
    submit(database, student, attempt_id)
    AnalysisJob(database, spacing=NOW).run()
    unseen = observed_percent(sql, attempt_id)

    report(database, student, attempt_id, event_type="session.milestone", minutes=15)
    AnalysisJob(database, spacing=NOW).run()

    assert observed_percent(sql, attempt_id) > unseen


def test_data_that_change_nothing_make_no_second_analysis(
    database: Database, room: ExamRoom, sql: connection
) -> None:
    attempt_id = start(database, room, room.new_student())
    job = AnalysisJob(database, spacing=NOW)
    job.run()
    with database.bookkeeping() as tx:
        attempt_activity.request_analysis(tx, [attempt_id])

    assert job.run() == 1
    assert analyses(sql, attempt_id) == 1
    assert not is_due(sql, attempt_id)


@pytest.mark.parametrize("event_type", ["focus.lost", "session.milestone"])
def test_who_waits_for_an_analysis_keeps_his_place_whatever_he_reports(
    database: Database, room: ExamRoom, sql: connection, event_type: str
) -> None:
    student = room.new_student()
    own = start(database, room, student)
    due = "SELECT analysis_due_since FROM attempt_activity WHERE attempt_id = %s"
    before = scalar(sql, due, own)

    report(database, student, own, event_type=event_type)

    assert scalar(sql, due, own) == before


def test_who_is_analysed_for_the_last_time_is_not_asked_for_meanwhile(
    database: Database, room: ExamRoom
) -> None:
    """Or another process would take the claim for over, and do the same."""
    student = room.new_student()
    own = start(database, room, student)
    AnalysisJob(database, spacing=NOW).run()
    submit(database, student, own)
    AnalysisJob(database, spacing=NOW).run()
    ExamService(database).change_status(
        ExamStatus.COMPLETED, ANY_VERSION, room.admin, room.exam_id
    )
    with database.bookkeeping() as tx:
        assert analysis_queue.list_final(tx) == [own]
        attempt_activity.request_analysis(tx, [own])

    with database.bookkeeping() as tx:
        assert analysis_queue.claim(tx, limit=9, lease=LEASE, spacing=NOW)
        assert analysis_queue.list_final(tx) == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE attempt_activity SET is_evidence_erased = true",
        (
            "UPDATE exams SET updated_at = updated_at - interval '25 h';"
            " UPDATE attempt_risk SET checked_at = checked_at - interval '25 h'"
        ),
    ],
    ids=["erased", "long ago"],
)
def test_an_exam_that_is_over_asks_for_nobody_in_vain(
    database: Database, room: ExamRoom, sql: connection, change: str
) -> None:
    student = room.new_student()
    own = start(database, room, student)
    submit(database, student, own)
    AnalysisJob(database, spacing=NOW).run()
    ExamService(database).change_status(
        ExamStatus.COMPLETED, ANY_VERSION, room.admin, room.exam_id
    )
    with database.read() as tx:
        assert analysis_queue.list_final(tx) == [own]

    run(sql, change)

    with database.read() as tx:
        assert analysis_queue.list_final(tx) == []


def test_older_data_do_not_become_the_risk(
    database: Database, room: ExamRoom, sql: connection
) -> None:
    """Two analyse one attempt, and the one who began earlier is slower."""
    own = start(database, room, room.new_student())
    AnalysisJob(database, spacing=NOW).run()
    with database.read() as tx:
        newer = ai_analysis.get_latest(tx, own)
    assert newer is not None
    earlier = newer.created_at - timedelta(minutes=1)
    late = replace(from_row(newer), id=uuid7(), created_at=earlier)

    with database.transaction() as tx:
        store(tx, late, audit.SYSTEM)
    with database.bookkeeping() as tx:
        ai_analysis.confirm(tx, own, earlier)

    risk = "SELECT analysis_id, checked_at FROM attempt_risk WHERE attempt_id = %s"
    assert run(sql, risk, own) == [(newer.id, newer.created_at)]


def test_what_comes_while_an_attempt_is_analysed_is_seen_by_the_next_one(
    database: Database, room: ExamRoom, sql: connection
) -> None:
    student = room.new_student()
    attempt_id = start(database, room, student)
    with database.bookkeeping() as tx:
        (claim,) = analysis_queue.claim(tx, limit=9, lease=LEASE, spacing=NOW)

    report(database, student, attempt_id)
    due = "SELECT analysis_due_since FROM attempt_activity"
    asked_for = scalar(sql, due)
    with database.bookkeeping() as tx:
        analysis_queue.settle(tx, claim)
        analysis_queue.give_back(tx, [claim])

    assert is_due(sql, attempt_id)
    assert scalar(sql, due) == asked_for


def test_who_dies_with_a_claim_delays_it_and_no_more(
    database: Database, room: ExamRoom, sql: connection
) -> None:
    attempt_id = start(database, room, room.new_student())
    with database.bookkeeping() as tx:
        analysis_queue.claim(tx, limit=9, lease=timedelta(days=-1), spacing=NOW)

    assert is_due(sql, attempt_id)
    assert AnalysisJob(database, spacing=NOW).run() == 1


def test_an_attempt_that_can_not_be_analysed_stands_in_nobodys_way(
    database: Database, room: ExamRoom, sql: connection
) -> None:
    broken = start(database, room, room.new_student())
    other_room = ExamRoom(sql)
    other = start(database, other_room, other_room.new_student())
    with sql.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO proctoring_events
                (id, attempt_id, batch_id, client_event_id, event_type, event_class,
                 severity, occurred_at, payload)
            VALUES (%s, %s, %s, %s, 'focus.lost', 'integrity', 'low',
                    clock_timestamp(), '{"duration_ms": "what?"}')
            """,
            [str(uuid4()), str(broken), str(uuid4()), str(uuid4())],
        )
    job = AnalysisJob(database, spacing=NOW)

    with pytest.raises(PayloadError):
        job.run()
    job.run()

    assert analyses(sql, broken) == 0
    assert analyses(sql, other) == 1


def test_who_answered_first_is_compared_with_who_answered_later(
    database: Database, room: ExamRoom, sql: connection
) -> None:
    right, shared = [0] * 12, [3, 1, 4, 1, 5, 2, 4, 3, 0, 0, 0, 0]
    job = AnalysisJob(database, spacing=NOW)
    students = [room.new_student() for _ in range(7)]
    ids = [start(database, room, student) for student in students]
    for student, attempt_id in zip(students[2:], ids[2:], strict=True):
        answer(database, room, student, attempt_id, right)
        submit(database, student, attempt_id)
    answer(database, room, students[0], ids[0], shared)
    submit(database, students[0], ids[0])
    job.run()
    assert similar(sql, ids[0]) == []

    answer(database, room, students[1], ids[1], shared)
    submit(database, students[1], ids[1])
    while job.run():
        pass

    assert similar(sql, ids[1]) == [str(ids[0])]
    assert similar(sql, ids[0]) == [str(ids[1])]


def test_all_attempts_are_analysed_once_more_when_the_exam_is_over(
    database: Database, room: ExamRoom, sql: connection
) -> None:
    students = [room.new_student() for _ in range(3)]
    ids = [start(database, room, student) for student in students]
    job = AnalysisJob(database, spacing=NOW)
    submit(database, students[0], ids[0])
    job.run()
    for student, attempt_id in zip(students[1:], ids[1:], strict=True):
        submit(database, student, attempt_id)
    with sql.cursor() as cursor:
        cursor.execute(
            "UPDATE exams SET ends_at = clock_timestamp() WHERE id = %s",
            [str(room.exam_id)],
        )
        open_and_close_exams(database)
        cursor.execute("SELECT checked_at FROM attempt_risk ORDER BY checked_at")
        (before,) = cursor.fetchone() or (None,)
        while job.run():
            pass
        cursor.execute(
            """
            SELECT bool_and(checked_at > (SELECT max(ended_at) FROM attempts)),
                   min(checked_at) > %s
              FROM attempt_risk
            """,
            [before],
        )
        assert cursor.fetchone() == (True, True)
