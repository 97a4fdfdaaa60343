"""What a finding says: where, what was expected, what is there, and in which words.

A hearing reads it, so the words are compared too.
"""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from psycopg2.extensions import connection

from models.audit_snapshot import EPOCH_US, snapshot
from models.connection_settings import ConnectionSettings
from models.database import Database
from models.protected_rows import Deviation
from services.audit_anchors import Anchor, Anchors
from services.audit_check import RangeCheck, RangeResult
from services.audit_comparison import Names, compare_tree, not_compared
from services.audit_findings import AnchorCheck, CheckResult, ErrorClass, Finding
from services.audit_tree import LogTree
from services.audit_verification import verify
from services.domain_check import findings_of
from tests.audit_trail import append, run, scalar
from tests.tampering import HASH_ANEW, allow_everything

pytestmark = pytest.mark.tampers

EMPTY = "encode(sha256(''), 'hex')"
STORED = "SELECT encode({}, 'hex') FROM audit_log WHERE seq = %s"
RIGHT_HASH = """
    SELECT encode(audit_hash(log_id, seq, previous_hash, audit_log.recorded_at, xid,
                             flags, schema_version, payload_hash, state_hash,
                             audit_subject(attempt_id::text, actor_id, event_type,
                                           entity_type, entity_id)), 'hex')
      FROM audit_log, audit_head WHERE seq = %s
"""
COMMITTED = """
    SELECT encode(audit_payload_hash(payload_salt, payload), 'hex')
      FROM audit_log WHERE seq = %s
"""
STATED = """
    SELECT encode(audit_state_hash(payload_salt, state), 'hex')
      FROM audit_log WHERE seq = %s
"""
TIME_US = """
    SELECT audit_microseconds(recorded_at) FROM audit_log WHERE seq = %s
"""

Errors = Callable[[str], tuple[Finding, ...]]


@pytest.fixture
def errors(
    database: Database, connection_settings: ConnectionSettings, sql: connection
) -> Errors:
    """Tamper with a log of eleven entries, and return what is found."""
    append(database, 10)
    allow_everything(sql)

    def errors(statements: str) -> tuple[Finding, ...]:
        run(sql, statements)
        return verify(connection_settings).errors

    return errors


def of(reason: ErrorClass, found: tuple[Finding, ...]) -> Finding:
    (only,) = [each for each in found if each.reason is reason]
    return only


def test_a_wrong_hash_is_shown_beside_the_right_one(
    errors: Errors, sql: connection
) -> None:
    found = errors("UPDATE audit_log SET actor_id = NULL WHERE seq = 5")

    assert found == (
        Finding(
            seq=5,
            reason=ErrorClass.HASH,
            expected=scalar(sql, RIGHT_HASH, 5),
            found=scalar(sql, STORED.format("hash"), 5),
            detail="The entry's own hash is not that of its columns.",
        ),
    )


def test_a_hash_that_can_not_be_computed_is_said_to_be_so(
    errors: Errors, sql: connection
) -> None:
    found = errors(
        "ALTER TABLE audit_log ALTER state_hash DROP NOT NULL;"
        " UPDATE audit_log SET state_hash = NULL WHERE seq = 5"
    )

    assert of(ErrorClass.HASH, found) == Finding(
        seq=5,
        reason=ErrorClass.HASH,
        expected=None,
        found=scalar(sql, STORED.format("hash"), 5),
        detail="a column is malformed",
    )
    state = of(ErrorClass.STATE, found)
    assert (state.expected, state.found) == (None, "00" * 32)


def test_what_does_not_follow_is_shown_beside_what_it_should_follow(
    errors: Errors, sql: connection
) -> None:
    found = errors("UPDATE audit_log SET previous_hash = sha256('') WHERE seq = 5")

    assert of(ErrorClass.PREVIOUS_HASH, found) == Finding(
        seq=5,
        reason=ErrorClass.PREVIOUS_HASH,
        expected=scalar(sql, STORED.format("hash"), 4),
        found=scalar(sql, f"SELECT {EMPTY}"),
        detail="It does not follow from the entry before it.",
    )


def test_after_a_wrong_hash_the_next_entry_is_judged_by_itself(
    errors: Errors, sql: connection
) -> None:
    found = errors("UPDATE audit_log SET hash = sha256('') WHERE seq = 5")

    assert [(each.seq, each.reason) for each in found] == [
        (5, ErrorClass.HASH),
        (6, ErrorClass.PREVIOUS_HASH),
    ]
    assert found[0].found == found[1].expected == scalar(sql, f"SELECT {EMPTY}")
    assert found[1].found == found[0].expected


