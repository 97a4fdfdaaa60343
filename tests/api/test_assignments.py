"""Assigning students and proctors, and granting time."""

from uuid import uuid4

import pytest
from psycopg2.extensions import connection

from tests.exams import (
    Json,
    active,
    assign,
    body,
    count_entries,
    create,
    entries,
    start,
    step,
    watch,
)
from tests.personas import Api, Persona, Speaker


def assigned(admin: Speaker, exam: Json) -> list[Json]:
    items: list[Json] = body(admin.get(f"/api/exams/{exam['id']}/assignments"))["items"]
    return items


def test_students_are_assigned_by_id_and_by_address(
    admin: Speaker, alice: Persona, mallory: Persona, sql: connection
) -> None:
    exam = create(admin)

    done = body(
        admin.post(
            f"/api/exams/{exam['id']}/assignments",
            json={
                "student_ids": [str(alice.id), str(alice.id)],
                # An address is the same account in any case.
                "emails": [mallory.email.upper(), alice.email],
                "extra_time_minutes": 15,
                "time_multiplier": 1.5,
            },
        ),
        201,
    )

    assert done["already_assigned"] == []
    assert done["assigned"] == assigned(admin, exam)
    assert {row["email"] for row in done["assigned"]} == {alice.email, mallory.email}
    for row in done["assigned"]:
        assert row["extra_time_minutes"] == 15
        assert row["time_multiplier"] == 1.5
        assert row["attempts_used"] == 0
    (entry,) = entries(sql, "exam.assigned")
    assert set(entry["student_ids"]) == {str(alice.id), str(mallory.id)}
    assert entry["time_multiplier"] == "1.5"


def test_who_is_assigned_already_stays_as_he_was(
    admin: Speaker, alice: Persona, mallory: Persona, sql: connection
) -> None:
    exam = create(admin)
    assign(admin, exam, alice.id, extra_time_minutes=15)

    more = assign(admin, exam, alice.id, mallory.id)
    path = f"/api/exams/{exam['id']}/assignments"
    none = body(admin.post(path, json={"student_ids": [str(alice.id)]}))

    assert more["already_assigned"] == [str(alice.id)]
    assert [row["student_id"] for row in more["assigned"]] == [str(mallory.id)]
    assert none == {"assigned": [], "already_assigned": [str(alice.id)]}
    granted = {
        row["student_id"]: row["extra_time_minutes"] for row in assigned(admin, exam)
    }
    assert granted == {str(alice.id): 15, str(mallory.id): 0}
    assert len(entries(sql, "exam.assigned")) == 2


def test_nobody_is_assigned_if_somebody_is_wrong(
    admin: Speaker, alice: Persona, bob: Persona, mallory: Persona, sql: connection
) -> None:
    exam = create(admin)
    with sql.cursor() as cursor:
        cursor.execute("UPDATE users SET is_active = false WHERE id = %s", [mallory.id])
    before = count_entries(sql)

    refused = body(
        admin.post(
            f"/api/exams/{exam['id']}/assignments",
            json={
                "student_ids": [str(i) for i in (alice.id, bob.id, uuid4())],
                "emails": [mallory.email, "nobody@example.org"],
            },
        ),
        422,
    )

    assert [e["pointer"] for e in refused["errors"]] == [
        "#/student_ids/1",
        "#/student_ids/2",
        "#/emails/0",
        "#/emails/1",
    ]
    assert assigned(admin, exam) == []
    assert count_entries(sql) == before


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"student_ids": [], "emails": []},
        {"student_ids": ["7"]},
        {"emails": ["not an address"]},
        {"student_ids": [str(uuid4())], "extra_time_minutes": -1},
        {"student_ids": [str(uuid4())], "time_multiplier": 0.5},
        {"student_ids": [str(uuid4())], "time_multiplier": 1.005},
        {"student_ids": [str(uuid4())], "exam_id": str(uuid4())},
        {"student_ids": [str(uuid4())] * 1001},
    ],
)
def test_a_strange_assignment_is_refused(admin: Speaker, wrong: Json) -> None:
    exam = create(admin)

    refused = admin.post(f"/api/exams/{exam['id']}/assignments", json=wrong)

    assert body(refused, 422)["type"] == "/problems/invalid-request"


