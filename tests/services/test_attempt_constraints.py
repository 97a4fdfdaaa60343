"""What the database itself refuses of an attempt, whatever any code believes."""

from contextlib import closing
from itertools import cycle, permutations, product
from uuid import UUID

import psycopg2
import pytest
from psycopg2.extensions import connection

from models.attempt import AttemptStatus, ReviewStatus
from models.attempt_review import NEXT_STATUSES, VERDICTS
from services.attempt_service import AttemptService, SentAnswer
from services.proctor_actions import ProctorActions
from tests.audit_trail import run
from tests.exam_room import ExamRoom
from utils.uuid7 import uuid7

ANSWER = """
    INSERT INTO answers (attempt_id, exam_id, question_id, response, client_version)
    VALUES (%s, %s, %s, '42', 1)
"""
BEGIN = """
    INSERT INTO attempts (id, exam_id, student_id, attempt_number, deadline_at, layout,
                          max_score)
    VALUES (%s, %s, %s, 1, clock_timestamp() + interval '1 hour', '[]', 5)
"""
GO_ON = """
    UPDATE attempts
       SET status = 'in_progress', ended_at = NULL, ended_by = NULL,
           score = NULL, is_passed = NULL
"""
ASK_ANOTHER = """
    INSERT INTO questions
    SELECT gen_random_uuid(), exam_id, 9, kind, text, points, body, answer_key
      FROM questions LIMIT 1
"""
LOCK_EXAM = "SELECT FROM exams FOR NO KEY UPDATE NOWAIT"
FREEZE = "UPDATE exams SET frozen_at = clock_timestamp() WHERE id = %s"


@pytest.fixture
def own(room: ExamRoom, attempts: AttemptService) -> UUID:
    """An attempt that runs, with an answer to the product."""
    alice = room.new_student()
    own = attempts.start_attempt(alice, room.exam_id, take_over=False).paper.attempt
    sent = SentAnswer(question_id=room.questions[1].id, response=41, client_version=1)
    attempts.save_answers(alice, own.id, [sent])
    return own.id


def refused(sql: connection, statement: str, *parameters: object) -> str | None:
    with pytest.raises(psycopg2.errors.CheckViolation) as caught:
        run(sql, statement, *parameters)
    return caught.value.diag.constraint_name


@pytest.mark.parametrize("seconds", [3602.5, 7200])
def test_no_answer_is_taken_when_the_time_is_over(
    room: ExamRoom, own: UUID, sql: connection, seconds: float
) -> None:
    room.let_time_pass(own, seconds)

    for statement in (ANSWER, "UPDATE answers SET response = '7', client_version = 2"):
        parameters = [own, room.exam_id, room.questions[0].id]
        given = parameters if statement is ANSWER else []
        assert refused(sql, statement, *given) == "answers_attempt_running"


def test_no_answer_is_taken_to_a_question_of_another_exam(
    room: ExamRoom, own: UUID, sql: connection
) -> None:
    foreign = ExamRoom(sql).questions[0].id

    with pytest.raises(psycopg2.errors.ForeignKeyViolation):
        run(sql, ANSWER, own, room.exam_id, foreign)


def test_no_answer_is_taken_during_a_pause(
    room: ExamRoom, own: UUID, sql: connection
) -> None:
    run(sql, "UPDATE attempts SET status = 'paused', paused_at = now()")

    constraint = refused(sql, ANSWER, own, room.exam_id, room.questions[0].id)

    assert constraint == "answers_attempt_running"


def test_what_was_on_its_way_at_the_deadline_is_taken(
    room: ExamRoom, own: UUID, sql: connection
) -> None:
    room.let_time_pass(own, 3600.5)

    run(sql, ANSWER, own, room.exam_id, room.questions[0].id)


@pytest.mark.parametrize(
    ("status", "is_frozen"),
    [("scheduled", True), ("completed", True), ("cancelled", True), ("active", False)],
)
def test_an_attempt_begins_only_in_an_exam_that_is_open(
    sql: connection, status: str, *, is_frozen: bool
) -> None:
    room = ExamRoom(sql, status=status)
    alice = room.new_student()
    if is_frozen:
        run(sql, FREEZE, room.exam_id)

    constraint = refused(sql, BEGIN, uuid7(), room.exam_id, alice.id)

    assert constraint == "attempts_exam_open"


def test_who_has_no_account_in_use_begins_nothing(sql: connection) -> None:
    room = ExamRoom(sql)
    alice = room.new_student()
    run(sql, FREEZE, room.exam_id)
    run(sql, "UPDATE users SET is_active = false WHERE id = %s", alice.id)

    constraint = refused(sql, BEGIN, uuid7(), room.exam_id, alice.id)

    assert constraint == "attempts_student_active"


