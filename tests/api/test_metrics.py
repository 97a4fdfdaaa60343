"""What can be measured from outside, and by whom."""

from contextlib import ExitStack
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from threading import Thread

import pytest
from flask import Flask
from psycopg2.extensions import connection
from werkzeug.test import TestResponse

from app import create_app
from config import Settings
from models.connection_settings import ConnectionSettings
from models.database import Database
from models.database_errors import PoolBusyError
from services.attempt_service import AttemptService
from services.health_service import VERSION
from services.passwords import HashingBusyError, PasswordHasher
from tests.audit_trail import append, run, scalar
from tests.checkpoints import files_in, sign
from tests.exam_room import ExamRoom
from tests.personas import PASSWORD
from tests.scraped import Scraped
from tests.services.test_hashing_bulkhead import SLOW
from tests.waiting import until


def ask(app: Flask, **options: object) -> TestResponse:
    return app.test_client().get("/metrics", **options)


def scrape(app: Flask) -> Scraped:
    response = ask(app)
    assert response.status_code == 200
    return Scraped(response.text)


def test_it_is_the_text_format_that_prometheus_reads(app: Flask) -> None:
    response = ask(app)

    assert response.headers["Content-Type"] == (
        "text/plain; version=0.0.4; charset=utf-8"
    )
    assert Scraped(response.text)("proctoring_version", version=VERSION) == 1


HERE = {"X-Forwarded-For": "127.0.0.1"}
SOMEWHERE = {"X-Forwarded-For": "203.0.113.7"}


@pytest.mark.parametrize(
    ("trusted_proxies", "headers"),
    [
        # Nobody has told us of a proxy.
        (0, HERE),
        (0, SOMEWHERE),
        (0, {"X-Real-IP": "127.0.0.1"}),
        (0, {"Forwarded": "for=127.0.0.1"}),
        (0, {"Via": "1.1 proxy"}),
        # Ours says that somebody outside asks, or passes on what he says of himself.
        (1, SOMEWHERE),
        (1, {"X-Forwarded-For": "127.0.0.1, 203.0.113.7"}),
        # One more than we know of has passed it on.
        (1, {"X-Forwarded-For": "203.0.113.7, 127.0.0.1"}),
        (1, {**HERE, "Via": "1.1 proxy"}),
    ],
    ids=str,
)
def test_from_outside_there_is_nothing_here(
    settings: Settings, trusted_proxies: int, headers: dict[str, str]
) -> None:
    app = create_app(replace(settings, trusted_proxies=trusted_proxies))

    refused = ask(app, headers=headers)

    nowhere = app.test_client().get("/nowhere")
    assert refused.status_code == nowhere.status_code == 404
    assert refused.json is not None
    assert nowhere.json is not None
    assert refused.json["detail"] == nowhere.json["detail"]


@pytest.mark.parametrize("peer", ["", "127.0.0.1"], ids=["unix socket", "loopback"])
def test_a_proxy_of_ours_asks_for_this_machine(settings: Settings, peer: str) -> None:
    app = create_app(replace(settings, trusted_proxies=1))

    response = ask(app, headers=HERE, environ_overrides={"REMOTE_ADDR": peer})

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("peer", "status"),
    [
        ("127.0.0.1", 404),
        ("10.1.2.3", 200),
        ("::ffff:10.1.2.3", 200),
        ("11.1.2.3", 404),
        ("::1", 404),
        ("", 404),
    ],
)
def test_only_the_networks_that_are_named_may_read_it(
    settings: Settings, peer: str, status: int
) -> None:
    inside = (ip_network("10.0.0.0/8"),)
    app = create_app(replace(settings, metrics_networks=inside))

    response = ask(app, environ_overrides={"REMOTE_ADDR": peer})

    assert response.status_code == status


def test_it_is_counted_by_route_method_and_status(app: Flask) -> None:
    before = scrape(app)
    client = app.test_client()
    client.get("/docs")
    client.get("/api/exams/019ab1c2-0000-7000-8000-000000000001")
    client.get("/api/exams/019ab1c2-0000-7000-8000-000000000002")
    after = scrape(app)

    def more(name: str, **labels: str) -> float:
        return after(name, **labels) - before(name, **labels)

    exam = "/api/exams/<uuid:exam_id>"
    assert more("proctoring_http_requests_total", route="/docs", status="200") == 1
    assert more("proctoring_http_requests_total", route=exam, status="401") == 2
    name = "proctoring_http_request_duration_seconds"
    assert more(f"{name}_count", method="GET", route=exam) == 2
    assert more(f"{name}_bucket", method="GET", route=exam, le="+Inf") == 2
    assert 0 < more(f"{name}_sum", method="GET", route=exam) < 10
    # This question itself.
    assert after("proctoring_http_requests_in_flight") == 1


def test_no_client_can_make_the_series_grow(app: Flask) -> None:
    client = app.test_client()
    client.get("/nowhere")
    client.open("/nowhere", method="BREW")
    before = {(s.name, *sorted(s.labels.items())) for s in scrape(app).samples}

    for number in range(50):
        client.get(f"/nowhere/{number}")
        client.get(f"/api/exams/{number}")
        client.open("/nowhere", method=f"BREW{number}")
    after = {(s.name, *sorted(s.labels.items())) for s in scrape(app).samples}

    assert after == before


def test_refusals_of_the_rate_limits_are_counted(settings: Settings) -> None:
    limits = replace(settings.rate_limits, default="2 per minute")
    app = create_app(replace(settings, rate_limits=limits))
    before = scrape(app)

    answers = [app.test_client().get("/docs").status_code for _ in range(5)]

    name = "proctoring_rate_limit_refusals_total"
    assert answers == [200, 200, 429, 429, 429]
    assert scrape(app)(name, route="/docs") - before(name, route="/docs") == 3


