"""Whoever edits other tables with SQL, and leaves the log alone, is found."""

# What is put into statements here are names of our own tables.
# ruff: noqa: S608

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final
from uuid import uuid4

import psycopg2
import pytest
from psycopg2 import sql as composing
from psycopg2.extensions import connection, make_dsn

from database.migrate import MIGRATIONS, migrate
from models.connection_settings import ConnectionSettings
from models.protected_rows import CATALOGUE
from services.audit_findings import CheckResult, Verdict, Verification
from services.audit_verification import verify
from tests.audit_trail import run, scalar
from tests.databases import connection_to

DOCUMENT: Final = Path(__file__).resolve().parents[2] / "docs" / "audit-log.md"
PROTECTED: Final = {table.name: table for table in CATALOGUE}
# What no entry covers, and why that is no loss. A table or a column that is neither
# here nor in the catalogue fails: somebody has to say which it is.
NOT_PROTECTED: Final = {
    "attempt_activity": "counters and times of the newest report",
    "attempt_risk": "points at the newest analysis; anybody can compute it anew",
    "audit_head": "the log itself: its end is checked",
    "audit_log": "the log itself",
    "checkpoint_timestamps": "signed by others",
    "audit_suspensions": "notes that are signed; what ends one is an entry",
    "checkpoints": "signed",
    "evidence_views": "when a look was last noted; the looks are in the log itself",
    "legal_holds": "what is placed and released is recorded as it happens",
    "retention_rules": "whoever changes them is recorded; anybody can read them",
    "idempotency_keys": "answers to repeated requests, kept for a day",
    "merkle_tiles": "made from the log, and compared with what was signed",
    "rate_limits": "counters of minutes",
    "refresh_tokens": "secrets of sessions; their use is recorded as it happens",
    "schema_migrations": "compared with the files at every start",
    "sessions": "logins and their ends are recorded as they happen",
    "verification_runs": "how far a verification is; anybody can verify anew",
}
UNCOVERED_COLUMNS: Final[dict[tuple[str, str], str]] = {}

COLUMNS = """
    SELECT table_name, column_name FROM information_schema.columns
     WHERE table_schema = 'public' ORDER BY table_name, ordinal_position
"""
# A superuser who knows what he does is hindered by no rule of the schema.
LIFT_EVERY_RULE = """
    SET session_replication_role = replica;
    DO $$
    DECLARE
        rule record;
    BEGIN
        FOR rule IN SELECT table_name, column_name FROM information_schema.columns
                     WHERE table_schema = 'public' AND is_identity = 'YES'
        LOOP
            EXECUTE format('ALTER TABLE %I ALTER %I DROP IDENTITY',
                           rule.table_name, rule.column_name);
        END LOOP;
        -- Foreign keys before the keys that they need.
        FOR rule IN SELECT conrelid::regclass AS owner, conname FROM pg_constraint
                     WHERE connamespace = 'public'::regnamespace AND conrelid <> 0
                     ORDER BY array_position('{f,c,u,p}', contype::text)
        LOOP
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I',
                           rule.owner, rule.conname);
        END LOOP;
        FOR rule IN SELECT table_name, column_name FROM information_schema.columns
                     WHERE table_schema = 'public' AND is_nullable = 'NO'
        LOOP
            EXECUTE format('ALTER TABLE %I ALTER %I DROP NOT NULL',
                           rule.table_name, rule.column_name);
        END LOOP;
    END $$
"""
# For each type, expressions of another value. `{0}` is the column.
OTHERWISE: Final = {
    "uuid": ("gen_random_uuid()", "NULL"),
    "text": ("{0} || ' '", "upper({0}) || '.'", "NULL", "''"),
    "integer": ("{0} + 1", "-{0} - 1", "NULL"),
    "bigint": ("{0} + 1", "-{0} - 1", "NULL"),
    "numeric": ("{0} + 0.5", "-{0} - 1", "NULL"),
    "boolean": ("NOT {0}", "NULL"),
    "timestamp with time zone": (
        "{0} + interval '1 us'",
        "{0} - interval '1 day'",
        "'infinity'",
        "NULL",
    ),
    "jsonb": (
        "jsonb_build_object('was', {0})",
        "'{{}}'",
        "'null'",
        "NULL",
    ),
    "bytea": ("sha256({0})", "''", "NULL"),
}
# A column that is NULL in the row has to get a value.
ANYTHING: Final = {
    "uuid": "gen_random_uuid()",
    "text": "'x'",
    "integer": "7",
    "bigint": "7",
    "numeric": "7",
    "boolean": "true",
    "timestamp with time zone": "'2020-01-01Z'",
    "jsonb": "'[]'",
    "bytea": "'x'",
}

