"""Starting for real: what the process does that gunicorn or a terminal begins (S24)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from psycopg2.extensions import connection

from database.seed import seed_if_empty
from models.connection_settings import ConnectionSettings
from tests.audit_trail import run
from tests.personas import PASSWORD_HASH

PROJECT = Path(__file__).resolve().parent.parent
START = (sys.executable, "-c", "import app; app.app; print('started')")
GUNICORN = (
    *(sys.executable, "-m", "gunicorn", "app:app", "--bind", "127.0.0.1:0"),
    *("--workers", "1", "--no-control-socket"),
)
DEFAULT = "StrongPassword123!"


def environment(where: ConnectionSettings, **changes: str) -> dict[str, str]:
    own = {
        "FLASK_ENV": "production",
        "FLASK_DEBUG": "False",
        "SECRET_KEY": "kq8Zt1vWc3Rb7Ym5Xn9Lp2Hd4Gf6Js0A",
        "JWT_SECRET_KEY": "0aBc9DeF8gHi7JkL6mNo5PqR4sTu3VwX",
        "BCRYPT_ROUNDS": "12",
        "DB_HOST": where.host,
        "DB_PORT": str(where.port),
        "DB_NAME": where.name,
        "DB_USER": where.user,
        "DB_PASSWORD": where.password,
        "RATELIMIT_STORAGE_URI": "",
        "SWEEPER_INTERVAL_SECONDS": "0",
    }
    return {"PATH": os.environ["PATH"]} | own | changes


def start(
    where: ConnectionSettings, *command: str, **changes: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command or START,
        cwd=PROJECT,
        env=environment(where, **changes),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("command", [START, GUNICORN], ids=["python", "gunicorn"])
def test_production_does_not_start_with_the_default_password(
    connection_settings: ConnectionSettings, dsn: str, command: tuple[str, ...]
) -> None:
    """With gunicorn it ends, too, instead of starting one worker after another."""
    seed_if_empty(dsn)

    done = start(connection_settings, *command)

    assert done.returncode == 3, done.stderr
    assert "Not started: The account admin@gmail.com" in done.stderr
    assert DEFAULT not in done.stdout + done.stderr
    assert done.stderr.count("Not started") == 1


def test_production_starts_once_the_password_is_another(
    connection_settings: ConnectionSettings, dsn: str, sql: connection
) -> None:
    seed_if_empty(dsn)
    run(sql, "UPDATE users SET password_hash = %s", PASSWORD_HASH)

    done = start(connection_settings)

    assert (done.returncode, done.stdout) == (0, "started\n"), done.stderr


def test_production_starts_without_a_default_account(
    connection_settings: ConnectionSettings,
) -> None:
    assert start(connection_settings).returncode == 0


def test_production_behind_a_socket_does_not_take_all_for_one_caller(
    connection_settings: ConnectionSettings, tmp_path: Path
) -> None:
    """Gunicorn tells the application where it is reached: deploy/gunicorn.conf.py."""
    command = (
        *(sys.executable, "-m", "gunicorn", "app:app"),
        *("--config", "deploy/gunicorn.conf.py", "--workers", "1"),
        *("--bind", f"unix:{tmp_path / 'api.sock'}"),
    )

    done = start(connection_settings, *command)

    assert done.returncode == 3, done.stderr
    assert "Not started: TRUSTED_PROXIES must be 1 or more" in done.stderr


def test_development_starts_with_it(
    connection_settings: ConnectionSettings, dsn: str
) -> None:
    seed_if_empty(dsn)

    assert start(connection_settings, FLASK_ENV="development").returncode == 0


def test_a_database_that_is_away_keeps_nobody_from_starting(
    connection_settings: ConnectionSettings,
) -> None:
    """It comes back, and would find a service that has given up."""
    done = start(connection_settings, DB_HOST="127.0.0.1", DB_PORT="1")

    assert done.returncode == 0, done.stderr
    assert "the default password could not be looked for" in done.stdout + done.stderr


@pytest.mark.parametrize("name", ["SECRET_KEY", "JWT_SECRET_KEY"])
def test_a_weak_secret_is_named_before_anything_starts(
    connection_settings: ConnectionSettings, name: str
) -> None:
    """S26; tests/test_config.py has the table of what is weak."""
    weak = "changeme" * 5

    done = start(connection_settings, **{name: weak})

    assert done.returncode == 3
    assert f"Not started: {name}" in done.stderr
    assert weak not in done.stderr
