"""Rows that a test changes by hand, with SQL: the log can not know of them.

After every test the rows of the database are what the log says, unless the test itself
has changed some without an entry.
"""

import re
from typing import Any, Final

from psycopg2.extensions import connection, cursor

from models.protected_rows import CATALOGUE

_TABLES: Final = "|".join(table.name for table in CATALOGUE)
_CHANGES: Final = re.compile(
    rf"(INSERT INTO|UPDATE|DELETE FROM|TRUNCATE|ALTER TABLE|DROP TABLE)\s+({_TABLES})\b"
)


class _Cursor(cursor):
    def execute(self, query: Any, parameters: Any = None) -> None:
        super().execute(query, parameters)
        sent = (self.query or b"").decode()
        if _CHANGES.search(sent) and "audit_append" not in sent:
            self.connection.has_changed_rows = True  # type: ignore[attr-defined]


class ByHand(connection):
    """A connection that remembers whether rows were changed through it, unlogged."""

    has_changed_rows = False

    def cursor(self, *given: Any, **named: Any) -> Any:
        return super().cursor(*given, **{"cursor_factory": _Cursor} | named)


def stated(statement: str) -> str:
    """Return a statement that changes rows, and an entry that says so."""
    return (
        f"{statement};"
        " SELECT audit_append_one('log.rows_stated', 'test', 'arranged', 'system',"
        " NULL, '{}')"
    )
