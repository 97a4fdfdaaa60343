"""Two application hosts, a primary and a standby, and nginx with Redis in front.

Real programs with the files of deploy/two-hosts, of which only addresses, paths and TLS
between the hosts are changed (the embedded PostgreSQL was built without it).
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL
from typing import Any, Final

import psycopg2
import requests
from psycopg2.extensions import connection, make_dsn
from requests.adapters import HTTPAdapter

from database.embedded_home import Account, programs, settle
from database.migrate import migrate
from database.seed import seed_if_empty
from tests.audit_trail import run
from tests.slow.exam_morning import Client
from tests.slow.network import HOSTS, Network
from tests.slow.proxy import HOST, make_certificate, relocated, replaced
from tests.slow.replication import wait_for_the_standby
from tests.slow.running import ENVIRONMENT, PROJECT, find_program
from tests.waiting import until

DEPLOY: Final = PROJECT / "deploy" / "two-hosts"
DATABASE: Final = "proctoring_db"
# Of both logins, of replication and of Redis.
PASSWORD: Final = "known to this test alone"  # pragma: allowlist secret


class Postgres:
    """A server on a host. We reach it by its socket, everybody else by the network."""

    def __init__(self, network: Network, host: str, root: Path) -> None:
        self.network = network
        self.host = host
        self.home = settle(root / host)
        self.dsn = make_dsn(host=str(self.home.path), user="postgres", dbname=DATABASE)

    @property
    def account(self) -> Account:
        return self.home.account

    def own(self, path: Path) -> None:
        shutil.chown(path, self.account.name)

    def run(self, program: str, *arguments: Any) -> str:
        """Run one of PostgreSQL's programs on this host."""
        return self.network.run(
            self.host,
            programs(self.home) / program,
            *arguments,
            account=self.account,
            cwd=self.home.path,
            env={"PATH": "/usr/bin:/bin", "PGPASSWORD": PASSWORD},
        )

    def sql(self, database: str = DATABASE) -> "closing[connection]":
        session = psycopg2.connect(self.dsn, dbname=database)
        session.autocommit = True
        return closing(session)

    def do(self, *statements: str) -> None:
        with self.sql("postgres") as session:
            for statement in statements:
                run(session, statement)

    def create(self) -> None:
        """Make the primary, with a schema and logins."""
        where = ("--pgdata", self.home.data, "--username=postgres")
        self.run(
            "initdb",
            *where,
            "--auth-local=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        )
        (self.home.data / "conf.d").mkdir()
        self.own(self.home.data / "conf.d")
        with (self.home.data / "postgresql.conf").open("a") as file:
            file.write("include_dir = 'conf.d'\n")
        self._write("conf.d/proctoring.conf", self._settings())
        rules = (DEPLOY / "pg_hba.conf").read_text()
        rules = replaced(rules, {"peer": "trust", "hostssl": "host   "})
        self._write("pg_hba.conf", self.network.moved(rules))
        self.start()
        self.do(f"CREATE DATABASE {DATABASE}")
        migrate(self.dsn, lambda _: None)
        seed_if_empty(self.dsn)
        self._make_logins()

    def follow(self, primary: "Postgres") -> None:
        """Make this one a standby of the other, from nothing."""
        shutil.rmtree(self.home.data, ignore_errors=True)
        self.run(
            "pg_basebackup",
            *("--dbname", self._upstream(primary), "--pgdata", self.home.data),
            *("--checkpoint=fast", "--wal-method=stream", "--write-recovery-conf"),
            *("--create-slot", "--slot", self.host, "--no-sync"),
        )
        self.start()

    def rewind(self, primary: "Postgres") -> None:
        """Make an old primary, which is stopped, a standby of the one after it."""
        primary.do(f"SELECT pg_create_physical_replication_slot('{self.host}', true)")
        self.run(
            "pg_rewind",
            *("--source-server", self._upstream(primary) + " dbname=postgres"),
            *("--target-pgdata", self.home.data, "--write-recovery-conf"),
        )
        with (self.home.data / "postgresql.auto.conf").open("a") as file:
            file.write(f"primary_slot_name = '{self.host}'\n")
        self.start()

    def start(self) -> None:
        with (self.home.path / "log").open("ab") as log:
            self.network.start(
                self.host,
                *(programs(self.home) / "postgres", "-D", self.home.data),
                *("-c", f"unix_socket_directories={self.home.path}"),
                account=self.account,
                cwd=self.home.path,
                stdout=log,
                stderr=log,
            )
        try:
            until(self._answers)
        except AssertionError as error:
            said = (self.home.path / "log").read_text()[-4000:]
            raise AssertionError(f"{self.host} does not answer:\n{said}") from error

    def stop(self) -> None:
        self.run("pg_ctl", "stop", "--pgdata", self.home.data, "--mode=fast")

    def wait_for_the_standby(self) -> None:
        with self.sql() as session:
            wait_for_the_standby(session)

    def wait_for_nobody(self) -> None:
        self.do(
            "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()"
        )

    def _upstream(self, primary: "Postgres") -> str:
        address = primary.network.address(primary.host)
        return (
            f"host={address} user=proctoring_replication application_name={self.host}"
        )

    def _settings(self) -> str:
        text = (DEPLOY / "postgresql.conf").read_text()
        return replaced(text, {"ssl = on": "ssl = off"})

    def _write(self, name: str, text: str) -> None:
        path = self.home.data / name
        path.write_text(text)
        # pg_rewind writes it anew.
        self.own(path)

    def _make_logins(self) -> None:
        root = Path(tempfile.mkdtemp(dir=self.home.path))
        for name in ("db_admin_password", "db_password", "db_checkpointer_password"):
            (root / name).write_text(PASSWORD)
        psql = programs(self.home)
        where = {"PGHOST": str(self.home.path), "PGUSER": "postgres"}
        self.network.run(
            self.host,
            *("sh", PROJECT / "deploy" / "logins.sh"),
            env={
                "PATH": f"{psql}:/usr/bin:/bin",
                "SECRETS": str(root),
                "PGDATABASE": DATABASE,
                **where,
            },
        )
        self.network.run(
            self.host,
            *(psql / "psql", "-d", "postgres", "-f", DEPLOY / "replication.sql"),
            env={**where, "PASSWORD_FILE": str(root / "db_password")},
        )
        shutil.rmtree(root)

    def _answers(self) -> bool:
        try:
            with self.sql("postgres"):
                return True
        except psycopg2.OperationalError:
            return False


@dataclass(slots=True, kw_only=True)
class AppHost:
    """PgBouncer, and the API on top of it."""

    network: Network
    host: str
    root: Path
    account: Account
    programs: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://{self.network.address(self.host)}:5000"

    def settle(self, users: str) -> None:
        self.root.mkdir(mode=0o755)
        text = replaced(
            (DEPLOY / "pgbouncer.ini").read_text(),
            {
                "/etc/pgbouncer": str(self.root),
                "/run/postgresql": str(self.root),
                "/var/log/postgresql": str(self.root),
                "server_tls_sslmode = verify-full": "server_tls_sslmode = disable",
            },
        )
        (self.root / "pgbouncer.ini").write_text(text)
        (self.root / "userlist.txt").write_text(users)
        self._write_primary("db1")
        shutil.chown(self.root, self.account.name)

    def start(self) -> None:
        ini = self.root / "pgbouncer.ini"
        quiet = {"stdout": DEVNULL, "stderr": DEVNULL}
        pooler = find_program("pgbouncer")
        self.network.start(self.host, pooler, ini, account=self.account, **quiet)
        own = {
            **ENVIRONMENT,
            **self.environment,
            "PATH": "/usr/bin:/bin",
            "DB_HOST": "127.0.0.1",
            "DB_PORT": "6432",
            "DB_NAME": DATABASE,
            "DB_USER": "proctoring_api",
            "DB_PASSWORD": PASSWORD,
            "DB_SSLMODE": "disable",
            "TRUSTED_PROXIES": "1",
            "GUNICORN_BIND": self.url.removeprefix("http://"),
            "WEB_CONCURRENCY": "2",
        }
        with (self.root / "api.log").open("ab") as log:
            self.network.start(
                self.host,
                *(sys.executable, "-m", "gunicorn"),
                *("--config", PROJECT / "deploy" / "gunicorn.conf.py", "app:app"),
                env=own,
                cwd=PROJECT,
                stdout=log,
                stderr=log,
            )

    def is_ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/health/ready", timeout=5).ok
        except requests.RequestException:
            return False

    def lead_to(self, database: str) -> None:
        """Do what docs/operations.md says of the application hosts at a failover."""
        self._write_primary(database)
        self._say("RELOAD", f"KILL {DATABASE}", f"RESUME {DATABASE}")

    def _write_primary(self, database: str) -> None:
        text = (DEPLOY / "primary.ini").read_text()
        there = f"10.0.0.{HOSTS[database]}"
        text = self.network.moved(replaced(text, {"10.0.0.21": there}))
        (self.root / "primary.ini").write_text(text)

    def _say(self, *commands: str) -> None:
        """Speak to PgBouncer's console, as its own account."""
        self.network.run(
            self.host,
            *(self.programs / "psql", "-v", "ON_ERROR_STOP=1"),
            *("-h", self.root, "-p", "6432", "-U", "pgbouncer", "pgbouncer"),
            *(word for command in commands for word in ("-c", command)),
            account=self.account,
        )


@dataclass(slots=True, kw_only=True)
class Front:
    """nginx and Redis."""

    network: Network
    root: Path
    certificate: Path = Path()

    @property
    def url(self) -> str:
        return f"https://{self.network.address('front')}"

    @property
    def redis(self) -> str:
        address = self.network.address("front")
        return f"redis://:{PASSWORD.replace(' ', '%20')}@{address}:6379/0"

    @property
    def access_log(self) -> Path:
        return self.root / "access.log"

    def start(self) -> None:
        self.root.mkdir(mode=0o711)
        self.certificate = make_certificate(self.root)
        nginx = self.root / "nginx.conf"
        text = relocated(self.root)
        before, _, after = text.partition("    upstream api {\n")
        upstream = (DEPLOY / "nginx-upstream.conf").read_text()
        after = after.partition("\n    }\n")[2]
        nginx.write_text(self.network.moved(before + upstream + after))
        more = f"daemon off; pid {self.root}/nginx.pid;"
        self.network.start(
            "front",
            *(find_program("nginx"), "-c", nginx, "-e", self.root / "error.log"),
            *("-g", more + f" error_log {self.root}/error.log warn;"),
        )
        redis = (DEPLOY / "redis.conf").read_text()
        redis = replaced(redis, {"/etc/redis": str(self.root)})
        (self.root / "redis.conf").write_text(self.network.moved(redis))
        (self.root / "password.conf").write_text(f'requirepass "{PASSWORD}"\n')
        self.network.start(
            "front", "redis-server", self.root / "redis.conf", stdout=DEVNULL
        )

    def connect(self, url: str) -> Client:
        """Make a client that trusts this nginx, whose name stands in no directory."""
        client = Client(url)
        # Or REQUESTS_CA_BUNDLE of the machine would come first.
        client.session.trust_env = False
        client.session.verify = str(self.certificate)
        client.session.headers["Host"] = HOST
        client.session.mount("https://", _ToAddress())
        return client


class _ToAddress(HTTPAdapter):
    """Asks for the name of the site, whatever address it was given."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        options |= {"server_hostname": HOST, "assert_hostname": HOST}
        super().init_poolmanager(*arguments, **options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """All of it. `primary` and `standby` are what they were in the beginning."""

    network: Network
    front: Front
    apps: Sequence[AppHost]
    primary: Postgres
    standby: Postgres

    def lose(self, host: str, how: str) -> None:
        """Lose a host as it is "killed" or "cut off"."""
        if how == "killed":
            self.network.kill(host)
        else:
            self.network.pull(host)

    def fail_over(self) -> None:
        """Do what docs/operations.md says of a primary that will not come back."""
        self.standby.do("SELECT pg_promote()")
        self.standby.wait_for_nobody()
        for app in self.apps:
            app.lead_to(self.standby.host)


@contextmanager
def databases(network: Network, root: Path) -> Iterator[tuple[Postgres, Postgres]]:
    """Run a primary, and a standby for which it waits."""
    primary = Postgres(network, "db1", root)
    standby = Postgres(network, "db2", root)
    try:
        primary.create()
        standby.follow(primary)
        primary.wait_for_the_standby()
        yield primary, standby
    finally:
        for each in (primary, standby):
            network.kill(each.host)
            shutil.rmtree(each.home.path, ignore_errors=True)


@contextmanager
def applications(
    network: Network,
    root: Path,
    primary: Postgres,
    standby: Postgres,
    environment: Mapping[str, str],
) -> Iterator[Hosts]:
    """Run everything in front of the two databases."""
    front = Front(network=network, root=root / "front")
    front.start()
    with primary.sql() as session:
        secrets = run(
            session,
            "SELECT rolname, rolpassword FROM pg_authid"
            " WHERE rolname = 'proctoring_api'",
        )
    shared = {"RATELIMIT_STORAGE_URI": front.redis, **environment}
    apps = [
        AppHost(
            network=network,
            host=host,
            root=root / host,
            account=primary.account,
            programs=programs(primary.home),
            environment=shared,
        )
        for host in ("app1", "app2")
    ]
    for app in apps:
        app.settle("".join(f'"{name}" "{secret}"\n' for name, secret in secrets))
        app.start()
    for app in apps:
        until(app.is_ready)
    yield Hosts(
        network=network, front=front, apps=apps, primary=primary, standby=standby
    )


def missing() -> str | None:
    """Say which program is not here."""
    needed = ("nginx", "redis-server", "pgbouncer", "nsenter", "ip")
    return next((name for name in needed if find_program(name) is None), None)
