"""Real requests through the real nginx, with the configuration that is deployed."""

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from pathlib import Path

import psycopg2
import pytest

from app import MAX_BODY_BYTES
from database.seed import seed_if_empty
from middleware.security_headers import CORS_HEADERS, CORS_METHODS
from tests.checkpoints import files_in, sign
from tests.databases import connection_to
from tests.exams import Json
from tests.slow.exam_morning import ADMIN, OWN_PASSWORD
from tests.slow.proxy import (
    CONFIGURATION,
    HOST,
    ORIGIN,
    RunningProxy,
    running_proxy,
)
from tests.slow.running import RunningApi, find_program, running_api

pytestmark = pytest.mark.skipif(
    find_program("nginx") is None and "CI" not in os.environ,
    reason="nginx is not installed",
)

LOGIN = "/api/auth/login"
JSON = {"Content-Type": "application/json"}
PROBLEM = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    # In lower case. A header that came twice would be here with a comma.
    headers: Mapping[str, str]
    body: bytes

    def problem(self) -> Json:
        assert self.headers["content-type"] == PROBLEM, self.body
        found: Json = json.loads(self.body)
        assert found["status"] == self.status
        assert found["request_id"] == self.headers["x-request-id"]
        return found


class Browser:
    """Speaks TLS to the proxy, and believes its certificate."""

    def __init__(self, proxy: RunningProxy) -> None:
        self._proxy = proxy

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        connection = HTTPSConnection(
            "127.0.0.1", self._proxy.port, timeout=30, context=self._context()
        )
        # The name in the handshake and in the request is the host's, not the address.
        connection.sock = self._context().wrap_socket(
            socket.create_connection(("127.0.0.1", self._proxy.port), 30),
            server_hostname=HOST,
        )
        return _ask(connection, method, path, body, headers)

    def ask_in_clear(self, path: str) -> Answer:
        connection = HTTPConnection("127.0.0.1", self._proxy.plain_port, timeout=30)
        return _ask(connection, "GET", path, None, None)

    def ask_as_monitoring(self, path: str) -> Answer:
        connection = HTTPConnection(
            "127.0.0.1", self._proxy.monitoring_port, timeout=30
        )
        return _ask(connection, "GET", path, None, None)

    def send_bytes(self, *pieces: bytes) -> bytes:
        """Send what no client library would, and return all that comes back."""
        with self.connected() as tls:
            for piece in pieces:
                tls.sendall(piece)
            received = b""
            while chunk := tls.recv(65536):
                received += chunk
        return received

    @contextmanager
    def connected(self) -> Iterator[ssl.SSLSocket]:
        plain = socket.create_connection(("127.0.0.1", self._proxy.port), 30)
        with self._context().wrap_socket(plain, server_hostname=HOST) as tls:
            yield tls

    def _context(self) -> ssl.SSLContext:
        return self._proxy.trust()


def _ask(
    connection: HTTPConnection,
    method: str,
    path: str,
    body: bytes | None,
    headers: Mapping[str, str] | None,
) -> Answer:
    with closing(connection):
        connection.request(method, path, body, {"Host": HOST, **(headers or {})})
        response: HTTPResponse = connection.getresponse()
        found = {
            name.lower(): ", ".join(response.headers.get_all(name, []))
            for name in response.headers
        }
        return Answer(response.status, found, response.read())


@pytest.fixture
def room() -> Iterator[Path]:
    """Where the two meet: a directory that nginx's account may pass through."""
    with tempfile.TemporaryDirectory(prefix="proctoring-") as directory:
        Path(directory).chmod(0o711)
        yield Path(directory) / "gunicorn.sock"


@pytest.fixture
def proxy(room: Path) -> Iterator[RunningProxy]:
    with running_proxy(room) as started:
        yield started


@pytest.fixture
def browser(proxy: RunningProxy) -> Browser:
    return Browser(proxy)


@pytest.fixture
def api(
    room: Path, durable_dsn: str, database_variables: Mapping[str, str]
) -> Iterator[RunningApi]:
    seed_if_empty(durable_dsn)
    where = {
        "TRUSTED_PROXIES": "1",
        "TRUSTED_HOSTS": HOST,
        "CORS_ORIGINS": ORIGIN,
    }
    with running_api(
        database_variables, workers=1, environment=where, api_socket=room
    ) as started:
        yield started


