"""Everything that can be configured, read once and never changed.

`Settings.from_env` refuses to start on a wrong or weak value: it names the variable
and says what to do. `.env.example` documents every variable; a test compares the two.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from config.development import development_secret
from models.connection_settings import ConnectionSettings
from services.witnessing import ConfiguredWitness
from utils.addresses import IpNetwork, is_this_machine
from utils.signed_note import NoteError, VerifierKey
from utils.witness_policy import WitnessPolicy

MIN_SECRET_BYTES: Final = 32
# What people leave in a file that they copied.
PLACEHOLDER = re.compile(
    r"your[_-]|change[_-]?me|secret[_-]?key|example|password|placeholder",
    re.IGNORECASE,
)


# Where rate limits can be counted. What comes after it may hold a password.
STORAGE_SCHEME = re.compile(r"postgresql://$|memory://$|redis(s|\+\w+)?://\S+$")
# As in a Host header; with a dot in front, all below it.
HOST_NAME = re.compile(r"\.?[\w-]+(\.[\w-]+)*(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\]")

# Who may read /metrics unless somebody says otherwise: this machine.
LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


class ConfigError(Exception):
    """A variable is missing or wrong. The message says which, and what to do."""


class Environment(StrEnum):
    DEVELOPMENT = "development"
    TESTING = "testing"
    PRODUCTION = "production"


@dataclass(frozen=True, kw_only=True)
class RateLimits:
    """Hits a period, in the notation of the `limits` package: `5 per minute`."""

    storage_uri: str = field(default="postgresql://", repr=False)
    default: str = "100 per minute"
    login_failures: str = "5 per minute"
    login_failures_address: str = "50 per minute"
    logins: str = "20 per minute"
    refresh: str = "10 per minute"
    register: str = "30 per hour"
    events: str = "120 per minute"
    data_exports: str = "20 per hour"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    database: ConnectionSettings
    environment: Environment = Environment.DEVELOPMENT
    # Signs pseudonyms.
    secret_key: str = field(repr=False)
    # Signs tokens. Tokens signed with the previous key stay valid until they expire.
    jwt_secret_key: str = field(repr=False)
    jwt_previous_secret_key: str | None = field(default=None, repr=False)
    access_token_seconds: int = 900
    refresh_token_seconds: int = 604_800
    bcrypt_rounds: int = 12
    # How many passwords one process hashes at once, and how many may wait for that.
    hashing_concurrency: int = 1
    hashing_queue: int = 4
    rate_limits: RateLimits = RateLimits()
    # How many proxies in front of us add to X-Forwarded-For. 0: believe no header.
    trusted_proxies: int = 0
    trusted_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    # The public keys of the log, the newest first: whoever asks is told by whom its
    # checkpoints are to be signed.
    audit_log_vkeys: tuple[str, ...] = ()
    # When a checkpoint is called witnessed. None: never.
    witness_policy: WitnessPolicy | None = None
    # Who is asked what he has seen of the log, before anything is written.
    witnesses: tuple[ConfiguredWitness, ...] = ()
    log_level: str = "INFO"
    # From where /metrics may be read, never through a proxy.
    metrics_networks: tuple[IpNetwork, ...] = LOOPBACK
    # While this file exists /health/ready says that no new work is wanted here.
    drain_file: Path | None = None
    # How many requests one process works on at once.
    server_threads: int = 8
    # 0 starts no background thread in this process.
    sweeper_interval_seconds: float = 1.0

    @property
    def is_production(self) -> bool:
        return self.environment is Environment.PRODUCTION

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the variables of `.env.example`. Raises ConfigError."""
        read = _Reader(environ)
        environment = Environment(
            read.one_of("FLASK_ENV", Environment.DEVELOPMENT, tuple(Environment))
        )
        is_production = environment is Environment.PRODUCTION
        if read.boolean("FLASK_DEBUG", default=False) and is_production:
            raise ConfigError("FLASK_DEBUG must be False when FLASK_ENV is production.")
        secret_key = read.secret("SECRET_KEY", is_production=is_production)
        jwt_secret_key = read.secret("JWT_SECRET_KEY", is_production=is_production)
        if secret_key == jwt_secret_key:
            raise ConfigError(
                "SECRET_KEY and JWT_SECRET_KEY must differ: make two secrets with "
                '`python -c "import secrets; print(secrets.token_urlsafe(48))"`.'
            )
        previous = read.text("JWT_PREVIOUS_SECRET_KEY", "") or None
        if previous is not None:
            _check_secret("JWT_PREVIOUS_SECRET_KEY", previous)
        access_seconds = read.integer("JWT_ACCESS_TOKEN_EXPIRES", 900, 60, 3600)
        refresh_seconds = read.integer(
            "JWT_REFRESH_TOKEN_EXPIRES", 604_800, 3600, 2_592_000
        )
        limits = RateLimits(
            storage_uri=read.storage_uri(is_production=is_production),
            default=read.limit("RATELIMIT_DEFAULT", RateLimits.default),
            login_failures=read.limit(
                "RATELIMIT_LOGIN_FAILURES", RateLimits.login_failures
            ),
            login_failures_address=read.limit(
                "RATELIMIT_LOGIN_FAILURES_ADDRESS", RateLimits.login_failures_address
            ),
            logins=read.limit("RATELIMIT_LOGINS", RateLimits.logins),
            refresh=read.limit("RATELIMIT_REFRESH", RateLimits.refresh),
            register=read.limit("RATELIMIT_REGISTER", RateLimits.register),
            events=read.limit("RATELIMIT_EVENTS", RateLimits.events),
            data_exports=read.limit("RATELIMIT_DATA_EXPORTS", RateLimits.data_exports),
        )
        database = _database(read)
        if is_production:
            _check_sslmode(database)
        trusted_proxies = read.integer("TRUSTED_PROXIES", 0, 0, 5)
        # gunicorn says so itself: deploy/gunicorn.conf.py
        is_behind_socket = read.boolean("BEHIND_UNIX_SOCKET", default=False)
        if is_production and is_behind_socket and not trusted_proxies:
            raise ConfigError(
                "TRUSTED_PROXIES must be 1 or more when gunicorn listens on a unix "
                "socket alone: who calls is only in the proxy's X-Forwarded-For, and "
                "all students together would have the limits of one address."
            )
        return cls(
            database=database,
            environment=environment,
            secret_key=secret_key,
            jwt_secret_key=jwt_secret_key,
            jwt_previous_secret_key=previous,
            access_token_seconds=access_seconds,
            refresh_token_seconds=refresh_seconds,
            bcrypt_rounds=read.integer(
                # 12 rounds are a quarter of a second; 16 would let ten logins stop us.
                "BCRYPT_ROUNDS",
                12,
                12 if is_production else 4,
                15,
            ),
            hashing_concurrency=read.integer("PASSWORD_HASHING_CONCURRENCY", 1, 1, 64),
            hashing_queue=read.integer("PASSWORD_HASHING_QUEUE", 4, 0, 1000),
            rate_limits=limits,
            trusted_proxies=trusted_proxies,
            trusted_hosts=read.hosts("TRUSTED_HOSTS"),
            cors_origins=read.origins("CORS_ORIGINS"),
            audit_log_vkeys=read.vkeys("AUDIT_LOG_VKEYS"),
            witness_policy=read.policy("WITNESS_POLICY_FILE"),
            witnesses=read.witnesses("WITNESSES", signed_by="AUDIT_LOG_VKEYS"),
            log_level=read.one_of(
                "LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")
            ),
            metrics_networks=read.networks("METRICS_NETWORKS", LOOPBACK),
            drain_file=read.path("DRAIN_FILE"),
            server_threads=read.integer("SERVER_THREADS", 8, 1, 1000),
            sweeper_interval_seconds=read.number(
                "SWEEPER_INTERVAL_SECONDS", 1.0, 0.0, 3600.0
            ),
        )


