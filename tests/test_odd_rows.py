"""Whoever owns the database writes rows that no code of ours writes. They are shown.

A page that fails would hide what he did, and keep the accused from his evidence. So
every route that reads is asked while such rows lie there, and the verification has to
say that they were changed.
"""

# What is put into statements here are names of our own tables.
# ruff: noqa: S608

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Final

import psycopg2
import pytest
from flask import Flask
from psycopg2.extensions import connection
from pydantic import JsonValue

from models.protected_rows import CATALOGUE
from services.audit_verification import verify
from tests.audit_trail import run
from tests.databases import connection_to, settings_for
from tests.scene import Cast, playing
from tests.test_evidence_is_noted import QUERY
from tests.test_permissions import path_of, rules_of
from utils import stored_json

# Alice's attempt runs, and dave's was submitted.
READERS: Final = (("ada", "alice"), ("alice", "alice"), ("dave", "dave"))
DOCUMENTS: Final = ("answers.response", "proctoring_events.payload")
# As PostgreSQL takes them: JSON has no limit, and most readers have.
HOSTILE: Final = {
    "beyond 2^53": str(2**53),
    "endless": "1" + 5000 * "0",
    "no double": "1" + 400 * "0" + ".5",
    "nothing": "null",
    "an object": "{}",
    "a text": '"NaN"',
    "deep": 300 * "[" + 300 * "]",
    "very deep": 3000 * '{"x":' + "1" + 3000 * "}",
}
PLACE: Final = "the place of what is hostile"
# Rows of one batch of events share what the log names them by.
KEYS: Final = {
    table.name: [table.order] if table.order else table.key for table in CATALOGUE
}


@pytest.fixture
def owner(played: str) -> Iterator[connection]:
    """He is a superuser, so that no trigger hinders him."""
    with closing(psycopg2.connect(played)) as superuser:
        superuser.autocommit = True
        run(superuser, "SET session_replication_role = replica")
        yield superuser


@pytest.fixture
def app(played: str) -> Iterator[Flask]:
    with playing(settings_for(connection_to(played))) as application:
        yield application


def failures(app: Flask, cast: Cast) -> dict[str, int]:
    """Ask every route that reads, and return which of them failed."""
    found = {}
    for rule, method, contract in rules_of(app):
        if method != "GET":
            continue
        for reader, student in READERS:
            if contract.roles and cast.role(reader) not in contract.roles:
                continue
            path = path_of(rule, _ids(cast, student)) + QUERY.get(rule.endpoint, "")
            answer = app.test_client().get(path, headers=cast.headers(reader))
            if answer.status_code >= 500 and answer.status_code != 503:
                found[f"{reader} {rule.endpoint}"] = answer.status_code
    return found


def _ids(cast: Cast, student: str) -> dict[str, str]:
    attempt = cast.ids["attempt_id" if student == "alice" else "submitted_attempt_id"]
    person = str(cast[student].id)
    return {
        **cast.ids,
        "attempt_id": attempt,
        "entity_id": attempt,
        "student_id": person,
        "user_id": person,
    }


def changed(document: JsonValue, depth: int) -> JsonValue:
    """Put something else in the place of all that lies so deep in a document."""
    if depth == 0:
        return PLACE
    if isinstance(document, dict):
        return {name: changed(each, depth - 1) for name, each in document.items()}
    if isinstance(document, list):
        return [changed(each, depth - 1) for each in document]
    return document


def put(owner: connection, column: str, depth: int, hostile: str) -> int:
    """Put it into every document of a column, and return how many have it.

    The table as it was lies in `saved`.
    """
    table, _, name = column.partition(".")
    key = ", ".join(KEYS[table])
    count = 0
    for row, text in run(owner, f"SELECT ctid::text, {name}::text FROM saved"):
        document = json.loads(text)
        odd = changed(document, depth)
        count += odd != document
        run(
            owner,
            f"UPDATE {table} SET {name} = %s WHERE ({key})"
            f" = (SELECT {key} FROM saved WHERE ctid = %s::tid) RETURNING 1",
            json.dumps(odd).replace(json.dumps(PLACE), hostile),
            row,
        )
    return count


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("column", DOCUMENTS)
def test_whatever_a_document_says_it_is_shown(
    *,
    app: Flask,
    cast: Cast,
    owner: connection,
    played: str,
    column: str,
    hostile: str,
) -> None:
    table = column.partition(".")[0]
    run(owner, f"CREATE TABLE saved AS TABLE {table}")
    # A document is always an object, or a list: that is a rule which no trigger keeps.
    depths = range(0 if column == "answers.response" else 1, 4)
    found: dict[str, int] = {}
    unnoticed = []
    for depth in depths:
        if not put(owner, column, depth, HOSTILE[hostile]):
            continue
        found |= {
            f"{depth}: {route}": status for route, status in failures(app, cast).items()
        }
        verification = verify(connection_to(played), deep=True)
        if table not in {each.detail.split()[0] for each in verification.errors}:
            unnoticed.append(depth)

    assert found == {}
    assert unnoticed == []


@pytest.mark.parametrize(
    "document",
    [
        "[]",
        '{"a": [1, -2, 0.5, 1.0, 1e-7, true, null, "\\u00e9\\"[{"]}',
        "9007199254740991",
        "[" * 100 + "]" * 100,
    ],
)
def test_what_we_write_is_read_as_it_is(document: str) -> None:
    for read in (stored_json.read, stored_json.read_binary):
        found = read(document)

        assert found == json.loads(document)
        assert json.dumps(found) == json.dumps(json.loads(document))