def test_nginx_finds_no_fault_with_the_configuration(proxy: RunningProxy) -> None:
    program = find_program("nginx")
    assert program is not None
    home = proxy.certificate.parent

    judged = subprocess.run(
        [
            *(program, "-t", "-p", str(home), "-c", str(home / "nginx.conf")),
            *("-e", "stderr", "-g", f"pid {home}/other.pid;"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert judged.returncode == 0, judged.stderr
    assert "emerg" not in judged.stderr


def test_the_largest_body_is_the_same_to_both() -> None:
    (megabytes,) = re.findall(
        r"client_max_body_size (\d+)m;", CONFIGURATION.read_text()
    )

    assert int(megabytes) * 1024 * 1024 == MAX_BODY_BYTES - 1


@pytest.mark.usefixtures("api")
def test_what_the_client_says_of_its_address_is_overwritten(
    browser: Browser, durable_dsn: str
) -> None:
    lies = {
        "X-Forwarded-For": "203.0.113.7",
        "Forwarded": "for=203.0.113.7",
        "X-Forwarded-Host": "evil.example",
    }

    answer = browser.ask("POST", LOGIN, json.dumps(ADMIN).encode(), JSON | lies)

    assert answer.status == 200, answer.body
    with closing(psycopg2.connect(durable_dsn)) as sql, sql.cursor() as cursor:
        cursor.execute("SELECT host(ip_address) FROM sessions")
        assert cursor.fetchall() == [("127.0.0.1",)]


@pytest.mark.usefixtures("api")
def test_each_header_comes_once_whoever_answers(browser: Browser) -> None:
    from_the_api = browser.ask("GET", "/api/auth/me")
    from_nginx = browser.ask("GET", "/metrics")

    assert from_the_api.problem()["type"] == "/problems/not-authenticated"
    assert from_nginx.problem()["type"] == "/problems/not-found"
    for answer in (from_the_api, from_nginx):
        headers = answer.headers
        assert headers["strict-transport-security"].startswith("max-age=63072000")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert headers["content-security-policy"].count("default-src") == 1
        assert headers["server"] == "nginx"
        assert "retry-after" not in headers


@pytest.mark.usefixtures("api")
def test_a_request_keeps_its_name_in_the_answer_and_in_the_log(
    browser: Browser, proxy: RunningProxy
) -> None:
    named = browser.ask("GET", "/api/auth/me", headers={"X-Request-ID": "mine-1"})
    forged = browser.ask("GET", "/metrics", headers={"X-Request-ID": 'a","b":"c'})

    assert named.problem()["request_id"] == "mine-1"
    assert re.fullmatch(r"[0-9a-f]{32}", forged.problem()["request_id"])
    lines = wait_for_lines(proxy.access_log, 2)
    assert {line["request_id"] for line in lines} == {
        "mine-1",
        forged.problem()["request_id"],
    }


def wait_for_lines(log: Path, count: int) -> list[Json]:
    deadline = time.monotonic() + 30
    while True:
        lines = log.read_text().splitlines() if log.exists() else []
        if len(lines) >= count:
            return [json.loads(line) for line in lines]
        assert time.monotonic() < deadline, lines
        time.sleep(0.05)


@pytest.mark.usefixtures("api")
def test_a_body_that_is_too_large_is_refused_in_the_apis_words(
    browser: Browser,
) -> None:
    too_large = browser.ask("POST", LOGIN, b"x" * MAX_BODY_BYTES, JSON)
    too_large_here = browser.ask("POST", LOGIN, b"x" * 70_000, JSON)
    chunked = browser.send_bytes(
        f"POST {LOGIN} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode(),
        b"11170\r\n" + b"x" * 70_000 + b"\r\n0\r\n\r\n",
    )

    assert too_large.status == 413
    assert too_large.problem()["type"] == "/problems/body-too-large"
    assert too_large_here.status == 413
    assert too_large_here.problem()["type"] == "/problems/body-too-large"
    assert chunked.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("request_line", "headers", "status"),
    [
        pytest.param("GET /" + "a" * 9000, "", 414, id="long uri"),
        pytest.param("GET /", "X-Long: " + "a" * 9000 + "\r\n", 400, id="long header"),
        pytest.param("GET /", "Content-Length: x\r\n", 400, id="bad length"),
    ],
)
def test_what_nginx_can_not_read_is_a_problem_too(
    browser: Browser, request_line: str, headers: str, status: int
) -> None:
    received = browser.send_bytes(
        f"{request_line} HTTP/1.1\r\nHost: {HOST}\r\n{headers}\r\n".encode()
    )

    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Content-Type: application/problem+json" in head
    assert json.loads(body)["status"] == status


def test_whoever_speaks_in_clear_is_told_and_not_redirected(browser: Browser) -> None:
    refused = browser.ask_in_clear("/api/auth/me")
    redirected = browser.ask_in_clear("/docs?x=1")

    assert refused.status == 403
    assert json.loads(refused.body)["type"] == "/problems/http-error"
    assert redirected.status == 301
    assert redirected.headers["location"] == f"https://{HOST}/docs?x=1"


def test_another_host_is_no_business_of_ours(
    browser: Browser, proxy: RunningProxy
) -> None:
    elsewhere = b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    plain = socket.create_connection(("127.0.0.1", proxy.port), 30)

    assert browser.send_bytes(elsewhere) == b""
    with plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain, server_hostname="evil.example")


@pytest.mark.usefixtures("api")
def test_metrics_and_the_inner_health_are_for_the_machine_itself(
    browser: Browser,
) -> None:
    outside = [browser.ask("GET", path) for path in ("/metrics", "/health/live")]
    inside = browser.ask_as_monitoring("/health/live")
    health = browser.ask("GET", "/health")

    assert [answer.status for answer in outside] == [404, 404]
    assert inside.status == 200
    assert json.loads(health.body)["status"] == "ok"


@pytest.mark.usefixtures("api")
def test_who_asks_for_health_too_often_is_told_when_to_come_back(
    browser: Browser,
) -> None:
    answers = [browser.ask("GET", "/health") for _ in range(20)]

    refused = [answer for answer in answers if answer.status == 429]
    assert refused
    assert refused[0].problem()["type"] == "/problems/too-many-requests"
    assert 1 <= int(refused[0].headers["retry-after"]) <= 5


@pytest.mark.usefixtures("api")
def test_what_a_browser_asks_before_a_login_is_no_login(browser: Browser) -> None:
    """It could not tell its page that it was turned away, nor until when."""
    preflight = f"OPTIONS {LOGIN} HTTP/1.1\r\nHost: {HOST}\r\n".encode()

    received = browser.send_bytes(
        200 * (preflight + b"\r\n"), preflight + b"Connection: close\r\n\r\n"
    )

    assert received.count(b"HTTP/1.1 200 ") == 201


@pytest.mark.usefixtures("api")
def test_a_tile_is_asked_for_once(
    browser: Browser,
    proxy: RunningProxy,
    durable_dsn: str,
    tmp_path: Path,
) -> None:
    with closing(psycopg2.connect(durable_dsn)) as sql:
        sql.autocommit = True
        sign(connection_to(durable_dsn), files_in(tmp_path, sql))
    path = "/api/blockchain/tile/0/000.p/1"

    first = browser.ask("GET", path, headers={"X-Request-ID": "first"})
    second = browser.ask("GET", path, headers={"X-Request-ID": "second"})

    assert first.status == second.status == 200
    assert first.body == second.body
    assert "immutable" in second.headers["cache-control"]
    assert second.headers["x-request-id"] == "second"
    assert "x-ratelimit-remaining" not in second.headers
    assert "backoff" not in second.headers
    lines = wait_for_lines(proxy.access_log, 2)
    assert sorted(line["cache"] for line in lines) == ["HIT", "MISS"]


@pytest.mark.usefixtures("api")
def test_an_exam_can_be_changed_by_the_tag_that_came_with_it(browser: Browser) -> None:
    """What nginx compresses has a weak tag, with which If-Match matches nothing."""
    new = {"title": "Long", "duration_minutes": 9, "description": 2000 * "a"}
    given = browser.ask("POST", LOGIN, json.dumps(ADMIN).encode(), JSON)
    admin = {"Authorization": f"Bearer {json.loads(given.body)['access_token']}"}
    change = {"current_password": ADMIN["password"], "new_password": OWN_PASSWORD}
    browser.ask(
        *("POST", "/api/auth/change-password", json.dumps(change).encode()),
        JSON | admin,
    )
    made = browser.ask("POST", "/api/exams", json.dumps(new).encode(), JSON | admin)
    path = f"/api/exams/{json.loads(made.body)['id']}"

    read = browser.ask("GET", path, headers=admin | {"Accept-Encoding": "gzip"})
    tag = {"If-Match": read.headers["etag"]}
    deleted = browser.ask("DELETE", path, headers=admin | tag)

    assert deleted.status == 204, (tag, deleted.body)


def may_read(answer: Answer) -> set[str]:
    """Return the headers that a page of ORIGIN gets to see; it sees no more of others.

    A header that came twice would allow nothing.
    """
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    return set(answer.headers["access-control-expose-headers"].split(", "))


@pytest.mark.usefixtures("api")
def test_a_page_of_another_origin_can_read_what_nginx_and_the_api_answer(
    browser: Browser,
) -> None:
    page = {"Origin": ORIGIN}
    known = browser.ask("GET", "/api/auth/me", headers=page)
    too_large = browser.ask("POST", LOGIN, b"x" * MAX_BODY_BYTES, JSON | page)
    often = [browser.ask("GET", "/health", headers=page) for _ in range(20)]
    refused = [answer for answer in often if answer.status == 429]

    assert (known.status, too_large.status) == (401, 413)
    assert "WWW-Authenticate" in may_read(known)
    assert "X-Request-ID" in may_read(too_large)
    assert {"Retry-After", "X-Request-ID"} <= may_read(refused[0])


@pytest.mark.parametrize("origin", ["https://evil.example", "null", f"{ORIGIN}.evil"])
def test_a_page_of_a_foreign_origin_can_read_nothing(
    browser: Browser, origin: str
) -> None:
    for method in ("GET", "OPTIONS"):
        answer = browser.ask(method, "/api/auth/me", headers={"Origin": origin})

        assert answer.status == 502
        assert not any(name.startswith("access-control") for name in answer.headers)


def test_while_the_api_is_away_a_page_of_another_origin_learns_so(
    browser: Browser,
) -> None:
    """Its browser asks beforehand, and goes no further if that fails."""
    page = {"Origin": ORIGIN}
    preflight = browser.ask(
        "OPTIONS", LOGIN, headers=page | {"Access-Control-Request-Method": "POST"}
    )
    answer = browser.ask("POST", LOGIN, json.dumps(ADMIN).encode(), JSON | page)

    assert preflight.status == 204
    may_read(preflight)
    assert preflight.headers["access-control-allow-methods"] == CORS_METHODS
    assert preflight.headers["access-control-allow-headers"] == CORS_HEADERS
    assert preflight.headers["access-control-max-age"] == "600"
    assert answer.problem()["type"] == "/problems/unavailable"
    assert "Retry-After" in may_read(answer)


def test_while_the_api_is_away_everybody_is_told_so(browser: Browser) -> None:
    answer = browser.ask("POST", LOGIN, json.dumps(ADMIN).encode(), JSON)

    assert answer.status == 502
    assert answer.problem()["type"] == "/problems/unavailable"
    assert 1 <= int(answer.headers["retry-after"]) <= 5
    assert answer.headers["strict-transport-security"]


@pytest.mark.usefixtures("api")
def test_while_the_database_is_away_the_apis_own_words_arrive(
    browser: Browser, durable_dsn: str
) -> None:
    with closing(psycopg2.connect(durable_dsn, dbname="postgres")) as session:
        session.autocommit = True
        with session.cursor() as cursor:
            name = psycopg2.extensions.parse_dsn(durable_dsn)["dbname"]
            cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = %s",
                [name],
            )

    answer = browser.ask("POST", LOGIN, json.dumps(ADMIN).encode(), JSON)

    assert answer.status == 503
    assert answer.problem()["type"] == "/problems/unavailable"
    assert answer.headers["retry-after"] == "1"


@pytest.mark.usefixtures("api")
def test_a_body_that_trickles_in_holds_no_thread_of_the_api(browser: Browser) -> None:
    head = (
        f"POST {LOGIN} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
        "Content-Length: 1000\r\n\r\n{"
    )
    # More of them than the API has threads.
    lines = [browser.connected() for _ in range(40)]
    held = [line.__enter__() for line in lines]
    try:
        for tls in held:
            tls.sendall(head.encode())

        answer = browser.ask("GET", "/api/auth/me")
    finally:
        for line in lines:
            line.__exit__(None, None, None)

    assert answer.status == 401


def test_a_reload_of_the_api_fails_no_request(
    browser: Browser, api: RunningApi
) -> None:
    before = {worker.pid for worker in api.workers()}
    statuses = []
    api.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 60

    while before & {worker.pid for worker in api.workers()}:
        statuses.append(browser.ask("GET", "/api/auth/me").status)
        assert time.monotonic() < deadline
    statuses.append(browser.ask("GET", "/api/auth/me").status)

    assert set(statuses) == {401}
