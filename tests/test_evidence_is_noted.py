"""Whoever of the staff looks at somebody's evidence leaves an entry: for every route.

Made from the routes themselves. A route that is added tomorrow fails until somebody
says whether what it shows is evidence.
"""

from collections.abc import Iterator
from typing import Final

import pytest
from flask import Flask
from psycopg2.extensions import connection
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from api.contract import Contract
from models.audit_event import AuditEvent
from models.principal import Role
from services.audit_verification import verify
from tests.audit_trail import run, scalar
from tests.databases import connection_to
from tests.exams import Json
from tests.scene import Cast
from tests.test_permissions import path_of, rules_of

STAFF: Final = {Role.ADMIN, Role.PROCTOR}
# What staff may read and is nobody's evidence, and why not.
NOT_EVIDENCE: Final = {
    "auth.me": "one's own account",
    "auth.list_sessions": "one's own logins",
    "data_exports.export_own_data": "one's own",
    "users.get_user": "an account: a name and an address, nothing that was done",
    "users.list_users": "accounts",
    "exams.list_exams": "exams",
    "exams.get_exam": "an exam",
    "questions.list_questions": "questions, which are nobody's",
    "assignments.list_assignments": "who may sit the exam, before he has",
    "assignments.list_proctors": "staff",
    "attempt_actions.list_attempts": "the live board of all who sit the exam: it is"
    " asked every few seconds, and shows no events, reasons or answers of anybody",
    "proctoring.list_event_types": "the catalogue",
    "blockchain.summarize": "counts",
    "blockchain.verify": "numbers of entries, and what is wrong with them",
    "blockchain.list_event_types": "the catalogue",
    "transparency.prove_inclusion": "hashes",
    "verifications.list_verifications": "runs of the verifier",
    "verifications.get_verification": "numbers of entries, and what is wrong with them",
    "erasures.list_erasures": "that something was erased, and why; what it was is gone",
    "erasures.get_erasure": "the same, of one person",
    "legal_holds.list_holds": "what must be kept, and nothing of what it is",
    "retention.list_rules": "for how long things are kept",
    "evidence.list_views": "who of the staff has looked, not what there was to see",
}
# Without it nobody is in the list.
QUERY: Final = {"analysis.list_suspicious": "?min_risk=0"}
SINCE: Final = """
    SELECT event_type, actor_id, payload::json FROM audit_log
     WHERE seq > %s ORDER BY seq
"""


BREAK_THE_LOG: Final = """
    ALTER TABLE audit_head DISABLE TRIGGER ALL;
    DELETE FROM audit_head
"""


@pytest.fixture
def dsn(request: pytest.FixtureRequest, played: str) -> Iterator[str]:
    yield played
    if request.node.get_closest_marker("tampers") is None:
        assert verify(connection_to(played)).errors == ()


def staff_reads(app: Flask) -> list[tuple[Rule, Contract]]:
    return [
        (rule, contract)
        for rule, method, contract in rules_of(app)
        if method == "GET" and STAFF & set(contract.roles or ())
    ]


def shown(app: Flask, role: Role) -> list[tuple[Rule, Contract]]:
    """List the reads of a role that show evidence."""
    return [
        (rule, contract)
        for rule, contract in staff_reads(app)
        if contract.shows is not None and role in (contract.roles or ())
    ]


def get(app: Flask, cast: Cast, who: str, rule: Rule) -> TestResponse:
    # Of answers there is nothing to see before the attempt is over.
    instead = (
        {"attempt_id": cast.ids["submitted_attempt_id"]}
        if rule.endpoint == "attempt_actions.read_answers"
        else {}
    )
    path = path_of(rule, {**cast.ids, **instead}) + QUERY.get(rule.endpoint, "")
    return app.test_client().get(path, headers=cast.headers(who))


def entries_since(sql: connection, seq: object) -> list[tuple[str, str, Json]]:
    return [(str(a), str(b), c) for a, b, c in run(sql, SINCE, seq)]


