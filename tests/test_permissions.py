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

from api.contract import Contract
from models.principal import Role
from tests.personas import Cast

# Pages, and what Flask adds by itself.
OPEN = {"docs.openapi_json", "docs.docs", "docs.docs_asset", "docs.problem"}


def rules_of(app: Flask) -> list[tuple[Rule, str, Contract]]:
    return [
        (rule, method, getattr(app.view_functions[rule.endpoint], "contract", None))
        for rule in app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]


def test_every_route_says_who_may_call_it(app: Flask) -> None:
    silent = [
        rule.endpoint
        for rule, _, contract in rules_of(app)
        if contract is None or contract.roles is None
    ]

    assert silent == []


def path_of(rule: Rule, known: Mapping[str, object]) -> str:
    """Fill the route's variables with what exists, or with what might."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1).rpartition(":")[2]
        return str(known.get(name, uuid4()))

    return re.sub(r"<([^>]+)>", value, rule.rule)


@pytest.mark.parametrize("who", ["anonymous", "disabled", "expired", "forged"])
def test_who_is_not_authenticated_gets_401_everywhere(
    app: Flask, cast: Cast, who: str
) -> None:
    wrong = {}
    for rule, method, contract in rules_of(app):
        if contract.roles == ():
            continue
        response = app.test_client().open(
            path_of(rule, cast.ids),
            method=method,
            json={},
            headers=cast.headers(who),
        )
        if response.status_code != 401 or "WWW-Authenticate" not in response.headers:
            wrong[f"{method} {rule.rule}"] = response.status_code

    assert wrong == {}


@pytest.mark.parametrize("who", ["alice", "mallory", "bob", "ada"])
def test_a_role_that_is_not_named_gets_403_and_any_other_none(
    app: Flask, cast: Cast, who: str
) -> None:
    role = cast.role(who)
    wrong = {}
    for rule, method, contract in rules_of(app):
        if contract.roles == () or rule.endpoint in DESTRUCTIVE:
            continue
        status = (
            app.test_client()
            .open(
                # Nothing has these ids, so nothing is changed.
                path_of(rule, {}),
                method=method,
                json={},
                headers=cast.headers(who),
            )
            .status_code
        )
        is_refused = status == 403
        assert contract.roles is not None
        if is_refused == (role in contract.roles) or status >= 500:
            wrong[f"{method} {rule.rule}"] = status

    assert wrong == {}


# These end the session that the test speaks through.
DESTRUCTIVE = {"auth.logout", "auth.end_other_sessions"}


@pytest.mark.parametrize(
    ("who", "may_read"), [("alice", True), ("mallory", False), ("bob", True)]
)
def test_what_is_not_yours_looks_as_if_it_were_not_there(
    app: Flask, cast: Cast, who: str, *, may_read: bool
) -> None:
    """Alice's attempt; bob is the proctor of its exam; mallory a stranger."""
    role = cast.role(who)
    found = {}
    for rule, method, contract in rules_of(app):
        names = rule.arguments & {"exam_id", "attempt_id"}
        assert contract.roles is not None
        if method != "GET" or not names or role not in contract.roles:
            continue
        response = app.test_client().get(
            path_of(rule, cast.ids), headers=cast.headers(who)
        )
        found[rule.rule] = response.status_code

    assert found
    if may_read:
        assert set(found.values()) <= {200, 404, 409}
        assert 200 in found.values()
    else:
        assert set(found.values()) == {404}, found


def test_a_proctor_of_other_exams_sees_nothing_of_this_one(
    app: Flask, cast: Cast
) -> None:
    found = {}
    for rule, method, contract in rules_of(app):
        names = rule.arguments & {"exam_id", "attempt_id"}
        assert contract.roles is not None
        if method != "GET" or not names or Role.PROCTOR not in contract.roles:
            continue
        response = app.test_client().get(
            path_of(rule, cast.ids), headers=cast.headers("other_proctor")
        )
        found[rule.rule] = response.status_code

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
