"""The cast: alice and mallory are students, bob a proctor, ada an admin.

Each is a real account with a real session, made in the database; their tokens are what
a login would have given.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import bcrypt
from flask import Flask
from psycopg2.extensions import connection
from werkzeug.test import TestResponse

from config import Settings
from models.principal import Role
from services.tokens import ACCESS, Tokens
from utils.uuid7 import uuid7

PASSWORD = "correct horse battery staple"
# At the cheapest cost that there is, once for all tests.
PASSWORD_HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()

# In one transaction, as everything that is written comes into the log.
INSERT_USER = """
    INSERT INTO users (id, email, email_canonical, full_name, role, password_hash)
    VALUES (%(id)s, %(email)s, %(email)s, %(full_name)s, %(role)s, %(password_hash)s);
    SELECT audit_append_one('user.created', 'user', %(id)s, 'system', NULL, '{}')
"""
INSERT_SESSION = """
    INSERT INTO sessions (id, user_id, created_at, expires_at)
    VALUES (%s, %s, clock_timestamp(), clock_timestamp() + interval '7 days')
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Persona:
    id: UUID
    email: str
    full_name: str
    role: Role
    session_id: UUID
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


def enrol(sql: connection, settings: Settings, name: str, role: Role) -> Persona:
    """Make an account with one session."""
    user_id, session_id = uuid7(), uuid7()
    email, full_name = f"{name}@example.edu", f"{name.capitalize()} Example"
    with sql.cursor() as cursor:
        cursor.execute(
            INSERT_USER,
            {
                "id": str(user_id),
                "email": email,
                "full_name": full_name,
                "role": role,
                "password_hash": PASSWORD_HASH,
            },
        )
    return Persona(
        id=user_id,
        email=email,
        full_name=full_name,
        role=role,
        session_id=session_id,
        token=open_session(sql, settings, user_id, session_id),
    )


def open_session(
    sql: connection, settings: Settings, user_id: UUID, session_id: UUID | None = None
) -> str:
    """Log somebody in on another device and return the access token."""
    session_id = session_id or uuid7()
    with sql.cursor() as cursor:
        cursor.execute(INSERT_SESSION, (str(session_id), str(user_id)))
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())::bigint")
        (row,) = cursor.fetchall()
    return access_token(settings, user_id, session_id, int(row[0]))


def access_token(
    settings: Settings, user_id: UUID, session_id: UUID, issued_at: int
) -> str:
    tokens = Tokens(
        settings.jwt_secret_key,
        settings.jwt_previous_secret_key,
        access_seconds=settings.access_token_seconds,
        refresh_seconds=settings.refresh_token_seconds,
    )
    return tokens.issue(
        ACCESS,
        user_id=user_id,
        session_id=session_id,
        token_id="a-token-of-a-test",
        issued_at=issued_at,
        expires_at=issued_at + settings.access_token_seconds,
    )


class Speaker:
    """A client that speaks for one persona, or for nobody."""

    def __init__(self, app: Flask, token: str | None) -> None:
        self._app = app
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def open(self, path: str, **options: Any) -> TestResponse:
        """Any: what werkzeug's client takes (json=, data=, headers=, …)."""
        headers = {**self._headers, **options.pop("headers", {})}
        return self._app.test_client().open(path, headers=headers, **options)

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.open(path, method="GET", **options)

    def post(self, path: str, **options: Any) -> TestResponse:
        return self.open(path, method="POST", **options)

    def put(self, path: str, **options: Any) -> TestResponse:
        return self.open(path, method="PUT", **options)

    def patch(self, path: str, **options: Any) -> TestResponse:
        return self.open(path, method="PATCH", **options)

    def delete(self, path: str, **options: Any) -> TestResponse:
        return self.open(path, method="DELETE", **options)


class Api:
    """`api.as_(alice).get("/api/auth/me")`."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    def as_(self, persona: Persona | str | None) -> Speaker:
        """Speak for a persona, with a bare token, or for nobody (None)."""
        token = persona.token if isinstance(persona, Persona) else persona
        return Speaker(self._app, token)


Enrol = Callable[[str, Role], Persona]
