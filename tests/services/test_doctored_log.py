"""A log in which nothing is as it was made: always a finding, never a breakdown."""

from pathlib import Path

import pytest
from psycopg2.extensions import connection

from models.connection_settings import ConnectionSettings
from models.database import Database
from services.audit_findings import CheckResult, Verdict
from services.audit_verification import verify
from tests.audit_trail import append, append_together, run
from tests.checkpoints import files_in, sign
from tests.tampering import allow_everything

pytestmark = pytest.mark.tampers

NUMBERED = "ALTER TABLE audit_log DROP CONSTRAINT audit_log_pkey;"
ONE_HEAD = "ALTER TABLE audit_head DROP CONSTRAINT audit_head_pkey;"
ADD_HEAD = """
    INSERT INTO audit_head (hash, recorded_at, log_id, origin)
    SELECT hash, recorded_at, log_id, origin FROM audit_head
"""
SAME_HEAD = "INSERT INTO audit_head SELECT * FROM audit_head"
TILES = """
    ALTER TABLE merkle_tiles DROP CONSTRAINT merkle_tiles_pkey,
        DROP CONSTRAINT merkle_tiles_tile_index_check;
"""
LARGEST = """
    UPDATE merkle_tiles SET tile_index = 9223372036854775807 WHERE tile_index = 1
"""
WRONG_FIRST = """
    CREATE TABLE saved AS TABLE merkle_tiles;
    DELETE FROM merkle_tiles;
    INSERT INTO merkle_tiles SELECT level, tile_index, sha256('') FROM saved;
    INSERT INTO merkle_tiles TABLE saved
"""
SIZES = """
    ALTER TABLE checkpoint_timestamps DROP CONSTRAINT checkpoint_timestamps_size_fkey;
    ALTER TABLE checkpoints DROP CONSTRAINT checkpoints_pkey,
        DROP CONSTRAINT checkpoints_size_check;
"""
EPOCH = "UPDATE audit_log SET event_type = 'log.epoch_opened'"
SUSPEND = """
    ALTER TABLE audit_suspensions DISABLE TRIGGER ALL;
    ALTER TABLE audit_head DISABLE TRIGGER ALL;
    INSERT INTO audit_suspensions
        (id, found_at, seen_by, note, size, root, log_size, log_root)
    VALUES (1, now(), 'board', 'note', 9, sha256(''), 2, NULL);
    UPDATE audit_head SET suspension = 1;
"""


def nullable(table: str, *columns: str) -> str:
    return "".join(
        f"ALTER TABLE {table} ALTER {column} DROP NOT NULL;" for column in columns
    )


def with_null(table: str, column: str, where: str = "true") -> str:
    return (
        f"{nullable(table, column)} UPDATE {table} SET {column} = NULL"  # noqa: S608
        f" WHERE {where}"
    )


