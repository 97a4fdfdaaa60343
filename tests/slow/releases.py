"""The code as it was before the newest migrations, to be run beside the present one."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from database import embedded
from database.migrate import MIGRATIONS, Migration, migrate, read_migrations
from database.seed import seed_if_empty
from tests.slow.running import PROJECT, create_database

# So many migrations lie between two releases that run side by side, or more.
MIGRATIONS_BETWEEN = 2


def last_release(server: embedded.Server, directory: Path) -> tuple[Path, str]:
    """Return the code before the newest migrations, and the DSN of its database."""
    code = code_before_newest_migrations(directory)
    dsn = create_database(server, "released")
    migrate(dsn, print, code / MIGRATIONS.relative_to(PROJECT))
    seed_if_empty(dsn)
    return code, dsn


def code_before_newest_migrations(directory: Path) -> Path:
    """Put the code into a directory. Without the history of git the test is skipped."""
    first, before = next(_candidates())
    packed = directory / "code.tar"
    _git("archive", f"--output={packed}", before)
    code = directory / "code"
    code.mkdir()
    subprocess.run(["tar", "-xf", packed, "-C", code], check=True)
    newest = read_migrations(code / MIGRATIONS.relative_to(PROJECT))[-1]
    assert newest.version == first.version - 1
    return code


def _candidates() -> Iterator[tuple[Migration, str]]:
    """Yield migrations, and the commits before they came, the newest of them first.

    One is left out whose older migrations were not yet what they became: that code was
    never released, and no database of today is one of its.
    """
    folder = str(MIGRATIONS.relative_to(PROJECT))
    for first in reversed(read_migrations()[: 1 - MIGRATIONS_BETWEEN]):
        path = str(first.path.relative_to(PROJECT))
        added = _git("log", "-1", "--diff-filter=A", "--format=%H", "--", path)
        if not added or _git("rev-list", "--parents", "-1", added) == added:
            break
        changed = ("diff", "--name-only", "--diff-filter=M", f"{added}^", "HEAD")
        if not _git(*changed, "--", folder):
            yield first, f"{added}^"
    pytest.skip("the history does not reach back to the code of the last release")


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"the code of the last release is in git: {done.stderr}")
    return done.stdout.strip()
