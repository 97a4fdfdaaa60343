"""Whatever changes the record leaves an entry in the log, in the same transaction."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from flask import Flask
from psycopg2.extensions import connection
from psycopg2.sql import SQL, Identifier

from models.database import Database
from services import background
from services.analysis_job import AnalysisJob
from services.audit_verification import verify
from services.deadlines import end_overdue_attempts, open_and_close_exams
from tests.audit_trail import run, scalar
from tests.databases import connection_to
from tests.old_copies import resume, suspend
from tests.personas import Api
from tests.scene import Cast
from tests.writes import WRITES

# There is a genesis from the start; asked for again, it is shown and nothing is made.
# A receipt that is sent to be checked is not kept.
MAKES_NOTHING = {"blockchain.initialize", "receipts.check_receipt"}
# Bookkeeping that is no part of the record (see 0002_schema.sql), and the log itself.
UNRECORDED = {
    "audit_head",
    "audit_log",
    "checkpoint_timestamps",
    "audit_suspensions",
    "checkpoints",
    "idempotency_keys",
    "merkle_tiles",
    "rate_limits",
    "schema_migrations",
    # How far a verification is. The log has its start, and its cancellation.
    "verification_runs",
}
TABLES = """
    SELECT relname FROM pg_class
     WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname
"""


@pytest.fixture
def dsn(played: str) -> Iterator[str]:
    yield played
    assert verify(connection_to(played)).errors == ()


class Watch:
    """Tells which transactions have written what since it began to watch."""

    def __init__(self, sql: connection) -> None:
        self._sql = sql
        self._since = scalar(sql, "SELECT pg_current_xact_id()::text::bigint")

    def writers_of(self, table: str) -> set[object]:
        query = SQL(
            "SELECT DISTINCT xmin::text::bigint FROM {} WHERE xmin::text::bigint >= %s"
        ).format(Identifier(table))
        rows = run(self._sql, query.as_string(self._sql), self._since)
        return {xid for (xid,) in rows}

    def writers(self) -> set[object]:
        """Return the transactions that left a row behind anywhere in the record."""
        tables = {str(name) for (name,) in run(self._sql, TABLES)}
        assert tables >= UNRECORDED
        return set().union(*map(self.writers_of, tables - UNRECORDED))


def test_the_table_knows_every_endpoint_that_writes(app: Flask) -> None:
    writing = {
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if (rule.methods or set()) & {"POST", "PUT", "PATCH", "DELETE"}
    }

    assert set(WRITES) == writing - MAKES_NOTHING


@pytest.mark.parametrize("endpoint", WRITES)
def test_a_write_and_its_entry_are_one_transaction(
    app: Flask, cast: Cast, sql: connection, endpoint: str
) -> None:
    watch = Watch(sql)

    response = WRITES[endpoint].send(app, cast)

    assert response.status_code in {200, 201, 202, 204}, response.text
    logged = watch.writers_of("audit_log")
    assert logged
    assert watch.writers() <= logged


@pytest.fixture
def suspended(sql: connection) -> Iterator[None]:
    """Whoever finds that the log is an old copy does this."""
    assert suspend(sql)
    yield
    resume(sql)


@pytest.mark.usefixtures("suspended")
def test_nothing_is_written_while_the_log_contradicts_what_was_signed(
    app: Flask, cast: Cast, sql: connection
) -> None:
    before, watch = last_seq(sql), Watch(sql)

    answers = {name: write.send(app, cast) for name, write in WRITES.items()}

    for name, response in answers.items():
        assert response.status_code == 503, (name, response.text)
        found = response.get_json()
        assert found["type"] == "/problems/log-contradicted", name
        assert response.headers["Retry-After"] == "30"
    assert watch.writers() == set()
    assert last_seq(sql) == before
    # And by itself the server does nothing, as long as it stays so.
    jobs = background.jobs(app.extensions["database"])
    assert {job.run() for job in jobs if job.name != "prune"} == {0}
    assert watch.writers() == set()


@pytest.mark.usefixtures("suspended")
@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("audit export - --reason x", "Nothing can be written"),
        ("audit resume --reason x --by ada@example.edu", "does not continue it"),
        ("audit new-epoch --reason x --by bob@example.edu --yes", "active admin"),
        ("audit new-epoch --reason x --by ada@example.edu", "shall a new epoch"),
        (
            "create-admin --email e@example.edu --name E --password paper-clip-horse",
            "Nothing can be written",
        ),
        ("hold place --user {alice} --reason x", "Nothing can be written"),
    ],
    ids=["export", "resume", "no admin", "nobody confirms", "create-admin", "hold"],
)
def test_commands_say_in_one_line_why_they_do_not_write(
    app: Flask, cast: Cast, sql: connection, command: str, said: str
) -> None:
    before = last_seq(sql)

    done = app.test_cli_runner().invoke(
        args=command.format(alice=cast["alice"].id).split()
    )

    assert done.exit_code == 1, done.output
    assert isinstance(done.exception, SystemExit)
    assert said in done.output.splitlines()[-1]
    assert last_seq(sql) == before


@pytest.mark.usefixtures("suspended")
def test_reading_goes_on_while_nothing_is_written(api: Api, cast: Cast) -> None:
    health = api.as_(None).get("/health")

    assert health.status_code == 200
    found = health.get_json()
    assert (found["status"], found["log_check"]) == ("read_only", "contradicted")
    assert found["audit_log"] == "read_only"
    admin = api.as_(cast["ada"])
    assert admin.get("/api/exams").status_code == 200
    summary = admin.get("/api/blockchain/summary").get_json()
    assert summary["suspension"]["seen_by"] == "board.example.edu/witness"
    assert summary["suspension"]["size"] == 1_000_000
    assert [epoch["number"] for epoch in summary["epochs"]] == [1]
    verified = admin.get("/api/blockchain/verify").get_json()
    assert verified["errors_by_class"] == {"checkpoint": 1}


def test_asking_for_the_genesis_again_makes_nothing(
    api: Api, cast: Cast, sql: connection
) -> None:
    watch = Watch(sql)

    response = api.as_(cast["ada"]).post("/api/blockchain/initialize")

    assert response.status_code == 200
    assert watch.writers_of("audit_log") == watch.writers() == set()


def logged_since(sql: connection, seq: object) -> list[object]:
    return [
        found
        for (found,) in run(
            sql, "SELECT event_type FROM audit_log WHERE seq > %s ORDER BY seq", seq
        )
    ]


def last_seq(sql: connection) -> object:
    return scalar(sql, "SELECT max(seq) FROM audit_log")


@pytest.mark.parametrize("email", ["alice@example.edu", "nobody@example.edu"])
def test_a_login_that_fails_is_logged(api: Api, sql: connection, email: str) -> None:
    before = last_seq(sql)

    given = {"email": email, "password": "not the password"}
    response = api.as_(None).post("/api/auth/login", json=given)

    assert response.status_code == 401
    assert logged_since(sql, before) == ["auth.login_failed"]


def test_a_refusal_by_role_is_logged(api: Api, cast: Cast, sql: connection) -> None:
    before = last_seq(sql)

    response = api.as_(cast["mallory"]).get("/api/users")

    assert response.status_code == 403
    assert logged_since(sql, before) == ["access.denied"]


def test_what_the_server_does_by_itself_is_logged(
    database: Database, sql: connection, cast: Cast
) -> None:
    # An exam that nobody sits is over, and alice's time is up.
    run(
        sql,
        "UPDATE exams SET starts_at = starts_at - interval '1 day',"
        " ends_at = clock_timestamp() - interval '1 minute' WHERE id = %s",
        cast.ids["other_exam_id"],
    )
    run(
        sql,
        "ALTER TABLE attempts DISABLE TRIGGER attempts_guard;"
        " UPDATE attempts SET started_at = started_at - interval '1 day',"
        " deadline_at = deadline_at - interval '1 day' WHERE id = %s;"
        " ALTER TABLE attempts ENABLE TRIGGER attempts_guard",
        cast.ids["attempt_id"],
    )
    before, watch = last_seq(sql), Watch(sql)

    end_overdue_attempts(database)
    open_and_close_exams(database)
    # The scene has had it analysed a moment ago.
    AnalysisJob(database, spacing=timedelta()).run()

    kinds = set(logged_since(sql, before))
    assert kinds >= {"exam.status_changed", "attempt.ended", "analysis.computed"}
    assert watch.writers() <= watch.writers_of("audit_log")


@pytest.mark.parametrize(
    "endpoint", [name for name, write in WRITES.items() if write.who != "anonymous"]
)
def test_who_is_not_let_in_writes_nothing(
    app: Flask, cast: Cast, sql: connection, endpoint: str
) -> None:
    before, watch = last_seq(sql), Watch(sql)

    response = WRITES[endpoint].send(app, cast, who="disabled")

    assert response.status_code == 401
    assert logged_since(sql, before) == []
    assert watch.writers() == set()