Check = Callable[[], Verification]


@pytest.fixture
def tamper(played: str) -> Iterator[connection]:
    with closing(psycopg2.connect(played)) as superuser:
        superuser.autocommit = True
        run(superuser, "SET session_replication_role = replica")
        yield superuser


@pytest.fixture
def check(played: str) -> Check:
    return lambda: verify(connection_to(played), deep=True)


def found_by(verification: Verification) -> set[tuple[str, str]]:
    """Return the class of each finding, and the table that it is about."""
    return {
        (finding.reason.value, finding.detail.split()[0])
        for finding in verification.errors
    }


def test_who_covers_and_who_checks_have_one_catalogue(sql: connection) -> None:
    stated = run(sql, "SELECT * FROM audit_catalogue()")

    assert stated == [
        (
            table.name,
            list(table.key),
            table.order or table.key[0],
            table.columns.split(),
        )
        for table in CATALOGUE
    ]


def test_the_document_says_what_is_hashed_of_each_row() -> None:
    listed = [
        f"| `{table.name}` | `{' '.join(table.key)}` | `{table.columns}` |\n"
        for table in CATALOGUE
    ]

    assert "|---|---|---|\n" + "".join(listed) in DOCUMENT.read_text(encoding="utf-8")


def test_somebody_has_said_of_every_column_whether_it_is_covered(
    sql: connection,
) -> None:
    columns = set(run(sql, COLUMNS))
    covered = {
        (table.name, column) for table in CATALOGUE for column in table.columns.split()
    }

    assert {table for table, _ in columns} == {*PROTECTED, *NOT_PROTECTED}
    assert {
        (table, column) for table, column in columns if table in PROTECTED
    } == covered | set(UNCOVERED_COLUMNS)


def test_the_rows_of_an_exam_in_full_swing_are_what_the_log_says(
    check: Check, tamper: connection
) -> None:
    found = check()

    assert found.errors == ()
    assert found.verdict is Verdict.INTERNALLY_CONSISTENT
    assert found.rows_checked == sum(
        scalar(tamper, f"SELECT count(*) FROM {table}") for table in PROTECTED
    )
    # The scene has rows of all of them, or what follows would prove nothing.
    for table in PROTECTED:
        assert scalar(tamper, f"SELECT count(*) FROM {table}") > 0
    assert {each.result for each in found.checks if each.name.startswith("domain")} == {
        CheckResult.PASSED
    }


@pytest.mark.parametrize("table", PROTECTED)
def test_a_change_of_any_column_is_found(played: str, check: Check, table: str) -> None:
    """Each column gets each of several other values; the score has to be 100 %."""
    missed = []
    tried = 0
    with closing(psycopg2.connect(played)) as superuser:
        superuser.autocommit = True
        run(superuser, LIFT_EVERY_RULE)
        run(superuser, f"CREATE TABLE saved AS TABLE {table}")
        run(superuser, f"ALTER TABLE {table} ADD victim boolean")
        run(
            superuser,
            f"UPDATE {table} SET victim = true WHERE ctid ="
            f" (SELECT min(ctid) FROM {table})",
        )
        (*names,) = PROTECTED[table].columns.split()
        for column in names:
            for statement in _mutations(superuser, table, column):
                run(superuser, statement)
                tried += 1
                found = found_by(check())
                if not found or {name for _, name in found} != {table}:
                    missed.append((column, statement, found))
                run(
                    superuser,
                    f"DELETE FROM {table}; INSERT INTO {table}"
                    " SELECT *, row_number() OVER () = 1 FROM saved",
                )

    assert missed == []
    assert tried >= 2 * len(names) - 1