def test_a_payload_is_shown_by_what_it_is_and_what_was_committed_to(
    errors: Errors, sql: connection
) -> None:
    found = errors("UPDATE audit_log SET payload = '{}' WHERE seq = 5")

    assert found == (
        Finding(
            seq=5,
            reason=ErrorClass.PAYLOAD,
            expected=scalar(sql, STORED.format("payload_hash"), 5),
            found=scalar(sql, COMMITTED, 5),
            detail="The payload is not the one that was committed to.",
        ),
    )


def test_rows_that_were_stated_are_shown_the_same_way(
    errors: Errors, sql: connection
) -> None:
    found = errors("UPDATE audit_log SET state = 'exams 5 1 -' WHERE seq = 5")

    assert found == (
        Finding(
            seq=5,
            reason=ErrorClass.STATE,
            expected=scalar(sql, STORED.format("state_hash"), 5),
            found=scalar(sql, STATED, 5),
            detail="What it says of other tables' rows is not what was committed to.",
        ),
    )


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        (
            "payload = NULL, payload_salt = NULL",
            "the payload is not there, and no entry says that it was erased",
        ),
        ("payload = NULL", "the payload is not there, and the salt is"),
        ("payload_salt = NULL", "the salt is not there, and the payload is"),
    ],
)
def test_what_is_missing_of_a_payload_is_named(
    errors: Errors, change: str, detail: str
) -> None:
    found = errors(f"UPDATE audit_log SET {change} WHERE seq = 5")  # noqa: S608

    assert of(ErrorClass.REDACTION, found) == Finding(
        seq=5, reason=ErrorClass.REDACTION, detail=detail
    )


@pytest.mark.parametrize(
    ("seqs", "first", "detail"),
    [("5", 5, "1 entry is missing"), ("5, 6, 7", 5, "3 entries are missing")],
)
def test_a_gap_is_counted(errors: Errors, seqs: str, first: int, detail: str) -> None:
    found = errors(f"DELETE FROM audit_log WHERE seq IN ({seqs})")  # noqa: S608

    assert found == (
        Finding(
            seq=first,
            reason=ErrorClass.GAP,
            expected=str(first),
            found=None,
            detail=detail,
        ),
    )


def test_a_missing_end_is_a_gap_up_to_where_the_range_ends(
    errors: Errors, connection_settings: ConnectionSettings
) -> None:
    errors("DELETE FROM audit_log WHERE seq IN (3, 4)")

    (found,) = verify(connection_settings, from_seq=1, to_seq=4).errors

    assert (found.seq, found.expected, found.found) == (3, "3", None)
    assert found.detail == "2 entries are missing"


def test_an_entry_that_stands_twice_is_not_where_it_is_expected(
    errors: Errors,
) -> None:
    found = errors(
        "ALTER TABLE audit_log DROP CONSTRAINT audit_log_pkey;"
        " INSERT INTO audit_log SELECT * FROM audit_log WHERE seq = 5"
    )

    assert found == (
        Finding(
            seq=5,
            reason=ErrorClass.ORDER,
            expected="6",
            found="5",
            detail="An entry stands at another's place, or twice at one.",
        ),
    )


def test_the_entry_behind_one_that_stands_twice_is_right(errors: Errors) -> None:
    """The number that is expected next does not go back."""
    found = errors(
        "ALTER TABLE audit_log DROP CONSTRAINT audit_log_pkey;"
        " INSERT INTO audit_log SELECT * FROM audit_log WHERE seq IN (5, 7)"
    )

    assert [(each.seq, each.expected) for each in found] == [(5, "6"), (7, "8")]


def test_a_clock_that_goes_back_is_told_in_microseconds(
    errors: Errors, sql: connection
) -> None:
    found = errors(
        "UPDATE audit_log SET recorded_at = recorded_at - interval '1 day'"
        " WHERE seq = 5"
    )

    clock = of(ErrorClass.CLOCK, found)
    assert clock.expected == f"{scalar(sql, TIME_US, 4)} µs or later"
    assert clock.found == f"{scalar(sql, TIME_US, 5)} µs"
    assert clock.detail == "Time goes backwards."
    assert scalar(sql, TIME_US, 5) > EPOCH_US


@pytest.mark.usefixtures("database")
def test_a_hundred_are_told_and_all_are_counted(
    connection_settings: ConnectionSettings, sql: connection
) -> None:
    run(
        sql,
        "SELECT audit_append(array_agg('user.created'::text), array_agg('user'::text),"
        " array_agg('1'::text), array_agg('1'::text), array_agg(NULL::uuid),"
        " array_agg('{}'::text)) FROM generate_series(1, 101)",
    )
    allow_everything(sql)
    run(sql, "UPDATE audit_log SET entity_id = '2' WHERE seq > 0")

    found = verify(connection_settings)

    assert [each.seq for each in found.errors] == list(range(1, 101))
    assert found.errors_by_class == {"hash": 101}


