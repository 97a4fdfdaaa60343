"""Who may call what, for every route that exists: made from the routes themselves.

A route that is added tomorrow is tested tomorrow; one that says nothing of who may
call it fails.
"""

import re
from collections.abc import Mapping
from uuid import uuid4

import pytest
from flask import Flask
from werkzeug.routing import Rule

from api.contract import Contract, contract_of
from models.principal import Role
from tests.exams import body
from tests.scene import STRANGERS, Cast
from tests.writes import WRITES

# What is no id: the number of an entry, and where a tile is.
UNTYPED = {"seq": "0", "level": "0", "tile": "000"}
# Of an exam, of an attempt, or of one thing in either.
OWNED = {"exam_id", "attempt_id", "entity_id"}


@pytest.fixture
def app(scene_app: Flask) -> Flask:
    """One for all tests here: what is refused leaves nothing behind."""
    return scene_app


def rules_of(app: Flask) -> list[tuple[Rule, str, Contract]]:
    return [
        (rule, method, contract_of(app.view_functions[rule.endpoint]))
        for rule in app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]


def path_of(rule: Rule, known: Mapping[str, object]) -> str:
    """Fill the route's variables with what exists, or with what might."""

    def value(match: re.Match[str]) -> str:
        converter, _, name = match.group(1).rpartition(":")
        return str(known.get(name, UNTYPED.get(converter) or uuid4()))

    return re.sub(r"<([^>]+)>", value, rule.rule)


def call(
    app: Flask, cast: Cast, who: str, method: str, path: str, body: object = None
) -> int:
    response = app.test_client().open(
        path, method=method, json=body, headers=cast.headers(who)
    )
    assert response.status_code != 401 or "WWW-Authenticate" in response.headers
    return response.status_code


def test_every_route_says_who_may_call_it(app: Flask) -> None:
    silent = [
        rule.endpoint for rule, _, contract in rules_of(app) if contract.roles is None
    ]

    assert silent == []


@pytest.mark.parametrize("who", STRANGERS)
def test_who_is_not_authenticated_gets_401_everywhere(
    app: Flask, cast: Cast, who: str
) -> None:
    found = {
        f"{method} {rule.rule}": call(
            app, cast, who, method, path_of(rule, cast.ids), {}
        )
        for rule, method, contract in rules_of(app)
        if contract.roles != ()
    }

    assert {route: status for route, status in found.items() if status != 401} == {}


@pytest.mark.parametrize("who", ["alice", "mallory", "bob", "oscar", "ada"])
def test_a_role_that_is_not_named_gets_403_and_any_other_none(
    app: Flask, cast: Cast, who: str
) -> None:
    role = cast.role(who)
    wrong = {}
    for rule, method, contract in rules_of(app):
        if contract.roles == () or rule.endpoint in DESTRUCTIVE:
            continue
        # Nothing has these ids, and no body is `{}`, so nothing is changed.
        status = call(app, cast, who, method, path_of(rule, {}), {})
        is_refused = status == 403
        assert contract.roles is not None
        if is_refused == (role in contract.roles) or status >= 500:
            wrong[f"{method} {rule.rule}"] = status

    assert wrong == {}


@pytest.mark.parametrize(
    ("who", "path", "role"),
    [
        ("alice", "/api/users", "student"),
        ("bob", "/api/users", "proctor"),
        ("ada", "/api/exams/available", "admin"),
    ],
)
def test_the_role_that_may_not_is_named(
    app: Flask, cast: Cast, who: str, path: str, role: str
) -> None:
    answer = app.test_client().get(path, headers=cast.headers(who))

    assert body(answer, 403)["detail"] == f"The role {role} may not do this."


# These end the session that the test speaks through.
DESTRUCTIVE = {"auth.logout", "auth.end_other_sessions"}


RECEIPT = "/api/exams/attempts/<uuid:attempt_id>/receipt"
ANSWERS = "/api/exams/attempts/<uuid:attempt_id>/answers"


