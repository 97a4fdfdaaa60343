"""What docs/checklist.md and docs/threat-model.md call a test or a file is one."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CHECKLIST = ROOT / "docs" / "checklist.md"
THREATS = ROOT / "docs" / "threat-model.md"
# The rows that there are: of security in three parts, then of reliability.
ROWS = [
    *(f"S{number}" for number in (*range(1, 29), *range(30, 41), *range(50, 74))),
    *(f"R{number}" for number in range(1, 29)),
]
TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")
# A path of the repository: it has a folder, or an ending that files of ours have.
FILE = re.compile(r"`([\w.-]+(?:/[\w.-]+)+|[\w-]+\.(?:py|sql|md|service|conf))`")


@cache
def functions_of(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / "tests" / path).read_text())
    return frozenset(
        node.name for node in tree.body if isinstance(node, ast.FunctionDef)
    )


def table_rows(text: str) -> list[list[str]]:
    """Return the cells of every row of every table, but headings and rules."""
    rows = [
        line.strip("|").split(" | ") for line in text.splitlines() if line[:1] == "|"
    ]
    return [
        [cell.strip() for cell in row] for row in rows if not row[0].startswith("---")
    ]


@pytest.mark.parametrize("page", [CHECKLIST, THREATS], ids=lambda page: page.name)
def test_every_test_that_is_named_exists(page: Path) -> None:
    named = TEST.findall(page.read_text())
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not (ROOT / "tests" / path).is_file() or name not in functions_of(path)
    ]

    assert len(named) > 50
    assert missing == []


@pytest.mark.parametrize("page", [CHECKLIST, THREATS], ids=lambda page: page.name)
def test_every_file_that_is_named_exists(page: Path) -> None:
    named = set(FILE.findall(page.read_text()))

    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_every_row_is_answered_once_and_in_order() -> None:
    rows = [row for row in table_rows(CHECKLIST.read_text()) if row[0]]

    assert [row[0] for row in rows] == ROWS


def test_a_row_names_a_test_or_says_what_is_open() -> None:
    silent = [
        row[0]
        for row in table_rows(CHECKLIST.read_text())
        if row[0] and not TEST.search(row[2]) and "**open**: " not in row[3]
    ]

    assert silent == []
