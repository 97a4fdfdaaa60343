"""Logging in and refreshing, as a client does it."""

import json
from collections.abc import Sequence
from typing import Any

from psycopg2.extensions import connection
from werkzeug.test import TestResponse

from tests.audit_trail import run
from tests.exams import Json, body
from tests.personas import PASSWORD, Api, Persona


def log_in(
    api: Api, email: str, password: str = PASSWORD, **options: Any
) -> TestResponse:
    """Any: what werkzeug's client takes."""
    given = {"email": email, "password": password}
    return api.as_(None).post("/api/auth/login", json=given, **options)


def log_in_from(
    api: Api, address: str, email: str, password: str = PASSWORD
) -> TestResponse:
    """Log in from an IP address."""
    return log_in(api, email, password, environ_overrides={"REMOTE_ADDR": address})


def tokens_of(api: Api, persona: Persona, password: str = PASSWORD) -> Json:
    """Log a persona in on another device."""
    return body(log_in(api, persona.email, password))


def refresh(api: Api, token: str) -> TestResponse:
    return api.as_(None).post("/api/auth/refresh", json={"refresh_token": token})


def is_let_in(api: Api, access_token: str) -> bool:
    status = api.as_(access_token).get("/api/auth/me").status_code
    assert status in {200, 401}
    return status == 200


def slug_of(response: TestResponse) -> str:
    """Return which problem a response is."""
    found: Json = response.get_json()
    return str(found["type"]).removeprefix("/problems/")


def logged(sql: connection, event_type: str) -> Sequence[Json]:
    """Return the entries of a type: actor_id, entity_type, entity_id and payload."""
    rows = run(
        sql,
        "SELECT actor_id, entity_type, entity_id, payload FROM audit_log"
        " WHERE event_type = %s ORDER BY seq",
        event_type,
    )
    return [
        {
            "actor_id": actor_id,
            "entity_type": entity_type,
            "entity_id": entity_id,
            "payload": json.loads(payload),
        }
        for actor_id, entity_type, entity_id, payload in rows
    ]