def test_nobody_is_assigned_to_what_is_over(admin: Speaker, alice: Persona) -> None:
    exam = step(admin, active(admin), "completed")

    refused = admin.post(
        f"/api/exams/{exam['id']}/assignments", json={"emails": [alice.email]}
    )

    assert body(refused, 409)["current_status"] == "completed"


def test_pages_have_every_student_once(
    admin: Speaker, alice: Persona, mallory: Persona
) -> None:
    exam = create(admin)
    assign(admin, exam, alice.id, mallory.id)
    path = f"/api/exams/{exam['id']}/assignments"

    first = body(admin.get(f"{path}?limit=1"))
    second = body(admin.get(f"{path}?limit=1&cursor={first['next_cursor']}"))

    found = [row["student_id"] for row in first["items"] + second["items"]]
    assert sorted(found) == sorted([str(alice.id), str(mallory.id)])
    assert second["next_cursor"] is None


def test_granted_time_holds_at_once_for_a_running_attempt(
    api: Api, admin: Speaker, alice: Persona, sql: connection
) -> None:
    exam = active(admin, alice.id, duration_minutes=60)
    student = api.as_(alice)
    attempt = start(student, exam)
    path = f"/api/exams/{exam['id']}/assignments/{alice.id}"

    longer = body(admin.patch(path, json={"time_multiplier": 1.5}))
    longest = body(admin.patch(path, json={"extra_time_minutes": 10}))

    assert longer["running_attempt"]["id"] == attempt["id"]
    assert 89 * 60 < longer["running_attempt"]["seconds_remaining"] <= 90 * 60
    assert longest["assignment"]["time_multiplier"] == 1.5
    running = body(student.get(f"/api/exams/attempts/{attempt['id']}"))
    assert 99 * 60 < running["seconds_remaining"] <= 100 * 60
    assert running["deadline_at"] == longest["running_attempt"]["deadline_at"]
    first, _ = entries(sql, "exam.assignment_changed")
    assert first["before"]["deadline_at"] == attempt["deadline_at"]
    assert first["after"]["deadline_at"] == longer["running_attempt"]["deadline_at"]
    with sql.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT attempt_id::text FROM audit_log"
            " WHERE event_type = 'exam.assignment_changed'"
        )
        assert cursor.fetchall() == [(attempt["id"],)]


def test_granting_the_same_changes_nothing(
    admin: Speaker, alice: Persona, sql: connection
) -> None:
    exam = create(admin)
    assign(admin, exam, alice.id, extra_time_minutes=5)
    path = f"/api/exams/{exam['id']}/assignments/{alice.id}"
    before = count_entries(sql)

    same = body(admin.patch(path, json={"extra_time_minutes": 5.0}))
    empty = body(admin.patch(path, json={}))

    assert same == empty
    assert same["running_attempt"] is None
    assert count_entries(sql) == before


def test_a_student_is_taken_off(
    admin: Speaker, alice: Persona, mallory: Persona, sql: connection
) -> None:
    exam = create(admin)
    assign(admin, exam, alice.id, extra_time_minutes=30, time_multiplier=1.25)
    path = f"/api/exams/{exam['id']}/assignments"

    assert admin.delete(f"{path}/{alice.id}").status_code == 204

    assert assigned(admin, exam) == []
    assert entries(sql, "exam.unassigned") == [
        {
            "student_id": str(alice.id),
            "extra_time_minutes": 30,
            "time_multiplier": "1.25",
        }
    ]
    for nobody in (alice.id, mallory.id):
        refused = body(admin.delete(f"{path}/{nobody}"), 404)
        assert refused["type"] == "/problems/assignment-not-found"
    refused = body(admin.patch(f"{path}/{mallory.id}", json={}), 404)
    assert refused["type"] == "/problems/assignment-not-found"


