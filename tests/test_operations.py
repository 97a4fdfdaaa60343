"""What docs/operations.md tells people to type is there to be typed."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from flask import Flask
from psycopg2.extensions import connection
from werkzeug.exceptions import MethodNotAllowed, NotFound

from config import Settings
from script.restore_drill import variables
from tests.audit_trail import run
from tests.manual import MANUAL, ROOT, blocks

# What these change is of the whole server, which other tests use at this moment.
OF_THE_SERVER = re.compile("ALTER SYSTEM|pg_reload_conf")


def statements() -> list[str]:
    parts = [part.strip() for block in blocks("sql") for part in block.split(";")]
    return [part for part in parts if part and not OF_THE_SERVER.search(part)]


def test_the_queries_answer(sql: connection) -> None:
    found = statements()

    assert len(found) >= 10
    for statement in found:
        run(sql, statement.replace("%", "%%") if "%s" in statement else statement)


def test_the_requests_go_to_what_there_is(app: Flask) -> None:
    adapter = app.url_map.bind("localhost")
    some_id = "019ab1c2-0000-7000-8000-000000000001"
    requests = re.findall(
        r"curl (?:-fsS )?(?:-X (\w+) )?\"?\$API([^\"?\s]*)", "".join(blocks("bash"))
    )
    assert len(requests) > 15

    lost = []
    for method, path in requests:
        try:
            adapter.match(re.sub(r"\$\w+", some_id, path), method=method or "GET")
        except (NotFound, MethodNotAllowed):
            lost.append((method, path))

    assert lost == []


def archive(directory: Path, segment: Path, limit: str = "") -> int:
    """Run the archive_command of the manual, as PostgreSQL does in its directory."""
    (command,) = re.findall(r"archive_command = '(.*)';", MANUAL)
    command = command.replace("/var/backups/wal", f'"{directory}"')
    command = command.replace("%f", segment.name).replace("%p", segment.name)
    done = subprocess.run(
        ["sh", "-c", limit + command],
        cwd=segment.parent,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode


def test_an_archive_goes_on_when_there_is_room_again(tmp_path: Path) -> None:
    (directory := tmp_path / "the archive").mkdir()
    segment = tmp_path / "000000010000000000000001"
    segment.write_bytes(b"w" * 1_000_000)

    # No file may have more than so many blocks of 512 bytes: cp ends half-way.
    assert archive(directory, segment, limit="ulimit -f 100; ") != 0
    assert not (directory / segment.name).exists()
    assert archive(directory, segment) == 0
    assert (directory / segment.name).read_bytes() == segment.read_bytes()
    assert [path.name for path in directory.iterdir()] == [segment.name]
    # After a crash PostgreSQL may not know that it has done it.
    assert archive(directory, segment) == 0
    segment.write_bytes(b"other" * 200_000)
    assert archive(directory, segment) != 0
    assert b"other" not in (directory / segment.name).read_bytes()


def test_the_files_and_variables_that_it_names_are_there() -> None:
    paths = set(re.findall(r"\b(?:script|deploy|tests)/[\w./-]*\w", MANUAL))
    missing = {path for path in paths if not (ROOT / path).exists()}
    # These are what an operator makes.
    made = ("deploy/secrets", "deploy/.env")
    assert {path for path in missing if not path.startswith(made)} == set()
    for path in paths:
        # The one is sourced, the others are run.
        if path.startswith("script/") and path != "script/try":
            assert os.access(ROOT / path, os.X_OK), path


@pytest.mark.parametrize(
    "day",
    [
        "An outage during an exam",
        "Unlock a student in the middle of an exam",
        "The signing key is lost, or the checkpointer refuses",
        "Restore from a backup",
        "Roll back a release",
        "The disk is full",
        "A clock is wrong",
        "The database fails over",
        "Somebody attacks the login",
        "A worker hangs",
    ],
)
def test_every_bad_day_has_its_page(day: str) -> None:
    (page,) = re.findall(rf"(?ms)^## {re.escape(day)}\n(.*?)(?=^## |\Z)", MANUAL)

    assert "```" in page


def test_a_drill_makes_no_files_where_the_code_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "secrets"
    monkeypatch.setattr("config.development.KEPT", kept)

    Settings.from_env(variables("host=/tmp/drill port=1 dbname=restored user=x"))

    assert not kept.exists()