def _mutations(superuser: connection, table: str, column: str) -> list[str]:
    """Return statements that give the victim's column another value."""
    kind = scalar(
        superuser,
        "SELECT data_type FROM information_schema.columns"
        " WHERE table_name = %s AND column_name = %s",
        table,
        column,
    )
    name = f'"{column}"'
    is_null = scalar(
        superuser,
        f"SELECT {name} IS NULL FROM {table} WHERE victim",
    )
    values = (
        [ANYTHING[kind], OTHERWISE[kind][0].format(ANYTHING[kind] + "::" + kind)]
        if is_null
        else [each.format(name) for each in OTHERWISE[kind]]
    )
    return [
        f"UPDATE {table} SET {name} = {value} WHERE victim"
        for value in values
        # What is empty already is not changed by emptying it.
        if scalar(
            superuser,
            f"SELECT {name} IS DISTINCT FROM {value} FROM {table} WHERE victim",
        )
    ]


@pytest.mark.parametrize("table", PROTECTED)
def test_a_row_that_was_deleted_is_found(
    tamper: connection, check: Check, table: str
) -> None:
    run(
        tamper,
        f"DELETE FROM {table} WHERE ctid = (SELECT min(ctid) FROM {table})",
    )

    found = check()
    assert found_by(found) == {("domain_missing", table)}
    assert found.errors_by_class == {"domain_missing": 1}


@pytest.mark.parametrize("table", PROTECTED)
def test_a_row_that_was_inserted_is_found(
    tamper: connection, check: Check, table: str
) -> None:
    others = [
        composing.Identifier(name)
        for name in PROTECTED[table].columns.split()
        if name not in (*PROTECTED[table].key, "id", "client_event_id")
    ]
    new = [
        *(name for name in PROTECTED[table].key if name != "id"),
        *(["client_event_id"] if table == "proctoring_events" else []),
        *(["id"] if "id" in PROTECTED[table].columns.split() else []),
    ]
    unique = {"users": ["email_canonical"]}.get(table, [])
    run(tamper, "DROP INDEX attempts_one_running_key, appeals_verdict_key")
    for constraint in ("attempts_number_key", "questions_exam_id_position_key"):
        run(
            tamper,
            f"ALTER TABLE {constraint.split('_')[0]} DROP CONSTRAINT {constraint}",
        )
    copied = [each for each in others if each.string not in unique]
    with tamper.cursor() as cursor:
        cursor.execute(
            composing.SQL(
                "INSERT INTO {table} ({new}, {columns}) SELECT {values}, {columns}"
                " FROM {table} LIMIT 1"
            ).format(
                table=composing.Identifier(table),
                new=composing.SQL(", ").join(map(composing.Identifier, new + unique)),
                columns=composing.SQL(", ").join(copied),
                values=composing.SQL(", ").join(
                    [composing.SQL("gen_random_uuid()")] * len(new)
                    + [composing.SQL("'nobody@example.edu'")] * len(unique)
                ),
            )
        )

    assert found_by(check()) == {("domain_unlogged", table)}


def test_an_event_that_vanishes_from_its_report_is_found_and_counted(
    tamper: connection, check: Check
) -> None:
    ((batch_id, seq),) = run(
        tamper,
        "SELECT batch_id, seq FROM proctoring_events JOIN audit_log"
        " ON entity_id = batch_id::text GROUP BY 1, 2 HAVING count(*) = 2 LIMIT 1",
    )
    run(
        tamper,
        "DELETE FROM proctoring_events WHERE id = (SELECT min(id::text)::uuid"
        " FROM proctoring_events WHERE batch_id = %s)",
        batch_id,
    )

    (finding,) = check().errors

    assert (finding.seq, finding.reason.value) == (seq, "domain_missing")
    assert finding.detail == f"proctoring_events {batch_id}: of 2 rows 1 are left"