def test_the_pool_says_who_has_and_who_waits(
    app: Flask, connection_settings: ConnectionSettings
) -> None:
    before = scrape(app)
    small = replace(connection_settings, pool_size=2, pool_wait_seconds=0.5)
    pool = Database(small)
    assert scrape(app)("proctoring_pool_limit") - before("proctoring_pool_limit") == 2

    def wait() -> None:
        with pytest.raises(PoolBusyError), pool.read():
            pass

    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(pool.read())
        waiting = Thread(target=wait)
        waiting.start()
        until(lambda: scrape(app)("proctoring_pool_waiting") == 1)
        name = "proctoring_pool_in_use"
        assert scrape(app)(name) - before(name) == 2
        waiting.join()
    pool.close()

    after = scrape(app)
    name = "proctoring_pool_timeouts_total"
    assert after(name) - before(name) == 1
    assert after("proctoring_pool_waiting") == 0
    assert after("proctoring_pool_in_use") == before("proctoring_pool_in_use")


def test_a_pool_that_is_lent_out_is_no_database_that_is_away(app: Flask) -> None:
    """The alert of the one leads to more patience, that of the other to a failover."""
    database: Database = app.extensions["database"]
    with ExitStack() as held:
        for _ in range(database.settings.pool_size):
            held.enter_context(database.read())
        meanwhile = scrape(app)

    assert meanwhile("proctoring_database_up") == 1
    assert meanwhile("proctoring_audit_entries_total") >= 1


def test_the_bulkhead_says_who_hashes_waits_and_was_sent_away(app: Flask) -> None:
    before = scrape(app)
    hasher = PasswordHasher(rounds=4, concurrency=1, queue=1)
    threads = [Thread(target=hasher.verify, args=(PASSWORD, SLOW)) for _ in range(2)]
    for thread in threads:
        thread.start()

    until(lambda: scrape(app)("proctoring_hashing_waiting") == 1)
    assert scrape(app)("proctoring_hashing_in_use") == 1
    with pytest.raises(HashingBusyError):
        hasher.verify(PASSWORD, SLOW)
    for thread in threads:
        thread.join()

    after = scrape(app)
    name = "proctoring_hashing_refusals_total"
    assert after(name) - before(name) == 1
    assert after("proctoring_hashing_waiting") == 0
    assert after("proctoring_hashing_in_use") == 0


def test_what_is_not_signed_or_not_witnessed_shows(
    app: Flask, database: Database, sql: connection, tmp_path: Path
) -> None:
    files = files_in(tmp_path, sql)
    append(database, 3)
    nothing = scrape(app)
    signed = sign(database.settings, files)
    assert signed is not None
    after_signing = scrape(app)
    append(database, 2)
    run(
        sql,
        "UPDATE checkpoints SET cosigned_note = note,"
        " cosigned_at = clock_timestamp(), signed_at = signed_at - interval '1 hour'",
    )
    later = scrape(app)

    entries = scalar(sql, "SELECT count(*) FROM audit_log")
    assert nothing("proctoring_audit_entries_total") == entries - 2
    assert nothing("proctoring_audit_unsigned_entries") == entries - 2
    assert nothing("proctoring_audit_unwitnessed_entries") == entries - 2
    assert nothing("proctoring_audit_unsigned_age_seconds") > 0
    assert after_signing("proctoring_checkpoint_size") == signed.size == entries - 2
    assert after_signing("proctoring_audit_unsigned_entries") == 0
    assert after_signing("proctoring_audit_unsigned_age_seconds") == 0
    assert after_signing("proctoring_audit_unwitnessed_entries") == entries - 2
    assert later("proctoring_audit_unsigned_entries") == 2
    assert later("proctoring_audit_unwitnessed_entries") == 2
    assert 0 < later("proctoring_audit_unwitnessed_age_seconds") < 60
    assert 3600 <= later("proctoring_checkpoint_age_seconds") < 3700


def test_what_the_sweeper_has_not_done_yet_shows(
    app: Flask, database: Database, sql: connection
) -> None:
    room = ExamRoom(sql)
    attempts = AttemptService(database)
    started = [
        attempts.start_attempt(room.new_student(), room.exam_id, take_over=False)
        for _ in range(3)
    ]
    # An hour, the leeway of two seconds, and half a minute.
    room.let_time_pass(started[0].paper.attempt.id, 3632)
    run(
        sql,
        "UPDATE attempt_activity SET analysis_due_since ="
        " clock_timestamp() - interval '90 seconds' WHERE attempt_id = %s",
        started[1].paper.attempt.id,
    )
    found = scrape(app)

    assert found("proctoring_attempts", status="in_progress") == 3
    assert found("proctoring_attempts", status="paused") == 0
    assert found("proctoring_attempts_overdue") == 1
    assert 30 <= found("proctoring_attempts_overdue_age_seconds") < 60
    assert found("proctoring_analysis_waiting") >= 1
    assert 90 <= found("proctoring_analysis_waiting_age_seconds") < 120


def test_without_a_database_the_rest_is_still_told(settings: Settings) -> None:
    nowhere = replace(settings.database, host="127.0.0.1", port=1)
    app = create_app(replace(settings, database=nowhere))
    name = "proctoring_database_failures_total"
    before = scrape(app)

    after = scrape(app)

    assert after("proctoring_database_up") == 0
    assert after(name, reason="away") - before(name, reason="away") == 1
    assert "proctoring_audit_entries_total" not in after.names
    assert "proctoring_http_requests_total" in after.names
