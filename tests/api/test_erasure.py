"""A person's data are erased, and the log still verifies."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import LiteralString
from uuid import UUID, uuid4

import psycopg2
import pytest
from flask import Flask
from psycopg2.extensions import connection
from psycopg2.sql import SQL, Identifier, Literal

from models import erasure
from models.connection_settings import ConnectionSettings
from models.database import Database
from models.database_errors import ConstraintError
from services.analysis_job import AnalysisJob
from services.audit_verification import verify
from services.erasing import RANGES_AT_ONCE
from tests.at_once import at_once
from tests.audit_trail import run, scalar
from tests.exams import (
    ONE_OF_EACH,
    Json,
    active,
    body,
    entries,
    new_exam,
    start,
    watch,
)
from tests.logins import log_in
from tests.personas import Api, Persona
from tests.reports import observed, record
from tests.waiting import until_somebody_waits_for_a_lock

WHY: Json = {
    "legal_basis": "GDPR Art. 17(1)(a)",
    "reason": "asked for in a letter",
    "erase_mentions": True,
}
ADDRESS = "198.51.100.77"
AGENT = "Netscape Navigator 4.08 of alice"
ESSAY = "A handshake is SYN, then SYN-ACK, then ACK, as my grandmother said."
TITLE = "My diary, page seven"
COMMENT = "Well said, dear."
NOTE = "Alice Example has a doctor's letter."
REASON = "she left the room for her medicine"

COLUMNS = """
    SELECT table_schema, table_name, column_name, data_type
      FROM information_schema.columns
     WHERE table_schema NOT IN ('pg_catalog', 'information_schema')
"""

IN_BYTES = "SELECT count(*) FROM {table} WHERE position({needle} IN {column}) > 0"
IN_TEXT = """
    SELECT count(*) FROM {table}
     WHERE position({needle} IN convert_to({column}::text, 'UTF8')) > 0
"""
READABLE = "SELECT count(*) FROM audit_log WHERE payload IS NOT NULL"
STILL_SAID = """
    SELECT event_type FROM audit_log WHERE actor_id = %s AND payload IS NOT NULL
"""

# Every other entry is about the person.
DENIALS = """
    SELECT audit_append(
        array_agg('access.denied'::text), array_agg('access'::text),
        array_agg('GET /'::text),
        array_agg(CASE WHEN number %% 2 = 0 THEN %s ELSE 'system' END),
        array_agg(NULL::uuid), array_agg('{}'::text))
      FROM generate_series(1, 2 * %s) AS numbers(number)
"""
ENDED_TOGETHER = """
    BEGIN;
    UPDATE attempts SET end_reason = 'closed' WHERE id IN (%(one)s, %(other)s);
    INSERT INTO proctoring_events (id, attempt_id, batch_id, client_event_id,
                                   event_type, event_class, severity, occurred_at,
                                   payload)
    VALUES (gen_random_uuid(), %(other)s, gen_random_uuid(), gen_random_uuid(),
            'session.submitted', 'lifecycle', 'info', clock_timestamp(), '{}');
    SELECT audit_append_one('attempt.ended', 'attempt', %(one)s, 'system', %(one)s,
                            '{"reason":"closed"}');
    COMMIT
"""


# What somebody with rights of his own adds to an attempt.
SLIPPED_IN: dict[str, LiteralString] = {
    "answers": """
        INSERT INTO answers (attempt_id, exam_id, question_id, response, client_version)
        SELECT attempts.id, exam_id, questions.id, '"slipped in"', 1
          FROM attempts JOIN questions USING (exam_id)
         WHERE attempts.id = %s ORDER BY position LIMIT 1
    """,
    "proctoring_events": """
        INSERT INTO proctoring_events (id, attempt_id, batch_id, client_event_id,
               event_type, event_class, severity, occurred_at, received_at, payload)
        SELECT gen_random_uuid(), attempt_id, gen_random_uuid(), gen_random_uuid(),
               event_type, event_class, severity, occurred_at, received_at,
               '{"slipped": "in"}'
          FROM proctoring_events WHERE attempt_id = %s LIMIT 1
    """,
    "ai_analyses": """
        INSERT INTO ai_analyses (id, attempt_id, model_version, is_official,
               risk_score, risk_level, confidence, result, inputs_hash, created_at)
        SELECT gen_random_uuid(), attempt_id, 'slipped in', false, risk_score,
               risk_level, confidence, result, inputs_hash, created_at
          FROM ai_analyses WHERE attempt_id = %s LIMIT 1
    """,
    "attempts": """
        INSERT INTO attempts (id, exam_id, student_id, attempt_number, status,
               started_at, deadline_at, ended_at, ended_by, layout, score, max_score,
               is_passed)
        SELECT gen_random_uuid(), exam_id, student_id, 99, 'submitted', started_at,
               deadline_at, ended_at, 'student', layout, score, max_score, is_passed
          FROM attempts WHERE id = %s
    """,
}
CHANGED_TWICE = """
    BEGIN;
    UPDATE users SET full_name = full_name || '!' WHERE id = '{user}';
    UPDATE users SET full_name = left(full_name, -1) WHERE id = '{user}';
    SELECT audit_append_one('settings.changed', 'settings', '1', NULL, NULL, '{{}}');
    COMMIT
