"""Nothing that somebody sends becomes SQL: statements are constants (S50).

Values travel as parameters, names of tables through `psycopg2.sql`. Constants may be
put together from constants, when the module is read.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
SERVER = ("api", "checkpointer", "middleware", "models", "services", "utils")
# Whose first argument is a statement.
RUNS_SQL = {
    "copy_expert",
    "execute",
    "executemany",
    "finish_with",
    "flush",
    "mogrify",
}
# The same of a Transaction (`tx`), under names that others have as well.
RUNS_SQL_OF_TX = {"all", "one", "one_or_none"}
STATEMENT = re.compile(
    r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|COPY|DECLARE|FETCH|CREATE|ALTER"
    r"|DROP|GRANT|REVOKE|SET|TRUNCATE)\s"
)


def sources() -> list[Path]:
    return [
        path for package in SERVER for path in sorted((PROJECT / package).rglob("*.py"))
    ]


def is_sql(node: ast.expr) -> bool:
    """Say whether some text in it begins as a statement does."""
    return any(
        isinstance(each, ast.Constant)
        and isinstance(each.value, str)
        and STATEMENT.match(each.value) is not None
        for each in ast.walk(node)
    )


def is_constant(node: ast.expr) -> bool:
    """Say whether it is made when the module is read, of constants alone."""
    match node:
        case ast.Constant():
            return True
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.isupper()
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return is_constant(left) and is_constant(right)
    return False


def glued(tree: ast.Module) -> Iterator[ast.expr]:
    """Yield each statement that is put together of what is no constant."""
    for node in ast.walk(tree):
        match node:
            case ast.JoinedStr() if is_sql(node):
                yield node
            case ast.BinOp(op=ast.Mod() | ast.Add()) if is_sql(node):
                if not is_constant(node):
                    yield node
            case ast.Call(func=ast.Attribute(value=text, attr="format" | "join")):
                # `sql.SQL(CONSTANT).format(…)` takes no text, only composed parts.
                if is_sql(text):
                    yield node


def run_by(tree: ast.Module) -> Iterator[ast.expr]:
    """Yield what is run as a statement."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(value=receiver, attr=name), args=[first, *others]
            ):
                is_tx = isinstance(receiver, ast.Name) and receiver.id == "tx"
                if name == "ask" and others:
                    # Its first argument is the cursor.
                    yield others[0]
                elif name in RUNS_SQL or (name == "scalar" and is_tx):
                    yield first
                elif name in RUNS_SQL_OF_TX and is_tx and others:
                    # The type of the row comes before the statement.
                    yield others[0]


def made_of_text(tree: ast.Module) -> Iterator[ast.expr]:
    for statement in run_by(tree):
        for node in ast.walk(statement):
            match node:
                case ast.JoinedStr() | ast.BinOp(op=ast.Mod()):
                    yield node
                case ast.BinOp(op=ast.Add()) if not is_constant(node):
                    yield node


# What takes its statement as an argument and puts a constant in front of it; those who
# call it are looked at like all others.
PASSED_ON = {
    "models/transaction.py": {"begin + sql", "sql + COMMIT_AND_FLUSH_AND_RETURN"},
    "models/personal_data.py": {"DECLARE + sql"},
}


def test_no_statement_is_put_together_of_what_is_no_constant() -> None:
    found: dict[str, set[str]] = {}
    for path in sources():
        tree = ast.parse(path.read_text())
        nodes = [*glued(tree), *made_of_text(tree)]
        if nodes:
            found[str(path.relative_to(PROJECT))] = set(map(ast.unparse, nodes))

    assert found == PASSED_ON


@pytest.mark.parametrize(
    "line",
    [
        'tx.execute(f"SELECT 1 FROM {table}")',
        "tx.execute(\"SELECT 1 FROM users WHERE name = '%s'\" % name)",
        'tx.all(Row, "SELECT 1 FROM users ORDER BY " + order)',
        'tx.all(Row, SELECT + f" ORDER BY {order}")',
        'tx.scalar(SELECT + " WHERE id = " + wanted)',
        'cursor.execute(SELECT % {"order": order})',
        'tx.finish_with("SELECT f(" + wanted + ")", {})',
        'tx.flush(COMMIT + f" AND {wanted}")',
        'connection.ask(cursor, f"SELECT 1 FROM {table}", patience_seconds=2)',
        'query = "SELECT 1 FROM {}".format(table)',
        'query = f"DELETE FROM {table}"',
    ],
)
def test_a_statement_that_is_put_together_is_found(line: str) -> None:
    tree = ast.parse(line)

    assert [*glued(tree), *made_of_text(tree)] != []
