"""What holds for every endpoint: errors, bodies, headers, names of requests."""

import json
import logging
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from gunicorn.http.body import (  # type: ignore[import-untyped]
    Body,
    ChunkedReader,
)
from gunicorn.http.unreader import IterUnreader  # type: ignore[import-untyped]
from psycopg2.extensions import connection
from werkzeug.serving import make_server
from werkzeug.test import TestResponse

from api.contract import Contract
from app import create_app
from config import Settings
from config.config import RateLimits
from models.database import Database
from tests.audit_trail import run
from tests.process_log import logged
from utils.logger import configure_logging

LOGIN = "/api/auth/login"
READY = {"status": "ready", "reason": None}
EXAM = "https://exam.example.edu"
# What a page may always read, and what is for its browser and not for it.
OF_BROWSERS = {
    "Access-Control-Allow-Origin",
    "Access-Control-Expose-Headers",
    "Cache-Control",
    "Content-Length",
    "Content-Security-Policy",
    "Content-Type",
    "Referrer-Policy",
    "Vary",
    "X-Content-Type-Options",
}
MEMBERS = {"type", "title", "status", "detail", "instance", "request_id"}


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def assert_problem(response: TestResponse, status: int, slug: str) -> None:
    assert response.status_code == status, response.text
    assert response.mimetype == "application/problem+json"
    body = response.json
    assert body is not None
    assert set(body) >= MEMBERS
    assert body["type"] == f"/problems/{slug}"
    assert body["status"] == status
    assert body["request_id"] == response.headers["X-Request-ID"]


def test_an_unknown_address_is_a_problem(client: FlaskClient) -> None:
    assert_problem(client.get("/nowhere"), 404, "not-found")


def test_a_wrong_method_names_the_right_ones(client: FlaskClient) -> None:
    response = client.delete(LOGIN)

    assert_problem(response, 405, "method-not-allowed")
    assert "POST" in response.headers["Allow"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"email": "a", "email": "b"}',
        b'{"email": NaN}',
        b'{"email": Infinity}',
        b'{"email": "\\ud800"}',
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b'{"email": ' + b"9" * 5000 + b"}",
        b"\xef\xbb\xbf{}",
    ],
    ids=[
        "empty",
        "truncated",
        "no UTF-8",
        "doubled name",
        "NaN",
        "Infinity",
        "lone surrogate",
        "deep list",
        "deep object",
        "endless number",
        "byte order mark",
    ],
)
def test_what_is_no_json_is_refused(client: FlaskClient, raw: bytes) -> None:
    response = client.post(LOGIN, data=raw, content_type="application/json")

    assert_problem(response, 400, "bad-request")


@pytest.mark.parametrize("raw", [b"null", b"[]", b'"text"', b"1", b"true"])
def test_a_body_that_is_no_object_is_refused(client: FlaskClient, raw: bytes) -> None:
    response = client.post(LOGIN, data=raw, content_type="application/json")

    assert_problem(response, 422, "invalid-request")


def test_every_bad_field_has_a_pointer_and_no_input_is_repeated(
    client: FlaskClient,
) -> None:
    secret = "the password that I mistyped"
    response = client.post(LOGIN, json={"passwort": secret, "email": 7})

    assert_problem(response, 422, "invalid-request")
    assert response.json is not None
    pointers = {error["pointer"] for error in response.json["errors"]}
    assert pointers == {"#/email", "#/password", "#/passwort"}
    assert secret not in response.text


@pytest.mark.parametrize("text", ["a\x00b", "a\x1b[31mb", "a\nb", "a\u2028b"])
def test_control_characters_are_refused_in_a_line(
    client: FlaskClient, text: str
) -> None:
    response = client.post(
        "/api/auth/register",
        json={
            "email": "new@example.edu",
            "password": "correct horse battery",
            "full_name": text,
        },
    )

    assert_problem(response, 422, "invalid-request")


