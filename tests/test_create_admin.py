"""`flask --app app create-admin`: the first admin, where no default account is made."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from click.testing import Result
from flask import Flask
from psycopg2.extensions import connection

from app import create_app
from config import Settings
from tests.audit_trail import run, scalar
from tests.exams import body
from tests.logins import log_in, logged
from tests.personas import Api, Persona

EMAIL, PASSWORD = "root@example.edu", "sixteen candles on it"


def create(
    app: Flask,
    email: str = EMAIL,
    name: str = "Rita Root",
    *,
    environ: Mapping[str, str] | None = None,
    typed: str | None = None,
) -> Result:
    return app.test_cli_runner().invoke(
        args=["create-admin", "--email", email, "--name", name],
        env={"ADMIN_PASSWORD": PASSWORD} if environ is None else environ,
        input=typed,
    )


def test_an_admin_is_made_and_logged(app: Flask, api: Api, sql: connection) -> None:
    done = create(app)

    assert done.exit_code == 0, done.output
    assert EMAIL in done.output
    assert PASSWORD not in done.output
    (entry,) = logged(sql, "user.created")
    assert entry["actor_id"] == "system"
    assert entry["payload"]["role"] == "admin"
    assert body(log_in(api, EMAIL, PASSWORD))["user"]["must_change_password"]


def test_the_password_can_be_typed(app: Flask, api: Api) -> None:
    done = create(app, environ={}, typed=f"{PASSWORD}\n{PASSWORD}\n")

    assert done.exit_code == 0, done.output
    assert PASSWORD not in done.output
    assert log_in(api, EMAIL, PASSWORD).status_code == 200


def test_an_address_that_is_taken_is_left_alone(
    app: Flask, alice: Persona, sql: connection
) -> None:
    before = run(sql, "SELECT * FROM users")

    done = create(app, alice.email.upper())

    assert done.exit_code == 1
    assert "There is an account with this e-mail address already." in done.output
    assert run(sql, "SELECT * FROM users") == before


@pytest.mark.parametrize(
    ("email", "name", "password", "field"),
    [
        ("nowhere", "Rita Root", PASSWORD, "email: "),
        (EMAIL, "", PASSWORD, "full_name: "),
        (EMAIL, "Rita Root", "short", "password: "),
        (EMAIL, "Rita Root", "StrongPassword123!", "password: "),
        (EMAIL, "Rita Root", "root@example.edu", "password: "),
    ],
)
def test_what_is_wrong_is_said(
    app: Flask, sql: connection, email: str, name: str, password: str, field: str
) -> None:
    done = create(app, email, name, environ={"ADMIN_PASSWORD": password})

    assert done.exit_code == 1
    assert f"Error: {field}" in done.output
    assert scalar(sql, "SELECT count(*) FROM users") == 0


def test_a_database_that_is_away_is_said_to_be(settings: Settings) -> None:
    nowhere = replace(settings.database, host="127.0.0.1", port=1)

    done = create(create_app(replace(settings, database=nowhere)))

    assert done.exit_code == 1
    assert "Error: The database is busy or away." in done.output
