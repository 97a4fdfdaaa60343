"""Admins who change an exam at the same moment, or while a student starts it.

Each race is run some times over; whoever wins, what is left must make sense.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import psycopg2
import pytest
from psycopg2.extensions import connection

from models.principal import Role
from tests.at_once import at_once
from tests.audit_trail import run
from tests.exams import (
    ONE_OF_EACH,
    TRUE_FALSE,
    Json,
    active,
    body,
    create,
    entries,
    fields_of,
    tag,
)
from tests.personas import Enrol, Persona, Speaker
from tests.waiting import until_somebody_waits_for_a_lock

TIMES = 5


def path_of(exam: Json) -> str:
    return f"/api/exams/{exam['id']}"


def cancel(admin: Speaker, exam: Json) -> None:
    """Void what runs, so that the student may start another exam."""
    wanted = {"status": "cancelled"}
    body(admin.patch(f"{path_of(exam)}/status", json=wanted))


def test_of_admins_who_change_the_same_version_one_wins(
    admin: Speaker, sql: connection
) -> None:
    exam = create(admin)

    responses = at_once(
        [
            partial(
                admin.put,
                path_of(exam),
                json=fields_of(exam, title=f"By {number}"),
                headers=tag(exam),
            )
            for number in range(8)
        ]
    )

    statuses = sorted(response.status_code for response in responses)
    assert statuses == [200] + [412] * 7
    assert len(entries(sql, "exam.updated")) == 1


def test_questions_added_at_once_all_find_a_place(admin: Speaker) -> None:
    exam = create(admin)

    responses = at_once(
        [
            partial(
                admin.post,
                f"{path_of(exam)}/questions",
                json=TRUE_FALSE | {"text": f"Statement {number}."},
            )
            for number in range(8)
        ]
    )

    added = [body(response, 201)["position"] for response in responses]
    assert sorted(added) == list(range(3, 11))


def test_a_student_assigned_by_many_is_assigned_once(
    admin: Speaker, alice: Persona, sql: connection
) -> None:
    exam = create(admin)

    responses = at_once(
        [
            partial(
                admin.post,
                f"{path_of(exam)}/assignments",
                json={"student_ids": [str(alice.id)]},
            )
        ]
        * 8
    )

    statuses = sorted(response.status_code for response in responses)
    assert statuses == [200] * 7 + [201]
    assert len(entries(sql, "exam.assigned")) == 1


def test_time_that_is_granted_at_the_start_is_not_lost(
    admin: Speaker, student: Speaker, alice: Persona
) -> None:
    for _ in range(TIMES):
        exam = active(admin, alice.id, duration_minutes=60)

        started, granted = at_once(
            [
                partial(student.post, f"{path_of(exam)}/start"),
                partial(
                    admin.patch,
                    f"{path_of(exam)}/assignments/{alice.id}",
                    json={"extra_time_minutes": 30},
                ),
            ]
        )

        assert granted.status_code == 200
        attempt_id = body(started, 201)["id"]
        running = body(student.get(f"/api/exams/attempts/{attempt_id}"))
        assert running["seconds_remaining"] > 89 * 60
        cancel(admin, exam)


def test_of_two_who_change_an_accommodation_neither_undoes_the_other(
    admin: Speaker, alice: Persona, sql: connection, dsn: str
) -> None:
    exam = active(admin, alice.id)
    path = f"{path_of(exam)}/assignments/{alice.id}"

    with closing(psycopg2.connect(dsn)) as other, ThreadPoolExecutor(1) as pool:
        run(other, "UPDATE exam_assignments SET extra_time_minutes = 30")
        answer = pool.submit(admin.patch, path, json={"time_multiplier": 1.5})
        until_somebody_waits_for_a_lock(sql)
        other.commit()

        after = body(answer.result())["assignment"]

    assert (after["extra_time_minutes"], after["time_multiplier"]) == (30, 1.5)


def test_he_is_asked_what_the_exam_has(
    admin: Speaker, student: Speaker, alice: Persona
) -> None:
    for _ in range(TIMES):
        exam = active(admin, alice.id)

        started, replaced = at_once(
            [
                partial(student.post, f"{path_of(exam)}/start"),
                partial(
                    admin.put,
                    f"{path_of(exam)}/questions",
                    json={"questions": ONE_OF_EACH},
                    headers=tag(exam),
                ),
            ]
        )

        # The student came first and froze them, which changed the version too.
        assert replaced.status_code in (200, 409, 412)
        now = body(admin.get(path_of(exam)))
        assert now["question_count"] == (6 if replaced.status_code == 200 else 2)
        assert {q["id"] for q in body(started, 201)["questions"]} == {
            q["id"] for q in now["questions"]
        }
        cancel(admin, exam)


def test_an_exam_is_begun_or_deleted(
    admin: Speaker, student: Speaker, alice: Persona
) -> None:
    for _ in range(TIMES):
        exam = active(admin, alice.id)

        started, deleted = at_once(
            [
                partial(student.post, f"{path_of(exam)}/start"),
                partial(admin.delete, path_of(exam)),
            ]
        )

        outcome = (started.status_code, deleted.status_code)
        assert outcome in {(201, 409), (404, 204)}
        if outcome == (201, 409):
            cancel(admin, exam)


def test_nothing_runs_in_an_exam_that_is_closed(
    admin: Speaker, student: Speaker, alice: Persona, sql: connection
) -> None:
    for _ in range(TIMES):
        exam = active(admin, alice.id)

        started, closed = at_once(
            [
                partial(student.post, f"{path_of(exam)}/start"),
                partial(
                    admin.patch, f"{path_of(exam)}/status", json={"status": "completed"}
                ),
            ]
        )

        assert body(closed)["status"] == "completed"
        assert started.status_code in (201, 409)
        with sql.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM attempts WHERE ended_at IS NULL")
            assert cursor.fetchone() == (0,)


def test_a_student_has_begun_or_is_taken_off(
    admin: Speaker, student: Speaker, alice: Persona
) -> None:
    for _ in range(TIMES):
        exam = active(admin, alice.id)

        started, removed = at_once(
            [
                partial(student.post, f"{path_of(exam)}/start"),
                partial(admin.delete, f"{path_of(exam)}/assignments/{alice.id}"),
            ]
        )

        outcome = (started.status_code, removed.status_code)
        assert outcome in {(201, 409), (404, 204)}
        if outcome == (201, 409):
            cancel(admin, exam)


@pytest.mark.parametrize(
    ("role", "path", "insert"),
    [
        (
            Role.STUDENT,
            "assignments",
            "INSERT INTO exam_assignments (exam_id, student_id) VALUES (%s, %s)",
        ),
        (
            Role.PROCTOR,
            "proctors",
            "INSERT INTO exam_proctors (exam_id, proctor_id) VALUES (%s, %s)",
        ),
    ],
)
def test_who_assigns_the_same_in_another_order_waits_and_does_not_deadlock(  # noqa: PLR0917 - what differs between the two.
    admin: Speaker,
    enrol_as: Enrol,
    sql: connection,
    dsn: str,
    role: Role,
    path: str,
    insert: str,
) -> None:
    exam = create(admin)
    first, second = sorted(str(enrol_as(name, role).id) for name in ("one", "two"))
    path = f"/api/exams/{exam['id']}/{path}"

    with closing(psycopg2.connect(dsn)) as other, ThreadPoolExecutor(1) as pool:
        run(other, insert, exam["id"], first)
        answer = pool.submit(admin.post, path, json={f"{role}_ids": [second, first]})
        until_somebody_waits_for_a_lock(sql)
        run(other, insert, exam["id"], second)
        other.rollback()

        made = body(answer.result(), 201)

    assert [each[f"{role}_id"] for each in made["assigned"]] == [first, second]