def test_a_text_that_is_too_long_has_too_many_characters(client: FlaskClient) -> None:
    new = {"email": "new@example.edu", "password": "x" * 20, "full_name": "x" * 201}
    response = client.post("/api/auth/register", json=new)

    assert_problem(response, 422, "invalid-request")
    assert response.json is not None
    assert response.json["errors"] == [
        {
            "pointer": "#/full_name",
            "detail": "Value should have at most 200 characters after validation,"
            " not 201",
        }
    ]


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", ""]
)
def test_another_media_type_is_refused(client: FlaskClient, content_type: str) -> None:
    response = client.post(LOGIN, data=b"{}", content_type=content_type)

    assert_problem(response, 415, "unsupported-media-type")
    assert response.headers["Accept"] == "application/json"
    assert response.json is not None
    assert "application/json" in response.json["detail"]


def test_a_compressed_body_is_refused(client: FlaskClient) -> None:
    response = client.post(
        LOGIN,
        data=b"{}",
        content_type="application/json",
        headers={"Content-Encoding": "gzip"},
    )

    assert_problem(response, 415, "unsupported-media-type")
    assert response.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("size", [64 * 1024 + 1, 2 * 1024 * 1024])
def test_a_body_that_is_too_large_is_refused(client: FlaskClient, size: int) -> None:
    raw = b'{"email": "' + b"a" * size + b'"}'
    response = client.post(LOGIN, data=raw, content_type="application/json")

    assert_problem(response, 413, "body-too-large")


