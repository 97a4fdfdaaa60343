"""Whether PostgreSQL shows the tables to who verifies as it shows them to all others.

A superuser need not touch a row. He can have a policy hide it from some queries, put a
view in a table's place, or define a function, an operator or a cast that comes before
PostgreSQL's own. What is read then passes every check. docs/audit-log.md

The queries use nothing that could be replaced so, but PostgreSQL's own functions: exact
types, no function, and no cast that is not built in. Whoever changes those changes the
server itself, and nobody can ask it whether he did.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, LiteralString

from psycopg2 import sql

# Of each table the columns that are read, and the type on which what is read rests. For
# None any type will do that PostgreSQL brings along.
Tables = Mapping[str, Mapping[str, str | None]]

AUDIT_TABLES: Final[Tables] = {
    "audit_log": {
        "seq": "int8",
        "recorded_at": "timestamptz",
        "xid": "int8",
        "flags": "int2",
        "schema_version": "int4",
        "attempt_id": "uuid",
        **dict.fromkeys(("event_type", "entity_type", "entity_id"), "text"),
        **dict.fromkeys(("actor_id", "payload", "state"), "text"),
        **dict.fromkeys(("payload_salt", "payload_hash", "state_hash"), "bytea"),
        **dict.fromkeys(("previous_hash", "hash"), "bytea"),
    },
    "audit_head": {
        "next_seq": "int8",
        "hash": "bytea",
        "recorded_at": "timestamptz",
        "log_id": "bytea",
        "origin": "text",
        "suspension": "int8",
    },
    "audit_suspensions": {
        "id": "int8",
        "found_at": "timestamptz",
        "seen_by": "text",
        "note": "text",
        "size": "int8",
        "root": "bytea",
        "log_size": "int8",
        "log_root": "bytea",
    },
    "checkpoints": {"size": "int8", "root": "bytea", "note": "text"},
    "merkle_tiles": {"level": "int2", "tile_index": "int8", "hashes": "bytea"},
}
# What the queries of a verification call.
CALLED: Final = (
    *("byteacat", "byteaeq", "chr", "concat_ws", "encode", "format", "int2send"),
    *("int4send", "int8send", "num_nulls", "octet_length", "record_send", "repeat"),
    *("sha256", "split_part", "string_agg", "string_to_array", "textin", "textregexeq"),
    *("unnest", "uuid_out"),
)

LOCK: LiteralString = "LOCK TABLE {tables} IN ACCESS SHARE MODE"
# Objects that PostgreSQL brings along have smaller numbers (FirstNormalObjectId).
RELATIONS: LiteralString = """
    SELECT c.relname::text, c.relkind = 'r'::"char", c.relrowsecurity,
           EXISTS (SELECT FROM pg_catalog.pg_rewrite AS r WHERE r.ev_class = c.oid),
           EXISTS (SELECT FROM pg_catalog.pg_inherits AS i
                    WHERE i.inhrelid = c.oid OR i.inhparent = c.oid)
      FROM pg_catalog.pg_class AS c
      JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
     WHERE n.nspname = 'public'::name AND c.relname = ANY (%(tables)s::name[])
"""
COLUMNS: LiteralString = """
    SELECT c.relname::text, a.attname::text, a.attgenerated <> ''::"char",
           (SELECT plain.typname::text FROM pg_catalog.pg_type AS plain
             WHERE plain.oid < '16384'::oid
               AND plain.oid = CASE WHEN t.typtype = 'd'::"char" THEN t.typbasetype
                                    ELSE t.oid END)
      FROM pg_catalog.pg_class AS c
      JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
      JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid
      JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
     WHERE n.nspname = 'public'::name AND c.relname = ANY (%(tables)s::name[])
       AND a.attnum > '0'::smallint AND NOT a.attisdropped
"""
CASTS: LiteralString = """
    SELECT source.typname::text, target.typname::text
      FROM pg_catalog.pg_cast AS c
      JOIN pg_catalog.pg_type AS source ON source.oid = c.castsource
      JOIN pg_catalog.pg_type AS target ON target.oid = c.casttarget
     WHERE c.oid >= '16384'::oid AND source.oid < '16384'::oid
       AND target.oid < '16384'::oid
"""
FUNCTIONS: LiteralString = """
    SELECT f.proname::text
      FROM pg_catalog.pg_proc AS f
      JOIN pg_catalog.pg_namespace AS n ON n.oid = f.pronamespace
      JOIN pg_catalog.pg_language AS l ON l.oid = f.prolang
     WHERE n.nspname = 'pg_catalog'::name
       AND (f.oid < '16384'::oid AND f.proname = ANY (%(called)s::name[])
            AND l.lanname <> 'internal'::name
            OR f.oid >= '16384'::oid
               AND EXISTS (SELECT FROM pg_catalog.pg_proc AS own
                            WHERE own.proname = f.proname
                              AND own.pronamespace = f.pronamespace
                              AND own.oid < '16384'::oid))
