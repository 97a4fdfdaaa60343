"""Exams that tests begin with, made through the API like everybody's."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg2.extensions import connection
from werkzeug.test import TestResponse

from tests.personas import Speaker

# Any: JSON documents, as a client sees them.
Json = dict[str, Any]

SINGLE_CHOICE: Json = {
    "kind": "single_choice",
    "text": "Which layer does TCP belong to?",
    "points": 2,
    "options": [
        {"text": "Transport", "is_correct": True},
        {"text": "Network", "is_correct": False},
    ],
    "feedback": "RFC 9293 calls it a transport protocol.",
}
TRUE_FALSE: Json = {
    "kind": "true_false",
    "text": "UDP retransmits lost datagrams.",
    "points": 1,
    "correct": False,
}
ONE_OF_EACH: list[Json] = [
    SINGLE_CHOICE,
    {
        "kind": "multiple_choice",
        "text": "Which of these are prime?",
        "points": 2.5,
        "options": [
            {"text": "2", "is_correct": True},
            {"text": "3", "is_correct": True},
            {"text": "4", "is_correct": False},
        ],
    },
    TRUE_FALSE,
    {
        "kind": "numeric",
        "text": "What is 0.1 + 0.2?",
        "points": 1,
        "answer": 0.3,
        "tolerance": 0.01,
    },
    {
        "kind": "short_text",
        "text": "Who wrote Faust?",
        "points": 1,
        "accepted_answers": ["Goethe", "Johann Wolfgang von Goethe"],
    },
    {"kind": "essay", "text": "Describe a handshake.", "points": 5},
]


def body(response: TestResponse, status: int = 200) -> Json:
    """Return the JSON body of a response that has this status."""
    assert response.status_code == status, response.text
    found: Json = response.get_json()
    return found


def from_now(**units: float) -> str:
    return (datetime.now(UTC) + timedelta(**units)).isoformat()


def new_exam(**changes: object) -> Json:
    exam: Json = {
        "title": "Networks",
        "duration_minutes": 60,
        "starts_at": from_now(hours=-1),
        "ends_at": from_now(hours=3),
        "questions": [SINGLE_CHOICE, TRUE_FALSE],
    }
    return exam | changes


def create(admin: Speaker, **changes: object) -> Json:
    return body(admin.post("/api/exams", json=new_exam(**changes)), 201)


def step(admin: Speaker, exam: Json, *statuses: str) -> Json:
    """Take an exam through statuses and return it as it is then."""
    for status in statuses:
        path = f"/api/exams/{exam['id']}/status"
        exam = body(admin.patch(path, json={"status": status}))
    return exam


def active(admin: Speaker, *students: UUID, **changes: object) -> Json:
    """Make an exam that is on, with these students assigned to it."""
    exam = create(admin, **changes)
    if students:
        assign(admin, exam, *students)
    return step(admin, exam, "scheduled", "active")


def assign(admin: Speaker, exam: Json, *students: UUID, **granted: object) -> Json:
    path = f"/api/exams/{exam['id']}/assignments"
    named = {"student_ids": [str(student) for student in students]}
    return body(admin.post(path, json=named | granted), 201)


def watch(admin: Speaker, exam: Json, proctor: UUID) -> None:
    path = f"/api/exams/{exam['id']}/proctors"
    body(admin.post(path, json={"proctor_ids": [str(proctor)]}), 201)


def start(student: Speaker, exam: Json) -> Json:
    """Start an exam and return the attempt."""
    found: Json = body(student.post(f"/api/exams/{exam['id']}/start"), 201)
    return found


def review(
    staff: Speaker,
    attempt: Json,
    status: str,
    note: str | None = None,
    answer: int = 200,
) -> Json:
    path = f"/api/proctoring/attempt/{attempt['id']}/review"
    given = {"status": status, "note": note}
    found: Json = body(staff.put(path, json=given), answer)
    return found


def convict(staff: Speaker, attempt: Json, note: str = "A phone is seen.") -> Json:
    """Confirm that a student who has submitted broke the rules."""
    review(staff, attempt, "in_review")
    return review(staff, attempt, "confirmed_violation", note)


def fields_of(exam: Json, **changes: object) -> Json:
    """Return what PUT takes, from what GET gives."""
    names = (
        "title",
        "description",
        "instructions",
        "duration_minutes",
        "starts_at",
        "ends_at",
        "passing_score_percent",
        "shuffle_questions",
        "shuffle_options",
        "max_attempts",
        "proctoring",
    )
    return {name: exam[name] for name in names} | changes


def tag(exam: Json) -> dict[str, str]:
    """Return the header that says which version was seen."""
    return {"If-Match": f'"{exam["version"]}"'}


def entries(sql: connection, event_type: str) -> list[Json]:
    """Return the payloads of all audit entries of a type, oldest first."""
    with sql.cursor() as cursor:
        cursor.execute(
            "SELECT payload::json FROM audit_log WHERE event_type = %s ORDER BY seq",
            [event_type],
        )
        return [row[0] for row in cursor.fetchall()]


def count_entries(sql: connection) -> int:
    with sql.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM audit_log")
        (found,) = cursor.fetchone() or (0,)
    return int(found)