@pytest.fixture
def port(app: Flask) -> Iterator[int]:
    """The app behind a real socket: a chunked body can't be made otherwise."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("size", [64 * 1024 + 1, 200_000])
def test_a_chunked_body_that_is_too_large_is_refused_and_not_cut_off(
    port: int, size: int
) -> None:
    body = b'{"email": "a@b.cc", "password": "' + b"x" * size + b'"}'
    with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as raw:
        raw.sendall(
            f"POST {LOGIN} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            f"{len(body):x}\r\n".encode()
            + body
            + b"\r\n0\r\n\r\n"
        )
        status_line = raw.makefile("rb").readline()

    assert b" 413 " in status_line


@pytest.mark.parametrize("sent", [b"zz\r\n{}", b"2\r\n{}zz0\r\n\r\n"])
def test_a_body_whose_chunks_can_not_be_told_apart_is_refused(
    client: FlaskClient, sent: bytes
) -> None:
    body = Body(ChunkedReader(None, IterUnreader([sent])))

    response = client.post(
        LOGIN,
        content_type="application/json",
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input": body, "wsgi.input_terminated": True},
    )

    assert_problem(response, 400, "bad-request")


def test_a_sane_request_id_is_kept_and_another_replaced(client: FlaskClient) -> None:
    kept = client.get("/health/live", headers={"X-Request-ID": "abc-123._X"})
    replaced = client.get("/health/live", headers={"X-Request-ID": "a b<script>"})
    long = client.get("/health/live", headers={"X-Request-ID": "a" * 65})

    assert kept.headers["X-Request-ID"] == "abc-123._X"
    assert re.fullmatch(r"[0-9a-f]{16}", replaced.headers["X-Request-ID"])
    assert re.fullmatch(r"[0-9a-f]{16}", long.headers["X-Request-ID"])


def test_every_reply_has_the_headers_that_protect_it(client: FlaskClient) -> None:
    for path in ("/health", "/nowhere", LOGIN, "/openapi.json", "/docs"):
        headers = client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "Set-Cookie" not in headers


def test_a_page_of_ours_runs_no_script_but_ours(client: FlaskClient) -> None:
    for path in ("/docs", "/problems/not-found"):
        page = client.get(path)
        policy = page.headers["Content-Security-Policy"]
        directives = dict(each.strip().split(" ", 1) for each in policy.split(";"))

        assert directives["default-src"] == "'none'"
        assert directives["script-src"] == "'self'"
        assert not re.search(r"<script(?![^>]* src=)|\son\w+=", page.text)


def test_nobody_gets_a_debugger(app: Flask, client: FlaskClient) -> None:
    """S72."""
    assert not app.debug
    assert not app.testing
    for path in ("/console", "/?__debugger__=yes&cmd=resource&f=debugger.js"):
        assert_problem(client.get(path), 404, "not-found")
    assert_problem(client.open(LOGIN, method="TRACE"), 405, "method-not-allowed")


def test_no_foreign_origin_is_allowed_unless_configured(client: FlaskClient) -> None:
    for origin in ("https://evil.example", "null"):
        response = client.get("/health", headers={"Origin": origin})
        assert "Access-Control-Allow-Origin" not in response.headers


def test_a_configured_origin_and_no_other_is_allowed(settings: Settings) -> None:
    client = create_app(replace(settings, cors_origins=(EXAM,))).test_client()

    preflight = client.options(LOGIN, headers={"Origin": EXAM})
    foreign = client.options(LOGIN, headers={"Origin": "https://evil.example"})

    assert preflight.headers["Access-Control-Allow-Origin"] == EXAM
    assert "Access-Control-Allow-Credentials" not in preflight.headers
    assert "Access-Control-Allow-Origin" not in foreign.headers


def test_a_page_of_a_configured_origin_can_read_what_it_is_told(
    settings: Settings,
) -> None:
    client = create_app(replace(settings, cors_origins=(EXAM,))).test_client()
    new = {"email": "a@example.edu", "password": "quiet tin horse", "full_name": "A"}
    key = {"Origin": EXAM, "Idempotency-Key": "1"}
    path = "/api/auth/register"

    registered = client.post(path, json=new, headers=key)
    again = client.post(path, json=new, headers=key)
    refused = [
        client.get("/api/auth/me", headers=key),
        client.delete(path, headers=key),
        client.post(path, data="{}", headers={"Origin": EXAM}),
    ]

    assert (registered.status_code, again.status_code) == (201, 201)
    assert [answer.status_code for answer in refused] == [401, 405, 415]
    exposed = set(again.headers["Access-Control-Expose-Headers"].split(", "))
    assert "Idempotency-Replayed" in again.headers
    for answer in (again, *refused):
        assert {name for name, _ in answer.headers} - OF_BROWSERS <= exposed
    # Of exams: their version. Of files: what they are called.
    assert {"ETag", "Content-Disposition", "Retry-After"} <= exposed


def test_a_page_of_a_configured_origin_may_send_what_is_read(
    settings: Settings,
) -> None:
    app = create_app(replace(settings, cors_origins=(EXAM,)))
    read = {"Authorization", "Content-Type", "X-Request-ID", "traceparent"}
    for handler in app.view_functions.values():
        contract = getattr(handler, "contract", Contract())
        read |= set(contract.request_headers)

    preflight = app.test_client().options(LOGIN, headers={"Origin": EXAM})

    allowed = preflight.headers["Access-Control-Allow-Headers"].split(", ")
    # What a tracer adds to traceparent by itself would fail the whole request.
    assert read | {"Idempotency-Key", "If-Match", "tracestate"} <= set(allowed)


def test_no_limit_counts_what_a_browser_asks_beforehand(settings: Settings) -> None:
    """It asks without a login: a lecture hall would have used up its address's."""
    limits = replace(settings.rate_limits, default="2 per hour")
    app = create_app(replace(settings, cors_origins=(EXAM,), rate_limits=limits))
    path = "/api/exams/00000000-0000-7000-8000-000000000000/start"

    asked = [app.test_client().options(path, headers={"Origin": EXAM}) for _ in "abc"]

    assert [answer.status_code for answer in asked] == [200, 200, 200]


def test_a_host_that_is_not_ours_is_refused(settings: Settings) -> None:
    app = create_app(replace(settings, trusted_hosts=("exam.example.edu",)))
    client = app.test_client()

    good = client.get("/docs", headers={"Host": "exam.example.edu"})
    bad = client.get("/docs", headers={"Host": "evil.example"})
    nowhere = client.get("/nowhere", headers={"Host": "evil.example"})

    assert good.status_code == 200
    assert_problem(bad, 400, "bad-request")
    assert_problem(nowhere, 400, "bad-request")


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
def test_whoever_watches_the_machine_asks_it_by_its_number(
    settings: Settings, path: str
) -> None:
    """As nginx on 127.0.0.1:9180, the image's health check and Prometheus do."""
    app = create_app(replace(settings, trusted_hosts=("exam.example.edu",)))

    asked = app.test_client().get(path, headers={"Host": "127.0.0.1:9180"})

    assert asked.status_code == 200


