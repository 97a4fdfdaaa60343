"""From what is stored to what is judged: nothing may be lost or made up on the way."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from psycopg2.extensions import connection
from psycopg2.extras import Json as JsonValue

from models import analysis_queue
from models.answer import HandMark
from models.database import Database
from models.exam import ExamStatus
from models.principal import Principal
from services.analysis_cohort import prepare_anew
from services.analysis_job import AnalysisJob
from services.analysis_service import AnalysisService, judge
from services.attempt_service import AttemptService, SentAnswer
from services.deadlines import end_overdue_attempts, open_and_close_exams
from services.exam_service import ExamService
from services.grade_service import GradeService
from services.proctor_actions import ProctorActions
from services.proctoring_policy import ProctoringPolicy
from services.risk import MODEL_VERSION
from services.versions import ANY_VERSION
from tests.audit_trail import run, scalar
from tests.by_hand import stated
from tests.exam_room import ESSAY, ExamRoom
from tests.reports import deliver, moment, observed

NOW = timedelta()
SHORT_TEXT = {
    "kind": "short_text",
    "text": "Which protocol?",
    "points": 1,
    "accepted_answers": ["TCP"],
}
SMALL_COHORT = {"minimum_cohort_size": 3, "is_answer_timing_enabled": False}


def start(attempts: AttemptService, room: ExamRoom, student: Principal) -> UUID:
    started = attempts.start_attempt(student, room.exam_id, take_over=False)
    return started.paper.attempt.id


def risk(sql: connection, attempt_id: UUID) -> float:
    query = "SELECT risk_score FROM attempt_risk WHERE attempt_id = %s"
    return float(scalar(sql, query, attempt_id))


def analyse(database: Database) -> None:
    job = AnalysisJob(database, spacing=NOW)
    while job.run():
        pass


def request(sql: connection, attempt_id: UUID) -> None:
    run(
        sql,
        "UPDATE attempt_activity SET analysis_due_since = clock_timestamp()"
        " WHERE attempt_id = %s",
        attempt_id,
    )


def let_ten_minutes_pass(sql: connection) -> None:
    run(
        sql,
        "UPDATE attempt_activity"
        " SET analysis_due_since = analysis_due_since - interval '10 min'",
    )


@pytest.mark.parametrize("minutes_behind", [0, 10])
def test_a_clock_that_is_behind_moves_nothing_out_of_a_break(
    room: ExamRoom,
    attempts: AttemptService,
    actions: ProctorActions,
    database: Database,
    sql: connection,
    minutes_behind: int,
) -> None:
    alice = room.new_student()
    own = start(attempts, room, alice)
    run(sql, "UPDATE exams SET starts_at = starts_at - interval '1 day'")
    room.let_time_pass(own, 1800)
    actions.pause_attempt(room.admin, own, "a break")
    beats = [
        observed(
            number,
            "session.milestone",
            occurred_at=moment(minutes=minutes_behind),
            payload={},
        )
        for number in range(1, 25)
    ]
    away = observed(
        25,
        "focus.lost",
        occurred_at=moment(minutes=minutes_behind),
        payload={},
    )
    receipt = deliver(database, alice, own, *beats, away)
    assert {each.status for each in receipt.results} == {"accepted"}

    analyse(database)

    assert risk(sql, own) == 0


def test_a_text_that_says_nothing_is_no_answer(
    sql: connection, attempts: AttemptService, database: Database
) -> None:
    room = ExamRoom(sql, questions=[SHORT_TEXT] * 6)
    room.set_policy(SMALL_COHORT)
    students = [room.new_student() for _ in range(7)]
    ids = [start(attempts, room, each) for each in students]
    for number, (student, own) in enumerate(zip(students, ids, strict=True)):
        said = "-" if number < 2 else f"UDP {number}"
        sent = [
            SentAnswer(question_id=each.id, response=said, client_version=1)
            for each in room.questions
        ]
        attempts.save_answers(student, own, sent)
        attempts.submit_attempt(student, own)

    analyse(database)

    assert [risk(sql, each) for each in ids] == [0] * 7


def test_nobody_is_accused_of_being_like_what_never_took_place(
    sql: connection,
    attempts: AttemptService,
    actions: ProctorActions,
    database: Database,
) -> None:
    room = ExamRoom(sql, questions=[SHORT_TEXT] * 8)
    room.set_policy(SMALL_COHORT)
    students = [room.new_student() for _ in range(9)]
    ids = [start(attempts, room, each) for each in students]
    for number, (student, own) in enumerate(zip(students, ids, strict=True)):
        said = "ICMP" if number < 2 else "TCP"
        sent = [
            SentAnswer(question_id=each.id, response=said, client_version=1)
            for each in room.questions
        ]
        attempts.save_answers(student, own, sent)
        attempts.submit_attempt(student, own)
    analyse(database)
    assert min(risk(sql, each) for each in ids[:2]) > 10

    actions.void_attempt(room.admin, ids[1], "she was given the wrong paper")
    request(sql, ids[1])
    analyse(database)

    assert risk(sql, ids[0]) == 0


def test_nobody_is_accused_of_sharing_wrong_answers_that_are_right(
    sql: connection, attempts: AttemptService, database: Database
) -> None:
    """The key did not know another word for it.

    What each wrote of his own nobody has graded yet, so that none has a score.
    """
    room = ExamRoom(sql, questions=[SHORT_TEXT] * 8 + [ESSAY])
    *asked, essay = room.questions
    room.set_policy(SMALL_COHORT)
    students = [room.new_student() for _ in range(9)]
    ids = [start(attempts, room, each) for each in students]
    for number, (student, own) in enumerate(zip(students, ids, strict=True)):
        said = "Transmission Control Protocol" if number < 2 else "TCP"
        sent = [
            SentAnswer(question_id=each.id, response=said, client_version=1)
            for each in asked
        ]
        essays = SentAnswer(
            question_id=essay.id, response=f"I am {number}.", client_version=1
        )
        attempts.save_answers(student, own, [*sent, essays])
        attempts.submit_attempt(student, own)
    one, another = (AnalysisJob(database, spacing=NOW) for _ in range(2))
    one.run()
    request(sql, ids[1])
    another.run()
    assert min(risk(sql, each) for each in ids[:2]) > 10

    marks = [
        HandMark(question_id=each.id, points=Decimal(1), comment=None) for each in asked
    ]
    GradeService(database).grade_answers(room.admin, ids[0], marks)
    assert one.run() == 1
    let_ten_minutes_pass(sql)
    assert one.run() == 8
    assert risk(sql, ids[0]) == risk(sql, ids[1]) == 0

    # A process that knows both from before judges no other.
    request(sql, ids[1])
    another.run()
    assert risk(sql, ids[1]) == 0

    half = [replace(each, points=Decimal("0.5")) for each in marks]
    for own in ids[:2]:
        GradeService(database).grade_answers(room.admin, own, half)
        assert one.run() == 1
    # Of all others there is one analysis more, and not one for each who was graded.
    let_ten_minutes_pass(sql)
    assert one.run() == 8
    assert risk(sql, ids[0]) == risk(sql, ids[1]) == 0


def test_who_is_analysed_while_another_is_graded_is_so_once_more(
    sql: connection, attempts: AttemptService, database: Database
) -> None:
    """What was read of the other may be what he was worth before."""
    room = ExamRoom(sql, questions=[SHORT_TEXT])
    ids = []
    for student in (room.new_student(), room.new_student()):
        ids.append(start(attempts, room, student))
        answer = SentAnswer(
            question_id=room.questions[0].id, response="UDP", client_version=1
        )
        attempts.save_answers(student, ids[-1], [answer])
        attempts.submit_attempt(student, ids[-1])
    analyse(database)
    request(sql, ids[1])
    with database.bookkeeping() as tx:
        (claim,) = analysis_queue.claim(
            tx, limit=2, lease=timedelta(seconds=30), spacing=NOW
        )

    mark = HandMark(question_id=answer.question_id, points=Decimal(1), comment=None)
    GradeService(database).grade_answers(room.admin, ids[0], [mark])
    with database.bookkeeping() as tx:
        analysis_queue.settle(tx, claim)
    let_ten_minutes_pass(sql)

    assert AnalysisJob(database, spacing=NOW).run() == 2


def test_what_a_deadline_ended_is_compared_with_all_once_more(
    room: ExamRoom, attempts: AttemptService, database: Database, sql: connection
) -> None:
    """It ended at its deadline, and was analysed before anybody noted that."""
    alice, bert = room.new_student(), room.new_student()
    early, late = start(attempts, room, alice), start(attempts, room, bert)
    attempts.submit_attempt(alice, early)
    room.let_time_pass(late, 3700)
    analyse(database)
    end_overdue_attempts(database)
    # Longer than a day after it should have ended: somebody had forgotten a pause.
    run(
        sql,
        stated(
            "UPDATE exams SET starts_at = starts_at - interval '3 days',"
            " ends_at = clock_timestamp() - interval '2 days'"
        ),
    )
    open_and_close_exams(database)
    assert scalar(sql, "SELECT status FROM exams") == "completed"
    analyse(database)

    checked = "SELECT count(*) FROM attempt_risk, exams WHERE checked_at > updated_at"
    assert scalar(sql, checked) == 2
    with database.bookkeeping() as tx:
        assert analysis_queue.list_final(tx) == []


def test_an_exam_that_is_archived_at_once_is_compared_as_a_whole(
    room: ExamRoom, attempts: AttemptService, database: Database, sql: connection
) -> None:
    alice, bert = room.new_student(), room.new_student()
    attempts.submit_attempt(alice, start(attempts, room, alice))
    start(attempts, room, bert)
    analyse(database)
    for status in (ExamStatus.COMPLETED, ExamStatus.ARCHIVED):
        ExamService(database).change_status(
            status, ANY_VERSION, room.admin, room.exam_id
        )

    analyse(database)

    checked = "SELECT count(*) FROM attempt_risk, attempts WHERE checked_at > ended_at"
    assert scalar(sql, checked) == 4
    # Nobody is judged anew, by a later model, for having been archived a year later.
    run(sql, "UPDATE exams SET updated_at = clock_timestamp()")
    with database.bookkeeping() as tx:
        assert analysis_queue.list_final(tx) == []


def test_what_an_analysis_notes_does_not_outdate_it(
    room: ExamRoom, attempts: AttemptService, database: Database
) -> None:
    alice = room.new_student()
    own = start(attempts, room, alice)
    room.let_time_pass(own, 1800)
    attempts.submit_attempt(alice, own)
    analyse(database)
    assert "client.heartbeat_missed" in room.observed(own)

    again = AnalysisService(database).compute(
        room.admin, own, policy=None, model_version=None
    )

    assert not again.is_new


def test_a_policy_that_is_tried_judges_as_if_it_had_been_there(
    sql: connection, attempts: AttemptService, database: Database
) -> None:
    lenient = {
        "severity_overrides": {"focus.lost": "info"},
        "media_integrity_after_seconds": 600,
    }
    scores = []
    for policy, trial in (({}, lenient), (lenient, None)):
        room = ExamRoom(sql)
        run(
            sql,
            "UPDATE exams SET proctoring = %s WHERE id = %s",
            JsonValue(policy),
            room.exam_id,
        )
        alice = room.new_student()
        own = start(attempts, room, alice)
        room.let_time_pass(own, 1800)
        lost = [observed(each, payload={"duration_ms": 1000}) for each in (1, 2, 3)]
        muted = observed(4, "media.mic_muted", payload={"duration_ms": 300_000})
        deliver(database, alice, own, *lost, muted)
        with database.read() as tx:
            prepared = prepare_anew(
                tx,
                room.exam_id,
                own,
                None if trial is None else ProctoringPolicy.model_validate(trial),
                MODEL_VERSION,
            )
        scores.append(float(judge(prepared, own).risk_score))

    assert scores == [0, 0]


@pytest.mark.parametrize("step", ["pause", "resume"])
def test_a_break_makes_an_analysis_due(
    room: ExamRoom,
    attempts: AttemptService,
    actions: ProctorActions,
    database: Database,
    sql: connection,
    step: str,
) -> None:
    own = start(attempts, room, room.new_student())
    if step == "resume":
        actions.pause_attempt(room.admin, own, "fire alarm")
    analyse(database)

    getattr(actions, f"{step}_attempt")(room.admin, own, "fire alarm")

    due = "SELECT analysis_due_since <= clock_timestamp() FROM attempt_activity"
    assert scalar(sql, due)