"""
OPERATORS: LiteralString = """
    SELECT o.oprname::text
      FROM pg_catalog.pg_operator AS o
      JOIN pg_catalog.pg_namespace AS n ON n.oid = o.oprnamespace
     WHERE n.nspname = 'pg_catalog'::name AND o.oid >= '16384'::oid
"""

# An index that rests on an operator, a function or a class of somebody's own may hold
# some of the rows, and be asked for all. The numbers are those of pg_class, and of
# pg_proc, pg_opclass, pg_operator and pg_opfamily, in every version.
INDEXES: LiteralString = """
    SELECT t.relname::text, i.relname::text
      FROM pg_catalog.pg_index AS x
      JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
      JOIN pg_catalog.pg_class AS t ON t.oid = x.indrelid
      JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace
     WHERE n.nspname = 'public'::name AND t.relname = ANY (%(tables)s::name[])
       AND EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                    WHERE d.classid = '1259'::oid AND d.objid = i.oid
                      AND d.refclassid = ANY ('{1255,2616,2617,2753}'::oid[])
                      AND d.refobjid >= '16384'::oid)
"""
# From a family of B-trees (403) PostgreSQL takes what its operators mean: which of them
# follows from which, and so which index will do.
FAMILIES: LiteralString = """
    SELECT f.opfname::text
      FROM pg_catalog.pg_amop AS m
      JOIN pg_catalog.pg_opfamily AS f ON f.oid = m.amopfamily
     WHERE m.oid >= '16384'::oid AND m.amopmethod = '403'::oid
       AND (m.amopfamily < '16384'::oid OR m.amopopr < '16384'::oid)
"""

# Runs a query in the snapshot. Any: the SQL decides the types.
Query = Callable[[LiteralString, Mapping[str, object]], list[tuple[Any, ...]]]


class UnreadableTablesError(Exception):
    """The tables are not those that were made: what is read would be something else."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


def lock(tables: Iterable[str]) -> sql.Composed:
    """Return what keeps everybody from changing the tables, but not their rows."""
    return sql.SQL(LOCK).format(
        tables=sql.SQL(", ").join(sql.Identifier("public", each) for each in tables)
    )


def strange(query: Query, tables: Tables) -> list[str]:
    """Say what stands between the tables and who reads them, a sentence for each.

    Raises UnreadableTablesError.
    """
    if unreadable := list(_unreadable(query, tables)):
        raise UnreadableTablesError(unreadable)
    return sorted({*_in_front(query, tables), *_added(query)})


def _unreadable(query: Query, tables: Tables) -> Iterator[str]:
    """Say what is not there, or of another type than what is read rests on."""
    names = {"tables": list(tables)}
    there = {name for name, *_ in query(RELATIONS, names)}
    types = {(name, column): type_ for name, column, _, type_ in query(COLUMNS, names)}
    for name, columns in tables.items():
        if name not in there:
            yield f"the table public.{name} is not there"
            continue
        for column, wanted in columns.items():
            if (name, column) not in types:
                yield f"the column {column} of public.{name} is not there"
            elif wanted not in {None, types[name, column]}:
                yield f"the column {column} of public.{name} is of another type"


def _in_front(query: Query, tables: Tables) -> Iterator[str]:
    """Say what shows the rows of a table as other ones."""
    names = {"tables": list(tables)}
    for name, is_table, has_policies, has_rules, has_relatives in query(
        RELATIONS, names
    ):
        if not is_table:
            yield f"public.{name} is no table, but something that looks like one"
        if has_policies:
            yield f"row security can hide rows of public.{name} from some queries"
        if has_rules:
            yield f"a rule stands between public.{name} and who uses it"
        if has_relatives:
            yield f"public.{name} shows rows of other tables, or is shown by one"
    for name, column, is_generated, type_ in query(COLUMNS, names):
        if is_generated or type_ is None:
            yield f"the column {column} of public.{name} is not what it was made as"

    for name, index in query(INDEXES, names):
        yield f"the index {index} of public.{name} is not one of PostgreSQL's own kind"


def _added(query: Query) -> Iterator[str]:
    """Say what of PostgreSQL itself is not its own any more."""
    for (family,) in query(FAMILIES, {}):
        yield f"the family {family} says what PostgreSQL's own operators mean"
    for source, target in query(CASTS, {}):
        yield f"a cast from {source} to {target} was added to PostgreSQL's own"
    for (function,) in query(FUNCTIONS, {"called": list(CALLED)}):
        yield f"the function pg_catalog.{function} was added or replaced"
    for (operator,) in query(OPERATORS, {}):
        yield f"an operator pg_catalog.{operator} was added"