@pytest.mark.parametrize("status", ["in_progress", "paused"])
def test_a_student_sits_one_exam_at_a_time(
    attempts: AttemptService, sql: connection, status: str
) -> None:
    room, other = ExamRoom(sql), ExamRoom(sql)
    alice = room.new_student()
    other.assign(alice)
    attempts.start_attempt(alice, room.exam_id, take_over=False)
    if status == "paused":
        run(sql, "UPDATE attempts SET status = 'paused', paused_at = now()")
    run(sql, FREEZE, other.exam_id)

    with pytest.raises(psycopg2.errors.UniqueViolation) as caught:
        run(sql, BEGIN, uuid7(), other.exam_id, alice.id)

    assert caught.value.diag.constraint_name == "attempts_one_running_key"


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    "change",
    [
        "frozen_at = NULL",
        "proctoring = '{\"anything\": 1}'",
        "duration_minutes = 90",
        "passing_score_percent = 1",
        "shuffle_questions = NOT shuffle_questions",
        "shuffle_options = NOT shuffle_options",
    ],
)
def test_the_rules_of_an_exam_that_was_begun_do_not_change(
    sql: connection, change: str
) -> None:
    statement = f"UPDATE exams SET {change}"  # noqa: S608 - constants.

    assert refused(sql, statement) == "exams_frozen"


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE questions SET points = 9",
        "DELETE FROM questions",
        ASK_ANOTHER,
    ],
)
def test_its_questions_do_not_change(sql: connection, change: str) -> None:
    assert refused(sql, change) == "exams_frozen"


@pytest.mark.usefixtures("own")
def test_a_question_stays_in_its_exam(sql: connection) -> None:
    draft = ExamRoom(sql).exam_id

    move = "UPDATE questions SET exam_id = %s, position = 9 WHERE exam_id <> %s"
    assert refused(sql, move, draft, draft) == "questions_identity"


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("response = 'null'", "answers_attempt_running"),
        ("client_version = 2", "answers_attempt_running"),
        ("saved_at = saved_at - interval '1 h'", "answers_attempt_running"),
        ("first_saved_at = first_saved_at - interval '1 h'", "answers_identity"),
        ("attempt_id = gen_random_uuid()", "answers_identity"),
        ("question_id = gen_random_uuid()", "answers_identity"),
        ("exam_id = gen_random_uuid()", "answers_identity"),
    ],
)
def test_after_the_end_nothing_of_an_answer_changes_but_its_grade(
    sql: connection, change: str, constraint: str
) -> None:
    run(sql, OVER)

    assert refused(sql, f"UPDATE answers SET {change}") == constraint  # noqa: S608
    run(sql, "UPDATE answers SET points_awarded = 3, grader_comment = 'Well done.'")


@pytest.mark.usefixtures("room")
def test_nobody_begins_an_exam_while_a_question_changes(
    sql: connection, dsn: str
) -> None:
    with closing(psycopg2.connect(dsn)) as editing:
        run(editing, "UPDATE questions SET points = 9")

        with pytest.raises(psycopg2.errors.LockNotAvailable):
            run(sql, LOCK_EXAM)


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize("status", ["in_progress", "paused"])
def test_an_exam_that_is_sat_is_not_archived(sql: connection, status: str) -> None:
    if status == "paused":
        run(sql, "UPDATE attempts SET status = 'paused', paused_at = now()")
    run(sql, "UPDATE exams SET status = 'completed'")

    constraint = refused(sql, "UPDATE exams SET status = 'archived'")

    assert constraint == "exams_archived_unsat"


def test_no_attempt_ends_while_an_answer_is_saved(
    room: ExamRoom, own: UUID, sql: connection, dsn: str
) -> None:
    with closing(psycopg2.connect(dsn)) as saving:
        run(saving, ANSWER, own, room.exam_id, room.questions[0].id)

        with pytest.raises(psycopg2.errors.LockNotAvailable):
            run(sql, "SELECT FROM attempts FOR NO KEY UPDATE NOWAIT")


@pytest.mark.parametrize(
    "lock",
    [
        # What whoever closes or cancels the exam takes, and who erases the student.
        LOCK_EXAM,
        "SELECT FROM users WHERE role = 'student' FOR UPDATE NOWAIT",
    ],
)
def test_exam_and_account_stay_as_they_are_while_an_attempt_begins(
    room: ExamRoom, sql: connection, dsn: str, lock: str
) -> None:
    alice = room.new_student()
    run(sql, FREEZE, room.exam_id)
    with closing(psycopg2.connect(dsn)) as starting:
        run(starting, BEGIN, uuid7(), room.exam_id, alice.id)

        with pytest.raises(psycopg2.errors.LockNotAvailable):
            run(sql, lock)


