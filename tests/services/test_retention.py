"""What was kept long enough is erased in the background, and the log verifies."""

from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from uuid import UUID

import psycopg2
import pytest
from flask import Flask
from psycopg2.extensions import connection

from database.migrate import MIGRATIONS
from models import analysis_queue, erasure
from models.connection_settings import ConnectionSettings
from models.database import Database
from models.database_errors import ConstraintError
from models.erasure import DataClass, Target
from services import audit
from services.analysis_cohort import Cohorts, Prepared
from services.analysis_job import AnalysisJob
from services.analysis_record import RecordedAnalysis
from services.analysis_service import judge, store, unless_erased
from services.attempt_errors import EvidenceErasedError
from services.audit_verification import verify
from services.background import jobs
from tests.audit_trail import run, scalar
from tests.by_hand import stated
from tests.exams import ONE_OF_EACH, Json, active, body, entries, start
from tests.logins import log_in
from tests.personas import Api, Persona
from tests.reports import observed, record
from tests.services.conftest import Uncommitted

WHY: Json = {
    "legal_basis": "GDPR Art. 17(1)(a)",
    "reason": "asked for in a letter",
    "erase_mentions": False,
}
KEPT: Json = {
    "event_payloads": None,
    "answers": None,
    "analyses": None,
    "network_addresses": None,
    "accounts": None,
}
# As if the clock had been wrong all the time: the log says so, too.
AGE = """
    BEGIN;
    ALTER TABLE attempts DISABLE TRIGGER attempts_guard;
    UPDATE attempts SET started_at = started_at - interval '40 days',
                        deadline_at = deadline_at - interval '40 days',
                        ended_at = ended_at - interval '40 days'
     WHERE id = '{attempt}';
    ALTER TABLE attempts ENABLE TRIGGER attempts_guard;
    SELECT audit_append_one('settings.changed', 'settings', '1', NULL, NULL, '{{}}');
    COMMIT
"""
BY_DEADLINE = """
    BEGIN;
    ALTER TABLE attempts DISABLE TRIGGER attempts_guard;
    UPDATE attempts SET ended_by = 'deadline' WHERE id = '{attempt}';
    ALTER TABLE attempts ENABLE TRIGGER attempts_guard;
    SELECT audit_append_one('settings.changed', 'settings', '1', NULL, NULL, '{{}}');
    COMMIT
"""
AGE_ACCOUNT = """
    BEGIN;
    UPDATE users SET created_at = created_at - interval '40 days' WHERE id = '{user}';
    UPDATE sessions SET created_at = created_at - interval '40 days',
                        last_used_at = last_used_at - interval '40 days'
     WHERE user_id = '{user}';
    SELECT audit_append_one('settings.changed', 'settings', '1', NULL, NULL, '{{}}');
    COMMIT
"""


@pytest.fixture
def ungraded(api: Api, ada: Persona, alice: Persona, sql: connection) -> Json:
    """An attempt that ended forty days ago, with an essay and an observation."""
    student = api.as_(alice)
    paper = start(student, active(api.as_(ada), alice.id, questions=ONE_OF_EACH))
    path = f"/api/exams/attempts/{paper['id']}"
    record(student, paper, observed(1, payload={"title": "My diary"}))
    answer = {
        "question_id": paper["questions"][-1]["id"],
        "response": "As my grandmother said.",
        "client_version": 1,
    }
    body(student.put(f"{path}/answers", json={"answers": [answer]}))
    body(student.post(f"{path}/submit"))
    run(sql, AGE.format(attempt=paper["id"]))
    return paper


def grade(api: Api, ada: Persona, attempt: Json) -> None:
    grades = [{"question_id": attempt["questions"][-1]["id"], "points": 2}]
    path = f"/api/exams/attempts/{attempt['id']}/grades"
    body(api.as_(ada).put(path, json={"grades": grades}))


@pytest.fixture
def old(api: Api, ada: Persona, ungraded: Json) -> Json:
    grade(api, ada, ungraded)
    return ungraded


