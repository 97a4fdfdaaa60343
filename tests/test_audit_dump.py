"""A dump is verified like the database that it was made of, and without one."""

import gzip
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from io import BytesIO, StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from psycopg2.extensions import connection, quote_ident

from auditor.__main__ import auditor
from auditor.dump_file import opened
from database.embedded_home import installed_programs
from models.audit_dump import DumpedLog
from models.audit_snapshot import (
    EPOCH_US,
    ReadInterruptedError,
    row_of,
    snapshot,
)
from models.connection_settings import ConnectionSettings
from models.copy_text import DumpError, binary, time_us, values_of
from models.database import Database
from services.audit_findings import Verdict, Verification
from services.audit_verification import verify, verify_log
from services.checkpoint_files import Files, read_keys
from tests.audit_trail import append, append_together, run, scalar
from tests.checkpoints import sign
from tests.tampering import allow_everything, forget_signatures, rewrite

pytestmark = pytest.mark.tampers

PROJECT = Path(__file__).resolve().parent.parent

Dump = Callable[..., Path]


@pytest.fixture
def dump(dsn: str, tmp_path: Path) -> Dump:
    """How to dump this test's database."""

    def make(*options: str, name: str = "dump.sql") -> Path:
        path = tmp_path / name
        program("pg_dump", *options, f"--file={path}", dsn)
        return path

    return make