DOCTORED = {
    "the beginning is before Christ": (
        "UPDATE audit_log SET recorded_at = '0044-03-15 BC' WHERE seq = 0",
        {"epoch", "hash", "clock"},
    ),
    "the beginning is in the year 20000": (
        "UPDATE audit_log SET recorded_at = '20000-01-01Z' WHERE seq = 0",
        {"epoch", "hash", "clock"},
    ),
    "an epoch is before Christ": (
        EPOCH + ", recorded_at = '0044-03-15 BC' WHERE seq = 5",
        {"epoch", "hash", "clock"},
    ),
    "an epoch has no number": (
        NUMBERED + nullable("audit_log", "seq") + EPOCH + ", seq = NULL WHERE seq = 5",
        {"epoch", "schema", "gap", "root", "checkpoint"},
    ),
    "an epoch is no JSON": (
        EPOCH + ", payload = repeat('[', 200000) WHERE seq = 5",
        {"epoch", "hash", "payload"},
    ),
    "the manifest is no JSON": (
        "UPDATE audit_log SET payload = repeat('[', 200000) WHERE seq = 0",
        {"genesis", "payload"},
    ),
    "the last hash is cut": (
        "UPDATE audit_log SET hash = substring(hash FOR 31) WHERE seq = 300",
        {"hash", "head"},
    ),
    "the head is before Christ": (
        "UPDATE audit_head SET recorded_at = '0044-03-15 BC'",
        {"head"},
    ),
    "the head is in the year 20000": (
        "UPDATE audit_head SET recorded_at = '20000-01-01Z'",
        {"head"},
    ),
    "the head has no hash": (with_null("audit_head", "hash"), {"head"}),
    "the head has no time": (with_null("audit_head", "recorded_at"), {"head"}),
    "the head names no log": (with_null("audit_head", "log_id"), {"head"}),
    "the head has no origin": (with_null("audit_head", "origin"), {"head"}),
    "the head has no number": (
        ONE_HEAD + with_null("audit_head", "next_seq"),
        {"head"},
    ),
    "there is a head from before": (
        (
            "INSERT INTO audit_head (next_seq, hash, recorded_at, log_id, origin)"
            " SELECT 7, hash, recorded_at, log_id, origin FROM audit_head"
        ),
        {"head"},
    ),
    "the head is there twice": (
        ONE_HEAD + SAME_HEAD,
        {"head"},
    ),
    "a second head has no number": (
        ONE_HEAD + nullable("audit_head", "next_seq") + ADD_HEAD,
        {"head"},
    ),
    "a checkpoint has no root": (with_null("checkpoints", "root"), {"checkpoint"}),
    "a checkpoint has no note": (with_null("checkpoints", "note"), {"checkpoint"}),
    "a tile has no hashes": (with_null("merkle_tiles", "hashes"), {"root"}),
    "a tile has no place": (
        TILES + with_null("merkle_tiles", "tile_index", "tile_index = 1"),
        {"root"},
    ),
    "a tile has the largest number": (
        TILES + LARGEST,
        {"root"},
    ),
    "a checkpoint has no size": (
        SIZES + with_null("checkpoints", "size"),
        {"checkpoint"},
    ),
    "a checkpoint has a negative size": (
        SIZES + "UPDATE checkpoints SET size = -3",  # noqa: S608
        {"checkpoint"},
    ),
    "two checkpoints are of one size": (
        SIZES + "INSERT INTO checkpoints SELECT * FROM checkpoints",  # noqa: S608
        {"checkpoint"},
    ),
    "a checkpoint is of another origin": (
        (
            "UPDATE checkpoints"
            " SET note = 'evil' || substring(note FROM position(E'\\n' IN note))"
        ),
        {"checkpoint"},
    ),
    "there is a tile of a level that the tree has not": (
        "INSERT INTO merkle_tiles VALUES (5, 0, sha256(''))",
        {"root"},
    ),
    "there is a tile behind the end of its level": (
        "INSERT INTO merkle_tiles VALUES (1, 7, sha256(''))",
        {"root"},
    ),
    "there is a tile before the first": (
        TILES + "INSERT INTO merkle_tiles VALUES (0, -7, sha256(''))",  # noqa: S608
        {"root"},
    ),
    "a tile is longer than the tree": (
        "UPDATE merkle_tiles SET hashes = hashes || sha256('') WHERE level = 1",
        {"root"},
    ),
    "there is a tile of nothing": (
        (
            TILES  # noqa: S608
            + nullable("merkle_tiles", "hashes")
            + "INSERT INTO merkle_tiles VALUES (0, 9, NULL)"
        ),
        {"root"},
    ),
    "two tiles are at one place": (TILES + WRONG_FIRST, {"root"}),
    "a suspension is before Christ": (
        SUSPEND + "UPDATE audit_suspensions SET found_at = '0044-03-15 BC'",  # noqa: S608
        {"checkpoint"},
    ),
    "a suspension names nobody": (
        SUSPEND + with_null("audit_suspensions", "seen_by"),
        {"checkpoint"},
    ),
    "a suspension has no note": (
        SUSPEND + with_null("audit_suspensions", "note"),
        {"checkpoint"},
    ),
    "a suspension has no root": (
        SUSPEND + with_null("audit_suspensions", "root"),
        {"checkpoint"},
    ),
    "a suspension has no size": (
        SUSPEND + with_null("audit_suspensions", "size"),
        {"checkpoint"},
    ),
    "a suspension is gone": (
        (
            SUSPEND + "ALTER TABLE audit_head DROP CONSTRAINT"
            " audit_head_suspension_fkey; TRUNCATE audit_suspensions"
        ),
        {"checkpoint"},
    ),
    "a table is gone": ("DROP TABLE checkpoints CASCADE", {"schema"}),
    "a table is a sequence": (
        "DROP TABLE checkpoints CASCADE; CREATE SEQUENCE checkpoints",
        {"schema"},
    ),
    "a column is gone": ("ALTER TABLE checkpoints DROP note", {"schema"}),
    "a column has another name": (
        "ALTER TABLE audit_log RENAME state TO stated",
        {"schema"},
    ),
    "hashes are text": (
        "ALTER TABLE audit_log ALTER hash TYPE text USING encode(hash, 'hex')",
        {"schema"},
    ),
    "numbers are fractions": (
        NUMBERED + "ALTER TABLE audit_log ALTER seq TYPE numeric",
        {"schema"},
    ),
    "times are without a zone": (
        "ALTER TABLE audit_log ALTER recorded_at TYPE timestamp",
        {"schema"},
    ),
    "the head is text": (
        "ALTER TABLE audit_head ALTER recorded_at TYPE text",
        {"schema"},
    ),
    "an index holds what an operator of somebody's own lets into it": (
        """
        CREATE FUNCTION public.lie(bigint, integer) RETURNS boolean LANGUAGE sql
            IMMUTABLE AS 'SELECT $1 <> 5';
        CREATE OPERATOR public.>>> (LEFTARG = bigint, RIGHTARG = integer,
                                    FUNCTION = public.lie);
        CREATE INDEX shown ON audit_log (seq) WHERE seq OPERATOR(public.>>>) 0
        """,
        {"schema"},
    ),
    "an operator of PostgreSQL's means something else": (
        """
        CREATE OPERATOR FAMILY public.turned USING btree;
        CREATE OPERATOR CLASS public.turned FOR TYPE bigint USING btree
            FAMILY public.turned AS
            OPERATOR 1 >, OPERATOR 2 >=, OPERATOR 3 =, OPERATOR 4 <=, OPERATOR 5 <,
            FUNCTION 1 btint8cmp(bigint, bigint)
        """,
        {"schema"},
    ),
    "tiles are text": (
        (
            "ALTER TABLE merkle_tiles DROP CONSTRAINT merkle_tiles_hashes_check,"
            " ALTER hashes TYPE text USING encode(hashes, 'hex')"
        ),
        {"schema"},
    ),
}


