"""Every column of the audit log, each changed in every way that comes to mind."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg2.extensions import connection

from tests.audit_trail import run

# Whatever a rule of the schema would refuse, an owner can write all the same.
LIFT_EVERY_RULE: LiteralString = """
    DO $$
    DECLARE found record;
    BEGIN
        ALTER TABLE audit_log DISABLE TRIGGER ALL;
        FOR found IN SELECT conname FROM pg_constraint
                      WHERE conrelid = 'audit_log'::regclass
                        AND contype IN ('p', 'u', 'c') LOOP
            EXECUTE format('ALTER TABLE audit_log DROP CONSTRAINT %I', found.conname);
        END LOOP;
        FOR found IN SELECT column_name, data_type FROM information_schema.columns
                      WHERE table_schema = 'public' AND table_name = 'audit_log' LOOP
            EXECUTE format(
                'ALTER TABLE audit_log ALTER %1$I DROP NOT NULL,'
                ' ALTER %1$I TYPE %2$s', found.column_name, found.data_type);
        END LOOP;
    END $$
"""
COLUMNS: LiteralString = """
    SELECT column_name, data_type FROM information_schema.columns
     WHERE table_schema = 'public' AND table_name = 'audit_log'
     ORDER BY ordinal_position
"""

_NUMBER: Final = {
    "one more": "{c} + 1",
    "one less": "{c} - 1",
    "negated": "-{c}",
    "zero": "0",
    "NULL": "NULL",
    "another's": "(SELECT {c} FROM saved WHERE seq = {other})",
}
# For each type what it is changed to; {c} is what it was, {other} another entry.
WAYS: Final[Mapping[str, Mapping[str, str]]] = {
    "bigint": {**_NUMBER, "the largest": "9223372036854775807"},
    "integer": {**_NUMBER, "the largest": "2147483647"},
    "smallint": {**_NUMBER, "the largest": "32767"},
    "timestamp with time zone": {
        "a microsecond later": "{c} + interval '1 us'",
        "a microsecond earlier": "{c} - interval '1 us'",
        "an hour later": "{c} + interval '1 h'",
        "a century earlier": "{c} - interval '100 y'",
        "endless": "'infinity'::timestamptz",
        "NULL": "NULL",
        "another's": "(SELECT {c} FROM saved WHERE seq = {other})",
    },
    "text": {
        "a space more": "{c} || ' '",
        "a character less": "left({c}, -1)",
        "in capitals": "upper({c})",
        "a NUL's picture more": "{c} || chr(9216)",
        "another text": "'x'::text",
        "empty": "''::text",
        "NULL": "NULL",
        "another's": "(SELECT {c} FROM saved WHERE seq = {other})",
    },
    "uuid": {
        "another": "'019ab1c2-0000-7000-8000-00000000beef'::uuid",
        "zero": "'00000000-0000-0000-0000-000000000000'::uuid",
        "NULL": "NULL",
        "another's": "(SELECT {c} FROM saved WHERE seq = {other})",
    },
    "bytea": {
        "the first bit": "set_bit({c}, 0, 1 - get_bit({c}, 0))",
        "the last bit": "set_bit({c}, 255, 1 - get_bit({c}, 255))",
        "a byte less": "substring({c} FOR 31)",
        "a byte more": "{c} || '\\x00'::bytea",
        "zeros": "decode(repeat('00', 32), 'hex')",
        "empty": "''::bytea",
        "NULL": "NULL",
        "another's": "(SELECT {c} FROM saved WHERE seq = {other})",
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """One column of one entry becomes something that it was not."""

    column: str
    way: str
    seq: int
    statement: str


def mutations(sql: connection, seq: int, other: int) -> Iterator[Mutation]:
    """Return all that changes something in an entry. `saved` is a copy of the log."""
    for column, kind in run(sql, COLUMNS):
        for way, value in WAYS[kind].items():
            new = value.format(c=column, other=other)
            ((is_another,),) = run(
                sql,
                f"SELECT {column} IS DISTINCT FROM ({new}) FROM saved"  # noqa: S608
                " WHERE seq = %s",
                seq,
            )
            if is_another:
                yield Mutation(
                    column=column,
                    way=way,
                    seq=seq,
                    statement=f"UPDATE audit_log SET {column} = {new}"  # noqa: S608
                    f" WHERE seq = {seq}",
                )