def program(name: str, *arguments: str) -> None:
    command = [str(installed_programs() / name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def signed(
    database: Database, connection_settings: ConnectionSettings, files: Files
) -> ConnectionSettings:
    """A log of 300 entries, of which 299 are signed."""
    append_together(database, 298)
    sign(connection_settings, files)
    append(database)
    return connection_settings


def verify_file(path: Path) -> Verification:
    with opened(path) as (content, taken_at):
        return verify_log(DumpedLog(content, taken_at))


def report(path: Path, *options: object) -> Result:
    arguments = ["verify-dump", str(path), *map(str, options)]
    return CliRunner().invoke(auditor, arguments)


def in_essence(found: Verification) -> Sequence[object]:
    # Of what stands between tables and readers a dump knows nothing.
    checks = [each for each in found.checks if each.name != "schema"]
    return (
        *(found.verdict, found.entries_checked, found.head_hash, found.errors),
        *(found.errors_by_class, checks, found.tree),
    )


def test_a_dump_gives_the_report_that_its_database_gives(
    signed: ConnectionSettings, dump: Dump
) -> None:
    found = verify_file(dump())

    assert found.valid
    assert found.entries_checked == 300
    assert in_essence(found) == in_essence(verify(signed))


def test_rows_come_to_the_byte_as_the_database_sends_them(
    signed: ConnectionSettings, sql: connection, dump: Dump
) -> None:
    texts = ["\t\n\r\b\f\v\\", "\\N", "\\.", "Ünïcode 😀 \u2028", "", "x" * 450]
    run(
        sql,
        "SELECT audit_append_one('user.created', 'user', text, NULLIF(text, ''), NULL,"
        " jsonb_build_object('text', text)::text) FROM unnest(%s) AS text"
        " WHERE text <> ''",
        texts,
    )
    sent: list[bytes] = []
    dumped: list[bytes] = []

    with snapshot(signed) as log:
        log.copy(0, 999, sent.append)
    with opened(dump()) as (content, taken_at):
        DumpedLog(content, taken_at).copy(0, 999, dumped.append)

    rows = [row for row in map(row_of, sent) if row is not None]
    assert len(rows) == 305
    assert dumped == rows


@pytest.mark.parametrize(
    "setting",
    [
        "TimeZone = 'Asia/Kolkata'",
        "TimeZone = 'America/St_Johns'",
        "bytea_output = 'escape'",
        "standard_conforming_strings = off",
    ],
)
def test_settings_of_the_database_change_nothing(
    signed: ConnectionSettings, sql: connection, dump: Dump, setting: str
) -> None:
    name = scalar(sql, "SELECT current_database()")
    run(sql, f"ALTER DATABASE {name} SET {setting}")

    assert in_essence(verify_file(dump())) == in_essence(verify(signed))


# Each is done to the log of 300 entries. What was updated stands at the end of a dump.
TAMPERING = {
    "a column": "UPDATE audit_log SET actor_id = NULL WHERE seq = 5",
    "a payload": "UPDATE audit_log SET payload = '{}' WHERE seq = 5",
    "an erased payload": (
        "UPDATE audit_log SET payload = NULL, payload_salt = NULL WHERE seq = 5"
    ),
    "a hash": "UPDATE audit_log SET hash = sha256('') WHERE seq = 5",
    "a short hash": "UPDATE audit_log SET hash = '\\x00' WHERE seq = 5",
    "a time": "UPDATE audit_log SET recorded_at = '0044-03-15 BC' WHERE seq = 5",
    "an endless time": "UPDATE audit_log SET recorded_at = 'infinity' WHERE seq = 5",
    "a row": "DELETE FROM audit_log WHERE seq = 5",
    "the end": "DELETE FROM audit_log WHERE seq > 200",
    "a place": "UPDATE audit_log SET seq = 500 WHERE seq = 5",
    "a payload, and a column beside it has what it was": (
        'ALTER TABLE audit_log ADD "payload""" text;'
        'UPDATE audit_log SET "payload""" = payload;'
        "UPDATE audit_log SET payload = '{}' WHERE seq = 5"
    ),
    "a copy": (
        "ALTER TABLE audit_log DROP CONSTRAINT audit_log_pkey;"
        "INSERT INTO audit_log SELECT * FROM audit_log WHERE seq = 5"
    ),
    "the head": "UPDATE audit_head SET hash = sha256('')",
    "two heads": (
        "ALTER TABLE audit_head DROP CONSTRAINT audit_head_pkey;"
        "INSERT INTO audit_head SELECT * FROM audit_head"
    ),
    "no head": "DELETE FROM audit_head",
    "nothing left": "TRUNCATE audit_log",
    "a tile": (
        "UPDATE merkle_tiles SET hashes ="
        " set_byte(hashes, 3, 255 - get_byte(hashes, 3))"
    ),
    "a checkpoint": "UPDATE checkpoints SET root = sha256('')",
}


@pytest.mark.parametrize("what", TAMPERING)
def test_the_same_is_found_in_a_dump(
    signed: ConnectionSettings, sql: connection, dump: Dump, what: str
) -> None:
    allow_everything(sql)
    run(sql, TAMPERING[what])

    found = verify_file(dump())

    assert found.verdict is Verdict.TAMPERED
    assert in_essence(found) == in_essence(verify(signed))


def test_a_dump_of_the_log_alone_leaves_unchecked_what_it_has_not(
    signed: ConnectionSettings, dump: Dump
) -> None:
    assert verify(signed).valid

    found = verify_file(dump("--table=audit_log", "--table=audit_head"))

    assert found.verdict is Verdict.INTERNALLY_CONSISTENT
    assert {check.name for check in found.checks if check.result == "not_checked"} >= {
        "root",
        "checkpoint",
        "anchor",
    }


def test_a_dump_of_another_kind_is_refused_with_advice(
    signed: ConnectionSettings, dump: Dump
) -> None:
    assert verify(signed).valid

    result = report(dump("--inserts"))

    assert result.exit_code == 2
    assert "without --inserts" in " ".join(result.output.split())


@pytest.mark.parametrize("options", [["-Fc"], ["-Ft"], ["-Fd"], ["-Z1"]])
def test_every_format_is_read(
    signed: ConnectionSettings,
    dump: Dump,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
) -> None:
    monkeypatch.setenv("PATH", str(installed_programs()), prepend=":")

    found = verify_file(dump(*options))

    assert in_essence(found) == in_essence(verify(signed))


def test_it_says_how_to_convert_what_it_can_not_read(
    dump: Dump, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = dump("-Fc")
    monkeypatch.setenv("PATH", "")

    result = report(path)

    assert result.exit_code == 2
    assert f"`pg_restore -f dump.sql {path}`" in result.output


def test_an_anchor_and_a_bookmark_work_as_with_a_database(
    signed: ConnectionSettings,
    database: Database,
    sql: connection,
    files: Files,
    dump: Dump,
    tmp_path: Path,
) -> None:
    assert verify(signed).valid
    kept, bookmark = tmp_path / "kept", tmp_path / "bookmark"
    kept.write_text(scalar(sql, "SELECT note FROM checkpoints"))
    vkey = read_keys(files.keys).periods[-1].vkey
    options = ("--checkpoint", kept, "--log-vkey", vkey, "--bookmark", bookmark)

    before = report(dump(), *options)
    append(database, 2)
    later = report(dump(), "--bookmark", bookmark)
    allow_everything(sql)
    rewrite(sql, 7)
    forget_signatures(sql)
    path = dump()
    alone, after = report(path), report(path, *options[:4])

    assert (before.exit_code, later.exit_code) == (0, 0)
    assert "consistent_with_anchor: 300 entries" in before.output
    assert "3 entries in" in later.output
    assert (alone.exit_code, after.exit_code) == (0, 1)
    assert report(path, "--bookmark", bookmark).exit_code == 1


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.999])
def test_a_dump_that_was_cut_off_is_never_valid(
    signed: ConnectionSettings, dump: Dump, share: float
) -> None:
    assert verify(signed).valid
    path = dump()
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])

    result = report(path)

    assert result.exit_code in {1, 2}, result.output
    assert "consistent" not in result.output
    # Cut off anywhere behind the rows, it is said to be cut off and not tampered with.
    if share == 0.999:
        assert result.exit_code == 2
        assert "the dump was cut off" in report(path, "--json").output


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            lambda text: text.replace("COPY public.audit_log ", "COPY x "),
            "no rows of audit_log",
        ),
        (
            lambda text: text.replace("COPY public.audit_head ", "COPY x "),
            "no rows of audit_head",
        ),
        (lambda text: text.replace("'UTF8'", "'LATIN1'"), "not in UTF-8"),
        (lambda text: text.replace("(seq, ", "(sequel, "), "no column seq"),
        (lambda text: text.replace(" xid, ", " tid, "), "no column xid"),
        (lambda text: text.replace("\n250\t", "\nx\t"), "has no number"),
        (lambda text: text.replace("\n250\t", "\n250\t\t"), "18 fields, not 17"),
        (lambda text: text + text, "stand in it twice"),
        (lambda _: "hello", "no rows of audit_log"),
        (lambda _: "", "no rows of audit_log"),
    ],
    ids=[
        *("no log", "no head", "encoding", "no seq", "no xid", "no number"),
        *("another field", "twice", "other text", "empty"),
    ],
)
def test_what_is_no_dump_of_a_log_is_refused(
    signed: ConnectionSettings, dump: Dump, change: Callable[[str], str], why: str
) -> None:
    assert verify(signed).valid
    path = dump()
    path.write_text(change(path.read_text()))

    result = report(path)

    assert result.exit_code == 2, result.output
    assert why in result.output


