"""POST /api/auth/register."""

from dataclasses import replace
from hashlib import sha256

import pytest
from psycopg2.extensions import connection

from app import create_app
from config import Settings
from tests.at_once import at_once
from tests.audit_trail import run, scalar
from tests.exams import Json, body
from tests.logins import log_in, logged, slug_of
from tests.personas import Api, Persona

PATH = "/api/auth/register"
NEW: Json = {
    "email": "New.Person@Example.edu",
    "password": "sixteen candles on it",
    "full_name": "Nora New",
}


def test_who_registers_is_a_student_and_is_logged(api: Api, sql: connection) -> None:
    made = body(api.as_(None).post(PATH, json=NEW), 201)

    assert made.keys() == {
        *("id", "email", "full_name", "role", "is_active", "must_change_password"),
        *("created_at", "updated_at"),
    }
    assert made["email"] == NEW["email"]
    assert made["role"] == "student"
    assert not made["must_change_password"]
    (entry,) = logged(sql, "user.registered")
    assert entry["actor_id"] == entry["entity_id"] == made["id"]
    assert NEW["password"] not in str(entry)
    assert log_in(api, NEW["email"], NEW["password"]).status_code == 200


@pytest.mark.parametrize("more", ["role", "id", "is_active", "must_change_password"])
def test_nobody_gives_himself_more(api: Api, more: str) -> None:
    """S14, S35."""
    response = api.as_(None).post(PATH, json=NEW | {more: "admin"})

    assert response.status_code == 422
    assert response.get_json()["errors"][0]["pointer"] == f"#/{more}"


@pytest.mark.parametrize(
    "same",
    ["New.Person@Example.edu", "new.person@example.EDU", " NEW.PERSON@EXAMPLE.EDU"],
)
def test_an_address_is_taken_in_any_capitals(
    api: Api, sql: connection, same: str
) -> None:
    """S19: that it is taken is said, as API.md has it; asking is rate-limited."""
    body(api.as_(None).post(PATH, json=NEW), 201)

    response = api.as_(None).post(PATH, json=NEW | {"email": same})

    assert response.status_code == 409
    assert slug_of(response) == "email-taken"
    assert len(logged(sql, "user.registered")) == 1


def test_of_many_at_once_one_gets_the_address(api: Api, sql: connection) -> None:
    def register() -> int:
        return api.as_(None).post(PATH, json=NEW).status_code

    answers = at_once([register] * 8)

    assert sorted(answers) == [201] + [409] * 7
    assert len(logged(sql, "user.registered")) == 1


@pytest.mark.parametrize(
    "email",
    [
        "ﬁsh@example.edu",
        "İ@example.edu",
        "zero\u200bwidth@example.edu",
        # In full width, which a browser's address bar would show alike.
        "a@\uff45xample.edu",
        "no-at.example.edu",
        "@example.edu",
        "a@localhost",
        "a..b@example.edu",
        "a@exam ple.edu",
        "a" * 65 + "@example.edu",
    ],
)
def test_what_is_no_address_or_looks_like_another_is_refused(
    api: Api, email: str
) -> None:
    """S55."""
    response = api.as_(None).post(PATH, json=NEW | {"email": email})

    assert response.status_code == 422
    assert [each["pointer"] for each in response.get_json()["errors"]] == ["#/email"]


@pytest.mark.parametrize(
    "password",
    [
        "eleven char",
        # 256 bytes: bcrypt would read a quarter of it, and newer ones raise.
        "😀" * 64,
        "a passphrase that is long enough, and then by one byte too long for it...",
        "StrongPassword123!",
        "passwordpassword",
        "New.Person@Example.edu",
        "new.person-2026",
        "Nora New Nora New",
        "proctoring-2026",
        "abababababab",
    ],
)
def test_a_bad_password_is_refused(api: Api, sql: connection, password: str) -> None:
    """S15, S16."""
    response = api.as_(None).post(PATH, json=NEW | {"password": password})

    assert response.status_code == 422
    assert slug_of(response) == "password-refused"
    assert [each["pointer"] for each in response.get_json()["errors"]] == ["#/password"]
    assert password not in response.text
    assert scalar(sql, "SELECT count(*) FROM users") == 0