@pytest.mark.parametrize("step", [None, "paused", "voided"])
def test_only_what_has_ended_has_a_score(
    room: ExamRoom, actions: ProctorActions, own: UUID, sql: connection, step: str
) -> None:
    if step == "paused":
        actions.pause_attempt(room.admin, own, "fire alarm")
    elif step == "voided":
        actions.void_attempt(room.admin, own, "the wrong paper")

    constraint = refused(sql, "UPDATE attempts SET score = 1, is_passed = false")

    assert constraint == "attempts_score_status_check"


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    "change",
    [
        "id = gen_random_uuid()",
        "exam_id = gen_random_uuid()",
        "student_id = gen_random_uuid()",
        "attempt_number = 2",
        "started_at = started_at - interval '1 minute'",
        "layout = '[]'",
        "max_score = 100",
    ],
)
def test_what_an_attempt_is_does_not_change(sql: connection, change: str) -> None:
    statement = f"UPDATE attempts SET {change}"  # noqa: S608 - constants.

    assert refused(sql, statement) == "attempts_identity"


@pytest.mark.usefixtures("own")
def test_no_answer_is_worth_more_than_its_question(
    room: ExamRoom, sql: connection
) -> None:
    """It is worth 3. That the score is at most what can be reached would allow 5."""
    assert room.scalar("SELECT max_score FROM attempts") == 5

    constraint = refused(sql, "UPDATE answers SET points_awarded = 3.01")

    assert constraint == "answers_points_of_question"


def test_nobody_gets_more_than_can_be_reached(
    room: ExamRoom, actions: ProctorActions, own: UUID, sql: connection
) -> None:
    actions.terminate_attempt(room.admin, own, "an alarm")

    constraint = refused(sql, "UPDATE attempts SET score = 5.01, is_passed = true")

    assert constraint == "attempts_score_check"


# Of what the server has ended. What its student has handed in can only be voided.
STEPS = {
    AttemptStatus.IN_PROGRESS: {"paused", "submitted", "terminated", "voided"},
    AttemptStatus.PAUSED: {"in_progress", "submitted", "terminated", "voided"},
    AttemptStatus.SUBMITTED: {"in_progress", "voided"},
    AttemptStatus.TERMINATED: {"in_progress", "voided"},
    AttemptStatus.VOIDED: set(),
}
BE = """
    UPDATE attempts
       SET status = %(status)s, score = NULL, is_passed = NULL,
           paused_at = CASE %(status)s WHEN 'paused' THEN now() END,
           ended_at = CASE WHEN %(has_ended)s THEN now() END,
           ended_by = CASE WHEN %(has_ended)s THEN 'deadline' END
"""


@pytest.mark.usefixtures("own")
def test_an_attempt_takes_these_steps_and_no_other(sql: connection) -> None:
    def become(status: AttemptStatus) -> str | None:
        has_ended = status not in {AttemptStatus.IN_PROGRESS, AttemptStatus.PAUSED}
        with sql.cursor() as cursor:
            try:
                cursor.execute(BE, {"status": status, "has_ended": has_ended})
            except psycopg2.errors.CheckViolation as error:
                return error.diag.constraint_name
        return None

    for before, after in permutations(AttemptStatus, 2):
        run(sql, "ALTER TABLE attempts DISABLE TRIGGER attempts_guard")
        assert become(before) is None
        run(sql, "ALTER TABLE attempts ENABLE TRIGGER attempts_guard")

        expected = None if after in STEPS[before] else "attempts_status_step"
        assert become(after) == expected, (before, after)


def test_nothing_goes_on_in_an_archived_exam(
    room: ExamRoom, actions: ProctorActions, own: UUID, sql: connection
) -> None:
    actions.terminate_attempt(room.admin, own, "an alarm")
    for status in ("completed", "archived"):
        run(sql, "UPDATE exams SET status = %s", status)

    assert refused(sql, GO_ON) == "attempts_exam_archived"


def test_no_exam_is_archived_while_an_attempt_is_reopened(
    room: ExamRoom, actions: ProctorActions, own: UUID, sql: connection, dsn: str
) -> None:
    actions.terminate_attempt(room.admin, own, "an alarm")
    with closing(psycopg2.connect(dsn)) as reopening:
        run(reopening, GO_ON)

        with pytest.raises(psycopg2.errors.LockNotAvailable):
            run(sql, LOCK_EXAM)