def refused(path: Path) -> bool:
    """See that it is refused with a sentence: a breakdown has the same exit code."""
    result = report(path)
    return result.exit_code == 2 and "It broke off" not in result.output


ROWS = r"(?s)(COPY public\.{} \()(.*?)(\) FROM stdin;\n)(.*?\n)(\\\.\n)"


def edit(text: str, table: str, column: str, value: str | None) -> str:
    """Put a value into the table's first row; None takes the column off it."""
    found = re.search(ROWS.format(table), text)
    assert found is not None
    names = found[2].split(", ")
    place = names.index(column)
    rows = [line.split("\t") for line in found[4].splitlines()]
    if value is None:
        names.pop(place)
        for row in rows:
            row.pop(place)
    else:
        rows[0][place] = value
    lines = "".join("\t".join(row) + "\n" for row in rows)
    changed = f"{found[1]}{', '.join(names)}{found[3]}{lines}{found[5]}"
    return text.replace(found[0], changed)


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("audit_log", "seq", "9" * 30),
        ("audit_log", "seq", "0_5"),
        ("audit_log", "flags", "70000"),
        ("audit_log", "xid", str(2**64)),
        ("audit_log", "recorded_at", "300000-01-01 00:00:00+00"),
        ("audit_head", "next_seq", str(2**63)),
        ("audit_head", "suspension", "x"),
        ("audit_head", "hash", None),
        ("audit_head", "origin", None),
        ("audit_head", "recorded_at", None),
        ("checkpoints", "root", None),
        ("checkpoints", "note", None),
        ("merkle_tiles", "level", None),
        ("merkle_tiles", "hashes", None),
    ],
)
def test_a_row_that_no_table_can_have_is_refused(
    signed: ConnectionSettings, dump: Dump, table: str, column: str, value: str | None
) -> None:
    assert verify(signed).valid
    path = dump()
    path.write_text(edit(path.read_text(), table, column, value))

    assert refused(path)


