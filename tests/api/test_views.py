"""Who looked at whose evidence: what is noted, how often, and who may read it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from uuid import UUID

import psycopg2
import pytest
from flask import Flask
from psycopg2.extensions import connection

from models.connection_settings import ConnectionSettings
from models.database import Database
from models.evidence_view import Subject, SubjectType
from models.principal import Principal
from services.analysis_job import AnalysisJob
from services.background import prune
from services.evidence_views import EvidenceViews, What
from tests.at_once import at_once
from tests.audit_trail import run, scalar
from tests.exams import Json, active, body, entries, start, watch
from tests.personas import Api, Persona, Speaker
from tests.reports import observed, record

COUNT = "SELECT count(*) FROM audit_log WHERE event_type = 'evidence.viewed'"


@pytest.fixture
def exam(api: Api, ada: Persona, bob: Persona, alice: Persona) -> Json:
    made = active(api.as_(ada), alice.id, max_attempts=2)
    watch(api.as_(ada), made, bob.id)
    return made


@pytest.fixture
def attempt(api: Api, alice: Persona, exam: Json) -> Json:
    made = start(api.as_(alice), exam)
    record(api.as_(alice), made, observed(1))
    return made


def events_of(attempt: Json) -> str:
    return f"/api/proctoring/attempt/{attempt['id']}/events"


def views_of(reader: Speaker, attempt: Json, **query: object) -> Json:
    path = f"/api/blockchain/attempt/{attempt['id']}/views"
    return body(reader.get(path, query_string=query))


def test_a_screen_that_asks_again_and_again_is_one_entry(
    api: Api, bob: Persona, attempt: Json, sql: connection
) -> None:
    for _ in range(5):
        body(api.as_(bob).get(events_of(attempt)))

    assert entries(sql, "evidence.viewed") == [
        {
            "viewer": str(bob.id),
            "role": "proctor",
            "what": "events",
            "attempt": attempt["id"],
        }
    ]


def test_another_viewer_thing_or_attempt_is_another_entry(
    api: Api, ada: Persona, bob: Persona, alice: Persona, exam: Json, attempt: Json
) -> None:
    body(api.as_(alice).post(f"/api/exams/attempts/{attempt['id']}/submit"))
    second = start(api.as_(alice), exam)

    for staff, path in (
        (bob, events_of(attempt)),
        (ada, events_of(attempt)),
        (bob, f"/api/proctoring/attempt/{attempt['id']}"),
        (bob, events_of(second)),
    ):
        body(api.as_(staff).get(path))

    assert len(views_of(api.as_(ada), attempt)["items"]) == 3
    assert len(views_of(api.as_(ada), second)["items"]) == 1


def test_who_orders_an_analysis_that_there_is_has_looked_at_it(
    api: Api, ada: Persona, alice: Persona, attempt: Json, database: Database
) -> None:
    body(api.as_(alice).post(f"/api/exams/attempts/{attempt['id']}/submit"))
    AnalysisJob(database).run()

    path = f"/api/proctoring/attempt/{attempt['id']}/ai-analysis"
    body(api.as_(ada).post(path), 200)

    (look,) = views_of(api.as_(alice), attempt)["items"]
    assert (look["what"], look["viewer"]["role"]) == ("analysis", "admin")


@pytest.mark.parametrize(
    ("ago", "noted"),
    [("9 minutes", 1), ("10 minutes", 2), ("-1 hour", 2)],
    ids=["within ten minutes", "after ten minutes", "a clock that was set back"],
)
def test_ten_minutes_later_it_is_noted_anew(
    api: Api, bob: Persona, attempt: Json, sql: connection, ago: str, noted: int
) -> None:
    body(api.as_(bob).get(events_of(attempt)))
    run(sql, "UPDATE evidence_views SET noted_at = noted_at - %s::interval", ago)

    body(api.as_(bob).get(events_of(attempt)))

    assert scalar(sql, COUNT) == noted


def test_processes_that_are_asked_at_once_note_it_once(
    bob: Persona,
    attempt: Json,
    connection_settings: ConnectionSettings,
    sql: connection,
) -> None:
    viewer = Principal(
        id=bob.id, role=bob.role, session_id=bob.session_id, must_change_password=False
    )
    subject = Subject(SubjectType.ATTEMPT, UUID(attempt["id"]))
    # A process has a pool of its own, and shares nothing else.
    pools = [Database(connection_settings) for _ in range(8)]
    try:
        for what in (What.EVENTS, What.ANSWERS, What.TRAIL):
            at_once(
                [
                    partial(EvidenceViews(pool, "x").note, viewer, what, [subject])
                    for pool in pools
                ]
            )
    finally:
        for pool in pools:
            pool.close()

    assert sorted(each["what"] for each in entries(sql, "evidence.viewed")) == [
        *("answers", "events", "trail")
    ]


@contextmanager
def locked_head(dsn: str) -> Iterator[None]:
    """Keep everybody from appending."""
    with closing(psycopg2.connect(dsn)) as other, other.cursor() as cursor:
        cursor.execute("SELECT FROM audit_head FOR UPDATE")
        yield
        other.rollback()


def test_what_can_not_be_noted_now_is_shown_later(
    api: Api, bob: Persona, attempt: Json, dsn: str, sql: connection
) -> None:
    with locked_head(dsn):
        refused = api.as_(bob).get(events_of(attempt))

    assert refused.status_code == 503
    assert "Retry-After" in refused.headers
    assert body(api.as_(bob).get(events_of(attempt)))["items"]
    assert scalar(sql, COUNT) == 1


def test_the_live_board_goes_on_when_nothing_can_be_noted(
    api: Api, bob: Persona, exam: Json, attempt: Json, dsn: str, sql: connection
) -> None:
    with locked_head(dsn):
        board = body(api.as_(bob).get(f"/api/exams/{exam['id']}/attempts"))

    assert [each["id"] for each in board["items"]] == [attempt["id"]]
    assert scalar(sql, COUNT) == 0


def test_a_student_who_looks_at_his_own_leaves_nothing(
    api: Api, alice: Persona, attempt: Json, sql: connection
) -> None:
    student = api.as_(alice)
    before = scalar(sql, "SELECT count(*) FROM audit_log")

    body(student.get(f"/api/proctoring/my-attempt/{attempt['id']}"))
    body(student.get(f"/api/exams/attempts/{attempt['id']}"))
    views_of(student, attempt)

    assert scalar(sql, "SELECT count(*) FROM audit_log") == before


def test_staff_read_who_it_was_and_the_student_what_he_is(
    api: Api, ada: Persona, bob: Persona, alice: Persona, attempt: Json
) -> None:
    body(api.as_(bob).get(events_of(attempt)))
    body(api.as_(ada).get(f"/api/exams/attempts/{attempt['id']}/answers"))

    for_staff = views_of(api.as_(bob), attempt)["items"]
    response = api.as_(alice).get(f"/api/blockchain/attempt/{attempt['id']}/views")
    for_student = body(response)["items"]

    assert [each["what"] for each in for_staff] == ["answers", "events"]
    assert [each["viewer"]["name"] for each in for_staff] == [
        *(ada.full_name, bob.full_name)
    ]
    assert [each["viewer"]["id"] for each in for_staff] == [str(ada.id), str(bob.id)]
    assert [each["viewer"]["role"] for each in for_student] == ["admin", "proctor"]
    for secret in (ada.full_name, bob.full_name, str(ada.id), str(bob.id)):
        assert secret not in response.text
    # What he is told leads staff, and nobody else, to the person.
    assert [each["viewer"]["pseudonym"] for each in for_student] == [
        each["viewer"]["pseudonym"] for each in for_staff
    ]
    assert len({each["viewer"]["pseudonym"] for each in for_student}) == 2
    assert [each["seq"] for each in for_student] == [each["seq"] for each in for_staff]


def test_two_students_can_not_compare_whom_they_were_told_of(
    api: Api, ada: Persona, bob: Persona, alice: Persona, mallory: Persona
) -> None:
    exam = active(api.as_(ada), alice.id, mallory.id)
    watch(api.as_(ada), exam, bob.id)
    pseudonyms = set()
    for student in (alice, mallory):
        attempt = start(api.as_(student), exam)
        body(api.as_(bob).get(events_of(attempt)))
        (view,) = views_of(api.as_(student), attempt)["items"]
        pseudonyms.add(view["viewer"]["pseudonym"])

    assert len(pseudonyms) == 2


def test_what_was_made_of_all_who_sat_the_exam_counts_for_each(
    api: Api, ada: Persona, alice: Persona, exam: Json, attempt: Json
) -> None:
    results = f"/api/exams/{exam['id']}/results"
    body(api.as_(ada).get(results))
    body(api.as_(ada).get("/api/proctoring/suspicious?min_risk=0"))
    assert api.as_(ada).get(results + "?format=csv").status_code == 200

    shown = views_of(api.as_(alice), attempt)["items"]

    assert [(each["what"], each["subject_type"]) for each in shown] == [
        ("results", "exam")
    ]


def test_what_was_looked_at_before_he_began_was_not_his(
    api: Api, ada: Persona, alice: Persona, exam: Json
) -> None:
    body(api.as_(ada).get(f"/api/exams/{exam['id']}/results"))

    attempt = start(api.as_(alice), exam)

    assert views_of(api.as_(alice), attempt)["items"] == []


def test_a_bundle_is_a_look_each_time(
    api: Api, bob: Persona, alice: Persona, attempt: Json
) -> None:
    for _ in range(2):
        path = f"/api/blockchain/attempt/{attempt['id']}/bundle"
        assert api.as_(bob).get(path).status_code == 200

    shown = views_of(api.as_(alice), attempt)["items"]

    assert [each["what"] for each in shown] == ["bundle", "bundle"]


def test_the_terminal_is_nobody_in_particular(
    app: Flask, api: Api, ada: Persona, attempt: Json, tmp_path: object
) -> None:
    command = ["audit", "bundle", attempt["id"], f"{tmp_path}/it", "--reason", "appeal"]
    assert app.test_cli_runner().invoke(args=command).exit_code == 0

    (view,) = views_of(api.as_(ada), attempt)["items"]

    assert view["what"] == "bundle"
    assert set(view["viewer"].values()) == {None}


def test_looks_come_in_pages_the_newest_first(
    api: Api, ada: Persona, attempt: Json
) -> None:
    admin = api.as_(ada)
    for path in (
        events_of(attempt),
        f"/api/proctoring/attempt/{attempt['id']}",
        f"/api/exams/attempts/{attempt['id']}/answers",
        f"/api/blockchain/attempt/{attempt['id']}",
    ):
        body(admin.get(path))

    seen: list[str] = []
    cursor = None
    while True:
        query = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        page = views_of(admin, attempt, **query)
        seen += [each["what"] for each in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert seen == ["trail", "answers", "overview", "events"]


def test_who_looks_at_the_looks_leaves_none(
    api: Api, ada: Persona, attempt: Json, sql: connection
) -> None:
    body(api.as_(ada).get(events_of(attempt)))

    body(api.as_(ada).get("/api/blockchain/events/evidence.viewed"))
    views_of(api.as_(ada), attempt)

    assert scalar(sql, COUNT) == 1


def test_entries_about_a_login_are_a_look_at_its_user(
    api: Api, ada: Persona, sql: connection
) -> None:
    given = {"email": ada.email, "password": "not the password"}
    for email in (ada.email, "nobody@example.edu"):
        api.as_(None).post("/api/auth/login", json=given | {"email": email})

    found = body(api.as_(ada).get("/api/blockchain/events/auth.login_failed"))

    assert len(found["items"]) == 2
    (payload,) = entries(sql, "evidence.viewed")
    assert (payload["what"], payload["user"]) == ("entries", str(ada.id))


def test_what_is_no_news_any_more_is_forgotten(
    api: Api, bob: Persona, attempt: Json, database: Database, sql: connection
) -> None:
    body(api.as_(bob).get(events_of(attempt)))
    body(api.as_(bob).get(f"/api/proctoring/attempt/{attempt['id']}"))
    run(
        sql,
        "UPDATE evidence_views SET noted_at = noted_at - interval '11 minutes'"
        " WHERE what = 'events'",
    )

    prune(database)

    assert run(sql, "SELECT what FROM evidence_views") == [("overview",)]
