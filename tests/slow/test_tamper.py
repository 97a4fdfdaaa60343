"""Every attack on the evidence is found, by exactly those who can: `script/tamper`."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg2.extensions import connection

from tests.tamper.__main__ import look
from tests.tamper.attacks import ATTACKS, Attack
from tests.tamper.deceptions import DECEPTIONS, Deception
from tests.tamper.document import DOCUMENT, rendered
from tests.tamper.finders import FINDERS
from tests.tamper.system import System, running


@pytest.fixture(scope="module")
def system(
    database_server: str,
    administrator: connection,
    template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[System]:
    home: Path = tmp_path_factory.mktemp("people")
    with running(database_server, administrator, template, home) as prepared:
        yield prepared


def test_without_an_attack_nobody_finds_anything(system: System) -> None:
    quiet = Attack(number=0, name="nothing", spoil=lambda _: None, found_by=set())

    assert look(system, quiet) == {}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_on_the_database_is_found(system: System, attack: Attack) -> None:
    assert set(look(system, attack)) == set(attack.found_by) & set(FINDERS)


@pytest.mark.parametrize("deception", DECEPTIONS, ids=lambda each: each.name)
def test_a_deception_is_found(system: System, deception: Deception) -> None:
    with system.attacked() as copy:
        assert deception.deceive(copy) is not None


def test_the_page_says_what_is_found() -> None:
    if "UPDATE_DOCS" in os.environ:
        DOCUMENT.write_text(rendered(), encoding="utf-8")
    assert DOCUMENT.read_text(encoding="utf-8") == rendered()