"""
TAKEN_OUT: dict[str, LiteralString] = {
    "answers": "DELETE FROM answers WHERE response = '\"slipped in\"'",
    "proctoring_events": "DELETE FROM proctoring_events WHERE payload ? 'slipped'",
    "ai_analyses": "DELETE FROM ai_analyses WHERE model_version = 'slipped in'",
    "attempts": "DELETE FROM attempts WHERE attempt_number = 99",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An attempt of alice's that is over, and one of mallory's that mentions her."""

    attempt: Json
    other: Json

    @property
    def path(self) -> str:
        return f"/api/exams/attempts/{self.attempt['id']}"


@pytest.fixture
def case(
    api: Api,
    ada: Persona,
    bob: Persona,
    alice: Persona,
    mallory: Persona,
    database: Database,
) -> Case:
    admin, proctor = api.as_(ada), api.as_(bob)
    log_in(
        api,
        alice.email,
        headers={"User-Agent": AGENT},
        environ_overrides={"REMOTE_ADDR": ADDRESS},
    )
    log_in(api, alice.email, "wrong", environ_overrides={"REMOTE_ADDR": ADDRESS})
    student = api.as_(alice)
    exam = active(admin, alice.id, mallory.id, questions=ONE_OF_EACH)
    watch(admin, exam, bob.id)
    paper = start(student, exam)
    case = Case(attempt=paper, other=start(api.as_(mallory), exam))
    record(student, paper, observed(1, payload={"title": TITLE}), observed(2))
    essay = paper["questions"][-1]["id"]
    answer = {"question_id": essay, "response": ESSAY, "client_version": 1}
    body(student.put(f"{case.path}/answers", json={"answers": [answer]}))
    body(proctor.post(f"{case.path}/terminate", json={"reason": REASON}))
    grade = {"question_id": essay, "points": 2.5, "comment": COMMENT}
    body(proctor.put(f"{case.path}/grades", json={"grades": [grade]}))
    AnalysisJob(database).run()
    review = f"/api/proctoring/attempt/{paper['id']}/review"
    for status in ("in_review", "cleared"):
        step = {"status": status, "note": NOTE}
        body(proctor.put(review, json=step))
    other = f"/api/exams/attempts/{case.other['id']}"
    record(api.as_(mallory), case.other, observed(1, payload={"title": "Nets"}))
    note = "He looked at Alice Example's screen."
    body(
        proctor.post(
            f"/api/proctoring/attempt/{case.other['id']}/notes", json={"text": note}
        ),
        201,
    )
    body(api.as_(mallory).post(f"{other}/submit"))
    return case


@pytest.fixture
def erase(api: Api, ada: Persona, alice: Persona) -> Callable[..., Json]:
    """Erase alice, or somebody else, or only say what that would be."""

    def erase(who: Persona = alice, status: int = 200, query: str = "") -> Json:
        path = f"/api/users/{who.id}/erasure{query}"
        return body(api.as_(ada).post(path, json=WHY), status)

    return erase


def found_in(sql: connection, *needles: str | bytes) -> set[tuple[str, str]]:
    """Search all of the database for text or bytes, and say which is where."""
    columns = run(sql, COLUMNS)
    assert {table for _, table, _, _ in columns} >= {"audit_log", "sessions", "users"}
    found = set()
    for schema, table, column, kind in columns:
        query = IN_BYTES if kind == "bytea" else IN_TEXT
        for needle in needles:
            raw = needle if isinstance(needle, bytes) else needle.encode()
            statement = SQL(query).format(
                table=Identifier(schema, table),
                column=Identifier(column),
                needle=Literal(raw),
            )
            if scalar(sql, statement.as_string(sql)):
                found.add((f"{table}.{column}", str(needle)))
    return found


def everything_of(alice: Persona) -> tuple[str, ...]:
    return (
        alice.email,
        alice.full_name,
        ADDRESS,
        AGENT,
        ESSAY,
        TITLE,
        COMMENT,
        NOTE,
        REASON,
    )


def salts_of(sql: connection, case: Case, alice: Persona) -> list[bytes]:
    rows = run(
        sql,
        "SELECT payload_salt FROM audit_log WHERE attempt_id = %s OR entity_id = %s",
        case.attempt["id"],
        str(alice.id),
    )
    return [bytes(salt) for (salt,) in rows]


def digests_of_answers(sql: connection, attempt: Json) -> list[object]:
    """List the types of the entries that have one, but for what was left of them."""
    query = """
        SELECT event_type FROM audit_log
         WHERE strpos(state, concat('answers ', %s::text, '/')) > 0
           AND event_type <> 'data.erased'
    """
    return [found for (found,) in run(sql, query, attempt["id"])]