REVIEW = "UPDATE attempts SET review_status = %s, reviewed_by = %s"
OVER = (
    "UPDATE attempts SET status = 'submitted', ended_by = 'student', ended_at = now()"
)


@pytest.mark.usefixtures("own")
def test_a_review_takes_the_steps_that_the_code_knows(
    room: ExamRoom, sql: connection
) -> None:
    run(sql, OVER)
    reviewers = cycle([room.new_proctor().id, room.admin.id])
    for before, after in product(ReviewStatus, ReviewStatus):
        run(sql, "ALTER TABLE attempts DISABLE TRIGGER attempts_review_guard")
        run(sql, REVIEW, before, next(reviewers))
        run(sql, "ALTER TABLE attempts ENABLE TRIGGER attempts_review_guard")

        if after in NEXT_STATUSES[before]:
            run(sql, REVIEW, after, next(reviewers))
        elif after is not before:
            constraint = refused(sql, REVIEW, after, next(reviewers))
            assert constraint == "attempts_review_step"


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize("verdict", sorted(VERDICTS))
def test_no_verdict_is_on_who_still_writes(
    room: ExamRoom, sql: connection, verdict: str
) -> None:
    run(sql, REVIEW, "in_review", room.admin.id)
    for running in ("in_progress", "paused"):
        if running == "paused":
            run(sql, "UPDATE attempts SET status = 'paused', paused_at = now()")

        constraint = refused(sql, REVIEW, verdict, room.admin.id)
        assert constraint == "attempts_review_step"


@pytest.mark.usefixtures("own")
def test_nobody_gives_the_second_review_that_he_has_asked_for(
    room: ExamRoom, sql: connection
) -> None:
    run(sql, OVER)
    asker, other = room.new_proctor().id, room.admin.id
    run(sql, REVIEW, "in_review", asker)
    run(sql, REVIEW, "needs_second_review", asker)

    run(sql, REVIEW, "needs_second_review", asker)
    for status, reviewer in (("cleared", asker), ("needs_second_review", other)):
        constraint = refused(sql, REVIEW, status, reviewer)
        assert constraint == "attempts_second_reviewer"
    run(sql, REVIEW, "cleared", other)


@pytest.mark.usefixtures("own")
def test_what_a_student_handed_in_stays_handed_in_by_him(sql: connection) -> None:
    run(sql, OVER)

    assert refused(sql, "UPDATE attempts SET ended_by = 'deadline'") == "attempts_end"


@pytest.mark.usefixtures("own")
def test_nobody_is_judged_by_nobody(sql: connection) -> None:
    run(sql, OVER)

    for status in ("in_review", "needs_second_review", "cleared"):
        step = refused(
            sql,
            "UPDATE attempts SET review_status = %s, reviewed_by = NULL",
            status,
        )
        expected = "attempts_reviewer" if status == "in_review" else None
        assert step == (expected or "attempts_review_step")


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("pretence", "deed"),
    [
        (
            (
                "CREATE TEMP TABLE attempts AS SELECT id, text 'in_progress' AS status,"
                " 'infinity'::timestamptz AS deadline_at FROM public.attempts"
            ),
            "UPDATE public.answers SET response = '7', client_version = 2",
        ),
        (
            (
                "CREATE TEMP TABLE exams AS SELECT id, NULL::timestamptz AS frozen_at,"
                " 'active'::text AS status FROM public.exams"
            ),
            "UPDATE public.questions SET points = 9",
        ),
        (
            (
                "CREATE TEMP TABLE legal_holds (LIKE public.legal_holds);"
                " GRANT ALL ON legal_holds TO PUBLIC"
            ),
            (
                "SELECT data_erase(NULL, '{}', ARRAY(SELECT id FROM public.attempts),"
                " ARRAY['answers'], NULL, '{}', 'user', '1', 'system', ARRAY["
                """'{"entries": [], "legal_basis": "x"}'])"""
            ),
        ),
    ],
)
def test_a_temporary_table_hides_nothing_from_a_guard(
    sql: connection, pretence: str, deed: str
) -> None:
    """Whoever has the application's login can make one."""
    run(sql, OVER)
    run(
        sql,
        "INSERT INTO legal_holds (id, attempt_id, reason)"
        " SELECT gen_random_uuid(), id, 'a lawsuit' FROM attempts",
    )
    run(sql, f"SET ROLE proctoring_app; {pretence}")

    found = refused(sql, deed)

    run(sql, "RESET ROLE")
    assert found in {"answers_attempt_running", "exams_frozen", "erasure_held"}
