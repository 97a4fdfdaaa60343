"""What goes wrong tells nothing: not to whoever asked, and not to the log."""

import logging
import re
from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest
from flask import Flask
from psycopg2.extensions import connection
from werkzeug.test import TestResponse

from api.contract import contract_of
from tests.audit_trail import run
from tests.databases import connection_to, settings_for
from tests.exams import Json, active, start
from tests.logins import log_in, tokens_of
from tests.personas import PASSWORD, PASSWORD_HASH, Api, Persona
from tests.process_log import logged
from tests.scene import Cast, playing
from tests.test_permissions import path_of
from tests.writes import WRITES
from utils.logger import configure_logging

# What only our own programs know: of Python, of its libraries, of the database.
INSIDE = re.compile(
    r"traceback|psycopg|pydantic|werkzeug|flask|gunicorn|sqlstate|42501|permission"
    r"|relation|select |insert into|\bfrom \w+ where|site-packages|\.py\b"
    r"|proctoring_app|/home/|/opt/",
    re.IGNORECASE,
)


@pytest.fixture
def broken_app(played: str) -> Iterator[Flask]:
    """The application, whose role may read nothing but who is calling."""
    with closing(psycopg2.connect(played)) as sql:
        sql.autocommit = True
        run(
            sql,
            "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM proctoring_app;"
            " GRANT SELECT ON users, sessions TO proctoring_app;"
            " GRANT ALL ON rate_limits TO proctoring_app",
        )
    with playing(settings_for(connection_to(played))) as app:
        yield app


def test_no_failure_tells_what_has_failed(broken_app: Flask, cast: Cast) -> None:
    """S59: every route fails in earnest, somewhere in the database."""
    answers = {
        f"{endpoint} of {write.who}": write.send(broken_app, cast)
        for endpoint, write in WRITES.items()
    }
    for rule in broken_app.url_map.iter_rules():
        roles = contract_of(broken_app.view_functions[rule.endpoint]).roles
        if "GET" in (rule.methods or set()) and roles != ():
            for who in ("ada", "alice"):
                answers[f"{rule.endpoint} of {who}"] = broken_app.test_client().get(
                    path_of(rule, cast.ids), headers=cast.headers(who)
                )

    failed = [name for name, each in answers.items() if each.status_code == 500]
    assert len(failed) > len(answers) / 2
    assert {name: each for name, each in answers.items() if tells(each)} == {}


def tells(answer: TestResponse) -> bool:
    if answer.status_code < 500:
        return False
    assert answer.mimetype == "application/problem+json"
    said = answer.text + "".join(f"{name}: {value}\n" for name, value in answer.headers)
    return INSIDE.search(said) is not None


def test_what_needs_a_login_is_kept_by_no_cache(scene_app: Flask, cast: Cast) -> None:
    """S65, S66: neither what is given, nor that there is none."""
    kept = {}
    for rule in scene_app.url_map.iter_rules():
        roles = contract_of(scene_app.view_functions[rule.endpoint]).roles
        if "GET" not in (rule.methods or set()) or roles == ():
            continue
        for who in ("ada", "alice", "anonymous"):
            with scene_app.test_client().get(
                path_of(rule, cast.ids), headers=cast.headers(who)
            ) as answer:
                if answer.headers.getlist("Cache-Control") != ["no-store"]:
                    kept[f"{rule.rule} of {who}"] = answer.headers["Cache-Control"]

    assert kept == {}


CANARY = "a canary of 7 feathers"


@pytest.fixture
def _no_log_afterwards() -> Iterator[None]:
    """Take the handler away whose stream ends with the test."""
    yield
    logging.getLogger().handlers.clear()


@pytest.fixture
def exam(api: Api, ada: Persona, alice: Persona) -> Json:
    essay = {"kind": "essay", "text": "Describe a bird.", "points": 5}
    return active(api.as_(ada), alice.id, questions=[essay])


def answer_in(attempt: Json) -> Json:
    question = attempt["questions"][0]["id"]
    answer = {"question_id": question, "response": CANARY, "client_version": 1}
    return {"answers": [answer]}


@pytest.mark.usefixtures("_no_log_afterwards")
def test_no_secret_gets_into_the_log(
    api: Api, alice: Persona, exam: Json, capfd: pytest.CaptureFixture[str]
) -> None:
    """S60: on what succeeds, and on what is refused."""
    configure_logging("DEBUG")
    attempt = start(api.as_(alice), exam)
    path = f"/api/exams/attempts/{attempt['id']}/answers"

    given = tokens_of(api, alice)
    log_in(api, alice.email, CANARY)
    log_in(api, CANARY, CANARY)
    api.as_(CANARY).get("/api/auth/me")
    api.as_(None).get(f"/{CANARY}?token={CANARY}", headers={"User-Agent": CANARY})
    saved = api.as_(alice).put(path, json=answer_in(attempt))
    refused = api.as_(alice).put(path, json=answer_in(attempt) | {CANARY: CANARY})

    lines = logged(capfd)
    assert (saved.status_code, refused.status_code) == (200, 422)
    assert '"route": "/api/auth/login"' in lines
    secrets = {
        "what was sent": CANARY,
        "the password": PASSWORD,
        "an access token": alice.token,
        "a new access token": given["access_token"],
        "a refresh token": given["refresh_token"],
        "an address of e-mail": alice.email,
    }
    assert [what for what, secret in secrets.items() if secret in lines] == []


@pytest.mark.usefixtures("_no_log_afterwards")
def test_a_failure_of_the_database_shows_no_row_to_the_log(
    api: Api,
    alice: Persona,
    exam: Json,
    sql: connection,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """S60: PostgreSQL says of a row that it refuses all that is in it."""
    attempt = start(api.as_(alice), exam)
    run(
        sql,
        "ALTER TABLE answers ADD CONSTRAINT unheard_of CHECK (client_version > 9);"
        " ALTER TABLE users ADD CONSTRAINT of_nobody CHECK (full_name = '') NOT VALID",
    )
    configure_logging("DEBUG")

    saved = api.as_(alice).put(
        f"/api/exams/attempts/{attempt['id']}/answers", json=answer_in(attempt)
    )
    changed = api.as_(alice).post(
        "/api/auth/change-password",
        json={"current_password": PASSWORD, "new_password": CANARY},
    )

    lines = logged(capfd)
    assert (saved.status_code, changed.status_code) == (500, 500)
    assert "unheard_of" in lines
    assert "of_nobody" in lines
    assert CANARY not in lines
    assert PASSWORD_HASH not in lines
    assert "$2b$" not in lines
    assert alice.email not in lines


@pytest.mark.usefixtures("_no_log_afterwards")
def test_a_row_that_does_not_fit_shows_no_value_to_the_log(
    api: Api, alice: Persona, sql: connection, capfd: pytest.CaptureFixture[str]
) -> None:
    """S60: the name of the column is enough to find out."""
    run(sql, "ALTER TABLE users DROP CONSTRAINT users_role_check")
    run(sql, "UPDATE users SET role = %s", CANARY)
    configure_logging("DEBUG")

    answer = api.as_(alice).get("/api/auth/me")

    lines = logged(capfd)
    assert answer.status_code == 500
    assert "role" in lines
    assert CANARY not in lines