def test_nothing_of_a_person_is_left_and_the_log_verifies(
    sql: connection,
    connection_settings: ConnectionSettings,
    case: Case,
    alice: Persona,
    erase: Callable[..., Json],
) -> None:
    salts = salts_of(sql, case, alice)
    before = {needle for _, needle in found_in(sql, *everything_of(alice), *salts)}
    # Or what follows would prove nothing.
    assert before == {str(each) for each in (*everything_of(alice), *salts)}

    erase()

    assert found_in(sql, *everything_of(alice), *salts) == set()
    found = verify(connection_settings, deep=True)
    assert found.errors == ()
    assert found.valid


def test_no_digest_of_his_answers_is_left_with_who_sat_beside_him(
    api: Api,
    ada: Persona,
    alice: Persona,
    mallory: Persona,
    sql: connection,
    erase: Callable[..., Json],
) -> None:
    """Whoever has the rest of a row can try what was answered against its digest."""
    exam = active(api.as_(ada), alice.id, mallory.id, questions=ONE_OF_EACH)
    papers = []
    for who in (alice, mallory):
        papers.append(paper := start(api.as_(who), exam))
        answers = [
            {"question_id": each["id"], "response": True, "client_version": 1}
            for each in paper["questions"]
            if each["kind"] == "true_false"
        ]
        path = f"/api/exams/attempts/{paper['id']}/answers"
        body(api.as_(who).put(path, json={"answers": answers}))
    # Both end in one transaction.
    closed = {"status": "completed"}
    body(api.as_(ada).patch(f"/api/exams/{exam['id']}/status", json=closed))
    assert [len(digests_of_answers(sql, each)) for each in papers] == [2, 2]

    for who in (alice, mallory):
        erase(who)

    assert [digests_of_answers(sql, each) for each in papers] == [[], []]


@pytest.mark.usefixtures("case")
def test_what_one_entry_can_not_list_several_do(
    api: Api, ada: Persona, alice: Persona, sql: connection, erase: Callable[..., Json]
) -> None:
    run(sql, DENIALS, str(alice.id), RANGES_AT_ONCE)
    planned = erase(query="?dry_run=true")

    done = erase()

    parts = entries(sql, "data.erased")
    assert [len(each["entries"]) for each in parts] == [
        RANGES_AT_ONCE,
        len(done["entries"]) - RANGES_AT_ONCE,
    ]
    assert [each["mentions"] for each in parts] == [1, 0]
    assert [bool(each["classes"]) for each in parts] == [True, False]
    own = body(api.as_(ada).get(f"/api/users/{alice.id}/erasure"))
    assert done["entries"] == planned["entries"] == own["entries"]
    assert done["entry_count"] == scalar(
        sql, "SELECT count(*) FROM audit_log WHERE payload IS NULL"
    )


def test_an_entry_that_speaks_of_others_too_can_be_erased(
    api: Api, ada: Persona, alice: Persona, sql: connection, case: Case
) -> None:
    ids = {"one": case.attempt["id"], "other": case.other["id"]}
    with sql.cursor() as cursor:
        # So it was when several ended together.
        cursor.execute(ENDED_TOGETHER, ids)

    why = WHY | {"erase_mentions": False}
    body(api.as_(ada).post(f"/api/users/{alice.id}/erasure", json=why))

    text = 'SELECT payload FROM audit_log WHERE payload = \'{"reason":"closed"}\''
    assert run(sql, text) == []


@pytest.mark.usefixtures("case")
def test_nobody_keeps_another_from_being_erased_by_his_address(
    api: Api, alice: Persona, sql: connection, erase: Callable[..., Json]
) -> None:
    taken = {
        "email": f"erased-{alice.id}@erased.invalid",
        "password": "another horse battery",
        "full_name": "Mallory Again",
    }
    body(api.as_(None).post("/api/auth/register", json=taken), 201)

    erase()

    assert found_in(sql, *everything_of(alice)) == set()


def test_no_token_of_his_and_no_answer_about_him_is_kept(
    *,
    api: Api,
    ada: Persona,
    alice: Persona,
    mallory: Persona,
    sql: connection,
    erase: Callable[..., Json],
) -> None:
    admin, key = api.as_(ada), {"Idempotency-Key": "once"}
    log_in(api, alice.email)
    exam = new_exam(title="For Alice Example")
    exam_id = body(admin.post("/api/exams", json=exam, headers=key), 201)["id"]
    path, both = f"/api/exams/{exam_id}/assignments", [str(alice.id), str(mallory.id)]
    body(admin.post(path, json={"student_ids": both[:1]}), 201)
    # Of who was assigned before it has the id alone.
    body(admin.post(path, json={"student_ids": both}, headers=key), 201)
    assert scalar(sql, "SELECT count(*) FROM idempotency_keys") == 2
    assert scalar(sql, "SELECT count(*) FROM refresh_tokens") == 1

    erase()

    assert scalar(sql, "SELECT count(*) FROM idempotency_keys") == 0
    assert scalar(sql, "SELECT count(*) FROM refresh_tokens") == 0


