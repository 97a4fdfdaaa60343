"""Everything that the server does by request or by itself, once."""

from collections.abc import Sequence
from datetime import timedelta

from flask import Flask
from psycopg2.extensions import connection

from services import background
from services.analysis_job import AnalysisJob
from services.checkpoint_files import Files
from tests.audit_trail import run
from tests.checkpoints import sign
from tests.databases import connection_to
from tests.reports import observed
from tests.scene import Cast
from tests.test_evidence_is_noted import QUERY
from tests.test_permissions import path_of, rules_of
from tests.writes import WRITES

QUERIES = {
    **QUERY,
    "transparency.prove_consistency": "?old=1&new={size}",
    "exams.list_exams": "?status=completed",
}
COMMANDS = (
    "audit verify --deep",
    "audit head",
    "audit export - --reason asked",
    "retention preview",
    "hold list",
)
READERS = ("ada", "bob", "alice")

# An exam to open, one to close, an attempt that is over, two that nobody has analysed.
LET_TIME_PASS = """
    ALTER TABLE attempts DISABLE TRIGGER attempts_guard;
    UPDATE attempts
       SET started_at = started_at - interval '1 day',
           deadline_at = deadline_at - interval '1 day'
     WHERE id = %(attempt_id)s;
    ALTER TABLE attempts ENABLE TRIGGER attempts_guard;
    UPDATE exams SET starts_at = starts_at - interval '2 days',
                     ends_at = clock_timestamp() - interval '1 minute'
     WHERE id = %(other_exam_id)s;
    UPDATE exams SET starts_at = clock_timestamp() - interval '1 minute',
                     ends_at = clock_timestamp() + interval '1 hour',
                     status = 'scheduled'
     WHERE id = %(draft_exam_id)s;
"""
DUE = """
    UPDATE attempt_activity SET analysis_due_since = clock_timestamp()
     WHERE attempt_id IN (%(attempt_id)s, %(submitted_attempt_id)s)
"""
# Erase what is older than so many days; of what is never so old nothing is found.
KEEP = "UPDATE retention_rules SET days = %s, applied_on = NULL"


def read_everything(app: Flask, cast: Cast, size: int) -> set[str]:
    """Ask every endpoint that reads, and return those who answered nobody.

    `size` is of the newest checkpoint.
    """
    silent = set()
    for rule, method, contract in rules_of(app):
        if method != "GET":
            continue
        query = QUERIES.get(rule.endpoint, "").format(size=size)
        path = path_of(rule, cast.ids) + query
        answers = [
            app.test_client().get(path, headers=cast.headers(who)).status_code
            for who in READERS
            if not contract.roles or cast.role(who) in contract.roles
        ]
        if 200 not in answers:
            silent.add(rule.endpoint)
    return silent


def write_everything(app: Flask, cast: Cast, endpoints: Sequence[str]) -> list[str]:
    """Send a request to each of these endpoints, and return who refused it.

    What one does may be in the way of another: that one wants a database of its own.
    """
    return [
        name for name in endpoints if WRITES[name].send(app, cast).status_code >= 400
    ]


def send_again(app: Flask, cast: Cast) -> None:
    """Send what was sent before: a request with a key, and a report."""
    client, headers = app.test_client(), cast.headers("ada")
    keyed = {**headers, "Idempotency-Key": "once"}
    path = f"/api/exams/{cast.ids['exam_id']}/duplicate"
    statuses = [client.post(path, headers=keyed).status_code for _ in range(2)]
    event = observed(9) | {"attempt_id": cast.ids["attempt_id"]}
    statuses += [
        client.post(
            "/api/proctoring/event", json=event, headers=cast.headers("alice")
        ).status_code
        for _ in range(2)
    ]
    assert statuses == [201, 201, 201, 200]


def let_time_pass(app: Flask, cast: Cast, sql: connection) -> None:
    """Have the server do whatever it does by itself."""
    database = app.extensions["database"]
    with sql.cursor() as cursor:
        cursor.execute(LET_TIME_PASS + DUE, cast.ids)
    for days in (900, 36500):
        run(sql, KEEP, days)
        for job in background.jobs(database):
            job.run()
    # The second time nothing has changed.
    for _ in range(2):
        AnalysisJob(database, spacing=timedelta()).run()
        with sql.cursor() as cursor:
            cursor.execute(DUE, cast.ids)


def run_commands(app: Flask) -> None:
    for command in COMMANDS:
        done = app.test_cli_runner().invoke(args=command.split())
        assert done.output, command


def sign_everything(dsn: str, files: Files) -> int:
    """Sign the log as the checkpointer does, and return the size that it has."""
    made = sign(connection_to(dsn), files)
    assert made is not None
    return made.size