def section(path: Path, table: str) -> str:
    """Return what the dump has of a table, from COPY to the end of its rows."""
    text = path.read_text()
    start = text.index(f"COPY public.{table} ")
    return text[start : text.index("\n\\.\n", start) + 4]


# The log is another now, and who asks for it by its name sees that one.
DISPLACE = """
    UPDATE audit_log SET actor_id = NULL WHERE seq = 5;
    ALTER TABLE audit_log RENAME TO audit_journal;
    ALTER TABLE audit_head RENAME TO audit_journal_head;
    CREATE VIEW audit_log AS SELECT * FROM audit_journal;
    CREATE VIEW audit_head AS SELECT * FROM audit_journal_head;
    SET check_function_bodies = off
"""
HIDING_PLACES = {
    "a function": "CREATE FUNCTION hiding() RETURNS text LANGUAGE sql AS %s",
    "an unquoted function": (
        "CREATE FUNCTION hiding() RETURNS text LANGUAGE sql"
        " BEGIN ATOMIC SELECT 1; SELECT %s::text; END"
    ),
    "a comment": "COMMENT ON TABLE audit_journal IS %s",
    "a default": "ALTER TABLE audit_journal ALTER payload SET DEFAULT %s",
    "a constraint": "ALTER TABLE audit_journal ADD CHECK (payload <> %s)",
    "a view": "CREATE VIEW hiding AS SELECT %s::text",
    "a rule": (
        "CREATE RULE hiding AS ON INSERT TO audit_log DO INSTEAD"
        " (NOTIFY somebody; INSERT INTO audit_journal (payload) VALUES (%s))"
    ),
}


@pytest.mark.parametrize("before", ["", "$$ $_$ ' \" /* \\ -- ;"])
@pytest.mark.parametrize("place", HIDING_PLACES)
def test_rows_that_stand_within_quotes_are_none(
    signed: ConnectionSettings, sql: connection, dump: Dump, place: str, before: str
) -> None:
    assert verify(signed).valid
    innocent = dump(name="innocent.sql")
    genuine = "\n" + section(innocent, "audit_log") + section(innocent, "audit_head")
    allow_everything(sql)
    run(sql, DISPLACE)
    run(sql, HIDING_PLACES[place], before + genuine)
    path = dump()

    result = report(path)

    assert genuine in path.read_text()
    assert result.exit_code == 2
    assert "no rows of audit_log" in result.output


@pytest.mark.parametrize("name", ["journal", "two\nlines", '"it\'s" $$ /* -- ;\n'])
def test_rows_that_stand_among_the_rows_of_another_table_are_none(
    signed: ConnectionSettings, sql: connection, dump: Dump, name: str
) -> None:
    assert verify(signed).valid
    innocent = dump(name="innocent.sql")
    allow_everything(sql)
    run(sql, DISPLACE)
    for table in ("audit_log", "audit_head"):
        # With tabs between the columns the line is a row like the others.
        first, rows = section(innocent, table).split("\n", 1)
        disguised = first.replace(", ", ",\t") + "\n" + rows
        other = quote_ident(f"{table} {name}", sql)
        columns = ", ".join(f"c{place} text" for place in range(first.count(",") + 1))
        run(sql, f"CREATE TABLE {other} ({columns})")
        with sql.cursor() as cursor:
            cursor.copy_expert(f"COPY {other} FROM STDIN", StringIO(disguised))
        assert disguised in dump().read_text()

    result = report(dump())

    assert result.exit_code == 2
    assert "no rows of audit_log" in result.output