@pytest.mark.parametrize("written", [str.lower, str.upper])
def test_no_answer_about_his_attempt_is_kept_for_who_asks_again(
    api: Api,
    bob: Persona,
    sql: connection,
    case: Case,
    erase: Callable[..., Json],
    written: Callable[[str], str],
) -> None:
    path = f"/api/proctoring/attempt/{written(case.attempt['id'])}/notes"
    said = {"text": "Was crying when the time was over."}
    key = {"Idempotency-Key": "once"}
    body(api.as_(bob).post(path, json=said, headers=key), 201)
    assert ("idempotency_keys.body", said["text"]) in found_in(sql, said["text"])

    erase()

    assert found_in(sql, said["text"]) == set()


def test_no_answer_about_a_hold_of_his_attempt_is_kept(
    api: Api, ada: Persona, sql: connection, case: Case, erase: Callable[..., Json]
) -> None:
    asked = {"attempt_id": case.attempt["id"], "reason": "Was seen with a phone."}
    key = {"Idempotency-Key": "once"}
    hold = body(api.as_(ada).post("/api/legal-holds", json=asked, headers=key), 201)
    release = {"reason": "It was a calculator."}
    path = f"/api/legal-holds/{hold['id']}/release"
    body(api.as_(ada).post(path, json=release), 200)

    erase()

    assert found_in(sql, asked["reason"]) == set()


@pytest.mark.usefixtures("case")
def test_a_dry_run_says_the_same_and_changes_nothing(
    ada: Persona, sql: connection, erase: Callable[..., Json]
) -> None:
    before = run(sql, "SELECT max(seq), count(payload) FROM audit_log")

    planned = erase(query="?dry_run=true")

    assert run(sql, "SELECT max(seq), count(payload) FROM audit_log") == before
    assert (planned["seq"], planned["erased_at"], planned["erased_by"]) == (None,) * 3
    done = erase()
    assert done == planned | {
        name: done[name] for name in ("seq", "erased_at", "erased_by")
    }
    assert done["erased_by"] == str(ada.id)
    assert done["classes"] == {
        "account": 1,
        "network_addresses": 1,
        "answers": 1,
        "event_payloads": 3,
        "analyses": 1,
        "notes": 1,
    }
    # The note about the other attempt.
    assert (done["mentions"], done["mentions_left"]) == (1, 0)
    assert done["entry_count"] == scalar(
        sql, "SELECT count(*) FROM audit_log WHERE payload IS NULL"
    )


@pytest.mark.usefixtures("case")
def test_what_was_erased_is_reported_and_nobody_is_named(
    api: Api, ada: Persona, sql: connection, alice: Persona, erase: Callable[..., Json]
) -> None:
    done = erase()

    again = erase()
    (listed,) = body(api.as_(ada).get("/api/erasures"))["items"]
    own = body(api.as_(ada).get(f"/api/users/{alice.id}/erasure"))
    assert done == again == listed == own
    assert done["subject_id"] == str(alice.id)
    (facts,) = entries(sql, "data.erased")
    assert facts["entries"] == done["entries"]
    assert facts["legal_basis"] == WHY["legal_basis"]


@pytest.mark.usefixtures("case")
def test_scores_and_kinds_of_events_stay(
    sql: connection, alice: Persona, erase: Callable[..., Json]
) -> None:
    kept = """
        SELECT attempts.status, score, ended_by, review_status,
               (SELECT array_agg((points_awarded, client_version)::text) FROM answers
                 WHERE attempt_id = attempts.id),
               (SELECT array_agg((event_type, occurred_at)::text ORDER BY id)
                  FROM proctoring_events WHERE attempt_id = attempts.id),
               (SELECT array_agg((risk_score, risk_level)::text) FROM ai_analyses
                 WHERE attempt_id = attempts.id)
          FROM attempts ORDER BY id
    """
    before = run(sql, kept)

    erase()

    assert run(sql, kept) == before
    assert run(sql, "SELECT full_name FROM users WHERE id = %s", str(alice.id)) == [
        ("Erased person",)
    ]


def test_staff_can_still_read_what_is_left(
    *,
    api: Api,
    ada: Persona,
    alice: Persona,
    bob: Persona,
    database: Database,
    case: Case,
    erase: Callable[..., Json],
) -> None:
    erase()

    attempt_id, exam_id = case.attempt["id"], case.attempt["exam_id"]
    for path in (
        f"/api/proctoring/attempt/{attempt_id}",
        f"/api/proctoring/attempt/{attempt_id}/events",
        f"/api/proctoring/attempt/{attempt_id}/ai-analysis",
        f"/api/proctoring/attempt/{attempt_id}/ai-analysis/history",
        f"/api/proctoring/suspicious?exam_id={exam_id}",
        f"/api/blockchain/attempt/{attempt_id}",
        f"/api/exams/{exam_id}/attempts",
        f"/api/exams/attempts/{attempt_id}/answers",
    ):
        assert api.as_(bob).get(path).status_code == 200, path
    for path in (
        f"/api/exams/{exam_id}/results",
        "/api/blockchain/events/data.erased",
        f"/api/blockchain/entity/user/{alice.id}",
        f"/api/users/{alice.id}",
    ):
        assert api.as_(ada).get(path).status_code == 200, path
    analyse = f"/api/proctoring/attempt/{attempt_id}/ai-analysis"
    assert api.as_(ada).post(analyse).status_code == 409
    AnalysisJob(database).run()


