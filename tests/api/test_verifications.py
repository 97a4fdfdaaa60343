"""Verifications that take long: started, watched from anywhere, cancelled, given up."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from uuid import UUID, uuid4

import psycopg2
import pytest
from flask import Flask
from psycopg2.extensions import connection

from app import create_app
from config import Settings
from models.database import Database
from models.principal import Role
from services.blockchain_service import BlockchainService
from services.verification_job import VerificationJob
from tests.audit_trail import append, run, scalar
from tests.exams import Json, body
from tests.personas import Api, Enrol, Persona
from tests.tampering import allow_everything
from tests.waiting import until, until_somebody_waits_for_a_lock

PATH = "/api/blockchain/verifications"


def ended(api: Api, admin: Persona, run_id: str) -> Json:
    """Wait until a run has ended, and return it."""

    def is_over() -> bool:
        return bool(look(api, admin, run_id)["state"] != "running")

    until(is_over)
    return look(api, admin, run_id)


def look(api: Api, admin: Persona, run_id: str) -> Json:
    return body(api.as_(admin).get(f"{PATH}/{run_id}"))


def started(api: Api, admin: Persona, **wanted: object) -> Json:
    response = api.as_(admin).post(PATH, json=wanted)
    begun = body(response, HTTPStatus.ACCEPTED)
    assert response.headers["Location"] == f"{PATH}/{begun['id']}"
    return begun


@contextmanager
def held_up(dsn: str) -> Iterator[None]:
    """Let whoever verifies wait for the checkpoints."""
    with closing(psycopg2.connect(dsn)) as blocker:
        run(blocker, "LOCK TABLE checkpoints IN ACCESS EXCLUSIVE MODE")
        yield
        blocker.rollback()


@pytest.mark.parametrize("deep", [False, True])
def test_a_run_ends_with_the_report_that_the_short_way_gives(
    api: Api, ada: Persona, database: Database, *, deep: bool
) -> None:
    append(database, 10)

    begun = started(api, ada, deep=deep)
    found = ended(api, ada, begun["id"])
    short = body(api.as_(ada).get(f"/api/blockchain/verify?deep={str(deep).lower()}"))

    assert begun["requested_by"] == str(ada.id)
    # The entry that records the start is one of them.
    assert begun["entries_total"] == found["entries_checked"] - 1
    assert (found["state"], found["failure"]) == ("finished", None)
    assert found["ended_at"] >= found["started_at"]
    assert found["deep"] is deep
    for changing in ("duration_ms", "snapshot_at"):
        del found["result"][changing], short[changing]
    assert found["result"] == short
    assert found["entries_checked"] == short["entries_checked"]


def test_any_process_answers_for_any_run(
    api: Api, ada: Persona, settings: Settings, database: Database
) -> None:
    append(database, 3)
    begun = started(api, ada)

    other = create_app(settings)
    found = ended(Api(other), ada, begun["id"])
    other.extensions["database"].close()

    assert found["result"]["valid"] is True


@pytest.mark.tampers
def test_damage_is_reported(
    api: Api, ada: Persona, database: Database, sql: connection
) -> None:
    append(database, 10)
    allow_everything(sql)
    run(sql, "UPDATE audit_log SET payload = '{}' WHERE seq = 5")

    found = ended(api, ada, started(api, ada)["id"])

    assert found["state"] == "finished"
    assert found["result"]["valid"] is False
    assert found["result"]["verdict"] == "tampered"
    assert found["result"]["first_invalid"]["seq"] == 5


def test_starting_and_cancelling_are_in_the_log(
    api: Api, ada: Persona, sql: connection, database: Database
) -> None:
    append(database, 10)
    run_id = begin(sql, ada)
    body(api.as_(ada).post(f"{PATH}/{run_id}/cancel"))
    body(api.as_(ada).post(PATH), HTTPStatus.CONFLICT)
    run(sql, "UPDATE verification_runs SET alive_at = alive_at - interval '1 min'")

    again = started(api, ada)
    ended(api, ada, again["id"])

    assert run(
        sql,
        "SELECT event_type, entity_id, actor_id FROM audit_log"
        " WHERE entity_type = 'verification' ORDER BY seq",
    ) == [
        ("log.verification_cancelled", run_id, str(ada.id)),
        ("log.verification_started", again["id"], str(ada.id)),
    ]


def begin(sql: connection, admin: Persona) -> str:
    """Put a run into the table whose process is alive and elsewhere."""
    run_id = str(uuid4())
    run(
        sql,
        "INSERT INTO verification_runs (id, requested_by, deep, entries_total)"
        " VALUES (%s, %s, false, 11)",
        run_id,
        str(admin.id),
    )
    return run_id


def test_there_is_one_at_a_time(api: Api, ada: Persona, sql: connection) -> None:
    run_id = begin(sql, ada)

    refused = body(api.as_(ada).post(PATH), HTTPStatus.CONFLICT)

    assert refused["type"] == "/problems/verification-running"
    assert look(api, ada, run_id)["state"] == "running"
    assert scalar(sql, "SELECT count(*) FROM verification_runs") == 1


def test_a_run_whose_process_died_is_incomplete_and_makes_room(
    api: Api, ada: Persona, sql: connection
) -> None:
    run_id = begin(sql, ada)
    run(sql, "UPDATE verification_runs SET alive_at = alive_at - interval '31 s'")

    dead = look(api, ada, run_id)
    listed = body(api.as_(ada).get(PATH))["items"]
    ended(api, ada, started(api, ada)["id"])

    for found in (dead, *listed, look(api, ada, run_id)):
        assert found["state"] == "incomplete"
        assert found["failure"] == "the process that ran it died"
        assert found["ended_at"] is not None
        assert found["result"] is None


def test_a_dead_run_can_be_cancelled_and_stays_incomplete(
    api: Api, ada: Persona, sql: connection
) -> None:
    run_id = begin(sql, ada)
    run(sql, "UPDATE verification_runs SET alive_at = alive_at - interval '31 s'")

    assert body(api.as_(ada).post(f"{PATH}/{run_id}/cancel"))["state"] == "incomplete"
    again = api.as_(ada).post(f"{PATH}/{run_id}/cancel")

    assert body(again, HTTPStatus.CONFLICT)["type"] == "/problems/verification-ended"


def test_a_cancelled_run_stops_and_has_no_result(
    api: Api,
    ada: Persona,
    database: Database,
    sql: connection,
    dsn: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.verification_job.BEAT_SECONDS", 0.05)
    monkeypatch.setattr("services.audit_check.PROGRESS_EVERY", 1)
    append(database, 10)
    run_id = begin(sql, ada)
    job = VerificationJob(
        database, BlockchainService(database), UUID(run_id), deep=False
    )
    with held_up(dsn):
        job.start()
        until_somebody_waits_for_a_lock(sql)
        assert look(api, ada, run_id)["state"] == "running"
        body(api.as_(ada).post(f"{PATH}/{run_id}/cancel"))
        # Its next sign of life tells it.
        until(job.is_to_stop.is_set)
    found = ended(api, ada, run_id)

    assert found["state"] == "cancelled"
    assert found["result"] is None
    assert found["entries_checked"] < 11


def test_a_run_that_lost_the_database_is_incomplete(
    api: Api,
    ada: Persona,
    database: Database,
    sql: connection,
    dsn: str,
) -> None:
    append(database, 10)
    run_id = begin(sql, ada)
    job = VerificationJob(
        database, BlockchainService(database), UUID(run_id), deep=False
    )
    with held_up(dsn):
        job.start()
        until_somebody_waits_for_a_lock(sql)
        run(
            sql,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()",
        )
        found = ended(api, ada, run_id)

    assert found["state"] == "incomplete"
    assert found["failure"] == "the database did not answer"
    assert found["result"] is None


def test_a_defect_is_incomplete_and_no_verdict(
    api: Api, ada: Persona, database: Database, sql: connection
) -> None:
    run_id = begin(sql, ada)
    # What the reading needs is not to be had.
    run(sql, "REVOKE SELECT ON checkpoints FROM proctoring_app")

    VerificationJob(
        database, BlockchainService(database), UUID(run_id), deep=False
    ).run()
    run(sql, "GRANT SELECT ON checkpoints TO proctoring_app")

    found = look(api, ada, run_id)
    assert (found["state"], found["result"]) == ("incomplete", None)
    assert found["failure"] == "it failed, which is our fault"


def test_runs_are_listed_the_newest_first(api: Api, ada: Persona) -> None:
    ids = []
    for _ in range(3):
        ids.append(started(api, ada)["id"])
        ended(api, ada, ids[-1])

    first = body(api.as_(ada).get(f"{PATH}?limit=2"))
    second = body(api.as_(ada).get(f"{PATH}?limit=2&cursor={first['next_cursor']}"))

    found = [each["id"] for page in (first, second) for each in page["items"]]
    assert found == ids[::-1]
    assert second["next_cursor"] is None


def test_what_is_not_there_is_not_found(api: Api, ada: Persona) -> None:
    for response in (
        api.as_(ada).get(f"{PATH}/{uuid4()}"),
        api.as_(ada).post(f"{PATH}/{uuid4()}/cancel"),
    ):
        problem = body(response, HTTPStatus.NOT_FOUND)
        assert problem["type"] == "/problems/verification-not-found"


def test_only_an_admin_may(app: Flask, enrol_as: Enrol) -> None:
    for role in (Role.STUDENT, Role.PROCTOR):
        client = Api(app).as_(enrol_as(role.value, role))

        assert client.get(PATH).status_code == HTTPStatus.FORBIDDEN
        assert client.post(PATH).status_code == HTTPStatus.FORBIDDEN
        assert client.get(f"{PATH}/{uuid4()}").status_code == HTTPStatus.FORBIDDEN
