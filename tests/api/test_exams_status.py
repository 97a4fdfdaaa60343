"""The life of an exam: draft, scheduled, active, completed; cancelled; archived."""

from itertools import permutations
from uuid import uuid4

import pytest
from psycopg2.errors import CheckViolation
from psycopg2.extensions import connection

from models.exam import NEXT_STATUSES, ExamStatus
from tests.audit_trail import run
from tests.exams import (
    active,
    body,
    create,
    entries,
    fields_of,
    from_now,
    start,
    step,
    tag,
)
from tests.personas import Api, Persona, Speaker

ROADS = {
    "draft": (),
    "scheduled": ("scheduled",),
    "active": ("scheduled", "active"),
    "completed": ("scheduled", "active", "completed"),
    "cancelled": ("cancelled",),
    "archived": ("cancelled", "archived"),
}
STEPS = {
    "draft": ["scheduled", "cancelled"],
    "scheduled": ["active", "cancelled"],
    "active": ["completed", "cancelled"],
    "completed": ["archived"],
    "cancelled": ["archived"],
    "archived": [],
}


@pytest.mark.parametrize("status", STEPS)
def test_only_legal_steps_are_taken(
    admin: Speaker, sql: connection, status: str
) -> None:
    exam = step(admin, create(admin), *ROADS[status])
    illegal = [wanted for wanted in STEPS if wanted not in STEPS[status]]

    for wanted in illegal:
        path = f"/api/exams/{exam['id']}/status"
        refused = body(admin.patch(path, json={"status": wanted}), 409)
        assert refused["type"] == "/problems/exam-status-step"
        assert refused["current_status"] == status
        assert refused["allowed_actions"] == STEPS[status]

    assert exam["status"] == status
    assert exam["allowed_statuses"] == STEPS[status]
    assert len(entries(sql, "exam.status_changed")) == len(ROADS[status])


def test_the_database_takes_the_same_steps(ada: Persona, sql: connection) -> None:
    # NEXT_STATUSES repeats the trigger exams_guard; this compares the two.
    with sql.cursor() as cursor:
        for old, new in permutations(ExamStatus, 2):
            cursor.execute(
                "INSERT INTO exams (id, title, duration_minutes, starts_at, ends_at,"
                " status, created_by) VALUES (%(id)s, 'X', 1, now(),"
                " now() + interval '1 hour', %(status)s, %(user_id)s)",
                {"id": (exam_id := uuid4()), "status": old, "user_id": ada.id},
            )
            refused_by = None
            try:
                cursor.execute(
                    "UPDATE exams SET status = %s WHERE id = %s", [new, exam_id]
                )
            except CheckViolation as error:
                refused_by = error.diag.constraint_name
            is_step = new in NEXT_STATUSES[old]
            assert refused_by == (None if is_step else "exams_status_step")


def test_a_draft_needs_a_window_and_a_question(admin: Speaker) -> None:
    exam = create(admin, questions=[], starts_at=None, ends_at=None)
    late = create(admin, ends_at=from_now(minutes=-1))

    def refusal(exam_id: str) -> str:
        path = f"/api/exams/{exam_id}/status"
        refused = body(admin.patch(path, json={"status": "scheduled"}), 409)
        assert refused["type"] == "/problems/exam-incomplete"
        return str(refused["detail"])

    assert "starts_at and ends_at" in refusal(exam["id"])
    assert "one question" in refusal(exam["id"])
    assert "ends_at has passed" in refusal(late["id"])


def test_a_step_honours_the_version_that_was_seen(admin: Speaker) -> None:
    exam = create(admin)
    path = f"/api/exams/{exam['id']}/status"
    wanted = {"status": "scheduled"}

    stale = admin.patch(path, json=wanted, headers={"If-Match": '"9"'})
    taken = admin.patch(path, json=wanted, headers=tag(exam))

    assert stale.status_code == 412
    assert taken.headers["ETag"] == '"2"'


def test_opening_and_closing_early_move_the_window(
    admin: Speaker, sql: connection
) -> None:
    exam = create(admin, starts_at=from_now(hours=1), ends_at=from_now(hours=2))

    opened = step(admin, exam, "scheduled", "active")
    closed = step(admin, opened, "completed")

    assert opened["starts_at"] < exam["starts_at"]
    assert opened["ends_at"] == exam["ends_at"]
    assert opened["starts_at"] == closed["starts_at"] < closed["ends_at"]
    assert closed["ends_at"] < exam["ends_at"]
    _, opening, closing = entries(sql, "exam.status_changed")
    assert opening["changes"]["starts_at"]["after"] == opened["starts_at"]
    assert (closing["from"], closing["to"]) == ("active", "completed")


def test_closing_submits_what_still_runs(
    api: Api, admin: Speaker, alice: Persona, sql: connection
) -> None:
    exam = active(admin, alice.id)
    student = api.as_(alice)
    attempt = start(student, exam)

    step(admin, exam, "completed")

    ended = body(student.get(f"/api/exams/attempts/{attempt['id']}"))
    assert ended["status"] == "submitted"
    (entry,) = entries(sql, "attempt.ended")
    assert entry["ended_by"] == "exam_closed"


def test_cancelling_voids_what_still_runs(
    api: Api, admin: Speaker, alice: Persona, sql: connection
) -> None:
    exam = active(admin, alice.id)
    student = api.as_(alice)
    attempt = start(student, exam)

    step(admin, exam, "cancelled")

    voided = body(student.get(f"/api/exams/attempts/{attempt['id']}"))
    assert voided["status"] == "voided"
    assert len(entries(sql, "attempt.voided")) == 1


def test_what_is_still_sat_is_not_archived(
    api: Api, admin: Speaker, alice: Persona, sql: connection
) -> None:
    exam = active(admin, alice.id)
    attempt = start(api.as_(alice), exam)
    exam = step(admin, exam, "completed")
    path = f"/api/exams/attempts/{attempt['id']}"
    body(admin.post(f"{path}/reopen", json={"reason": "outage", "extra_seconds": 60}))

    wanted = {"status": "archived"}
    refused = body(admin.patch(f"/api/exams/{exam['id']}/status", json=wanted), 409)

    assert refused["type"] == "/problems/exam-still-sat"
    assert attempt["id"] in refused["detail"]
    with pytest.raises(CheckViolation, match="is still sat"):
        run(sql, "UPDATE exams SET status = 'archived'")
    body(api.as_(alice).post(f"{path}/submit"))
    assert step(admin, exam, "archived")["status"] == "archived"


@pytest.mark.parametrize("status", ["completed", "cancelled", "archived"])
def test_what_is_over_is_not_edited(admin: Speaker, status: str) -> None:
    exam = step(admin, create(admin), *ROADS[status])
    path = f"/api/exams/{exam['id']}"

    edited = admin.put(path, json=fields_of(exam, title="Y"), headers=tag(exam))
    emptied = admin.put(f"{path}/questions", json={"questions": []}, headers=tag(exam))

    for refused in (edited, emptied):
        assert body(refused, 409)["type"] == "/problems/exam-closed"