@pytest.mark.usefixtures("case")
def test_nobody_logs_in_as_who_was_erased_nor_gives_him_a_name(
    api: Api, ada: Persona, alice: Persona, erase: Callable[..., Json]
) -> None:
    erase()

    assert api.as_(alice).get("/api/auth/me").status_code == 401
    assert log_in(api, alice.email).status_code == 401
    path = f"/api/users/{alice.id}"
    for response in (
        api.as_(ada).patch(path, json={"full_name": "A", "is_active": True}),
        api.as_(ada).post(
            f"{path}/reset-password", json={"new_password": "another horse battery"}
        ),
    ):
        assert body(response, 409)["type"] == "/problems/account-erased"
    new = {
        "email": alice.email,
        "password": "another horse battery",
        "full_name": "Alice Example",
    }
    body(api.as_(None).post("/api/auth/register", json=new), 201)


def test_a_reset_that_waited_for_an_erasure_gives_nobody_a_password(
    api: Api,
    ada: Persona,
    alice: Persona,
    erase: Callable[..., Json],
    sql: connection,
    dsn: str,
) -> None:
    reset = partial(
        api.as_(ada).post,
        f"/api/users/{alice.id}/reset-password",
        json={"new_password": "another horse battery"},
    )

    with closing(psycopg2.connect(dsn)) as other, ThreadPoolExecutor(2) as pool:
        run(other, "SELECT FROM users WHERE id = %s FOR UPDATE", str(alice.id))
        erased = pool.submit(erase)
        until_somebody_waits_for_a_lock(sql)
        # It reads the account before it is erased, and comes to it afterwards.
        answer = pool.submit(reset)
        until_somebody_waits_for_a_lock(sql, waiters=2)
        other.rollback()
        erased.result()

        refused = body(answer.result(), 409)

    assert refused["type"] == "/problems/account-erased"
    assert entries(sql, "user.password_reset") == []


@pytest.mark.parametrize("held", ["user_id", "attempt_id", "exam_id"])
def test_a_hold_keeps_everything_until_it_is_released(
    *,
    api: Api,
    ada: Persona,
    sql: connection,
    case: Case,
    alice: Persona,
    erase: Callable[..., Json],
    held: str,
) -> None:
    targets = {
        "user_id": str(alice.id),
        "attempt_id": case.attempt["id"],
        "exam_id": case.attempt["exam_id"],
    }
    admin = api.as_(ada)
    new = {held: targets[held], "reason": "lawsuit 3 O 17/26"}
    hold = body(admin.post("/api/legal-holds", json=new), 201)

    for query in ("", "?dry_run=true"):
        refused = erase(status=409, query=query)
        assert refused["type"] == "/problems/legal-hold"
        assert hold["id"] in refused["detail"]
    assert ESSAY in {needle for _, needle in found_in(sql, ESSAY)}

    path = f"/api/legal-holds/{hold['id']}/release"
    released = body(admin.post(path, json={"reason": "settled"}))
    assert released["released_by"] == str(ada.id)
    again = body(admin.post(path, json={"reason": "settled"}), 409)
    assert again["type"] == "/problems/hold-released"
    assert body(admin.get("/api/legal-holds?is_active=true"))["items"] == []
    assert len(body(admin.get("/api/legal-holds?is_active=false"))["items"]) == 1
    erase()
    assert len(entries(sql, "hold.placed")) == len(entries(sql, "hold.released")) == 1
    left = ("lawsuit 3 O 17/26", "settled")
    assert run(sql, "SELECT reason, release_reason FROM legal_holds") == [
        left if held == "exam_id" else ("(erased)", "(erased)")
    ]


@pytest.mark.usefixtures("case")
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE proctoring_events SET payload = jsonb_build_object('title', 'Another')",
        "UPDATE proctoring_events SET payload = '{}', severity = 'info'",
        "UPDATE ai_analyses SET result = result - 'factors'",
        "UPDATE ai_analyses SET result = erased_result(result), risk_score = 0",
        "DELETE FROM proctoring_events",
        "DELETE FROM ai_analyses",
    ],
)
def test_evidence_is_emptied_and_never_another(sql: connection, change: str) -> None:
    """Not even by who may empty it."""
    run(sql, "SET ROLE proctoring_owner")

    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="never changed"):
        run(sql, change)


@pytest.mark.usefixtures("case")
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE proctoring_events SET payload = '{}'",
        "UPDATE ai_analyses SET result = erased_result(result)",
    ],
)
def test_evidence_is_emptied_by_nobody_else(sql: connection, change: str) -> None:
    """Not even by a superuser, by accident: an erasure leaves an entry."""
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="never changed"):
        run(sql, change)


