"""The requests that are timed: everything that is read, and what is written most."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import uuid4

from flask import Flask

from tests.everything import QUERIES, READERS
from tests.exams import new_exam
from tests.personas import PASSWORD
from tests.reports import observed
from tests.scene import Cast
from tests.test_permissions import path_of, rules_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request that can be sent any number of times. `send` returns its status."""

    name: str
    send: Callable[[], int]


def reads(app: Flask, cast: Cast, size: int) -> dict[str, Ask]:
    """Return a request for each endpoint that reads, by its name.

    Of those who may ask, the one who is answered. `size` is of the newest checkpoint.
    """
    found = {}
    for rule, method, contract in rules_of(app):
        if method != "GET":
            continue
        path = path_of(rule, cast.ids) + QUERIES.get(rule.endpoint, "").format(
            size=size
        )
        for who in READERS:
            if contract.roles and cast.role(who) not in contract.roles:
                continue
            ask = Ask(
                name=f"GET {rule.rule}",
                send=_sender(app, "GET", path, cast.headers(who)),
            )
            if ask.send() == 200:  # noqa: PLR2004
                found[ask.name] = ask
                break
    return found


def writes(app: Flask, cast: Cast) -> dict[str, Ask]:
    """Return requests that write, each time something new."""
    attempt = {"attempt_id": cast.ids["attempt_id"]}
    # The scene's reports and the tests' use the first ones.
    numbers = count(1000)
    versions = count(10)
    names = count()

    def report() -> Mapping[str, Any]:
        return attempt | {"events": [observed(next(numbers)) for _ in range(3)]}

    def answers() -> Mapping[str, Any]:
        answer = {
            "question_id": cast.ids["essay_question_id"],
            "response": "because it is so",
            "client_version": next(versions),
        }
        return {"answers": [answer]}

    def account() -> Mapping[str, Any]:
        return {
            "email": f"new{next(names)}-{uuid4().hex[:8]}@example.edu",
            "password": PASSWORD,
            "full_name": "New",
            "role": "student",
        }

    login = {"email": cast["mallory"].email, "password": PASSWORD}
    answers_path = f"/api/exams/attempts/{cast.ids['attempt_id']}/answers"
    plan: list[tuple[str, str, str, Callable[[], Mapping[str, Any]]]] = [
        (
            *("POST", "/api/proctoring/event", "alice"),
            lambda: attempt | observed(next(numbers)),
        ),
        ("POST", "/api/proctoring/events", "alice", report),
        ("PUT", answers_path, "alice", answers),
        ("POST", "/api/auth/login", "anonymous", lambda: login),
        ("POST", "/api/exams", "ada", lambda: new_exam(title="Another")),
        ("POST", "/api/users", "ada", account),
    ]
    return {
        name: Ask(name=name, send=_sender(app, method, path, cast.headers(who), body))
        for name, method, path, who, body in _named(plan, cast)
    }


def _named(
    plan: list[tuple[str, str, str, Callable[[], Mapping[str, Any]]]], cast: Cast
) -> Iterator[tuple[str, str, str, str, Callable[[], Mapping[str, Any]]]]:
    # Alike in both databases, whose ids differ.
    for method, path, who, body in plan:
        name = path.replace(cast.ids["attempt_id"], "<attempt_id>")
        yield f"{method} {name}", method, path, who, body


def _sender(
    app: Flask,
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: Callable[[], Mapping[str, Any]] | None = None,
) -> Callable[[], int]:
    client = app.test_client()

    def send() -> int:
        content = body() if body is not None else None
        return client.open(
            path, method=method, json=content, headers=headers
        ).status_code

    return send