def test_two_rows_that_were_exchanged_are_found(
    tamper: connection, check: Check
) -> None:
    run(
        tamper,
        "UPDATE users SET full_name = other.full_name FROM users AS other"
        " WHERE least(users.email, other.email) = 'alice@example.edu'"
        "   AND greatest(users.email, other.email) = 'mallory@example.edu'",
    )

    assert [(each.reason.value, each.detail.split()[0]) for each in check().errors] == [
        ("domain_differs", "users")
    ] * 2


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("state || 'users 0 0 -'", id="a line is added"),
        pytest.param("NULL", id="the lines are erased"),
        pytest.param("''", id="the lines are emptied"),
        pytest.param("replace(state, ' 1 ', ' 2 ')", id="a number is changed"),
        pytest.param(
            "translate(state, '0123456789abcdef', '123456789abcdef0')",
            id="a digest is changed",
        ),
    ],
)
def test_what_the_log_says_of_rows_can_not_be_changed_either(
    tamper: connection, check: Check, change: str
) -> None:
    run(tamper, "ALTER TABLE audit_log DISABLE TRIGGER ALL")
    seq = scalar(tamper, "SELECT min(seq) FROM audit_log WHERE state LIKE '% 1 %'")
    run(tamper, f"UPDATE audit_log SET state = {change} WHERE seq = {seq}")

    found = check()

    assert (seq, "state") in {(each.seq, each.reason.value) for each in found.errors}


def test_a_row_that_the_log_says_was_deleted_does_not_come_back(
    sql: connection, connection_settings: ConnectionSettings
) -> None:
    user_id = str(uuid4())
    insert = f"""
        INSERT INTO users (id, email, email_canonical, full_name, role, password_hash)
        VALUES ('{user_id}', 'a@b.cd', 'a@b.cd', 'A', 'student',
                '$2b$12${"x" * 53}');
    """
    logged = (
        "SELECT audit_append_one('user.updated', 'user', 'x', 'system', NULL, '{}')"
    )
    run(sql, insert + logged)
    run(sql, f"DELETE FROM users WHERE id = '{user_id}'; " + logged)
    assert verify(connection_settings, deep=True).valid

    run(sql, insert)
    found = verify(connection_settings, deep=True)
    run(sql, f"DELETE FROM users WHERE id = '{user_id}'")

    assert found_by(found) == {("domain_unlogged", "users")}
    assert "says that it was deleted, and it is there" in found.errors[0].detail


def test_the_log_says_what_a_transaction_has_left_of_its_rows(
    sql: connection, connection_settings: ConnectionSettings
) -> None:
    """Changed twice, changed in a savepoint that was rolled back, changed by upsert."""
    user_id = str(uuid4())
    upsert = f"""
        INSERT INTO users (id, email, email_canonical, full_name, role, password_hash)
        VALUES ('{user_id}', 'a@b.cd', 'a@b.cd', 'A', 'student', '$2b$12${"x" * 53}')
        ON CONFLICT (id) DO UPDATE SET full_name = users.full_name || 'B';
    """
    rename = "UPDATE users SET full_name = 'C'; "
    run(
        sql,
        f"BEGIN; {upsert} {upsert} SAVEPOINT a; {rename} ROLLBACK TO SAVEPOINT a;"
        " SELECT audit_append('{user.updated,user.updated}', '{user,user}', '{1,2}',"
        " '{NULL,NULL}', '{NULL,NULL}', '{\"{}\",\"{}\"}');"
        " COMMIT",
    )

    found = verify(connection_settings, deep=True)

    assert (found.errors, found.rows_checked) == ((), 1)
    assert scalar(sql, "SELECT full_name FROM users") == "AB"
    lines = scalar(sql, "SELECT state FROM audit_log WHERE entity_id = '1'")
    assert [line.split()[:3] for line in lines.splitlines()] == [
        ["users", user_id, "1"]
    ] * 2
    assert scalar(sql, "SELECT state FROM audit_log WHERE entity_id = '2'") is None


def test_a_line_stands_with_the_entry_that_is_about_its_row(sql: connection) -> None:
    """Of that entity, else of that attempt, else with the first."""
    own, other = str(uuid4()), str(uuid4())
    lines = [f"answers {own}/1 1 a", f"answers {other}/1 1 b", "exams 7 1 c"]

    states = scalar(
        sql,
        "SELECT audit_states(%s, %s, %s::uuid[])",
        "\n".join(lines),
        ["1", "2", own, "3"],
        [None, own, None, other],
    )

    assert states == [f"{lines[2]}\n", None, f"{lines[0]}\n", f"{lines[1]}\n"]