@pytest.mark.parametrize(
    "password",
    [
        "x7 is enough",
        # No rules about kinds of characters, and 64 of them are welcome.
        "the quick brown fox jumps over the lazy dog, and then it did so.",
        "zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich 99",
    ],
)
def test_a_good_password_works_in_full(api: Api, password: str) -> None:
    """S15: all of it counts, up to the last byte."""
    body(api.as_(None).post(PATH, json=NEW | {"password": password}), 201)

    assert log_in(api, NEW["email"], password).status_code == 200
    assert log_in(api, NEW["email"], password[:-1]).status_code == 401
    assert log_in(api, NEW["email"], password + "x").status_code == 401


def test_registering_is_limited_by_address(settings: Settings) -> None:
    limits = replace(settings.rate_limits, register="2 per hour")
    api = Api(create_app(replace(settings, rate_limits=limits)))

    def register(number: int, address: str) -> int:
        given = NEW | {"email": f"new{number}@example.edu"}
        return (
            api.as_(None)
            .post(PATH, json=given, environ_overrides={"REMOTE_ADDR": address})
            .status_code
        )

    assert [register(each, "192.0.2.1") for each in range(3)] == [201, 201, 429]
    assert register(3, "192.0.2.2") == 201


def test_a_key_gives_the_same_account_and_keeps_no_trace_of_the_password(
    api: Api, sql: connection
) -> None:
    headers = {"Idempotency-Key": "one", "Content-Type": "application/json"}
    raw = b'{"email":"a@b.cc","password":"sixteen candles on it","full_name":"N"}'

    first = api.as_(None).post(PATH, data=raw, headers=headers)
    again = api.as_(None).post(PATH, data=raw, headers=headers)

    assert body(first, 201) == body(again, 201)
    assert again.headers["Idempotency-Replayed"] == "true"
    ((body_hash, scope, kept),) = run(
        sql, "SELECT body_hash, scope, body FROM idempotency_keys"
    )
    # Who reads the table can't try passwords on what he finds there.
    assert bytes(body_hash) != sha256(raw).digest()
    assert "127.0.0.1" not in scope
    assert "candles" not in kept


def test_a_key_is_of_one_caller(api: Api) -> None:
    headers = {"Idempotency-Key": "one"}

    here = api.as_(None).post(
        PATH, json=NEW, headers=headers, environ_overrides={"REMOTE_ADDR": "192.0.2.1"}
    )
    there = api.as_(None).post(
        PATH, json=NEW, headers=headers, environ_overrides={"REMOTE_ADDR": "192.0.2.2"}
    )

    assert here.status_code == 201
    assert there.status_code == 409
    assert slug_of(there) == "email-taken"


def test_who_is_logged_in_may_register_somebody_else(api: Api, alice: Persona) -> None:
    made = body(api.as_(alice).post(PATH, json=NEW), 201)

    assert made["id"] != str(alice.id)


@pytest.mark.parametrize(
    "name",
    [
        *("\u200b", "\ufeff", "\u3164", "\u2800", "\u0301", "Alice\u200bExample"),
        *(
            "\u202eecilA",
            "Alice\u2069",
            "Al\u200dice",
            "\u200c\u06cc",
            "\u06cc\u200c",
            "A\U000e0041",
        ),
    ],
    ids=ascii,
)
def test_a_name_hides_nothing(api: Api, name: str) -> None:
    response = api.as_(None).post(PATH, json=NEW | {"full_name": name})

    assert response.status_code == 422
    (error,) = response.get_json()["errors"]
    assert error["pointer"] == "#/full_name"
    assert "invisible" in error["detail"] or "a letter" in error["detail"]


@pytest.mark.parametrize(
    "name",
    [
        "\u0646\u0627\u0645\u200c\u062e\u0627\u0646\u0648\u0627\u062f\u06af\u06cc",
        "\u0dc1\u0dca\u200d\u0dbb\u0dd3",
        "\u845b\U000e0100\u57ce",
        "O\u2019Neill \u05d3\u05d5\u05d3",
    ],
    ids=["persian", "sinhala", "japanese", "two directions"],
)
def test_a_name_keeps_what_its_script_needs(api: Api, name: str) -> None:
    made = body(api.as_(None).post(PATH, json=NEW | {"full_name": name}), 201)

    assert made["full_name"] == name


def test_a_name_from_before_is_still_shown(
    api: Api, alice: Persona, sql: connection
) -> None:
    with sql.cursor() as cursor:
        cursor.execute(
            "UPDATE users SET full_name = %s WHERE id = %s", ["\u202e\u200b", alice.id]
        )

    assert body(api.as_(alice).get("/api/auth/me"))["full_name"] == "\u202e\u200b"