def reads(app: Flask, role: Role) -> list[Rule]:
    """List what a role may read of an exam or an attempt."""
    return [
        rule
        for rule, method, contract in rules_of(app)
        if method == "GET" and rule.arguments & OWNED and role in (contract.roles or ())
    ]


@pytest.mark.parametrize(
    ("who", "status"),
    [
        # The exam's proctor, its student, and whose eyes are everywhere.
        ("bob", 200),
        ("alice", 200),
        ("ada", 200),
        # Its other students, students and proctors of other exams.
        ("mallory", 404),
        ("oscar", 404),
    ],
)
def test_what_is_not_yours_looks_as_if_it_were_not_there(
    app: Flask, cast: Cast, who: str, status: int
) -> None:
    found = {
        rule.rule: call(app, cast, who, "GET", path_of(rule, cast.ids))
        for rule in reads(app, cast.role(who))
    }
    if status == 200:
        # The attempt runs: its student is told that there is no receipt yet.
        assert found.pop(RECEIPT, 409) == 409
    if who == "bob":
        # And its proctor that there is nothing to grade yet: the keys come with that.
        assert found.pop(ANSWERS) == 409

    assert found
    assert {rule: it for rule, it in found.items() if it != status} == {}


def test_an_attempt_of_the_same_exam_is_not_yours_either(
    app: Flask, cast: Cast
) -> None:
    ids = {**cast.ids, "attempt_id": cast.ids["paused_attempt_id"]}
    found = {
        rule.rule: call(app, cast, "alice", "GET", path_of(rule, ids))
        for rule in reads(app, Role.STUDENT)
        if "attempt_id" in rule.arguments
    }

    assert found
    assert set(found.values()) == {404}, found


@pytest.mark.parametrize(
    ("owner", "stranger"), [("alice", "mallory"), ("alice", "paula"), ("bob", "oscar")]
)
def test_what_is_not_yours_can_not_be_changed_either(
    app: Flask, cast: Cast, owner: str, stranger: str
) -> None:
    """Requests that the owner could make, made by somebody else."""
    found = {}
    for endpoint, write in WRITES.items():
        if not write.is_owned or cast.role(write.who) != cast.role(owner):
            continue
        if endpoint == "attempts.start_attempt" and stranger == "paula":
            # It is her exam too.
            continue
        response = write.send(app, cast, who=stranger)
        found[endpoint] = response.status_code

    assert found
    assert set(found.values()) == {404}, found


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PROPFIND"])
def test_no_other_verb_is_a_way_round(app: Flask, cast: Cast, method: str) -> None:
    for rule, _, contract in rules_of(app):
        if contract.roles == ():
            continue
        response = app.test_client().open(
            path_of(rule, cast.ids),
            method=method,
            headers={**cast.headers("alice"), "X-HTTP-Method-Override": "DELETE"},
        )
        assert response.status_code < 500
        if method in {"TRACE", "PROPFIND"}:
            assert response.status_code == 405
        if method == "HEAD" and Role.STUDENT not in (contract.roles or ()):
            assert response.status_code in {403, 405}


def test_a_thing_of_another_exam_is_not_found_in_this_one(
    app: Flask, cast: Cast
) -> None:
    """What is nested has to be where the path says that it is."""
    exam, draft = cast.ids["other_exam_id"], cast.ids["draft_question_id"]
    student, proctor = cast.ids["student_id"], cast.ids["proctor_id"]
    found = {
        path: call(app, cast, "ada", method, f"/api/exams/{exam}/{path}", body)
        for method, path, body in (
            ("DELETE", f"questions/{draft}", None),
            ("DELETE", f"assignments/{student}", None),
            ("PATCH", f"assignments/{student}", {"extra_time_minutes": 5}),
            ("DELETE", f"proctors/{proctor}", None),
        )
    }

    assert set(found.values()) == {404}, found