@pytest.fixture
def rule(api: Api, ada: Persona) -> Callable[..., None]:
    def rule(**days: int) -> None:
        body(api.as_(ada).put("/api/retention-rules", json=KEPT | days))

    return rule


def sweep(database: Database) -> None:
    """Do what the background process does, until there is nothing left to do."""
    (job,) = [each for each in jobs(database) if each.name == "apply retention"]
    for _ in range(10):
        if job.run() == 0:
            return
    raise AssertionError("it comes to no end")


def responses(sql: connection, attempt: Json) -> list[object]:
    query = "SELECT response FROM answers WHERE attempt_id = %s"
    return [each for (each,) in run(sql, query, attempt["id"])]


def titles(sql: connection) -> list[object]:
    query = "SELECT payload ->> 'title' FROM proctoring_events WHERE payload ? 'title'"
    return [each for (each,) in run(sql, query)]


def test_without_a_rule_everything_is_kept(
    database: Database, sql: connection, old: Json
) -> None:
    sweep(database)

    assert responses(sql, old) == ["As my grandmother said."]
    assert entries(sql, "data.erased") == entries(sql, "retention.applied") == []


def test_answers_go_when_their_time_is_over_and_the_rest_stays(
    *,
    api: Api,
    ada: Persona,
    database: Database,
    sql: connection,
    connection_settings: ConnectionSettings,
    old: Json,
    rule: Callable[..., None],
) -> None:
    rule(answers=30)

    sweep(database)

    assert responses(sql, old) == [None]
    assert titles(sql) == ["My diary"]
    (report,) = body(api.as_(ada).get("/api/erasures"))["items"]
    assert (report["subject_type"], report["subject_id"]) == ("retention", "answers")
    assert report["classes"] == {"answers": 1}
    assert report["legal_basis"] == "GDPR Art. 5(1)(e)"
    assert entries(sql, "retention.applied") == [{"days": 30, "erasures": 1, "rows": 1}]
    found = verify(connection_settings, deep=True)
    assert (found.errors, found.valid) == ((), True)


def test_it_is_done_once_a_day(
    database: Database, sql: connection, old: Json, rule: Callable[..., None]
) -> None:
    rule(answers=30, event_payloads=30)
    sweep(database)
    before = scalar(sql, "SELECT max(seq) FROM audit_log")

    sweep(database)

    assert scalar(sql, "SELECT max(seq) FROM audit_log") == before
    assert len(entries(sql, "data.erased")) == 2
    run(sql, "UPDATE retention_rules SET applied_on = applied_on - 1")
    sweep(database)
    # Again looked through, and nothing was found.
    assert len(entries(sql, "data.erased")) == 2
    assert entries(sql, "retention.applied")[-1] == {
        "days": 30,
        "erasures": 0,
        "rows": 0,
    }
    assert responses(sql, old) == [None]


def test_what_is_younger_or_held_is_kept(
    *,
    api: Api,
    ada: Persona,
    database: Database,
    sql: connection,
    old: Json,
    rule: Callable[..., None],
) -> None:
    rule(answers=41)
    sweep(database)
    assert responses(sql, old) == ["As my grandmother said."]
    hold = {"attempt_id": old["id"], "reason": "lawsuit 3 O 17/26"}
    held = body(api.as_(ada).post("/api/legal-holds", json=hold), 201)
    rule(answers=30)
    sweep(database)
    assert responses(sql, old) == ["As my grandmother said."]

    path = f"/api/legal-holds/{held['id']}/release"
    body(api.as_(ada).post(path, json={"reason": "settled"}))
    run(sql, "UPDATE retention_rules SET applied_on = applied_on - 1")
    sweep(database)

    assert responses(sql, old) == [None]