def last_seq(sql: connection) -> object:
    return scalar(sql, "SELECT max(seq) FROM audit_log")


def test_every_read_of_staff_is_evidence_or_is_said_not_to_be(app: Flask) -> None:
    silent = {
        rule.endpoint for rule, contract in staff_reads(app) if contract.shows is None
    }

    assert silent == set(NOT_EVIDENCE)


def test_what_students_read_is_their_own(app: Flask) -> None:
    """It is not noted, so nothing of somebody else may be shown by it."""
    for rule, _, contract in rules_of(app):
        if contract.shows is not None:
            assert set(contract.roles or ()) <= STAFF, rule.endpoint


@pytest.mark.parametrize("who", ["ada", "bob"])
def test_a_look_at_evidence_leaves_an_entry(
    app: Flask, cast: Cast, sql: connection, who: str
) -> None:
    found = {}
    for rule, contract in shown(app, cast.role(who)):
        # Two routes may show the same thing.
        run(sql, "DELETE FROM evidence_views")
        before = last_seq(sql)

        response = get(app, cast, who, rule)

        assert response.status_code == 200, response.text
        entries = entries_since(sql, before)
        assert entries, rule.endpoint
        for event_type, actor, payload in entries:
            assert event_type == contract.recorded_as
            assert actor == str(cast[who].id)
            if event_type == AuditEvent.EVIDENCE_VIEWED:
                assert payload["viewer"] == actor
                assert payload["role"] == cast.role(who)
                assert payload["what"] == contract.shows
                assert {"attempt", "exam", "user"} & set(payload)
        found[rule.endpoint] = len(entries)

    assert len(found) >= 8
    # One person's or one exam's is one entry; of other lists, each student's.
    assert found.pop("blockchain.list_events", 2) > 1
    assert found.pop("appeals.list_appeals") == 2
    assert set(found.values()) == {1}


def test_the_same_look_again_is_no_news(
    app: Flask, cast: Cast, sql: connection
) -> None:
    for rule, contract in shown(app, Role.ADMIN):
        get(app, cast, "ada", rule)
        before = last_seq(sql)

        response = get(app, cast, "ada", rule)

        assert response.status_code == 200
        # What leaves the system is recorded each time that it does.
        is_export = contract.recorded_as != AuditEvent.EVIDENCE_VIEWED
        assert len(entries_since(sql, before)) == is_export, rule.endpoint


def test_who_is_refused_has_seen_nothing(
    app: Flask, cast: Cast, sql: connection
) -> None:
    before = last_seq(sql)

    for rule, _ in shown(app, Role.PROCTOR):
        if "exam_id" in rule.arguments or "attempt_id" in rule.arguments:
            assert get(app, cast, "oscar", rule).status_code == 404

    assert entries_since(sql, before) == []


@pytest.mark.tampers
def test_what_can_not_be_noted_is_not_shown(
    app: Flask, cast: Cast, sql: connection
) -> None:
    run(sql, BREAK_THE_LOG)

    for rule, _ in shown(app, Role.ADMIN):
        response = get(app, cast, "ada", rule)

        assert response.status_code in {409, 503}, rule.endpoint
        assert response.mimetype == "application/problem+json"


@pytest.mark.tampers
def test_the_table_of_results_is_not_begun_before_it_is_noted(
    app: Flask, cast: Cast, sql: connection
) -> None:
    path = f"/api/exams/{cast.ids['exam_id']}/results?format=csv"
    before = last_seq(sql)
    response = app.test_client().get(path, headers=cast.headers("ada"))

    assert "alice@example.edu" in response.text
    ((_, _, payload),) = entries_since(sql, before)
    assert (payload["what"], payload["exam"]) == ("results", cast.ids["exam_id"])
    run(sql, "DELETE FROM evidence_views")
    run(sql, BREAK_THE_LOG)

    response = app.test_client().get(path, headers=cast.headers("ada"))

    assert response.status_code == 503
    assert "alice@example.edu" not in response.text
