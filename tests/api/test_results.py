"""The results of an exam as JSON and as CSV."""

import csv
import io
from uuid import UUID

import pytest
from psycopg2.extensions import connection

from models.database import Database
from models.principal import Principal, Role
from services.results_service import ResultsService
from tests.exams import Json, active, body, create, start
from tests.personas import Api, Enrol, Persona, Speaker


def path_of(exam: Json) -> str:
    return f"/api/exams/{exam['id']}/results"


def sit(student: Speaker, exam: Json, *, answer: object) -> Json:
    """Answer the true-or-false question and submit."""
    attempt = start(student, exam)
    asked = exam["questions"][1]["id"]
    path = f"/api/exams/attempts/{attempt['id']}"
    answers = [{"question_id": asked, "response": answer, "client_version": 1}]
    body(student.put(f"{path}/answers", json={"answers": answers}))
    body(student.post(f"{path}/submit"))
    return attempt


def test_there_is_one_row_an_attempt(
    api: Api, admin: Speaker, alice: Persona, mallory: Persona
) -> None:
    exam = active(admin, alice.id, mallory.id, passing_score_percent=33.34)
    sit(api.as_(alice), exam, answer=False)
    running = start(api.as_(mallory), exam)

    first, second = body(admin.get(path_of(exam)))["items"]

    assert (first["email"], first["full_name"]) == (alice.email, alice.full_name)
    assert (first["score"], first["max_score"], first["percent"]) == (1, 3, 33.33)
    assert (first["status"], first["ended_by"]) == ("submitted", "student")
    # Shown as 33.33, and 33.333… is less than 33.34 too.
    assert first["is_passed"] is False
    assert first["started_at"] < first["ended_at"] < first["deadline_at"]
    assert second["attempt_id"] == running["id"]
    assert (second["status"], second["score"], second["percent"]) == (
        "in_progress",
        None,
        None,
    )
    assert (second["risk_score"], second["risk_level"]) == (None, None)
    assert second["review_status"] == "none"


def test_the_latest_risk_stands_in_the_row(
    api: Api, admin: Speaker, alice: Persona, sql: connection
) -> None:
    exam = active(admin, alice.id)
    attempt = start(api.as_(alice), exam)
    with sql.cursor() as cursor:
        cursor.execute(
            """
            WITH made AS (
                INSERT INTO ai_analyses (id, attempt_id, model_version, risk_score,
                                         risk_level, confidence, result, inputs_hash)
                VALUES (gen_random_uuid(), %(id)s, '1', 72.5, 'high', 0.9, '{}',
                        decode(repeat('00', 32), 'hex'))
                RETURNING id)
            INSERT INTO attempt_risk (attempt_id, exam_id, analysis_id, risk_score,
                                      checked_at)
            SELECT %(id)s, %(exam_id)s, id, 72.5, clock_timestamp() FROM made
            """,
            {"id": attempt["id"], "exam_id": exam["id"]},
        )

    (row,) = body(admin.get(path_of(exam)))["items"]

    assert (row["risk_score"], row["risk_level"]) == (72.5, "high")


def test_pages_have_every_attempt_once(
    api: Api, admin: Speaker, enrol_as: Enrol
) -> None:
    students = [enrol_as(f"student{n}", Role.STUDENT) for n in range(3)]
    exam = active(admin, *(student.id for student in students))
    started = [start(api.as_(student), exam)["id"] for student in students]

    first = body(admin.get(f"{path_of(exam)}?limit=2"))
    second = body(admin.get(f"{path_of(exam)}?limit=2&cursor={first['next_cursor']}"))

    items = first["items"] + second["items"]
    assert [row["attempt_id"] for row in items] == started
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("?format=csv", {}),
        ("", {"Accept": "text/csv"}),
        ("", {"Accept": "application/json;q=0.5, text/csv"}),
        ("?format=csv", {"Accept": "application/json"}),
    ],
)
def test_a_spreadsheet_has_the_same_rows(
    api: Api,
    admin: Speaker,
    alice: Persona,
    query: str,
    headers: dict[str, str],
) -> None:
    exam = active(admin, alice.id)
    sit(api.as_(alice), exam, answer=False)
    (expected,) = body(admin.get(path_of(exam)))["items"]

    response = admin.get(f"{path_of(exam)}{query}", headers=headers)

    assert response.status_code == 200
    assert response.mimetype == "text/csv"
    assert response.text.count("\r\n") == response.text.count("\n") == 2
    (row,) = csv.DictReader(io.StringIO(response.text, newline=""))
    assert list(row) == list(expected)
    assert row["email"] == alice.email
    assert (row["score"], row["percent"]) == ("1.00", "33.33")
    assert (row["is_passed"], row["risk_score"]) == ("false", "")
    assert row["started_at"] == expected["started_at"]


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html", ""])
def test_json_is_what_others_get(admin: Speaker, accept: str) -> None:
    exam = create(admin)

    response = admin.get(path_of(exam), headers={"Accept": accept})

    assert body(response) == {"items": [], "next_cursor": None}


@pytest.mark.parametrize(
    "name", ["=1+1", "+1", "-1", "\uff1d1+1", "@SUM(A1)", '=cmd|"/c calc"!A1']
)
def test_a_name_is_no_formula(
    api: Api, admin: Speaker, alice: Persona, sql: connection, name: str
) -> None:
    exam = active(admin, alice.id)
    start(api.as_(alice), exam)
    with sql.cursor() as cursor:
        cursor.execute(
            "UPDATE users SET full_name = %s WHERE id = %s", [name, alice.id]
        )

    response = admin.get(f"{path_of(exam)}?format=csv")

    (row,) = csv.DictReader(io.StringIO(response.text, newline=""))
    assert row["full_name"] == f"'{name}"


def test_an_export_has_every_attempt_once(
    api: Api, admin: Speaker, ada: Persona, enrol_as: Enrol, database: Database
) -> None:
    students = [enrol_as(f"student{n}", Role.STUDENT) for n in range(4)]
    exam = active(admin, *(student.id for student in students))
    started = [start(api.as_(student), exam)["id"] for student in students]
    principal = Principal(
        id=ada.id,
        role=ada.role,
        session_id=ada.session_id,
        must_change_password=False,
    )

    for piece_size in (1, 2, 3, 4, 5):
        results = ResultsService(database, piece_size=piece_size)
        pieces = list(results.export_results(principal, UUID(exam["id"])))
        assert [str(row.attempt_id) for piece in pieces for row in piece] == started
        assert max(map(len, pieces)) <= piece_size


def test_an_exam_that_is_not_there_has_no_spreadsheet(admin: Speaker) -> None:
    path = "/api/exams/01900000-0000-7000-8000-000000000000/results"

    for query in ("", "?format=csv"):
        refused = body(admin.get(f"{path}{query}"), 404)
        assert refused["type"] == "/problems/exam-not-found"