def test_no_digest_of_answers_is_left_of_a_reopening(
    *,
    api: Api,
    ada: Persona,
    alice: Persona,
    database: Database,
    sql: connection,
    ungraded: Json,
    rule: Callable[..., None],
) -> None:
    path = f"/api/exams/attempts/{ungraded['id']}"
    run(sql, BY_DEADLINE.format(attempt=ungraded["id"]))
    body(api.as_(ada).post(f"{path}/reopen", json={"reason": "a power cut"}))
    body(api.as_(alice).post(f"{path}/submit"))
    run(sql, AGE.format(attempt=ungraded["id"]))
    grade(api, ada, ungraded)
    rule(answers=30)

    sweep(database)

    left = "SELECT event_type FROM audit_log WHERE strpos(state, 'answers ') > 0"
    assert run(sql, left) == [("data.erased",)]


def test_the_terminal_is_told_of_a_row_that_somebody_changed(
    app: Flask, sql: connection, old: Json, rule: Callable[..., None]
) -> None:
    rule(answers=30)
    run(sql, "UPDATE answers SET points_awarded = 0")

    refused = app.test_cli_runner().invoke(args=["retention", "run"])

    assert refused.exit_code == 1
    assert "is not what the audit log says" in refused.output
    assert responses(sql, old) == ["As my grandmother said."]


def test_the_terminal_says_how_far_it_has_come(
    app: Flask, sql: connection, old: Json, rule: Callable[..., None]
) -> None:
    rule(answers=30)

    done = app.test_cli_runner().invoke(args=["retention", "run"])

    # Once to erase, and once to find that there is no more.
    assert done.stderr.splitlines() == [
        f"{steps} transactions, and it goes on" for steps in (1, 2)
    ]
    assert done.stdout.splitlines() == ["2 transactions"]
    assert responses(sql, old) == [None]


def test_the_terminal_is_told_when_somebody_is_in_the_way(
    app: Flask, dsn: str, old: Json, rule: Callable[..., None]
) -> None:
    rule(answers=30)

    with closing(psycopg2.connect(dsn)) as other:
        run(other, "SELECT FROM attempts WHERE id = %s FOR UPDATE", old["id"])
        refused = app.test_cli_runner().invoke(args=["retention", "run"])

    assert refused.exit_code == 1
    assert "busy or away" in refused.stderr


def test_answers_that_have_yet_to_be_graded_are_kept(
    *,
    api: Api,
    ada: Persona,
    database: Database,
    sql: connection,
    ungraded: Json,
    rule: Callable[..., None],
) -> None:
    rule(answers=30, event_payloads=30)

    sweep(database)

    assert responses(sql, ungraded) == ["As my grandmother said."]
    # Nobody needs these to award points.
    assert titles(sql) == []
    grade(api, ada, ungraded)
    run(sql, "UPDATE retention_rules SET applied_on = applied_on - 1")
    sweep(database)
    assert responses(sql, ungraded) == [None]


def test_nobody_is_erased_whose_answers_have_yet_to_be_graded(
    api: Api, ada: Persona, sql: connection, ungraded: Json
) -> None:
    path = f"/api/users/{owner_of(sql, ungraded)}/erasure"

    refused = body(api.as_(ada).post(path, json=WHY), 409)

    assert refused["type"] == "/problems/answers-ungraded"
    assert ungraded["id"] in refused["detail"]
    assert responses(sql, ungraded) == ["As my grandmother said."]
    grade(api, ada, ungraded)
    body(api.as_(ada).post(path, json=WHY))
    assert responses(sql, ungraded) == [None]


def test_answers_that_are_gone_wait_for_nobody(
    api: Api, ada: Persona, sql: connection, ungraded: Json
) -> None:
    run(sql, "SET session_replication_role = replica")
    run(sql, "UPDATE answers SET response = 'null'")
    run(sql, "SET session_replication_role = origin")
    run(sql, stated("UPDATE answers SET response = response"))

    body(api.as_(ada).post(f"/api/users/{owner_of(sql, ungraded)}/erasure", json=WHY))


