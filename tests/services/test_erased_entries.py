"""An entry may lose what it says if a later one says so, and in no other way."""

from collections.abc import Callable
from pathlib import Path

import psycopg2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg2.extensions import connection

from models.connection_settings import ConnectionSettings
from models.database import Database
from models.database_errors import DatabaseUnavailableError
from services import audit_parts
from services.audit_findings import Verification
from services.audit_verification import verify
from services.checkpointer import RefusedError
from services.erased_entries import erased_in, ranges_of
from services.merkle_growth import BrokenLogError
from tests.audit_trail import append, run, scalar
from tests.checkpoints import assert_all_true, files_in, sign
from tests.erasures import erase_entries

Check = Callable[..., Verification]

EMPTY = "UPDATE audit_log SET payload = NULL, payload_salt = NULL, state = NULL"


@pytest.fixture
def check(database: Database, connection_settings: ConnectionSettings) -> Check:
    """A log of ten entries, of which 3 to 5 and 8 were erased by entry 11."""
    append(database, 10)
    assert erase_entries(database, [3, 5], [8, 8]) == 11
    return lambda **bounds: verify(connection_settings, **bounds)


@pytest.fixture
def tamper(check: Check, sql: connection) -> Callable[[str], None]:
    """Changes the log in spite of all that stands in the way. Wants `check` first."""
    assert check().valid
    run(
        sql,
        "ALTER TABLE audit_log DISABLE TRIGGER ALL;"
        " ALTER TABLE audit_log DROP CONSTRAINT audit_log_redaction_check",
    )

    def change(statement: str) -> None:
        run(sql, statement)

    return change


def reasons(found: Verification) -> set[tuple[int, str]]:
    return {(each.seq, each.reason.value) for each in found.errors}


def test_what_was_erased_is_gone_and_the_log_verifies(
    check: Check, sql: connection
) -> None:
    found = check(deep=True)

    assert (found.errors, found.entries_checked, found.valid) == ((), 12, True)
    assert run(
        sql,
        "SELECT seq FROM audit_log WHERE num_nulls(payload, payload_salt, state) = 3"
        " ORDER BY seq",
    ) == [(3,), (4,), (5,), (8,)]


@pytest.mark.parametrize("bounds", [(0, 11), (4, 9), (5, 5), (8, None), (11, 11)])
def test_a_range_knows_of_erasures_behind_it(
    check: Check, bounds: tuple[int, int | None]
) -> None:
    assert check(from_seq=bounds[0], to_seq=bounds[1]).errors == ()


def test_several_processes_know_of_it(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_parts, "ENTRIES_PER_PART", 4)

    found = check(processes=2)

    assert (found.errors, found.entries_checked) == ((), 12)


@pytest.mark.tampers
@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        pytest.param(f"{EMPTY} WHERE seq = 6", {(6, "redaction")}, id="another"),
        # What was taken off its first line is not in it any more.
        pytest.param(f"{EMPTY} WHERE seq = 11", None, id="the erasure itself"),
        pytest.param(
            "UPDATE audit_log SET payload_salt = sha256('') WHERE seq = 4",
            {(4, "redaction")},
            id="a salt",
        ),
        pytest.param(
            "UPDATE audit_log SET payload = '{}' WHERE seq = 4",
            {(4, "redaction")},
            id="a payload",
        ),
        pytest.param(
            "UPDATE audit_log SET payload = '{}', payload_salt = sha256('')"
            " WHERE seq = 4",
            {(4, "payload")},
            id="both",
        ),
        pytest.param(
            "UPDATE audit_log SET state = 'users 1 0 -' WHERE seq = 4",
            {(4, "state")},
            id="a state",
        ),
        pytest.param(
            "UPDATE audit_log SET actor_id = 'system' WHERE seq = 4",
            {(4, "hash")},
            id="a column that is hashed",
        ),
        pytest.param(
            "UPDATE audit_log SET payload = replace(payload, '[8,8]', '[6,8]')"
            " WHERE seq = 11",
            None,
            id="an erasure that was changed",
        ),
    ],
)
def test_everything_else_is_found(
    tamper: Callable[[str], None],
    check: Check,
    statement: str,
    expected: set[tuple[int, str]] | None,
) -> None:
    tamper(statement)

    found = reasons(check())

    if expected is None:
        # An erasure that is not what was recorded erases nothing.
        assert found >= {(seq, "redaction") for seq in (3, 4, 5, 8)}
    else:
        assert found == expected


@pytest.mark.tampers
@pytest.mark.parametrize(
    "named", [[[0, 0]], [[1, 99]], [[12, 12]], [[-5, 4]], [[4]], 7]
)
def test_an_erasure_names_earlier_entries_and_never_the_first(
    tamper: Callable[[str], None],
    check: Check,
    sql: connection,
    database: Database,
    named: object,
) -> None:
    """Written by the log's owner himself, with a hash that is right."""
    run(
        sql,
        "SELECT audit_append_one('data.erased', 'user', '1', 'system', NULL,"
        " json_build_object('entries', %s::json, 'legal_basis', 'none')::text)",
        str(named),
    )
    append(database)
    tamper(f"{EMPTY} WHERE seq IN (0, 13)")

    assert {(0, "redaction"), (13, "redaction")} <= reasons(check())