@pytest.mark.parametrize(
    "change",
    [
        "released_at = NULL, released_by = NULL, release_reason = NULL",
        "release_reason = 'Nobody asked for it.'",
    ],
)
def test_a_hold_that_was_released_stays_so(
    sql: connection, ada: Persona, alice: Persona, change: str
) -> None:
    """Whatever the application believes."""
    run(
        sql,
        "INSERT INTO legal_holds (id, user_id, reason, placed_by)"
        " VALUES (gen_random_uuid(), %s, 'lawsuit 3 O 17/26', %s)",
        alice.id,
        ada.id,
    )
    run(sql, "SET ROLE proctoring_app")
    release = "UPDATE legal_holds SET released_at = now(), release_reason = 'settled'"
    run(sql, release)

    with pytest.raises(psycopg2.errors.CheckViolation) as refused:
        run(sql, f"UPDATE legal_holds SET {change}")  # noqa: S608 - constants.

    assert refused.value.diag.constraint_name == "legal_holds_released"


@pytest.mark.usefixtures("case")
def test_a_hold_that_lasts_says_why(
    api: Api, ada: Persona, bob: Persona, sql: connection, erase: Callable[..., Json]
) -> None:
    why = "Alice Example sues him."
    new = {"user_id": str(bob.id), "reason": why}
    body(api.as_(ada).post("/api/legal-holds", json=new), 201)

    erase()

    assert run(sql, "SELECT reason FROM legal_holds") == [(why,)]


def test_a_hold_on_whom_the_mention_is_about_keeps_the_mention(
    api: Api, ada: Persona, case: Case, erase: Callable[..., Json], alice: Persona
) -> None:
    new = {"attempt_id": case.other["id"], "reason": "lawsuit 3 O 17/26"}
    body(api.as_(ada).post("/api/legal-holds", json=new), 201)
    assert erase(status=409)["type"] == "/problems/legal-hold"

    path = f"/api/users/{alice.id}/erasure"
    done = body(api.as_(ada).post(path, json=WHY | {"erase_mentions": False}))

    assert (done["mentions"], done["mentions_left"]) == (0, 1)


@pytest.mark.parametrize("status", ["in_review", "needs_second_review"])
def test_an_open_review_keeps_everything(
    api: Api, bob: Persona, case: Case, erase: Callable[..., Json], status: str
) -> None:
    path = f"/api/proctoring/attempt/{case.attempt['id']}/review"
    for step in ("in_review", status):
        body(api.as_(bob).put(path, json={"status": step}))

    assert erase(status=409)["type"] == "/problems/case-open"


@pytest.mark.parametrize("is_paused", [False, True])
def test_a_running_attempt_keeps_everything(
    *,
    api: Api,
    ada: Persona,
    alice: Persona,
    erase: Callable[..., Json],
    is_paused: bool,
) -> None:
    paper = start(api.as_(alice), active(api.as_(ada), alice.id))
    if is_paused:
        path = f"/api/exams/attempts/{paper['id']}/pause"
        body(api.as_(ada).post(path, json={"reason": "a fire alarm"}))

    assert erase(status=409)["type"] == "/problems/case-open"


@pytest.mark.parametrize("held", ["user", "mentioned"])
def test_the_database_refuses_by_itself_what_a_hold_keeps(
    api: Api, ada: Persona, alice: Persona, case: Case, database: Database, held: str
) -> None:
    """Whoever holds the database's rights of the application gets no further."""
    other = UUID(case.other["id"])
    new, target = {
        "user": (
            {"user_id": str(alice.id)},
            erasure.Target(user_id=alice.id, classes=list(erasure.DataClass)),
        ),
        "mentioned": (
            {"attempt_id": str(other)},
            erasure.Target(mentioned_in=[other], classes=[erasure.DataClass.NOTES]),
        ),
    }[held]
    new["reason"] = "lawsuit 3 O 17/26"
    body(api.as_(ada).post("/api/legal-holds", json=new), 201)

    with (
        pytest.raises(ConstraintError, match="erasure_held"),
        database.transaction() as tx,
    ):
        erasure.erase(
            tx,
            target,
            entity_type="user",
            entity_id=str(alice.id),
            actor_id="system",
            payloads=['{"entries":[],"legal_basis":"none"}'],
        )


def test_an_edited_row_is_not_made_the_truth_by_an_erasure(
    sql: connection,
    connection_settings: ConnectionSettings,
    case: Case,
    erase: Callable[..., Json],
) -> None:
    edit = "UPDATE attempts SET score = score + 1 WHERE id = %s"
    run(sql, edit, case.attempt["id"])

    assert erase(status=409)["type"] == "/problems/rows-not-as-logged"

    found = verify(connection_settings, deep=True)
    assert list(found.errors_by_class) == ["domain_differs"]
    run(sql, edit.replace("+", "-"), case.attempt["id"])
    erase()