def test_what_was_erased_before_there_was_a_mark_for_it_gets_one(
    *,
    api: Api,
    sql: connection,
    mallory: Persona,
    ada: Persona,
    database: Database,
    old: Json,
    rule: Callable[..., None],
) -> None:
    other = start(api.as_(mallory), active(api.as_(ada), mallory.id))
    record(api.as_(mallory), other, observed(1))
    rule(answers=30)
    sweep(database)
    run(sql, "UPDATE attempt_activity SET is_evidence_erased = false")

    run(sql, (MIGRATIONS / "0022_erased_before.sql").read_text())

    marked = "SELECT attempt_id FROM attempt_activity WHERE is_evidence_erased"
    assert run(sql, marked) == [(UUID(old["id"]),)]


def test_the_database_keeps_answers_that_have_yet_to_be_graded(
    database: Database, ungraded: Json
) -> None:
    target = Target(attempt_ids=[UUID(ungraded["id"])], classes=[DataClass.ANSWERS])

    with (
        pytest.raises(ConstraintError) as refused,
        database.transaction() as tx,
    ):
        erasure.erase(
            tx,
            target,
            entity_type="retention",
            entity_id="answers",
            actor_id="system",
            payloads=['{"entries":[],"legal_basis":"none"}'],
        )

    assert refused.value.constraint == "erasure_ungraded"


@pytest.mark.parametrize("held", ["user", "attempt", "exam"])
def test_the_database_keeps_what_is_said_of_a_login_while_there_is_a_hold(
    *,
    api: Api,
    ada: Persona,
    alice: Persona,
    database: Database,
    sql: connection,
    old: Json,
    held: str,
) -> None:
    log_in(api, alice.email)
    login = scalar(sql, "SELECT max(seq) FROM audit_log")
    ids = {"user": alice.id, "attempt": old["id"], "exam": old["exam_id"]}
    hold = {f"{held}_id": str(ids[held]), "reason": "lawsuit 3 O 17/26"}
    # Placed when it had been decided already what is old.
    body(api.as_(ada).post("/api/legal-holds", json=hold), 201)

    with (
        pytest.raises(ConstraintError, match="erasure_held"),
        database.transaction() as tx,
    ):
        erasure.erase(
            tx,
            Target(classes=[DataClass.NETWORK_ADDRESSES]),
            entity_type="retention",
            entity_id="network_addresses",
            actor_id="system",
            payloads=[f'{{"entries":[[{login},{login}]],"legal_basis":"none"}}'],
        )


def test_the_database_keeps_the_addresses_of_a_login_while_there_is_a_hold(
    api: Api, ada: Persona, alice: Persona, database: Database, sql: connection
) -> None:
    log_in(api, alice.email)
    login = scalar(sql, "SELECT id FROM sessions WHERE user_id = %s LIMIT 1", alice.id)
    hold = {"user_id": str(alice.id), "reason": "lawsuit 3 O 17/26"}
    body(api.as_(ada).post("/api/legal-holds", json=hold), 201)

    with (
        pytest.raises(ConstraintError, match="erasure_held"),
        database.transaction() as tx,
    ):
        erasure.erase(
            tx,
            Target(session_ids=[login], classes=[DataClass.NETWORK_ADDRESSES]),
            entity_type="retention",
            entity_id="network_addresses",
            actor_id="system",
            payloads=['{"entries":[],"legal_basis":"none"}'],
        )


@pytest.mark.parametrize("data_class", ["answers", "event_payloads"])
def test_of_whom_evidence_was_erased_is_not_judged_by_what_is_left(
    *,
    api: Api,
    ada: Persona,
    database: Database,
    sql: connection,
    old: Json,
    rule: Callable[..., None],
    data_class: str,
) -> None:
    job = AnalysisJob(database, spacing=timedelta())
    job.run()
    path = f"/api/proctoring/attempt/{old['id']}/ai-analysis"
    before = body(api.as_(ada).get(path))
    rule(**{data_class: 30})
    sweep(database)
    checked = scalar(sql, "SELECT checked_at FROM attempt_risk")

    run(sql, "UPDATE attempt_activity SET analysis_due_since = clock_timestamp()")
    assert (job.run(), job.run()) == (1, 0)

    refused = body(api.as_(ada).post(path, json={}), 409)
    assert refused["type"] == "/problems/evidence-erased"
    assert body(api.as_(ada).get(path)) == before
    # Nobody has looked whether the score is still right.
    assert scalar(sql, "SELECT checked_at FROM attempt_risk") == checked
    with database.bookkeeping() as tx:
        assert analysis_queue.list_final(tx) == []