@pytest.mark.parametrize(
    ("ranges", "legal_basis"),
    [
        ([[0, 1]], "GDPR"),
        ([[9, 11]], "GDPR"),
        ([[4, 4]], "GDPR"),
        ([[2, 2], [2, 2]], "GDPR"),
        ([[10, 99]], "GDPR"),
        ([[2, 2]], " "),
    ],
    ids=["genesis", "erasure", "again", "twice", "not there", "no legal basis"],
)
def test_what_can_not_be_erased_is_refused_as_a_whole(
    check: Check,
    database: Database,
    sql: connection,
    ranges: list[list[int]],
    legal_basis: str,
) -> None:
    before = run(sql, "SELECT max(seq), count(payload) FROM audit_log")

    with pytest.raises((psycopg2.Error, DatabaseUnavailableError)):
        erase_entries(database, *ranges, legal_basis=legal_basis)

    assert run(sql, "SELECT max(seq), count(payload) FROM audit_log") == before
    assert check().valid


def test_what_the_log_says_of_itself_is_not_erased(
    check: Check, database: Database, sql: connection
) -> None:
    stated = "'log.rows_stated', 'table', 'users', 'system', NULL, '{}'"
    seq = scalar(sql, f"SELECT split_part(audit_append_one({stated}), ':', 1)::int")

    with pytest.raises((psycopg2.Error, DatabaseUnavailableError)):
        erase_entries(database, [seq, seq])

    assert check().valid


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT audit_redact('user', '1', 'system', '{\"legal_basis\":\"x\"}')",
        "SELECT audit_redact('user', '1', 'system', ARRAY['{\"legal_basis\":\"x\"}'])",
        "CALL erasure_empty(NULL, '{}', '{}', '{}', NULL, '{}')",
        "SELECT erasure_lines('{}', '{}')",
        f"{EMPTY} WHERE seq = 2",
        "UPDATE proctoring_events SET payload = '{}'",
        "UPDATE ai_analyses SET result = '{}'",
        "DELETE FROM legal_holds",
        "UPDATE legal_holds SET reason = 'none'",
    ],
)
def test_the_application_erases_in_one_way_only(
    database: Database, statement: str
) -> None:
    with (
        pytest.raises(psycopg2.errors.InsufficientPrivilege),
        database.bookkeeping() as tx,
    ):
        tx.execute(statement)


@pytest.mark.parametrize(
    "change",
    [
        "payload = NULL",
        "payload = NULL, payload_salt = NULL, actor_id = NULL",
        "payload = NULL, payload_salt = NULL, state = ''",
        "payload = '{}'",
        "hash = sha256(hash), payload = NULL, payload_salt = NULL",
    ],
)
def test_the_owner_of_the_log_changes_nothing_else(
    check: Check, sql: connection, change: str
) -> None:
    run(sql, "SET ROLE proctoring_audit")

    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        run(sql, f"UPDATE audit_log SET {change} WHERE seq = 2")  # noqa: S608

    assert check().valid


def test_rows_that_only_an_erased_entry_spoke_of_are_stated_anew(
    connection_settings: ConnectionSettings, sql: connection, database: Database
) -> None:
    run(
        sql,
        "BEGIN; INSERT INTO users (id, email, email_canonical, full_name, role,"
        "                          password_hash)"
        " SELECT gen_random_uuid(), n || '@b.cd', n || '@b.cd', 'A', 'student',"
        "        '$2b$12$' || repeat('x', 53) FROM generate_series(1, 3) AS n;"
        " SELECT audit_append_one('user.created', 'user', '1', NULL, NULL, '{}');"
        " DELETE FROM users WHERE email = '1@b.cd';"
        " SELECT audit_append_one('user.updated', 'user', '1', NULL, NULL, '{}');"
        " COMMIT",
    )
    assert verify(connection_settings, deep=True).rows_checked == 2

    erase_entries(database, [1, 2])

    found = verify(connection_settings, deep=True)
    assert (found.errors, found.rows_checked) == ((), 2)
    stated = scalar(sql, "SELECT state FROM audit_log WHERE seq = 3")
    assert sorted(line.split()[2] for line in stated.splitlines()) == ["0", "1", "1"]


def test_a_checkpointer_begins_anew_behind_an_erasure(
    check: Check,
    connection_settings: ConnectionSettings,
    database: Database,
    sql: connection,
    tmp_path: Path,
) -> None:
    """What was signed stays true: the tree is of hashes, and none has changed."""
    assert check().valid
    files = files_in(tmp_path, sql)
    sign(connection_settings, files)
    # Signed as it was, and erased before the next signature.
    append(database, 3)
    sign(connection_settings, files)
    append(database, 3)
    erase_entries(database, [6, 7], [13, 13], [16, 17])

    sign(connection_settings, files, is_thorough=True)

    assert_all_true(sql, files)
    assert scalar(sql, "SELECT max(size) FROM checkpoints") == 19


@pytest.mark.tampers
def test_a_checkpointer_signs_nothing_that_was_emptied_in_secret(
    tamper: Callable[[str], None],
    connection_settings: ConnectionSettings,
    sql: connection,
    tmp_path: Path,
) -> None:
    files = files_in(tmp_path, sql)
    tamper(f"{EMPTY} WHERE seq = 6")

    with pytest.raises((BrokenLogError, RefusedError), match="6"):
        sign(connection_settings, files, is_thorough=True)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=20))
def test_ranges_are_united(ranges: list[tuple[int, int]]) -> None:
    named = {seq for first, last in ranges for seq in range(first, last + 1)}

    united = erased_in(ranges)

    assert {seq for seq in range(-1, 52) if seq in united} == named
    assert ranges_of(sorted(named)) == list(
        zip(united.firsts, united.lasts, strict=True)
    )
