"""Makes every attack and shows who finds it: `script/tamper`."""

import sys
import tempfile
from contextlib import closing
from pathlib import Path

import psycopg2
from psycopg2.extensions import make_dsn
from rich.console import Console
from rich.progress import track
from rich.table import Table

from database import embedded
from database.migrate import migrate
from tests.tamper.attacks import ATTACKS, Attack
from tests.tamper.deceptions import DECEPTIONS
from tests.tamper.finders import FINDERS
from tests.tamper.system import System, running

TEMPLATE = "proctoring_template"


def main() -> None:
    console = Console(width=None if sys.stdout.isatty() else 160)
    with tempfile.TemporaryDirectory(prefix="proctoring-tamper-") as directory:
        home = Path(directory)
        # As root the server is another account, which has to get through here.
        home.chmod(0o711)
        server = embedded.start(home / "postgres", {"fsync": "off"})
        try:
            dsn = server.dsn()
            with closing(psycopg2.connect(dsn)) as administrator:
                administrator.autocommit = True
                with administrator.cursor() as cursor:
                    cursor.execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0")
                migrate(make_dsn(dsn, dbname=TEMPLATE), lambda _: None)
                (home / "people").mkdir()
                with running(dsn, administrator, TEMPLATE, home / "people") as system:
                    is_right = _show_attacks(console, system)
                    is_right &= _show_deceptions(console, system)
        finally:
            embedded.stop(server)
    sys.exit(0 if is_right else 1)


def _show_attacks(console: Console, system: System) -> bool:
    table = Table("", "attack", *FINDERS, "as it must", title="What finds what")
    surprises = 0
    for attack in track(ATTACKS, "attacking", console=Console(stderr=True)):
        found = look(system, attack)
        is_expected = set(found) == set(attack.found_by) & set(FINDERS)
        surprises += not is_expected
        table.add_row(
            str(attack.number),
            attack.name + (f"\n({attack.note})" if attack.note else ""),
            *(found.get(name, "") for name in FINDERS),
            "yes" if is_expected else "[red]NO",
        )
    console.print(table)
    return not surprises


def _show_deceptions(console: Console, system: System) -> bool:
    table = Table("", "attack", "found by", "how", title="Without the database")
    through = 0
    for deception in track(DECEPTIONS, "deceiving", console=Console(stderr=True)):
        with system.attacked() as copy:
            found = deception.deceive(copy)
        through += found is None
        table.add_row(
            str(deception.number),
            deception.name,
            deception.finder,
            found or "[red]nobody",
        )
    console.print(table)
    return not through


def look(system: System, attack: Attack) -> dict[str, str]:
    """Make the attack on a copy, and return what each finder says who found it."""
    with system.attacked(system.backup if attack.from_backup else None) as copy:
        attack.spoil(copy)
        found = {name: find(copy) for name, find in FINDERS.items()}
    return {name: what for name, what in found.items() if what is not None}


if __name__ == "__main__":
    main()