def test_an_analysis_under_way_keeps_nothing_of_what_is_erased(
    database: Database, sql: connection, old: Json, rule: Callable[..., None]
) -> None:
    attempt_id = UUID(old["id"])
    exam_id = scalar(sql, "SELECT exam_id FROM attempts")
    with database.read() as tx:
        prepared = Cohorts().prepare(tx, exam_id, [attempt_id])
    rule(event_payloads=30)
    sweep(database)

    with (
        pytest.raises(EvidenceErasedError),
        unless_erased(attempt_id),
        database.transaction() as tx,
    ):
        store(tx, judge(prepared, attempt_id), audit.SYSTEM)


def test_an_analysis_waits_for_an_erasure_that_is_not_committed_yet(
    *,
    uncommitted: Uncommitted,
    database: Database,
    sql: connection,
    old: Json,
    rule: Callable[..., None],
) -> None:
    attempt_id = UUID(old["id"])
    exam_id = scalar(sql, "SELECT exam_id FROM attempts")
    with database.read() as tx:
        prepared = Cohorts().prepare(tx, exam_id, [attempt_id])
    rule(event_payloads=30)

    def keep() -> None:
        with unless_erased(attempt_id), database.transaction() as tx:
            store(tx, judge(prepared, attempt_id), audit.SYSTEM)

    with uncommitted(lambda: sweep(database)) as pool:
        kept = pool.submit(keep)
    with pytest.raises(EvidenceErasedError):
        kept.result()


def test_what_an_analysis_rests_on_can_not_be_guessed_once_it_is_erased(
    database: Database, sql: connection, old: Json, rule: Callable[..., None]
) -> None:
    AnalysisJob(database).run()
    computed = bytes(scalar(sql, "SELECT inputs_hash FROM ai_analyses"))
    assert inputs_hashes(sql, old) == {computed.hex()}
    rule(analyses=30)

    sweep(database)

    assert inputs_hashes(sql, old) == {"00" * 32}


def test_what_was_erased_before_is_not_reported_again(
    *,
    api: Api,
    ada: Persona,
    database: Database,
    sql: connection,
    old: Json,
    rule: Callable[..., None],
) -> None:
    AnalysisJob(database).run()
    rule(analyses=30)
    sweep(database)

    path = f"/api/users/{owner_of(sql, old)}/erasure"
    erased = body(api.as_(ada).post(path, json=WHY))

    assert entries(sql, "retention.applied")[-1]["rows"] == 1
    assert erased["classes"]["analyses"] == 0