def test_a_log_is_read_whatever_hides_beside_it(
    signed: ConnectionSettings, sql: connection, dump: Dump
) -> None:
    path = dump(name="innocent.sql")
    lie = section(path, "audit_log").replace("number 7", "number 8")
    run(sql, "COMMENT ON DOMAIN audit_name IS %s", f"\n{lie}")
    path = dump()

    found = verify_file(path)

    assert lie in path.read_text()
    assert found.valid
    assert in_essence(found) == in_essence(verify(signed))


ODD = "it's $$ $a$ /* -- ; \\ \n\\.\n\""
ODD_THINGS = """
    ALTER DATABASE {database} SET TimeZone = 'Asia/Kolkata';
    COMMENT ON DATABASE {database} IS %(odd)s;
    CREATE SCHEMA {odd};
    CREATE TYPE {odd}.a AS ENUM (%(odd)s);
    CREATE TABLE {odd}.{odd} ({odd} {odd}.a DEFAULT %(odd)s, b text);
    COMMENT ON TABLE {odd}.{odd} IS %(odd)s;
    INSERT INTO {odd}.{odd} VALUES (%(odd)s, %(odd)s);
    CREATE INDEX ON {odd}.{odd} (b) WHERE b <> %(odd)s;
    CREATE RULE {odd} AS ON INSERT TO {odd}.{odd} DO (
        NOTIFY {odd}, %(odd)s; UPDATE {odd}.{odd} SET b = %(odd)s);
    CREATE FUNCTION {odd}.{odd}() RETURNS text LANGUAGE sql BEGIN ATOMIC
        SELECT 1; SELECT %(odd)s || b AS {odd} FROM {odd}.{odd}; END
"""


@pytest.mark.parametrize("conforming", ["on", "off"])
def test_odd_names_are_read_over(
    signed: ConnectionSettings, sql: connection, dump: Dump, conforming: str
) -> None:
    database, odd = scalar(sql, "SELECT current_database()"), quote_ident(ODD, sql)
    with sql.cursor() as cursor:
        cursor.execute(ODD_THINGS.format(database=database, odd=odd), {"odd": ODD})
    expected = in_essence(verify(signed))
    run(
        sql, f"ALTER DATABASE {database} SET standard_conforming_strings = {conforming}"
    )
    path = dump("--create", "--verbose")

    found = verify_file(path)

    assert f"\nSET standard_conforming_strings = {conforming};\n" in path.read_text()
    assert found.valid
    assert in_essence(found) == expected


SECTIONS = (
    "COPY public.audit_head (next_seq) FROM stdin;\n1\n\\.\n\n"
    "COPY public.audit_log (seq) FROM stdin;\n0\n\\.\n"
)


def read(text: str) -> DumpedLog:
    return DumpedLog(BytesIO(text.encode()), datetime.now(UTC))


def between(quote: str, text: str) -> str:
    return quote + text.replace(quote, 2 * quote) + quote


def between_dollars(text: str) -> str:
    tag = "é_9"
    # At the end of the text `$tag` would make the quote end too early.
    while f"${tag}" in text:
        tag += "x"
    return f"${tag}${text}${tag}$"


QUOTES: dict[str, Callable[[str], str]] = {
    "string": lambda text: between("'", text),
    "escapes": lambda text: "E" + between("'", text.replace("\\", "\\\\")),
    "escaped": lambda text: (
        "e'" + text.replace("\\", "\\\\").replace("'", "''\\'") + "'"
    ),
    "name": lambda text: between('"', text),
    "dollars": between_dollars,
    "nameless dollars": lambda text: "$$" + text.replace("$", "a$a") + "a$$",
    "comment": lambda text: "/*" + text.replace("*", "a*a") + " */",
    "nested comment": lambda text: "/*/*/**/" + text.replace("*", "a*a") + " */--*/",
    "line": lambda text: "--" + text.replace("\n", " ") + "\n",
}