def database_from_env(environ: Mapping[str, str]) -> ConnectionSettings:
    """Read the DB_* variables alone, for processes that serve nothing.

    Raises ConfigError.
    """
    return _database(_Reader(environ))


def read_policy(path: Path) -> WitnessPolicy:
    """Read a policy from its file. Raises OSError and NoteError."""
    try:
        # Its line ends are its own: with others it would have another SHA-256.
        return WitnessPolicy.parse(path.read_bytes().decode())
    except UnicodeDecodeError as error:
        raise NoteError("it is not UTF-8") from error


def _database(read: "_Reader") -> ConnectionSettings:
    return ConnectionSettings(
        host=read.text("DB_HOST", "localhost"),
        port=read.integer("DB_PORT", 5432, 1, 65535),
        name=read.text("DB_NAME", "proctoring_db"),
        user=read.text("DB_USER", "postgres"),
        password=read.text("DB_PASSWORD", ""),
        sslmode=read.one_of(
            "DB_SSLMODE",
            "prefer",
            ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
        ),
        pool_size=read.integer("DB_POOL_SIZE", 10, 1, 200),
    )


def _check_sslmode(database: ConnectionSettings) -> None:
    """Refuse modes that look like encryption and give it up when told to.

    libpq takes several hosts, separated by commas.
    """
    if database.sslmode not in {"allow", "prefer"}:
        return
    away = [each for each in database.host.split(",") if not is_this_machine(each)]
    if away:
        raise ConfigError(
            f"DB_SSLMODE must be said when DB_HOST is another machine ({away[0]}): "
            "verify-full, with the server's authority in PGSSLROOTCERT, or disable "
            f"where nobody else is on the network. {database.sslmode!r} talks to "
            "whoever answers, and in the clear if he wants that."
        )


