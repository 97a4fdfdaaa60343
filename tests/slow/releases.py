"""The code as it was before the newest migrations, to be run beside the present one."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from database import embedded
from database.migrate import MIGRATIONS, migrate, read_migrations
from database.seed import seed_if_empty
from tests.slow.running import PROJECT, create_database

# So many migrations lie between two releases that run side by side, or more.
MIGRATIONS_BETWEEN = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Older code, the DSN of its database, and how many migrations that one lacks."""

    code: Path
    dsn: str
    missing_migrations: int


def last_release(server: embedded.Server, directory: Path) -> Release:
    """Return the code before the newest migrations, and its database.

    Without the history of git the test is skipped.
    """
    missing, commit = _before_newest_migrations()
    code = _checked_out(commit, directory)
    older = code / MIGRATIONS.relative_to(PROJECT)
    assert len(read_migrations(older)) == len(read_migrations()) - missing
    dsn = create_database(server, "released")
    migrate(dsn, print, older)
    seed_if_empty(dsn)
    return Release(code=code, dsn=dsn, missing_migrations=missing)


def _before_newest_migrations() -> tuple[int, str]:
    """Return how many of the newest migrations to leave out, and the commit before.

    Code whose older migrations were not yet what they became is passed over: it was
    never released, and no database of today is one of its.
    """
    folder = str(MIGRATIONS.relative_to(PROJECT))
    migrations = read_migrations()
    for missing in range(MIGRATIONS_BETWEEN, len(migrations) + 1):
        path = str(migrations[-missing].path.relative_to(PROJECT))
        added = _git("log", "-1", "--diff-filter=A", "--format=%H", "--", path)
        if not added or _git("rev-list", "--parents", "-1", added) == added:
            break
        changed = ("diff", "--name-only", "--diff-filter=M", f"{added}^", "HEAD")
        if not _git(*changed, "--", folder):
            return missing, f"{added}^"
    pytest.skip("the history does not reach back to the code of the last release")


def _checked_out(commit: str, directory: Path) -> Path:
    packed = directory / "code.tar"
    _git("archive", f"--output={packed}", commit)
    code = directory / "code"
    code.mkdir()
    subprocess.run(["tar", "-xf", packed, "-C", code], check=True)
    return code


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"the code of the last release is in git: {done.stderr}")
    return done.stdout.strip()
