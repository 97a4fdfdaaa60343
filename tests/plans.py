"""What PostgreSQL's auto_explain says of the statements that ran, one plan each."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Final
from uuid import uuid4

from psycopg2.extensions import connection

import models
from tests.audit_trail import run
from tests.waiting import until

# The server's own log, as one file of JSON.
LOGGING: Final = {
    "logging_collector": "on",
    "log_destination": "jsonlog",
    "log_filename": "statements",
    "log_rotation_age": "0",
    "log_rotation_size": "0",
}
# Every statement, also those in functions, triggers and foreign keys; with the rows
# that each step read, but not with its time, which costs most.
EXPLAINING: Final = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_format": "json",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_timing": "off",
}
REMOVED: Final = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
STATEMENT: Final = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH|COPY)\b")
# Of psycopg2, and of psycopg2.sql.
PARAMETER: Final = re.compile(r"%\(\w+\)s|(?<!\{)\{\w+\}")
FUNCTION: Final = re.compile(r'(?:PL/pgSQL|SQL) function "?(?:public\.)?(\w+)')

Node = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How one statement was executed, once, and in which database."""

    database: str
    text: str
    # The function that it stands in, if any.
    function: str | None
    root: Node

    @property
    def name(self) -> str:
        """Say where the statement stands: a function, or a constant of models."""
        if self.function is not None:
            return f"{self.function}()"
        found = [each for each in constants() if each.is_in(self.text)]
        if found:
            return max(found, key=lambda each: len(each.text)).name
        return " ".join(self.text.split())[:100]

    def nodes(self) -> Iterator[Node]:
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += node.get("Plans", [])


@dataclass(frozen=True, slots=True)
class Constant:
    """A statement of models, with the places that its parameters take."""

    name: str
    text: str
    pattern: re.Pattern[str]

    def is_in(self, sent: str) -> bool:
        # Most of a log is other statements, and a pattern is slow to say so.
        beginning = PARAMETER.split(self.text, 1)[0]
        return _as_sent(beginning) in sent and self.pattern.search(sent) is not None


def _as_sent(part: str) -> str:
    return part.replace("%%", "%").replace("{{", "{").replace("}}", "}")


@cache
def constants() -> list[Constant]:
    """List the statements of models."""
    return [
        Constant(
            f"{module.name}.{name}",
            text,
            re.compile(
                ".*?".join(re.escape(_as_sent(part)) for part in PARAMETER.split(text)),
                re.DOTALL,
            ),
        )
        for module in iter_modules(models.__path__)
        for name, text in vars(import_module(f"models.{module.name}")).items()
        if name.isupper() and isinstance(text, str) and STATEMENT.match(text)
    ]


def explain_from_now_on(administrator: connection) -> None:
    """Have every new session's statements explained in the server's log."""
    run(administrator, "LOAD 'auto_explain'")
    for name, value in EXPLAINING.items():
        run(administrator, f"ALTER SYSTEM SET {name} = '{value}'")
    run(administrator, "SELECT pg_reload_conf()")


def plans_in(log: Path, administrator: connection) -> list[Plan]:
    """Read all plans of what has ended by now."""
    mark = f"read until {uuid4()}"
    run(administrator, f"DO $$ BEGIN RAISE LOG '{mark}'; END $$")
    # One process writes what all others say, a moment later.
    until(lambda: mark in log.read_text())
    return [
        plan
        for line in log.read_text().splitlines()
        if (plan := _plan(json.loads(line))) is not None
    ]


def _plan(record: Mapping[str, Any]) -> Plan | None:
    said, _, found = str(record.get("message", "")).partition("plan:\n")
    if not said.startswith("duration:"):
        return None
    plan = json.loads(found)
    # Of several functions that call each other the innermost comes first.
    function = FUNCTION.search(record.get("context", ""))
    return Plan(
        database=record["dbname"],
        text=plan["Query Text"],
        function=function[1] if function else None,
        root=plan["Plan"],
    )


def plan_of(sql: connection, constant: Constant) -> Plan:
    """Have a statement planned for whatever its parameters will be, and not run."""
    names: list[str] = []

    def numbered(found: re.Match[str]) -> str:
        if found[0] not in names:
            names.append(found[0])
        return f"${names.index(found[0]) + 1}"

    text = PARAMETER.sub(numbered, constant.text)
    ((plans,),) = run(sql, f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {_as_sent(text)}")
    return Plan(
        database=sql.info.dbname,
        text=constant.text,
        function=None,
        root=plans[0]["Plan"],
    )


def rows_read(node: Node) -> float:
    """Return how many rows of its table a node has looked at, in all.

    Of a statement that was planned and not run it is 0.
    """
    if "Actual Rows" not in node:
        return 0.0
    once = node["Actual Rows"] + sum(node.get(name, 0) for name in REMOVED)
    return float(once * node["Actual Loops"])