@pytest.mark.parametrize("quote", QUOTES)
@pytest.mark.parametrize("before", ["", "SELECT ", "SELECT name$$, é$b$, $1, - / $ "])
def test_every_quote_hides_rows(quote: str, before: str) -> None:
    text = before + QUOTES[quote](f"\n{SECTIONS}") + ";\n"

    assert read(text + SECTIONS).entries == 1
    with pytest.raises(DumpError, match="no rows of audit_log"):
        read(text)


PIECES = [
    *("'", '"', "$$", "$", "$a$", "$é_9$", "\\", "--", "-", "/*", "*/", "/", "*"),
    *("E'", "e'", "E", "a", "1", ";", ";\n", "\n", " ", "\\.\n", f"\n{SECTIONS}"),
]
TEXTS = st.recursive(
    st.lists(st.sampled_from(PIECES)).map("".join),
    lambda texts: st.builds(
        lambda quote, inner: QUOTES[quote]("".join(inner)),
        st.sampled_from(sorted(QUOTES)),
        st.lists(texts, max_size=4),
    ),
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "\n", "SELECT a$a, ", "- ", ";\n"]),
            st.sampled_from(sorted(QUOTES)),
            TEXTS,
        )
    )
)
def test_what_stands_within_quotes_is_never_read(
    quotes: list[tuple[str, str, str]],
) -> None:
    text = "\n".join(before + QUOTES[quote](inner) for before, quote, inner in quotes)

    assert read(text + ";\n" + SECTIONS).entries == 1


@pytest.mark.parametrize(
    "text", ["'it''s", "E'\\'", 'a"', "$$ $", "$a$ $b$ $A$", "/* /* */ --", "'\\''"]
)
def test_a_quote_that_never_ends_is_refused(text: str) -> None:
    with pytest.raises(DumpError, match="never ends"):
        read(f"{SECTIONS}SELECT {text}\n;\n")


def test_strings_with_backslashes_of_before_are_read() -> None:
    text = f"SELECT 'it\\'s', '\n{SECTIONS}';\n"

    assert read(f"SET standard_conforming_strings = off;\n{text}{SECTIONS}").entries
    with pytest.raises(DumpError):
        read(f"SET standard_conforming_strings = on;\n{text}{SECTIONS}")


@pytest.mark.parametrize(
    "text",
    [
        'COPY public."a\nCOPY public.audit_log (b" (c, seq) FROM stdin;\n7\t7\n\\.\n',
        'COPY public.a (b, "\nCOPY public.audit_log (c", seq) FROM stdin;\n7\t7\n\\.\n',
        'COPY public.audit_log (seq, "b) FROM stdin;\n") FROM stdin;\n7\t7\n\\.\n',
        'CREATE TABLE a ("\nCOPY public.audit_log (seq) FROM stdin;\n7\n\\.\n" text);',
    ],
)
def test_names_that_look_like_rows_are_none(text: str) -> None:
    log = read(f"{text}\n{SECTIONS}")

    assert log.bounds() == (0, 0)


@pytest.mark.parametrize(
    "line",
    [
        "\\restrict it's$$",
        "\\unrestrict it's/*",
        "\\connect it's",
        "\\connect -reuse-previous=on \"dbname='it\\\\'s'\"",
    ],
)
def test_commands_for_psql_are_read_over(line: str) -> None:
    assert read(f"{line}\n{SECTIONS}{line}").entries == 1


@pytest.mark.parametrize(
    "text",
    [
        "\\if false\n",
        "\\i other.sql\n",
        "\\.\n",
        "SELECT 1 \\g\n",
        "SELECT 1\n\\connect a\n",
        "COPY a FROM '/b';\n",
        "COPY a (b) FROM stdin; SELECT 1;\n",
        "/* */ COPY a (b) TO stdout;\n",
    ],
)
def test_what_pg_dump_would_not_write_is_refused(text: str) -> None:
    with pytest.raises(DumpError, match="pg_dump"):
        read(text + SECTIONS)