def test_forwarded_addresses_are_believed_only_from_a_proxy(
    settings: Settings,
) -> None:
    limits = replace(settings.rate_limits, register="2 per hour")
    body = {"email": "x"}

    def tries(trusted_proxies: int) -> list[int]:
        app = create_app(
            replace(settings, rate_limits=limits, trusted_proxies=trusted_proxies)
        )
        return [
            app.test_client()
            .post(
                "/api/auth/register",
                json=body,
                headers={"X-Forwarded-For": f"10.0.{trusted_proxies}.{number}"},
            )
            .status_code
            for number in range(4)
        ]

    assert tries(1) == [422, 422, 422, 422]
    assert tries(0) == [422, 422, 429, 429]


def test_limits_hold_across_processes(settings: Settings) -> None:
    limits = RateLimits(default="5 per minute")
    apps = [create_app(replace(settings, rate_limits=limits)) for _ in range(3)]

    answers = [
        apps[number % 3].test_client().get("/docs").status_code for number in range(7)
    ]

    assert answers == [200] * 5 + [429] * 2


def test_a_limited_caller_is_told_when_to_come_back(settings: Settings) -> None:
    limits = RateLimits(default="1 per minute")
    client = create_app(replace(settings, rate_limits=limits)).test_client()
    client.get("/docs")

    response = client.get("/docs")

    assert_problem(response, 429, "too-many-requests")
    assert 1 <= int(response.headers["Retry-After"]) <= 61


def test_who_may_go_on_is_not_told_to_wait(client: FlaskClient) -> None:
    response = client.get("/docs")

    assert int(response.headers["X-RateLimit-Remaining"]) > 0
    assert "Retry-After" not in response.headers


def test_health_says_what_works(client: FlaskClient) -> None:
    response = client.get("/health")

    assert response.status_code == 200
    assert response.json is not None
    assert response.json["status"] == response.json["database"] == "ok"


@pytest.fixture
def drain_file(tmp_path: Path) -> Path:
    return tmp_path / "drain"


def test_a_host_is_ready_until_somebody_drains_it(
    settings: Settings, drain_file: Path
) -> None:
    client = create_app(replace(settings, drain_file=drain_file)).test_client()

    before = client.get("/health/ready")
    drain_file.touch()
    draining = client.get("/health/ready")
    others = [client.get(path).status_code for path in ("/health", "/health/live")]
    drain_file.unlink()
    after = client.get("/health/ready")

    assert (before.status_code, before.json) == (200, READY)
    assert draining.status_code == 503
    assert draining.json is not None
    assert draining.json["status"] == "draining"
    assert others == [200, 200]
    assert (after.status_code, after.json) == (200, READY)


def test_a_host_without_its_database_is_not_ready(settings: Settings) -> None:
    nowhere = replace(settings.database, host="127.0.0.1", port=1)
    client = create_app(replace(settings, database=nowhere)).test_client()

    response = client.get("/health/ready")

    assert response.status_code == 503
    assert response.json is not None
    assert response.json["status"] == "unavailable"


def test_code_is_not_ready_for_a_schema_that_is_older_than_it(
    client: FlaskClient, sql: connection
) -> None:
    run(
        sql,
        "DELETE FROM schema_migrations"
        " WHERE version = (SELECT max(version) FROM schema_migrations)",
    )

    response = client.get("/health/ready")

    assert response.status_code == 503
    assert "database.migrate" in response.text


def test_code_is_ready_for_a_schema_that_is_newer_than_it(
    client: FlaskClient, sql: connection
) -> None:
    run(
        sql,
        "INSERT INTO schema_migrations (version, name, sha256)"
        " VALUES (9999, 'of_the_future', repeat('0', 64))",
    )

    assert client.get("/health/ready").status_code == 200