def _check_secret(name: str, value: str) -> None:
    advice = (
        'Make one with `python -c "import secrets; print(secrets.token_urlsafe(48))"`.'
    )
    if len(value.encode()) < MIN_SECRET_BYTES:
        raise ConfigError(
            f"{name} must have at least {MIN_SECRET_BYTES} bytes. {advice}"
        )
    if len(set(value)) < 12 or PLACEHOLDER.search(value):  # noqa: PLR2004
        raise ConfigError(f"{name} can be guessed. {advice}")


def _checked_address(url: str) -> None:
    """Raise ValueError for an address where nobody can be asked."""
    where = urlsplit(url)
    if where.hostname is None or where.port == 0:
        raise ValueError("an address has a host, and a port that there can be")


class _Reader:
    """Reads variables by name. An empty value counts as an absent one."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str, default: str) -> str:
        """Read NAME, or the file that NAME_FILE names (a mounted secret)."""
        if path := self._environ.get(f"{name}_FILE"):
            try:
                return Path(path).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise ConfigError(f"{name}_FILE can not be read: {error}.") from error
        return self._environ.get(name, "").strip() or default

    def secret(self, name: str, *, is_production: bool) -> str:
        value = self.text(name, "")
        if not value and not is_production:
            return development_secret(name)
        if not value:
            raise ConfigError(
                f"{name} is not set, and production has no default for it."
            )
        if is_production or len(value.encode()) < MIN_SECRET_BYTES:
            _check_secret(name, value)
        return value

    def boolean(self, name: str, *, default: bool) -> bool:
        value = self.text(name, str(default)).lower()
        if value in {"true", "1"}:
            return True
        if value in {"false", "0"}:
            return False
        raise ConfigError(f"{name} must be True or False, not {value!r}.")

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        text = self.text(name, str(default))
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ConfigError(
                f"{name} must be a whole number from {low} to {high}, not {text!r}."
            )
        return int(text)

    def number(self, name: str, default: float, low: float, high: float) -> float:
        text = self.text(name, str(default))
        if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text):
            raise ConfigError(f"{name} must be a number, not {text!r}.")
        if not low <= float(text) <= high:
            raise ConfigError(f"{name} must be from {low} to {high}, not {text!r}.")
        return float(text)

    def one_of(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        value = self.text(name, default)
        if value not in choices:
            raise ConfigError(f"{name} must be one of {', '.join(choices)}.")
        return value

    def words(self, name: str) -> tuple[str, ...]:
        return tuple(word.strip() for word in self.text(name, "").split(",") if word)

    def hosts(self, name: str) -> tuple[str, ...]:
        hosts = self.words(name)
        for host in hosts:
            if not HOST_NAME.fullmatch(host):
                raise ConfigError(
                    f"{name} takes names like exam.example.edu, separated by commas; "
                    f"{host!r} is none, and nobody would be answered."
                )
        return hosts

    def origins(self, name: str) -> tuple[str, ...]:
        origins = self.words(name)
        for origin in origins:
            if not re.fullmatch(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?", origin):
                raise ConfigError(
                    f"{name} takes origins like https://exam.example.edu, separated by "
                    f"commas; {origin!r} is not one (there is no wildcard)."
                )
        return origins

    def networks(
        self, name: str, default: tuple[IpNetwork, ...]
    ) -> tuple[IpNetwork, ...]:
        try:
            return tuple(map(ip_network, self.words(name))) or default
        except ValueError as error:
            raise ConfigError(
                f"{name} takes networks like 10.0.0.0/8, separated by commas: {error}."
            ) from error

    def path(self, name: str) -> Path | None:
        text = self.text(name, "")
        return Path(text) if text else None

    def vkeys(self, name: str) -> tuple[str, ...]:
        vkeys = self.words(name)
        for vkey in vkeys:
            try:
                VerifierKey.parse(vkey)
            except NoteError as error:
                raise ConfigError(
                    f"{name} takes keys as `python -m checkpointer show` prints them,"
                    f" separated by commas: {vkey!r} is not one ({error})."
                ) from error
        return vkeys

    def policy(self, name: str) -> WitnessPolicy | None:
        """Read the file that `name` names."""
        path = self._environ.get(name, "").strip()
        if not path:
            return None
        try:
            return read_policy(Path(path))
        except (OSError, NoteError) as error:
            raise ConfigError(
                f"{name} names a C2SP tlog-policy with a log and a quorum:"
                f" {path!r} can not be used ({error})."
            ) from error

    def witnesses(self, name: str, *, signed_by: str) -> tuple[ConfiguredWitness, ...]:
        given = self.words(name)
        if given and not self.words(signed_by):
            raise ConfigError(
                f"{name} needs {signed_by}: of what a witness says only that counts"
                " which the log has signed."
            )
        try:
            witnesses = tuple(map(ConfiguredWitness.parse, given))
            for witness in witnesses:
                _checked_address(witness.url)
        except ValueError as error:
            raise ConfigError(
                f"{name} takes VKEY=URL, as the checkpointer's --witness does,"
                f" separated by commas ({error})."
            ) from error
        return witnesses

    def limit(self, name: str, default: str) -> str:
        value = self.text(name, default)
        if not re.fullmatch(r"[1-9][0-9]{0,8} per (second|minute|hour|day)", value):
            raise ConfigError(f"{name} must look like `5 per minute`, not {value!r}.")
        return value

    def storage_uri(self, *, is_production: bool) -> str:
        value = self.text("RATELIMIT_STORAGE_URI", RateLimits.storage_uri)
        if not STORAGE_SCHEME.match(value):
            raise ConfigError(
                "RATELIMIT_STORAGE_URI must be empty, postgresql:// (the database of "
                "DB_HOST) or like redis://host:6379/0."
            )
        if is_production and value.startswith("memory"):
            raise ConfigError(
                "RATELIMIT_STORAGE_URI: memory:// counts in each process apart, so its "
                "limits do not hold. Leave it empty to count in PostgreSQL."
            )
        return value