def test_nothing_is_noted_by_whoever_comes_next(sql: connection) -> None:
    """The notes of a transaction end with it, or with its entry."""
    user = "UPDATE users SET full_name = 'C'; "
    append = "SELECT audit_append_one('user.updated', 'user', '1', NULL, NULL, '{}'); "
    run(sql, f"BEGIN; {user} ROLLBACK; BEGIN; {append} {append} COMMIT")

    assert run(sql, "SELECT DISTINCT state FROM audit_log") == [(None,)]


@pytest.mark.parametrize(
    "append",
    [
        "audit_append_one('user.created', 'user', '1', NULL, NULL, '{}')",
        (
            "audit_append('{user.created}', '{user}', '{1}', '{NULL}', '{NULL}',"
            " '{\"{}\"}')"
        ),
    ],
)
def test_what_an_entry_has_said_the_next_one_does_not_repeat(
    sql: connection, append: str
) -> None:
    """Or what is erased of the one would be left in the other."""
    new = f"""
        INSERT INTO users (id, email, email_canonical, full_name, role, password_hash)
        VALUES ('{uuid4()}', 'a@b.cd', 'a@b.cd', 'A', 'student', '$2b$12${"x" * 53}');
    """
    run(sql, f"BEGIN; {new} SELECT {append}; SELECT {append}; COMMIT")

    said = run(sql, "SELECT state IS NOT NULL FROM audit_log ORDER BY seq OFFSET 1")
    assert said == [(True,), (False,)]


def test_rows_that_were_there_before_are_stated_by_the_migration(
    administrator: connection, database_server: str, tmp_path: Path
) -> None:
    """A database in use, of the version before, becomes one that is covered."""
    old = tmp_path / "old"
    old.mkdir()
    for path in sorted(MIGRATIONS.glob("*.sql"))[:6]:
        (old / path.name).write_bytes(path.read_bytes())
    name = f"test_{uuid4().hex}"
    run(administrator, f"CREATE DATABASE {name} ENCODING UTF8 TEMPLATE template0")
    dsn = make_dsn(database_server, dbname=name)
    try:
        migrate(dsn, lambda _: None, old)
        with closing(psycopg2.connect(dsn)) as session:
            session.autocommit = True
            run(
                session,
                "INSERT INTO users (id, email, email_canonical, full_name, role,"
                "                   password_hash)"
                " SELECT id, id || '@b.cd', id || '@b.cd', 'A', 'student',"
                f"       '$2b$12${'x' * 53}'"
                "   FROM (SELECT gen_random_uuid() AS id"
                "           FROM generate_series(1, 25000)) AS many",
            )
        migrate(dsn, lambda _: None)

        found = verify(connection_to(dsn), deep=True)

        assert (found.errors, found.rows_checked) == ((), 25_000)
        with closing(psycopg2.connect(dsn)) as session:
            assert run(
                session,
                "SELECT payload FROM audit_log WHERE event_type = 'log.rows_stated'"
                " ORDER BY seq",
            ) == [
                ('{"keys":9999,"table":"users"}',),
                ('{"keys":10000,"table":"users"}',),
                ('{"keys":5001,"table":"users"}',),
            ]
    finally:
        run(administrator, f"DROP DATABASE {name} WITH (FORCE)")


def test_a_check_that_was_interrupted_is_incomplete(
    sql: connection, connection_settings: ConnectionSettings
) -> None:
    # So many rows that PostgreSQL does not sort them in the time.
    run(
        sql,
        "SET session_replication_role = replica;"
        " INSERT INTO exam_proctors SELECT gen_random_uuid(), gen_random_uuid(), now()"
        "   FROM generate_series(1, 300000)",
    )
    found = verify(connection_settings, deep=True, timeout_seconds=0.3)
    run(sql, "TRUNCATE exam_proctors")

    assert found.verdict is Verdict.INCOMPLETE
    assert not found.valid
    assert {each.result for each in found.checks if each.name.startswith("domain")} == {
        CheckResult.NOT_CHECKED
    }
    assert "too long" in next(
        each.detail for each in found.checks if each.name == "domain_unlogged"
    )
