"""Every statement that the server runs is answered through an index.

A database with thousands of attempts is asked everything that there is to ask, and
PostgreSQL's own auto_explain says how it found each answer, inside of functions,
triggers and foreign keys too. A statement must not read a large table as a whole, nor a
thousand rows of it, unless it is listed here with a reason.
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg2
import pytest
from flask import Flask
from psycopg2.extensions import connection, make_dsn, parse_dsn

from database import embedded
from database.migrate import migrate
from models.database import Database
from tests.audit_trail import append, run
from tests.checkpoints import files_in
from tests.databases import (
    CARELESS,
    careless_place,
    connection_to,
    copy_of,
    settings_for,
)
from tests.everything import (
    let_time_pass,
    read_everything,
    run_commands,
    send_again,
    sign_everything,
    write_everything,
)
from tests.many_rows import Size, fill
from tests.plans import (
    LOGGING,
    Node,
    Plan,
    constants,
    explain_from_now_on,
    plan_of,
    plans_in,
    rows_read,
)
from tests.scene import Cast, play, playing
from tests.writes import WRITES

SIZE: Final = Size(attempts=4000, events_of_an_attempt=5)
# All that grow with the years.
LARGE: Final = {
    "ai_analyses",
    "answers",
    "attempt_activity",
    "attempt_risk",
    "attempts",
    "audit_log",
    "evidence_views",
    "exam_assignments",
    "idempotency_keys",
    "proctoring_events",
    "rate_limits",
    "refresh_tokens",
    "sessions",
    "users",
}
# More than any page, exam or attempt here has.
MANY: Final = 1000

# Which statements may read a large table as a whole, or much of it.
ALLOWED: Final = {
    # A verification reads all of the log, and a deep one all that the log covers.
    "audit_snapshot.COPY": {"audit_log"},
    "protected_rows.COMPARE": {
        "ai_analyses",
        "answers",
        "attempts",
        "audit_log",
        "exam_assignments",
        "proctoring_events",
        "users",
    },
    # What the summary says of each type of entry is counted, by the index alone.
    "blockchain_log.COUNT_BY_EVENT_TYPE": {"audit_log"},
    # As many as the exams of one page have, by their indexes.
    "exam.LIST": {"attempts", "exam_assignments"},
    # What somebody did has no index, for an append to stay fast; it is looked for in
    # short statements, one behind the other.
    "personal_data.ENTRIES": {"audit_log"},
    # An erasure, by an admin or by a rule, looks for a person's name in every text that
    # there is, and for what the log says last of each row; a rule also for the attempts
    # of all whose logins are old, which may be most.
    "audit_redact()": {"audit_log"},
    "data_erase()": {"attempts", "audit_log"},
    "erasure.LIST_ENTRIES": {"audit_log"},
    "erasure_empty()": {"idempotency_keys", "rate_limits"},
    "erasure_lines()": {"answers"},
    "idempotency_key.FORGET": {"idempotency_keys"},
    # The rules of retention, once a day: whatever is older than the rule is asked
    # whether anything of it is left. What is old grows for ever, so this does too.
    "retention.LIST_IDLE_ACCOUNTS": {"sessions", "users"},
    "retention.LIST_OLD_ATTEMPTS": {"attempts"},
    "retention.LIST_OLD_LOGINS": {"audit_log"},
    "retention.LIST_OLD_SESSIONS": {"sessions"},
}
# What may go by unseen: it needs a witness, an authority of time, a second device, a
# contradiction, a job that fails, or a moment. These are planned without being run.
NOT_RUN: Final = {
    "analysis_queue.GIVE_BACK",
    "answer.LIST_VERSIONS",
    "assignment.COUNT",
    "attempt.FIND_HELD",
    "attempt.LIST_ENDED_BY_DEADLINE",
    "attempt.LIST_RUNNING_AMONG",
    "attempt.LOCK_RUNNING_AMONG",
    "attempt_activity.FORGET_DISPLACED",
    "attempt_activity.GET_HOLDER",
    "attempt_activity.NEXT_SEQUENCE",
    "attempt_activity.NOTE_HAND_OVER",
    "attempt_activity.TELL_DISPLACED",
    "attempt_steps.MOVE_HOLD",
    "attempt_steps.MOVE_HOLD_RETURNING",
    "audit_suspension.GET_END",
    "audit_suspension.SUSPEND",
    "audit_suspension.TAKE_TURN",
    "blockchain_log.INITIALIZE",
    "blockchain_log.LIST_HASHES",
    "checkpoint.GET_NEWEST_WITNESSED",
    "checkpoint.LIST_WITNESSED_OVER",
    "checkpoint.STORE_COSIGNED",
    "checkpoint_timestamp.GET_DUE",
    "checkpoint_timestamp.INSERT",
    "erasure.IS_OTHER_ADMIN",
    "evidence.GET_ENTRY",
    "exam.FREEZE",
    "legal_hold.GET",
    "proctoring.LIST_HOLES",
    "proctoring.LIST_KNOWN",
    "proctoring.LIST_SEQUENCES",
    "proctoring.MARK_DUE",
    "rate_limit.CLEAR",
    "report_context.GET_END_NOTED_AT",
    "refresh_token.GET_RECENT_USE",
    "risk_subject.LIST_REPORTING_LOGINS",
    "session.GET_ADDRESS",
    "user.GET_FRESH_HASH",
    "user.REHASH",
    "verification_run.BEAT",
    "verification_run.SETTLE",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class School:
    """A server whose log explains what it did, and a filled database on it."""

    server: embedded.Server
    administrator: connection
    cast: Cast
    # Of the log, when it was signed.
    size: int

    @contextmanager
    def at_work(self) -> Iterator[tuple[Flask, connection, str]]:
        """Run the application on a copy of the database."""
        server = self.server.dsn()
        with (
            copy_of("school", self.administrator, server) as dsn,
            closing(psycopg2.connect(dsn)) as sql,
            playing(settings_for(connection_to(dsn))) as app,
        ):
            sql.autocommit = True
            yield app, sql, dsn

    def plans(self) -> list[Plan]:
        log = self.server.home / "data" / "log" / "statements.json"
        return plans_in(log, self.administrator)


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Iterator[School]:
    home = Path(tempfile.mkdtemp(prefix="proctoring-plans-", dir=careless_place()))
    # As root the server is another account, which has to get through here.
    home.chmod(0o711)
    server = embedded.start(home / "postgres", {**CARELESS, **LOGGING})
    try:
        with closing(psycopg2.connect(server.dsn())) as administrator:
            administrator.autocommit = True
            run(administrator, "CREATE DATABASE school")
            dsn = make_dsn(server.dsn(), dbname="school")
            migrate(dsn, lambda _: None)
            cast = play(dsn, settings_for(connection_to(dsn)))
            fill(dsn, SIZE)
            with closing(psycopg2.connect(dsn)) as sql:
                files = files_in(tmp_path_factory.mktemp("keys"), sql)
            # The first time all of the log is read; from then on what is new.
            sign_everything(dsn, files)
            explain_from_now_on(administrator)
            with closing(Database(connection_to(dsn))) as database:
                append(database)
            size = sign_everything(dsn, files)
            yield School(
                server=server, administrator=administrator, cast=cast, size=size
            )
    finally:
        if embedded.stop(server):
            shutil.rmtree(home)


@pytest.fixture(scope="module")
def plans(school: School) -> list[Plan]:
    """The plans of everything that the server does."""
    cast = school.cast
    with school.at_work() as (app, _, _):
        read_everything(app, cast, school.size)
        run_commands(app)
        send_again(app, cast)
    with school.at_work() as (app, sql, _):
        let_time_pass(app, cast, sql)
    left = list(WRITES)
    while left:
        with school.at_work() as (app, _, _):
            refused = write_everything(app, cast, left)
        assert refused != left
        left = refused
    return school.plans()


def findings(plans: Iterable[Plan]) -> set[tuple[str, str]]:
    """Return which statements read too much, and of which table."""
    return {
        (plan.name, node["Relation Name"])
        for plan in plans
        for node in plan.nodes()
        if node.get("Relation Name") in LARGE and is_too_much(node)
    }


def is_too_much(node: Node) -> bool:
    return node["Node Type"] == "Seq Scan" or (
        node["Node Type"] != "ModifyTable" and rows_read(node) > MANY
    )


def test_a_large_table_is_read_through_an_index(plans: list[Plan]) -> None:
    """And whatever may do otherwise still does: no exception is kept for nothing."""
    assert findings(plans) == {
        (name, table) for name, tables in ALLOWED.items() for table in tables
    }


def test_every_statement_was_run(plans: list[Plan]) -> None:
    texts = {plan.text for plan in plans}
    unseen = {each.name for each in constants() if not any(map(each.is_in, texts))}

    assert unseen <= NOT_RUN


def test_a_statement_that_was_not_run_has_an_index_too(school: School) -> None:
    with school.at_work() as (_, sql, _):
        planned = [plan_of(sql, each) for each in constants() if each.name in NOT_RUN]

    assert len(planned) == len(NOT_RUN)
    assert findings(planned) == set()


@pytest.mark.parametrize(
    ("index", "found"),
    [
        ("audit_log_attempt_idx", ("blockchain_log.LIST_BY_ATTEMPT", "audit_log")),
        ("sessions_user_id_idx", ("session.LIST_LIVE", "sessions")),
    ],
)
def test_an_index_that_is_missing_is_found(
    school: School, index: str, found: tuple[str, str]
) -> None:
    cast = school.cast
    with school.at_work() as (app, sql, dsn):
        run(sql, f"DROP INDEX {index}")
        read_everything(app, cast, school.size)
        name = parse_dsn(dsn)["dbname"]
        seen = findings(plan for plan in school.plans() if plan.database == name)

    assert found in seen
    assert found[0] not in ALLOWED