@pytest.mark.parametrize(
    "log_id", [b"%" * 16, bytes(16)], ids=["percent signs", "zeros"]
)
def test_of_an_entry_that_is_right_nothing_is_looked_for_twice(
    *,
    database: Database,
    connection_settings: ConnectionSettings,
    sql: connection,
    monkeypatch: pytest.MonkeyPatch,
    log_id: bytes,
) -> None:
    """Whatever the log's id: it stands in what the fast way formats."""
    append(database, 3)
    allow_everything(sql)
    run(sql, "UPDATE audit_head SET log_id = %s", log_id)
    run(sql, HASH_ANEW.replace("{first}", "1"))

    def diagnose(_: RangeCheck, row: bytes) -> None:
        raise AssertionError(row)

    monkeypatch.setattr(RangeCheck, "_diagnose", diagnose)
    check = RangeCheck(
        log_id,
        1,
        previous_hash=scalar(sql, "SELECT hash FROM audit_log WHERE seq = 0"),
        previous_time_us=None,
    )
    with snapshot(connection_settings) as log:
        log.copy(1, 3, check.receive)

    assert check.finish(3).entries == 3
    assert check.result.findings == []


# The tree, when it can not be compared.

SEEN_AT = datetime(2026, 11, 29, 8, tzinfo=UTC)
HELD = Anchor(
    source="the file board.txt",
    origin="exams.example",
    size=9,
    root=bytes(32),
    detail="signed by exams.example",
    witnessed_at=SEEN_AT,
)
AWAY = AnchorCheck(
    source="the witness away.example",
    result=CheckResult.NOT_CHECKED,
    detail="it does not answer",
)
ANCHORS = Anchors(held=(HELD,), missing=(AWAY,))


def test_an_anchor_holds_for_nothing_without_a_tree() -> None:
    report = not_compared(ANCHORS, "the disk is gone")

    assert report.why_not == "the disk is gone"
    assert (report.tiles, report.checkpoints, report.end) == ("", "", None)
    assert report.anchors == (
        AnchorCheck(
            source="the file board.txt",
            result=CheckResult.NOT_CHECKED,
            detail="the disk is gone",
            size=9,
            witnessed_at=SEEN_AT,
        ),
        AWAY,
    )


class NoTables:
    """Fails the test if anything is asked."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(name)


@pytest.mark.parametrize(
    ("result", "tree", "why_not"),
    [
        (
            RangeResult(entries=3, interruption="it took too long"),
            LogTree(part_height=16),
            "reading stopped: it took too long",
        ),
        (RangeResult(), LogTree(part_height=16), "no entry was read"),
        (RangeResult(entries=3), None, "the range does not begin with entry 0"),
    ],
)
def test_why_no_tree_was_compared_is_said(
    result: RangeResult, tree: LogTree | None, why_not: str
) -> None:
    report, findings = compare_tree(
        tree,
        NoTables(),  # type: ignore[arg-type]
        result,
        anchors=ANCHORS,
        log_keys=(),
        names=Names(bytes(16), "exams.example", {}),
        reaches_end=True,
    )

    assert (report.why_not, findings) == (why_not, [])
    assert report == not_compared(ANCHORS, why_not)


# Rows of other tables.

ROW = "users 019ab1c2"
THERE, SAID = "ab" * 32, "cd" * 32


@pytest.mark.parametrize(
    ("kind", "counts", "seq", "finding"),
    [
        (
            "missing",
            (1, 0),
            7,
            (7, SAID, None, "entry 7 says what it is, and it is not there"),
        ),
        (
            "missing",
            (3, 2),
            7,
            (
                7,
                f"3 rows, {SAID}",
                f"2 rows, {THERE}",
                "of 3 rows 2 are left",
            ),
        ),
        ("differs", (1, 1), 7, (7, SAID, THERE, "it is not what entry 7 says")),
        ("unlogged", (None, 1), None, (99, None, THERE, "no entry speaks of it")),
        (
            "unlogged",
            (0, 1),
            7,
            (7, None, THERE, "entry 7 says that it was deleted, and it is there"),
        ),
        (
            "unlogged",
            (1, 2),
            7,
            (
                7,
                SAID,
                f"2 rows, {THERE}",
                "there are 2 rows, and 1 were logged",
            ),
        ),
    ],
)
def test_a_row_is_shown_by_what_is_there_and_what_was_logged(
    kind: str,
    counts: tuple[int | None, int],
    seq: int | None,
    finding: tuple[int, str | None, str | None, str],
) -> None:
    said_count, count = counts
    deviation = Deviation(
        table="users",
        key="019ab1c2",
        kind=kind,
        seq=seq,
        said_count=said_count,
        said_digest=SAID if said_count else None,
        count=count,
        digest=THERE if count else None,
    )

    (found,) = findings_of([deviation], 99)

    assert (found.seq, found.expected, found.found) == finding[:3]
    assert found.detail == f"{ROW}: {finding[3]}"