@pytest.mark.parametrize("table", SLIPPED_IN)
def test_a_row_that_the_log_knows_nothing_of_is_not_made_the_truth_either(
    *,
    sql: connection,
    case: Case,
    erase: Callable[..., Json],
    table: str,
) -> None:
    """None of the entries that are emptied names it: it was slipped in."""
    run(sql, f"ALTER TABLE {table} DISABLE TRIGGER USER")
    run(sql, SLIPPED_IN[table], case.attempt["id"])
    run(sql, f"ALTER TABLE {table} ENABLE TRIGGER USER")

    assert erase(status=409)["type"] == "/problems/rows-not-as-logged"

    assert entries(sql, "data.erased") == []
    run(sql, f"ALTER TABLE {table} DISABLE TRIGGER USER")
    run(sql, TAKEN_OUT[table])
    run(sql, f"ALTER TABLE {table} ENABLE TRIGGER USER")


@pytest.mark.usefixtures("case")
def test_of_a_row_that_was_changed_twice_at_once_the_last_counts(
    sql: connection, alice: Persona, erase: Callable[..., Json]
) -> None:
    run(sql, CHANGED_TWICE.format(user=alice.id))

    erase()

    assert len(entries(sql, "data.erased")) == 1


def test_the_reason_must_not_name_the_person(
    api: Api, ada: Persona, alice: Persona, sql: connection
) -> None:
    path = f"/api/users/{alice.id}/erasure"
    for name in (alice.email.upper(), alice.full_name):
        for query in ("", "?dry_run=true"):
            why = WHY | {"reason": f"a letter of {name}, of today"}
            refused = body(api.as_(ada).post(path + query, json=why), 422)
            assert refused["type"] == "/problems/reason-names-person"
            assert refused["errors"][0]["pointer"] == "#/reason"
    assert entries(sql, "data.erased") == []


def test_the_last_admin_is_not_erased(ada: Persona, erase: Callable[..., Json]) -> None:
    assert erase(ada, 409)["type"] == "/problems/last-admin"


@pytest.mark.parametrize("query", ["", "?dry_run=true"])
def test_who_is_not_there_is_not_erased(
    api: Api, ada: Persona, sql: connection, query: str
) -> None:
    path = f"/api/users/{uuid4()}/erasure"

    for reply in (
        api.as_(ada).post(path + query, json=WHY),
        api.as_(ada).get(path),
    ):
        assert body(reply, 404)["type"] == "/problems/user-not-found"
    assert entries(sql, "data.erased") == []


@pytest.mark.usefixtures("case")
def test_what_staff_did_to_others_stays_when_staff_is_erased(
    sql: connection,
    connection_settings: ConnectionSettings,
    bob: Persona,
    erase: Callable[..., Json],
) -> None:
    erase(bob)

    left = {kind for (kind,) in run(sql, STILL_SAID, str(bob.id))}
    assert {"attempt.terminated", "attempt.graded", "attempt.reviewed"} <= left
    assert found_in(sql, bob.email, bob.full_name) == set()
    assert verify(connection_settings, deep=True).valid


def test_others_of_the_same_name_and_what_exams_say_stay(
    api: Api,
    ada: Persona,
    alice: Persona,
    sql: connection,
    connection_settings: ConnectionSettings,
    erase: Callable[..., Json],
) -> None:
    new = {
        "email": "alice2@example.edu",
        "password": "another horse battery",
        "full_name": alice.full_name,
    }
    body(api.as_(None).post("/api/auth/register", json=new), 201)
    active(api.as_(ada), title="Works of Alice Example")

    done = erase()

    assert done["mentions_left"] == 2
    assert {place for place, _ in found_in(sql, alice.full_name)} == {
        "users.full_name",
        "exams.title",
        "audit_log.payload",
    }
    assert found_in(sql, alice.email) == set()
    assert verify(connection_settings, deep=True).valid


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("Ask ALICE@example.edu.", True),
        ("first line\nalice@example.edu", True),
        ("Malice@example.edu", False),
        ("x.alice@example.edu", False),
        ("alice@example.education", False),
        ("alice@example.edu.au", False),
        ("Alice Example", True),
        ("alice example's", True),
        ("Malice Example", False),
        ("Alice Examples", False),
    ],
)
def test_a_mention_is_a_whole_word(
    *,
    api: Api,
    ada: Persona,
    bob: Persona,
    mallory: Persona,
    erase: Callable[..., Json],
    text: str,
    is_found: bool,
) -> None:
    exam = active(api.as_(ada), mallory.id)
    watch(api.as_(ada), exam, bob.id)
    attempt = start(api.as_(mallory), exam)
    path = f"/api/proctoring/attempt/{attempt['id']}/notes"
    body(api.as_(bob).post(path, json={"text": text}), 201)
    body(api.as_(mallory).post(f"/api/exams/attempts/{attempt['id']}/submit"))

    assert erase()["mentions"] == is_found