@pytest.mark.usefixtures("old")
def test_an_analysis_that_comes_too_late_is_left(
    *,
    database: Database,
    sql: connection,
    rule: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rule(event_payloads=30)

    def judge_late(prepared: Prepared, attempt_id: UUID) -> RecordedAnalysis:
        sweep(database)
        return judge(prepared, attempt_id)

    monkeypatch.setattr("services.analysis_job.judge", judge_late)
    run(sql, "UPDATE attempt_activity SET analysis_due_since = clock_timestamp()")
    job = AnalysisJob(database, spacing=timedelta())

    assert (job.run(), job.run()) == (1, 0)

    assert scalar(sql, "SELECT count(*) FROM ai_analyses") == 0


@pytest.mark.usefixtures("old")
def test_nobody_is_compared_with_whose_evidence_was_erased(
    database: Database, sql: connection, rule: Callable[..., None]
) -> None:
    exam_id = scalar(sql, "SELECT exam_id FROM attempts")
    with database.read() as tx:
        before = Cohorts().prepare(tx, exam_id, []).cohort.members
    rule(event_payloads=30)
    sweep(database)

    with database.read() as tx:
        after = Cohorts().prepare(tx, exam_id, []).cohort.members

    assert (len(before), len(after)) == (1, 0)


def test_an_attempt_whose_answers_were_erased_does_not_go_on(
    *,
    api: Api,
    ada: Persona,
    database: Database,
    sql: connection,
    old: Json,
    rule: Callable[..., None],
) -> None:
    path = f"/api/exams/attempts/{old['id']}"
    run(sql, BY_DEADLINE.format(attempt=old["id"]))
    rule(answers=30)
    sweep(database)
    before = scalar(sql, "SELECT score FROM attempts")

    wanted = {"reason": "outage", "extra_seconds": 600}
    refused = body(api.as_(ada).post(f"{path}/reopen", json=wanted), 409)

    assert refused["type"] == "/problems/evidence-erased"
    assert scalar(sql, "SELECT score FROM attempts") == before == 2
    exam_id = scalar(sql, "SELECT exam_id FROM attempts")
    (shown,) = body(api.as_(ada).get(f"/api/exams/{exam_id}/attempts"))["items"]
    assert shown["allowed_actions"] == ["grade", "void"]


@pytest.mark.usefixtures("old")
def test_no_digest_of_what_was_kept_from_being_saved_outlives_the_answers(
    database: Database, sql: connection, rule: Callable[..., None]
) -> None:
    run(
        sql,
        "UPDATE attempt_activity SET displaced_at = clock_timestamp(),"
        " displaced_session = (SELECT held_by_session FROM attempts),"
        " refused_digest = sha256('what she wrote')",
    )
    rule(answers=30)

    sweep(database)

    left = (
        "SELECT displaced_session, displaced_at, refused_digest FROM attempt_activity"
    )
    assert run(sql, left) == [(None, None, None)]


def test_an_account_that_nobody_uses_is_erased(
    *,
    app: Flask,
    database: Database,
    sql: connection,
    connection_settings: ConnectionSettings,
    mallory: Persona,
    old: Json,
    rule: Callable[..., None],
) -> None:
    for user in (mallory.id, owner_of(sql, old)):
        run(sql, AGE_ACCOUNT.format(user=user))
    rule(accounts=30)
    preview = app.test_cli_runner().invoke(args=["retention", "preview"])
    assert preview.output.splitlines()[-1].split() == ["accounts", "30", "days", "1"]

    sweep(database)

    # Who has an attempt is not idle.
    gone = "SELECT id FROM users WHERE full_name = 'Erased person'"
    assert run(sql, gone) == [(mallory.id,)]
    assert verify(connection_settings, deep=True).valid


def test_nobody_escapes_by_an_address_that_looks_erased(
    *,
    api: Api,
    database: Database,
    sql: connection,
    rule: Callable[..., None],
) -> None:
    new = {
        "email": "erased-long-ago@erased.invalid",
        "password": "another horse battery",
        "full_name": "Mallory Again",
    }
    user = body(api.as_(None).post("/api/auth/register", json=new), 201)
    run(sql, AGE_ACCOUNT.format(user=user["id"]))
    rule(accounts=30)

    sweep(database)

    gone = "SELECT id FROM users WHERE full_name = 'Erased person'"
    assert run(sql, gone) == [(UUID(user["id"]),)]


def inputs_hashes(sql: connection, attempt: Json) -> set[object]:
    """Read what the table and the log say that analyses were computed from."""
    query = """
        SELECT encode(inputs_hash, 'hex') FROM ai_analyses WHERE attempt_id = %(id)s
         UNION
        SELECT payload::json ->> 'inputs_hash' FROM audit_log
         WHERE attempt_id = %(id)s AND event_type = 'analysis.computed'
           AND payload IS NOT NULL
    """
    with sql.cursor() as cursor:
        cursor.execute(query, {"id": attempt["id"]})
        return {found for (found,) in cursor.fetchall()}


def owner_of(sql: connection, attempt: Json) -> UUID:
    query = "SELECT student_id FROM attempts WHERE id = %s"
    return UUID(str(scalar(sql, query, attempt["id"])))
