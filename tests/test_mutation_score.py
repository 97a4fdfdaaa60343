"""Every column of every kind of entry, changed in several ways: each change is found.

The table in docs/mutation-score.md is what this test saw; `script/mutation-score`
writes it anew.
"""

import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
from psycopg2.extensions import connection

from models.audit_event import AuditEvent
from models.connection_settings import ConnectionSettings
from models.database import Database
from models.principal import Role
from services import audit
from services.audit_findings import ErrorClass, Verdict
from services.audit_verification import verify
from tests.audit_trail import append, run
from tests.checkpoints import files_in, sign
from tests.mutations import COLUMNS, LIFT_EVERY_RULE, WAYS, Mutation, mutations
from tests.personas import Enrol

pytestmark = pytest.mark.tampers

DOCUMENT: Final = Path(__file__).resolve().parent.parent / "docs" / "mutation-score.md"

# What has to be among the classes by which a change of a column is reported.
EXPECTED: Final[Mapping[str, set[ErrorClass]]] = {
    "seq": {ErrorClass.GAP, ErrorClass.ORDER, ErrorClass.HEAD},
    "recorded_at": {ErrorClass.HASH},
    "xid": {ErrorClass.HASH},
    "flags": {ErrorClass.HASH},
    "schema_version": {ErrorClass.HASH},
    "event_type": {ErrorClass.HASH},
    "entity_type": {ErrorClass.HASH},
    "entity_id": {ErrorClass.HASH},
    "actor_id": {ErrorClass.HASH},
    "attempt_id": {ErrorClass.HASH},
    "payload": {ErrorClass.PAYLOAD, ErrorClass.REDACTION},
    "payload_salt": {ErrorClass.PAYLOAD, ErrorClass.REDACTION},
    "payload_hash": {ErrorClass.HASH},
    "state_hash": {ErrorClass.HASH},
    "previous_hash": {ErrorClass.HASH},
    "hash": {ErrorClass.HASH},
    "state": {ErrorClass.STATE},
}


@pytest.fixture
def entries(
    sql: connection,
    database: Database,
    connection_settings: ConnectionSettings,
    enrol_as: Enrol,
    tmp_path: Path,
) -> Mapping[str, int]:
    """A log with every kind of entry, by what it is. The first eight are signed."""
    append(database, 2)
    enrol_as("ada", Role.ADMIN)
    ((stated,),) = run(sql, "SELECT max(seq) FROM audit_log WHERE state IS NOT NULL")
    with database.transaction() as tx:
        anonymous = audit.append(
            tx,
            AuditEvent.LOGIN_FAILED,
            "user",
            "nobody",
            actor=None,
            payload={"reason": "unknown"},
        )
    append(database, 3)
    sign(connection_settings, files_in(tmp_path, sql))
    append(database, 3)
    ((last,),) = run(sql, "SELECT max(seq) FROM audit_log")
    run(sql, LIFT_EVERY_RULE)
    run(sql, "CREATE TABLE saved AS TABLE audit_log")
    assert verify(connection_settings).valid
    return {
        "the first, which names the log": 0,
        "signed": 1,
        "with rows of other tables": stated,
        "without an actor": anonymous.seq,
        "not signed yet": last - 1,
        "the last": last,
    }


def test_every_change_of_every_column_is_found(
    entries: Mapping[str, int], sql: connection, connection_settings: ConnectionSettings
) -> None:
    columns = [name for name, _ in run(sql, COLUMNS)]
    assert set(columns) == set(EXPECTED)
    tried: dict[str, list[Mutation]] = defaultdict(list)
    classes: dict[str, set[str]] = defaultdict(set)
    missed = []

    for seq in entries.values():
        # Another entry of the same kind, whose values are all in their right form.
        for mutation in mutations(sql, seq, other=2 if seq == 1 else 1):
            run(sql, mutation.statement)
            found = verify(connection_settings)
            run(sql, "TRUNCATE audit_log; INSERT INTO audit_log TABLE saved")
            tried[mutation.column].append(mutation)
            classes[mutation.column] |= found.errors_by_class.keys()
            if (
                found.verdict is not Verdict.TAMPERED
                or found.valid
                or not EXPECTED[mutation.column] & found.errors_by_class.keys()
            ):
                missed.append((mutation, found.errors_by_class))

    assert missed == []
    assert verify(connection_settings).valid
    # Every way was tried, but those that may leave a column as it is.
    kinds = dict(run(sql, COLUMNS))
    for column in columns:
        ways = {each.way for each in tried[column]}
        assert ways >= set(WAYS[kinds[column]]) - {"zero", "negated", "another's"}
    written = rendered(columns, tried, classes, entries)
    if "UPDATE_DOCS" in os.environ:
        DOCUMENT.write_text(written, encoding="utf-8")
    assert DOCUMENT.read_text(encoding="utf-8") == written


def rendered(
    columns: list[str],
    tried: Mapping[str, list[Mutation]],
    classes: Mapping[str, set[str]],
    entries: Mapping[str, int],
) -> str:
    total = sum(map(len, tried.values()))
    about = (
        "Written by `script/mutation-score`; a test compares it with what it sees. Each"
        " column of `audit_log` was changed in each of\nthese ways, as the owner of the"
        " database can, in an entry of each of these kinds:"
        f" {', '.join(entries)}.\nA change counts as found if the verdict is `tampered`"
        " and a class that belongs to the column is among the errors."
    )
    lines = [
        "# What a change of the log is found by",
        "",
        about,
        "",
        f"**Found: {total} of {total} (100 %).**",
        "",
        "| column | changes | found | by these classes | ways |",
        "|---|---|---|---|---|",
    ]
    order = [str(reason) for reason in ErrorClass]
    for column in columns:
        ways = dict.fromkeys(each.way for each in tried[column])
        by = sorted(classes[column], key=order.index)
        count = len(tried[column])
        lines.append(
            f"| `{column}` | {count} | {count} | {', '.join(by)} | {', '.join(ways)} |"
        )
    return "\n".join(lines) + "\n"