def test_who_has_begun_is_not_taken_off(
    api: Api, admin: Speaker, alice: Persona
) -> None:
    exam = active(admin, alice.id)
    start(api.as_(alice), exam)

    refused = admin.delete(f"/api/exams/{exam['id']}/assignments/{alice.id}")

    assert body(refused, 409)["type"] == "/problems/student-has-attempt"
    (row,) = assigned(admin, exam)
    assert row["attempts_used"] == 1


def test_a_proctor_watches_until_he_is_taken_off(
    api: Api, admin: Speaker, bob: Persona, sql: connection
) -> None:
    exam = create(admin)
    proctor = api.as_(bob)
    path = f"/api/exams/{exam['id']}"

    made = body(admin.post(f"{path}/proctors", json={"emails": [bob.email]}), 201)
    again = body(admin.post(f"{path}/proctors", json={"proctor_ids": [str(bob.id)]}))

    assert [row["proctor_id"] for row in made["assigned"]] == [str(bob.id)]
    assert again == {"assigned": [], "already_assigned": [str(bob.id)]}
    assert body(proctor.get(f"{path}/proctors"))["items"] == made["assigned"]
    assert body(proctor.get(f"{path}/assignments"))["items"] == []
    assert admin.delete(f"{path}/proctors/{bob.id}").status_code == 204
    assert proctor.get(path).status_code == 404
    assert proctor.get(f"{path}/proctors").status_code == 404
    assert proctor.get(f"{path}/assignments").status_code == 404
    assert admin.delete(f"{path}/proctors/{bob.id}").status_code == 404
    assert len(entries(sql, "exam.proctor_assigned")) == 1
    assert len(entries(sql, "exam.proctor_unassigned")) == 1


def test_only_proctors_watch(admin: Speaker, alice: Persona, ada: Persona) -> None:
    exam = create(admin)

    refused = admin.post(
        f"/api/exams/{exam['id']}/proctors",
        json={"proctor_ids": [str(alice.id)], "emails": [ada.email]},
    )

    assert [e["pointer"] for e in body(refused, 422)["errors"]] == [
        "#/proctor_ids/0",
        "#/emails/0",
    ]


def test_a_proctor_changes_nothing(
    api: Api, admin: Speaker, bob: Persona, alice: Persona
) -> None:
    exam = create(admin)
    watch(admin, exam, bob.id)
    assign(admin, exam, alice.id)
    proctor = api.as_(bob)
    path = f"/api/exams/{exam['id']}"

    for method, where in (
        ("post", "/api/exams"),
        ("put", path),
        ("delete", path),
        ("patch", f"{path}/status"),
        ("post", f"{path}/duplicate"),
        ("get", f"{path}/questions"),
        ("put", f"{path}/questions"),
        ("post", f"{path}/questions"),
        ("post", f"{path}/questions/import"),
        ("post", f"{path}/assignments"),
        ("patch", f"{path}/assignments/{alice.id}"),
        ("delete", f"{path}/assignments/{alice.id}"),
        ("post", f"{path}/proctors"),
        ("delete", f"{path}/proctors/{bob.id}"),
        ("get", f"{path}/results"),
    ):
        assert proctor.open(where, method=method).status_code == 403, (method, where)


def test_a_missing_exam_has_nobody(admin: Speaker, alice: Persona) -> None:
    path = f"/api/exams/{uuid4()}"

    for response in (
        admin.get(f"{path}/assignments"),
        admin.post(f"{path}/assignments", json={"student_ids": [str(alice.id)]}),
        admin.patch(f"{path}/assignments/{alice.id}", json={}),
        admin.delete(f"{path}/assignments/{alice.id}"),
        admin.get(f"{path}/proctors"),
        admin.post(f"{path}/proctors", json={"proctor_ids": [str(alice.id)]}),
        admin.delete(f"{path}/proctors/{alice.id}"),
    ):
        assert body(response, 404)["type"] == "/problems/exam-not-found"