@pytest.mark.parametrize(
    "text",
    [
        "COMMENT ON TABLE a IS '\n{end}';\n",
        "SELECT 1\n{end};\n",
        "/*\n{end}*/\n",
        "COPY public.a (b) FROM stdin;\n{end}\\.\n",
        'COPY public."a\n" ("\n") FROM stdin;\n{end}\\.\n',
    ],
)
def test_only_pg_dump_says_where_the_dump_ends(text: str) -> None:
    end = "-- PostgreSQL database dump complete\n"
    received: list[bytes] = []

    read(f"{SECTIONS}{end}").copy(1, 9, received.append)
    with pytest.raises(ReadInterruptedError):
        read(SECTIONS + text.format(end=end)).copy(1, 9, received.append)

    assert received == []


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    custom, packed = tmp_path / "custom", tmp_path / "packed"
    custom.write_bytes(b"PGDMP" + bytes(100))
    packed.write_bytes(gzip.compress(b"x" * 1000)[:-10])
    broken = tmp_path / "broken"
    broken.write_bytes(gzip.compress(b"x" * 1000)[:10] + b"\xff" * 20)

    assert refused(broken)
    assert report(custom).exit_code == report(packed).exit_code == 2
    assert report(tmp_path).exit_code == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01 00:00:00+00", 0),
        ("1970-01-01 05:30:00.5+05:30", 500_000),
        ("1969-12-31 20:29:59.999999-03:30", -1),
        ("2000-02-29 12:00:00+00", 951_825_600_000_000),
        ("2100-03-01 00:00:00+00", 4_107_542_400_000_000),
        ("0001-01-01 00:00:00+00", -62_135_596_800_000_000),
        ("0001-12-31 00:00:00+00 BC", -62_135_683_200_000_000),
        ("294276-12-31 23:59:59.999999+00", 9_224_318_015_999_999_999),
        ("infinity", 2**63 - 1 + EPOCH_US),
        ("-infinity", -(2**63) + EPOCH_US),
    ],
)
def test_times_are_read_in_every_form(text: str, expected: int) -> None:
    assert time_us({"at": text.encode()}, "at") == expected


@pytest.mark.parametrize("text", ["", "now", "2026-11-26", "2026-11-26T00:00:00Z"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(DumpError):
        time_us({"at": text.encode()}, "at")


def test_escapes_are_those_of_copy() -> None:
    line = rb"\N" + b"\t" + rb"\\N\t\n\r\b\f\v\101\x42\q" + b"\t" + b"\n"

    assert values_of(line, ("a", "b", "c")) == {
        "a": None,
        "b": b"\\N\t\n\r\b\f\vABq",
        "c": b"",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [(rb"\x00ff", b"\x00\xff"), (rb"a\\b\000\377", b"a\\b\x00\xff"), (b"", b"")],
)
def test_bytes_are_read_in_both_formats(text: bytes, expected: bytes) -> None:
    assert binary({"it": text}, "it") == expected


def test_it_runs_without_server_database_and_configuration(
    signed: ConnectionSettings, dump: Dump
) -> None:
    assert verify(signed).valid

    done = subprocess.run(
        [sys.executable, "-m", "auditor", "verify-dump", dump(), "--json"],
        cwd=PROJECT,
        env={"PATH": "", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert '"entries_checked": 300' in done.stdout


def test_a_bundle_is_handed_to_the_verifier_for_bundles(tmp_path: Path) -> None:
    nothing = tmp_path / "bundle.zip"
    nothing.write_bytes(b"")

    done = subprocess.run(
        [sys.executable, "-m", "auditor", "verify-bundle", nothing],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    alone = subprocess.run(
        [sys.executable, PROJECT / "verifier" / "verify.py", nothing],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (
        alone.returncode,
        alone.stdout,
        alone.stderr,
    )
    assert done.returncode != 0