@pytest.fixture
def signed(
    database: Database,
    connection_settings: ConnectionSettings,
    sql: connection,
    tmp_path: Path,
) -> ConnectionSettings:
    """A log of 301 entries, of which 300 are signed. Its owner may do anything."""
    append_together(database, 299)
    sign(connection_settings, files_in(tmp_path, sql))
    append(database)
    allow_everything(sql)
    return connection_settings


@pytest.mark.parametrize("what", DOCTORED)
def test_whatever_stands_there_is_a_finding(
    signed: ConnectionSettings, sql: connection, what: str
) -> None:
    statements, expected = DOCTORED[what]
    run(sql, statements)

    found = verify(signed)

    assert found.verdict is Verdict.TAMPERED
    assert set(found.errors_by_class) == expected


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE proctoring_events CASCADE",
        "ALTER TABLE users RENAME full_name TO name",
    ],
)
def test_a_deep_check_misses_what_the_other_tables_lack(
    signed: ConnectionSettings, sql: connection, statement: str
) -> None:
    run(sql, statement)

    found = verify(signed, deep=True)

    assert set(found.errors_by_class) == {"schema"}
    checks = {check.name: check for check in found.checks}
    assert checks["domain_differs"].result is CheckResult.NOT_CHECKED
    assert checks["domain_differs"].detail == "the tables can not be read"
    assert verify(signed).valid
