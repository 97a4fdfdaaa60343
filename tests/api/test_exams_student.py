"""What a student sees of exams before he starts one."""

from uuid import uuid4

from tests.exams import (
    ONE_OF_EACH,
    Json,
    active,
    assign,
    body,
    create,
    from_now,
    start,
    step,
)
from tests.personas import Api, Persona, Speaker


def available(student: Speaker) -> list[Json]:
    items: list[Json] = body(student.get("/api/exams/available"))["items"]
    return items


def details(student: Speaker, exam: Json) -> Json:
    return body(student.get(f"/api/exams/{exam['id']}/details"))


def test_he_finds_his_own_exams_soonest_first(
    admin: Speaker, student: Speaker, alice: Persona
) -> None:
    later = create(admin, starts_at=from_now(hours=2))
    sooner = create(admin, starts_at=from_now(hours=1))
    draft, not_his = create(admin), create(admin)
    for exam in (later, sooner, draft):
        assign(admin, exam, alice.id)
    for exam in (later, sooner, not_his):
        step(admin, exam, "scheduled")
    on = active(admin, alice.id)

    assert [e["id"] for e in available(student)] == [
        on["id"],
        sooner["id"],
        later["id"],
    ]


def test_pages_follow_each_other(
    admin: Speaker, student: Speaker, alice: Persona
) -> None:
    # Two that start together are told apart by their ids.
    starts_at = from_now(hours=1)
    for _ in range(5):
        exam = create(admin, starts_at=starts_at)
        assign(admin, exam, alice.id)
        step(admin, exam, "scheduled")
    expected = [exam["id"] for exam in available(student)]
    found: list[str] = []
    query = "?limit=2"

    while query:
        page = body(student.get(f"/api/exams/available{query}"))
        found += [exam["id"] for exam in page["items"]]
        cursor = page["next_cursor"]
        query = cursor and f"?limit=2&cursor={cursor}"

    assert len(set(found)) == 5
    assert found == expected


def test_what_is_over_is_no_longer_available(
    admin: Speaker, student: Speaker, alice: Persona
) -> None:
    closed = step(admin, active(admin, alice.id), "completed")
    cancelled = step(admin, active(admin, alice.id), "cancelled")

    assert available(student) == []
    assert details(student, closed)["blocked_by"] == "over"
    assert details(student, cancelled)["blocked_by"] == "cancelled"


def test_his_time_includes_what_he_is_granted(
    admin: Speaker, student: Speaker, alice: Persona
) -> None:
    exam = create(admin, duration_minutes=45)
    assign(admin, exam, alice.id, extra_time_minutes=10, time_multiplier=1.25)
    step(admin, exam, "scheduled")

    found = details(student, exam)

    assert found["duration_minutes"] == 45
    assert found["extra_time_minutes"] == 10
    assert found["time_multiplier"] == 1.25
    # 56.25 minutes, of which the last is his too, as in the deadline.
    assert found["allowed_minutes"] == 57 + 10


def test_he_is_told_why_he_can_not_start(
    admin: Speaker, student: Speaker, alice: Persona
) -> None:
    early = create(admin, starts_at=from_now(hours=1))
    assign(admin, early, alice.id)
    step(admin, early, "scheduled")
    first, second = active(admin, alice.id), active(admin, alice.id)

    assert details(student, early)["blocked_by"] == "not_open_yet"
    assert details(student, first)["can_start"] is True
    attempt = start(student, first)
    assert details(student, second)["blocked_by"] == "another_attempt_running"
    running = details(student, first)
    assert (running["can_start"], running["running_attempt_id"]) == (
        True,
        attempt["id"],
    )
    student.post(f"/api/exams/attempts/{attempt['id']}/submit")
    used = details(student, first)
    assert (used["can_start"], used["blocked_by"]) == (False, "no_attempts_left")
    assert (used["attempts_used"], used["attempts_left"]) == (1, 0)
    assert details(student, second)["can_start"] is True


def test_what_he_may_start_he_can_start(
    admin: Speaker, student: Speaker, alice: Persona
) -> None:
    exam = create(admin, max_attempts=2)
    assign(admin, exam, alice.id)
    step(admin, exam, "scheduled")

    assert details(student, exam)["can_start"] is True
    assert student.post(f"/api/exams/{exam['id']}/start").status_code == 201


def test_he_sees_how_much_is_asked_and_not_what(
    admin: Speaker, student: Speaker, alice: Persona
) -> None:
    exam = create(admin, questions=ONE_OF_EACH, instructions="Read first.")
    assign(admin, exam, alice.id)
    step(admin, exam, "scheduled")

    listed = student.get("/api/exams/available")
    shown = student.get(f"/api/exams/{exam['id']}/details")

    assert body(shown)["instructions"] == "Read first."
    assert (body(shown)["question_count"], body(shown)["total_points"]) == (6, 12.5)
    for response in (listed, shown):
        for secret in (
            *(question["text"] for question in ONE_OF_EACH),
            "Goethe",
            "Transport",
            "answer",
            "correct",
            "feedback",
            "proctoring",
            "created_by",
        ):
            assert secret not in response.text


def test_what_is_not_his_looks_missing(
    api: Api, admin: Speaker, student: Speaker, mallory: Persona, alice: Persona
) -> None:
    exam, draft = active(admin, mallory.id), create(admin)
    assign(admin, draft, alice.id)

    for exam_id in (exam["id"], draft["id"], str(uuid4())):
        refused = body(student.get(f"/api/exams/{exam_id}/details"), 404)
        assert refused["type"] == "/problems/exam-not-found"
        assert refused["detail"] == f"Exam {exam_id} does not exist or is not yours."
    assert details(api.as_(mallory), exam)["id"] == exam["id"]


def test_staff_endpoints_are_not_for_students(
    admin: Speaker, student: Speaker, alice: Persona
) -> None:
    path = f"/api/exams/{active(admin, alice.id)['id']}"

    for method, where in (
        ("get", "/api/exams"),
        ("get", path),
        ("put", path),
        ("delete", path),
        ("patch", f"{path}/status"),
        ("post", f"{path}/duplicate"),
        ("get", f"{path}/questions"),
        ("put", f"{path}/questions"),
        ("post", f"{path}/questions/import"),
        ("get", f"{path}/assignments"),
        ("get", f"{path}/proctors"),
        ("get", f"{path}/results"),
    ):
        assert student.open(where, method=method).status_code == 403, (method, where)
