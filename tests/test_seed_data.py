"""The first account: made where there is nobody, and left alone everywhere else."""

from functools import partial
from pathlib import Path

from psycopg2.extensions import connection

from database.seed import SEED_DATA, seed_if_empty
from tests.at_once import at_once
from tests.audit_trail import run, scalar
from tests.exams import body
from tests.logins import log_in, logged, slug_of
from tests.personas import Api, Persona

EMAIL, DEFAULT = "admin@gmail.com", "StrongPassword123!"
COUNT = "SELECT count(*) FROM users"


def test_an_empty_database_gets_its_admin(sql: connection, dsn: str) -> None:
    assert seed_if_empty(dsn)

    ((email, role, must_change),) = run(
        sql, "SELECT email, role, must_change_password FROM users"
    )
    assert (email, role, must_change) == (EMAIL, "admin", True)
    (entry,) = logged(sql, "user.created")
    assert entry["actor_id"] == "system"
    assert DEFAULT not in str(entry)


def test_running_it_again_changes_nothing(sql: connection, dsn: str) -> None:
    assert seed_if_empty(dsn)
    before = run(sql, "SELECT * FROM users")

    assert not seed_if_empty(dsn)
    run(sql, SEED_DATA.read_text())

    assert run(sql, "SELECT * FROM users") == before
    assert len(logged(sql, "user.created")) == 1


def test_where_there_is_anybody_no_door_is_opened(
    sql: connection, alice: Persona
) -> None:
    """The file itself sees to it: an administrator may run it by hand, years later."""
    before = logged(sql, "user.created")

    run(sql, SEED_DATA.read_text())

    assert run(sql, "SELECT email FROM users") == [(alice.email,)]
    assert logged(sql, "user.created") == before


def test_of_many_at_once_one_seeds(sql: connection, dsn: str) -> None:
    assert sorted(at_once([partial(seed_if_empty, dsn)] * 4)) == [False] * 3 + [True]

    assert scalar(sql, COUNT) == 1


def test_the_default_password_opens_the_change_of_it_and_nothing_else(
    api: Api, dsn: str
) -> None:
    """S24."""
    seed_if_empty(dsn)
    admin = api.as_(body(log_in(api, EMAIL, DEFAULT))["access_token"])

    refused = admin.get("/api/users")
    changed = admin.post(
        "/api/auth/change-password",
        json={"current_password": DEFAULT, "new_password": "sixteen candles on it"},
    )

    assert refused.status_code == 403
    assert slug_of(refused) == "password-change-required"
    assert changed.status_code == 204
    assert admin.get("/api/users").status_code == 200
    assert log_in(api, EMAIL, DEFAULT).status_code == 401


def test_the_file_is_for_psql_as_well() -> None:
    text = Path(SEED_DATA).read_text()

    assert not [line for line in text.splitlines() if line.startswith("\\")]
