"""What finds what, as the page of the documentation that has it."""

from pathlib import Path
from typing import Final

from tests.tamper.attacks import ATTACKS
from tests.tamper.deceptions import DECEPTIONS
from tests.tamper.finders import FINDERS

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "tampering.md"
ABOUT: Final = """\
# What finds what

Each attack below is made for real, by the superuser of the database, with triggers
off, on a copy of a database in use; then the finders look. `script/tamper` shows the
same with places and numbers, and fails if anybody finds more or less than stands here;
so does a test.

| finder | |
|---|---|
"""
ATTACKS_HEAD: Final = """
An attacker who hashes entries anew also empties the tables of tiles and checkpoints,
which he owns, unless the row says otherwise. **nobody** is the honest answer where no
log can tell.

"""
DECEPTIONS_HEAD: Final = """
## Without the database

| attack | found by |
|---|---|
"""


def rendered() -> str:
    finders = "".join(
        f"| {name} | {(find.__doc__ or '').strip()} |\n"
        for name, find in FINDERS.items()
    )
    table = f"| attack | {' | '.join(FINDERS)} |\n|---|{'---|' * len(FINDERS)}\n"
    for attack in ATTACKS:
        name = attack.name + (f" ({attack.note})" if attack.note else "")
        if attack.found_by:
            found = ["found" if each in attack.found_by else "" for each in FINDERS]
        else:
            found = ["**nobody**", *[""] * (len(FINDERS) - 1)]
        table += f"| {name} | {' | '.join(found)} |\n"
    others = "".join(f"| {each.name} | {each.finder} |\n" for each in DECEPTIONS)
    return ABOUT + finders + ATTACKS_HEAD + table + DECEPTIONS_HEAD + others
