"""/api/users: what an admin does with accounts."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import psycopg2
import pytest
from psycopg2.extensions import connection
from werkzeug.test import TestResponse

from models.principal import Role
from tests.at_once import at_once
from tests.audit_trail import run, scalar
from tests.exams import Json, body
from tests.logins import is_let_in, log_in, logged, refresh, slug_of, tokens_of
from tests.personas import PASSWORD, Api, Enrol, Persona
from tests.waiting import until_somebody_waits_for_a_lock
from utils.uuid7 import uuid7

PATH = "/api/users"
NEW: Json = {
    "email": "new@example.edu",
    "password": "sixteen candles on it",
    "full_name": "Nora New",
    "role": "proctor",
}
ENTRIES = "SELECT count(*) FROM audit_log"


def change(api: Api, admin: Persona, who: Persona, **wanted: object) -> TestResponse:
    return api.as_(admin).patch(f"{PATH}/{who.id}", json=wanted)


@pytest.mark.parametrize("role", Role)
def test_an_admin_makes_accounts_of_any_role(
    api: Api, ada: Persona, sql: connection, role: Role
) -> None:
    made = body(api.as_(ada).post(PATH, json=NEW | {"role": role}), 201)

    assert made["role"] == role
    # The admin knows it, so it is not a password for long.
    assert made["must_change_password"]
    _, entry = logged(sql, "user.created")
    assert entry["actor_id"] == str(ada.id)
    assert entry["entity_id"] == made["id"]
    given = body(log_in(api, NEW["email"], NEW["password"]))
    refused = api.as_(given["access_token"]).get("/api/auth/sessions")
    assert slug_of(refused) == "password-change-required"


def test_an_address_is_given_once(api: Api, ada: Persona, alice: Persona) -> None:
    taken = NEW | {"email": alice.email.upper()}

    response = api.as_(ada).post(PATH, json=taken)

    assert response.status_code == 409
    assert slug_of(response) == "email-taken"


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"role": "root"}, "#/role"),
        ({"password": "passwordpassword"}, "#/password"),
        ({"password": "new@example.edu"}, "#/password"),
        ({"full_name": ""}, "#/full_name"),
        ({"is_active": False}, "#/is_active"),
    ],
)
def test_a_bad_account_is_refused(
    api: Api, ada: Persona, sql: connection, wrong: Json, pointer: str
) -> None:
    response = api.as_(ada).post(PATH, json=NEW | wrong)

    assert response.status_code == 422
    assert [each["pointer"] for each in response.get_json()["errors"]] == [pointer]
    assert scalar(sql, "SELECT count(*) FROM users") == 1


def test_accounts_are_listed_by_pages(api: Api, ada: Persona, enrol_as: Enrol) -> None:
    students = [enrol_as(f"student{number}", Role.STUDENT) for number in range(4)]
    speaker = api.as_(ada)

    page = body(speaker.get(f"{PATH}?limit=2"))
    seen = page["items"]
    while page["next_cursor"] is not None:
        # Who comes in between is not seen, nor does he push another out.
        enrol_as(f"late{len(seen)}", Role.STUDENT)
        page = body(speaker.get(f"{PATH}?limit=2&cursor={page['next_cursor']}"))
        seen += page["items"]

    # Two of one millisecond are in any order, as long as it stays the same.
    assert [each["id"] for each in seen] == sorted(
        (str(each.id) for each in [ada, *students]), reverse=True
    )


def test_accounts_are_found(
    api: Api, ada: Persona, enrol_as: Enrol, mallory: Persona, bob: Persona
) -> None:
    enrol_as("alice", Role.STUDENT)
    change(api, ada, mallory, is_active=False)

    def found(query: str) -> list[str]:
        items = body(api.as_(ada).get(f"{PATH}?{query}"))["items"]
        return [each["email"].partition("@")[0] for each in items]

    assert found("role=student") == ["alice", "mallory"]
    assert found("role=student&is_active=true") == ["alice"]
    assert found("is_active=false") == ["mallory"]
    assert found("q=AL") == ["alice"]
    assert found("q=%25") == found("q=_lice") == []
    assert found("q=bob%40example.edu") == [bob.full_name.partition(" ")[0].lower()]


@pytest.mark.parametrize(
    "query", ["role=root", "limit=0", "limit=201", "cursor=x", "sort=id", "q=a&q=b"]
)
def test_a_bad_query_is_refused(api: Api, ada: Persona, query: str) -> None:
    assert api.as_(ada).get(f"{PATH}?{query}").status_code == 422


def test_one_account_is_shown_or_is_not_there(
    api: Api, ada: Persona, alice: Persona
) -> None:
    shown = body(api.as_(ada).get(f"{PATH}/{alice.id}"))
    missing = api.as_(ada).get(f"{PATH}/{uuid7()}")

    assert shown["email"] == alice.email
    assert "password_hash" not in shown
    assert missing.status_code == 404
    assert slug_of(missing) == "user-not-found"
    assert api.as_(ada).patch(f"{PATH}/{uuid7()}", json={}).status_code == 404


def test_a_name_is_changed_and_nobody_is_logged_out(
    api: Api, ada: Persona, alice: Persona, sql: connection
) -> None:
    changed = body(change(api, ada, alice, full_name=" Alice Newname "))

    assert changed["full_name"] == "Alice Newname"
    assert changed["updated_at"] > changed["created_at"]
    assert is_let_in(api, alice.token)
    (entry,) = logged(sql, "user.updated")
    assert entry["actor_id"] == str(ada.id)
    assert entry["payload"]["before"]["full_name"] == alice.full_name
    assert entry["payload"]["after"]["full_name"] == "Alice Newname"


@pytest.mark.parametrize(
    "wanted", [{}, {"full_name": None}, {"role": "student", "is_active": True}]
)
def test_what_is_so_already_is_no_change(
    api: Api, ada: Persona, alice: Persona, sql: connection, wanted: Json
) -> None:
    before = body(api.as_(ada).get(f"{PATH}/{alice.id}"))
    entries = scalar(sql, ENTRIES)

    after = body(change(api, ada, alice, **wanted))

    assert after == before
    assert scalar(sql, ENTRIES) == entries
    assert is_let_in(api, alice.token)


@pytest.mark.parametrize(
    "more", ["email", "password", "password_hash", "id", "must_change_password"]
)
def test_nothing_else_can_be_changed(
    api: Api, ada: Persona, alice: Persona, more: str
) -> None:
    """S35."""
    assert change(api, ada, alice, **{more: "x"}).status_code == 422


def test_who_is_disabled_is_out_at_once_and_can_come_back(
    api: Api, ada: Persona, alice: Persona, sql: connection
) -> None:
    """S13."""
    given = tokens_of(api, alice)

    assert not body(change(api, ada, alice, is_active=False))["is_active"]

    assert not is_let_in(api, alice.token)
    assert refresh(api, given["refresh_token"]).status_code == 401
    assert log_in(api, alice.email).status_code == 401
    assert body(change(api, ada, alice, is_active=True))["is_active"]
    assert not is_let_in(api, alice.token), "what has ended never begins again"
    assert log_in(api, alice.email).status_code == 200
    assert len(logged(sql, "user.disabled")) == len(logged(sql, "user.enabled")) == 1


def test_another_role_is_another_login(
    api: Api, ada: Persona, enrol_as: Enrol, sql: connection
) -> None:
    """S13."""
    eve = enrol_as("eve", Role.ADMIN)
    assert api.as_(eve).get(PATH).status_code == 200

    assert body(change(api, ada, eve, role="proctor"))["role"] == "proctor"

    assert api.as_(eve).get(PATH).status_code == 401
    again = tokens_of(api, eve)
    assert api.as_(again["access_token"]).get(PATH).status_code == 403
    (entry,) = logged(sql, "user.updated")
    assert entry["payload"]["before"]["role"] == "admin"


@pytest.mark.parametrize("wanted", [{"is_active": False}, {"role": "student"}])
def test_the_last_admin_stays(
    api: Api, ada: Persona, enrol_as: Enrol, sql: connection, wanted: Json
) -> None:
    """S25: an admin who is disabled is none."""
    eve = enrol_as("eve", Role.ADMIN)
    body(change(api, ada, eve, is_active=False))

    response = change(api, ada, ada, **wanted)

    assert response.status_code == 409
    assert slug_of(response) == "last-admin"
    assert api.as_(ada).get(PATH).status_code == 200
    assert len(logged(sql, "user.updated")) == 0


def test_admins_who_demote_each_other_leave_one(
    api: Api, ada: Persona, enrol_as: Enrol, sql: connection
) -> None:
    """S25: all at the same moment, each the next one."""
    admins = [ada, *(enrol_as(f"admin{number}", Role.ADMIN) for number in range(3))]
    pairs = list(zip(admins, [*admins[1:], ada], strict=True))

    def demote(admin: Persona, another: Persona) -> int:
        return change(api, admin, another, role="proctor").status_code

    answers = at_once([partial(demote, *pair) for pair in pairs])

    left = scalar(sql, "SELECT count(*) FROM users WHERE role = 'admin'")
    assert left == len(admins) - answers.count(200) >= 1
    # 401: he was demoted before he was let in.
    assert set(answers) <= {200, 401, 409}


def test_of_two_who_demote_each_other_the_second_waits_for_the_first(
    api: Api, ada: Persona, enrol_as: Enrol, sql: connection, dsn: str
) -> None:
    """S25: both are let in, and neither sees yet what the other one has done."""
    eve = enrol_as("eve", Role.ADMIN)
    pairs = [(ada, eve), (eve, ada)]
    demoting = []

    with ThreadPoolExecutor(2) as pool, closing(psycopg2.connect(dsn)) as log:
        run(log, "SELECT next_seq FROM audit_head FOR UPDATE")
        for waiters, pair in enumerate(pairs, 1):
            demoting.append(pool.submit(change, api, *pair, role="proctor"))
            until_somebody_waits_for_a_lock(sql, waiters)

    assert sorted(each.result().status_code for each in demoting) == [200, 409]


def test_an_admin_resets_a_password(
    api: Api, ada: Persona, alice: Persona, sql: connection
) -> None:
    given = tokens_of(api, alice)
    path, new = f"{PATH}/{alice.id}/reset-password", "a password for one day"

    assert api.as_(ada).post(path, json={"new_password": new}).status_code == 204

    assert not is_let_in(api, alice.token)
    assert refresh(api, given["refresh_token"]).status_code == 401
    assert log_in(api, alice.email, PASSWORD).status_code == 401
    assert body(log_in(api, alice.email, new))["user"]["must_change_password"]
    (entry,) = logged(sql, "user.password_reset")
    assert entry["actor_id"] == str(ada.id)
    assert entry["entity_id"] == str(alice.id)
    assert entry["payload"] == {"ended_sessions": 2}
    assert new not in str(run(sql, "SELECT payload FROM audit_log"))


def test_a_bad_password_is_not_set_for_another(
    api: Api, ada: Persona, alice: Persona
) -> None:
    path = f"{PATH}/{alice.id}/reset-password"

    refused = api.as_(ada).post(path, json={"new_password": "alice@example.edu"})
    missing = api.as_(ada).post(
        f"{PATH}/{uuid7()}/reset-password", json={"new_password": "sixteen candles"}
    )

    assert slug_of(refused) == "password-refused"
    assert missing.status_code == 404
    assert is_let_in(api, alice.token)


def test_only_admins_manage_accounts(
    api: Api, alice: Persona, bob: Persona, sql: connection
) -> None:
    """S33."""
    for stranger in (alice, bob):
        assert api.as_(stranger).get(PATH).status_code == 403
        assert api.as_(stranger).post(PATH, json=NEW).status_code == 403
        assert change(api, stranger, stranger, role="admin").status_code == 403

    denied = logged(sql, "access.denied")
    assert len(denied) == 6
    assert {each["actor_id"] for each in denied} == {str(alice.id), str(bob.id)}