@pytest.mark.parametrize(
    "name", ["user_agent", "integrity", "answers_digest", "Netscape Navigator", "Nets"]
)
def test_a_name_that_everything_contains_erases_nobody_elses_evidence(
    api: Api,
    case: Case,
    sql: connection,
    erase: Callable[..., Json],
    mallory: Persona,
    name: str,
) -> None:
    """A person chooses his name, and may choose what stands in every entry."""
    log_in(api, mallory.email, headers={"User-Agent": "Netscape Navigator"})
    new = {
        "email": "somebody@example.edu",
        "password": "another horse battery",
        "full_name": name,
    }
    nobody = body(api.as_(None).post("/api/auth/register", json=new), 201)
    before = scalar(sql, READABLE)

    done = erase(replace(mallory, id=UUID(nobody["id"])))

    assert done["mentions"] == 0
    assert done["mention_entries"] == []
    assert done["mentions_left"] > 0
    # The report is one more; of his registration nothing is left.
    assert scalar(sql, READABLE) == before + 1 - done["entry_count"]
    assert done["entry_count"] == 1
    assert scalar(sql, "SELECT count(*) FROM proctoring_events WHERE payload <> '{}'")
    assert case.path


def test_what_a_program_reports_nobody_has_written(
    api: Api,
    ada: Persona,
    alice: Persona,
    mallory: Persona,
    sql: connection,
    erase: Callable[..., Json],
) -> None:
    """It is evidence about its student, whatever names stand in it, and beside it."""
    attempt = start(api.as_(mallory), active(api.as_(ada), mallory.id))
    seen = observed(1, "clipboard.paste", payload={"text": alice.full_name})
    record(api.as_(mallory), attempt, seen)
    path = f"/api/exams/attempts/{attempt['id']}"
    more = {"minutes": 1, "reason": f"{alice.full_name} was loud."}
    body(api.as_(ada).post(f"{path}/extend", json=more))
    body(api.as_(mallory).post(f"{path}/submit"))

    done = erase()

    # What staff has said stands with the extension and with the event that tells of it.
    assert (done["mentions"], done["mentions_left"]) == (2, 1)
    kept = scalar(
        sql, "SELECT payload FROM proctoring_events WHERE sequence IS NOT NULL"
    )
    assert kept == {"text": alice.full_name}


def test_what_mentions_him_is_listed_before_it_goes(
    sql: connection, case: Case, erase: Callable[..., Json]
) -> None:
    planned = erase(query="?dry_run=true")

    ((first, last),) = planned["mention_entries"]
    assert first == last
    about = scalar(sql, "SELECT attempt_id FROM audit_log WHERE seq = %s", first)
    assert str(about) == case.other["id"]
    assert erase()["mention_entries"] == planned["mention_entries"]


def test_whether_mentions_go_is_to_be_said(
    api: Api, ada: Persona, alice: Persona
) -> None:
    unsaid = {name: value for name, value in WHY.items() if name != "erase_mentions"}

    path = f"/api/users/{alice.id}/erasure"
    refused = body(api.as_(ada).post(path, json=unsaid), 422)

    assert [each["pointer"] for each in refused["errors"]] == ["#/erase_mentions"]


@pytest.mark.usefixtures("case")
def test_a_hold_that_comes_during_an_erasure_waits_for_it(
    api: Api,
    ada: Persona,
    alice: Persona,
    erase: Callable[..., Json],
    sql: connection,
    dsn: str,
) -> None:
    hold = {"user_id": str(alice.id), "reason": "lawsuit 3 O 17/26"}
    place = partial(api.as_(ada).post, "/api/legal-holds", json=hold)

    with closing(psycopg2.connect(dsn)) as other, ThreadPoolExecutor(2) as pool:
        # The account is locked, and the log not yet searched.
        run(other, "LOCK TABLE audit_log")
        erased = pool.submit(erase)
        until_somebody_waits_for_a_lock(sql)
        placed = pool.submit(place)
        until_somebody_waits_for_a_lock(sql, waiters=2)
        other.rollback()

        assert erased.result()["classes"]["account"] == 1
        body(placed.result(), 201)


def test_who_is_being_erased_starts_no_attempt(
    api: Api,
    ada: Persona,
    mallory: Persona,
    erase: Callable[..., Json],
    sql: connection,
    dsn: str,
) -> None:
    exam = active(api.as_(ada), mallory.id)
    begin = partial(api.as_(mallory).post, f"/api/exams/{exam['id']}/start")

    with closing(psycopg2.connect(dsn)) as other, ThreadPoolExecutor(2) as pool:
        # An erasure comes to this when it has locked the account; a start never does.
        run(other, "LOCK TABLE legal_holds")
        erased = pool.submit(erase, mallory)
        until_somebody_waits_for_a_lock(sql)
        begun = pool.submit(begin)
        until_somebody_waits_for_a_lock(sql, waiters=2)
        other.rollback()

        assert erased.result()["classes"]["account"] == 1
        body(begun.result(), 401)
    assert run(sql, "SELECT FROM attempts") == []


@pytest.mark.usefixtures("case")
def test_of_two_who_erase_at_once_both_get_the_report(
    app: Flask, ada: Persona, alice: Persona, sql: connection
) -> None:
    path = f"/api/users/{alice.id}/erasure"

    ask = partial(Api(app).as_(ada).post, path, json=WHY)
    first, second = at_once([ask, ask])

    assert body(first) == body(second)
    assert len(entries(sql, "data.erased")) == 1