def test_a_busy_host_is_ready(app: Flask) -> None:
    """Its requests, sent elsewhere, would be as many there."""
    database: Database = app.extensions["database"]
    with ExitStack() as held:
        for _ in range(database.settings.pool_size):
            held.enter_context(database.read())
        response = app.test_client().get("/health/ready")
        health = app.test_client().get("/health")

    assert response.status_code == 200
    # Nobody is to be woken for a failover.
    assert health.status_code == 503
    assert health.json is not None
    assert health.json["database"] == "busy"


def test_health_keeps_its_shape_when_the_database_is_away(settings: Settings) -> None:
    nowhere = replace(settings.database, host="127.0.0.1", port=1)
    client = create_app(replace(settings, database=nowhere)).test_client()

    response = client.get("/health")

    assert response.status_code == 503
    assert response.json is not None
    assert response.json["database"] == "unavailable"
    assert client.get("/health/live").status_code == 200


def test_a_request_without_a_database_gets_503_and_when_to_retry(
    settings: Settings,
) -> None:
    nowhere = replace(settings.database, host="127.0.0.1", port=1)
    client = create_app(replace(settings, database=nowhere)).test_client()

    response = client.post(LOGIN, json={"email": "a@example.edu", "password": "x"})

    assert_problem(response, 503, "unavailable")
    assert response.headers["Retry-After"] == "1"


def test_the_docs_work_without_the_internet(client: FlaskClient) -> None:
    page = client.get("/docs")
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)

    assert links
    for link in links:
        assert link.startswith("/"), link
        with client.get(link) as asset:
            assert asset.status_code == 200


def test_a_failure_of_ours_tells_nothing_about_it(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    def explode() -> str:
        raise ZeroDivisionError("SELECT secret FROM table")

    app.add_url_rule("/explode", "explode", explode)
    response = app.test_client().get("/explode")

    assert_problem(response, 500, "internal-error")
    assert "secret" not in response.text
    assert "secret" in caplog.text


PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def lines_of(output: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.splitlines()]


def test_every_line_of_a_request_belongs_to_the_trace_of_its_caller(
    app: Flask, capfd: pytest.CaptureFixture[str]
) -> None:
    def explode() -> str:
        raise ZeroDivisionError

    app.add_url_rule("/explode", "explode", explode)
    configure_logging("INFO")
    client = app.test_client()
    response = client.get(
        "/explode", headers={"traceparent": PARENT, "X-Request-ID": "one"}
    )
    client.get("/nowhere", headers={"X-Request-ID": "two"})
    logging.getLogger("elsewhere").warning("after the requests")
    lines = lines_of(logged(capfd))

    first = [line for line in lines if line.get("request_id") == "one"]
    (second,) = [line for line in lines if line.get("request_id") == "two"]
    (after,) = [line for line in lines if line["logger"] == "elsewhere"]
    assert [line["message"] for line in first] == ["unhandled exception", "request"]
    assert {line["trace_id"] for line in first} == {"0af7651916cd43dd8448eb211c80319c"}
    (span_id,) = {str(line["span_id"]) for line in first}
    assert first[-1]["parent_span_id"] == "b7ad6b7169203331"
    assert response.headers["traceresponse"] == (
        f"00-0af7651916cd43dd8448eb211c80319c-{span_id}-01"
    )
    assert re.fullmatch("[0-9a-f]{32}", str(second["trace_id"]))
    assert second["trace_id"] != first[0]["trace_id"]
    assert "trace_id" not in after


def test_each_request_is_one_json_line(
    client: FlaskClient, capfd: pytest.CaptureFixture[str]
) -> None:
    configure_logging("INFO")
    client.get("/nowhere\n{}", headers={"X-Request-ID": "one"})
    lines = lines_of(logged(capfd))

    (line,) = [line for line in lines if line.get("request_id") == "one"]
    assert line["status"] == 404
    assert line["method"] == "GET"
    assert float(str(line["ms"])) >= 0
