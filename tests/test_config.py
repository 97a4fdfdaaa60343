"""Settings: what is read, and what is refused by name."""

import re
import subprocess
from pathlib import Path

import pytest
from dotenv import dotenv_values

from config import ConfigError, Settings
from utils.signed_note import COSIGNATURE, ED25519, Signer

ROOT = Path(__file__).parent.parent
STRONG = "kq8Zt1vWc3Rb7Ym5Xn9Lp2Hd4Gf6Js0A"
STRONGER = "0aBc9DeF8gHi7JkL6mNo5PqR4sTu3VwX"

LOG = Signer("proctoring/exams", ED25519, bytes(range(32))).verifier
WITNESS = Signer("board.example.edu/witness", COSIGNATURE, bytes(range(32))).verifier

PRODUCTION = {
    "FLASK_ENV": "production",
    "SECRET_KEY": STRONG,
    "JWT_SECRET_KEY": STRONGER,
}


def test_production_starts_with_two_strong_secrets() -> None:
    settings = Settings.from_env(PRODUCTION)

    assert settings.is_production
    assert settings.access_token_seconds == 900
    assert settings.refresh_token_seconds == 604_800
    assert settings.bcrypt_rounds == 12


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", ""),
        ("SECRET_KEY", "short"),
        ("SECRET_KEY", "a" * 64),
        ("SECRET_KEY", "your_secret_key_your_secret_key_1234"),
        ("SECRET_KEY", "changeme-changeme-changeme-changeme-12"),
        ("SECRET_KEY", STRONGER),
        ("JWT_SECRET_KEY", ""),
        ("JWT_SECRET_KEY", "your_jwt_secret"),
        ("JWT_SECRET_KEY", "ab" * 32),
        ("JWT_PREVIOUS_SECRET_KEY", "short"),
        ("FLASK_DEBUG", "True"),
        ("FLASK_DEBUG", "yes"),
        ("FLASK_ENV", "prod"),
        ("FLASK_ENV", "Production"),
        ("BCRYPT_ROUNDS", "11"),
        ("BCRYPT_ROUNDS", "16"),
        ("BCRYPT_ROUNDS", "twelve"),
        ("JWT_ACCESS_TOKEN_EXPIRES", "0"),
        ("JWT_ACCESS_TOKEN_EXPIRES", "-900"),
        ("DB_PORT", "70000"),
        ("DB_SSLMODE", "sometimes"),
        ("RATELIMIT_STORAGE_URI", "memory://"),
        ("RATELIMIT_STORAGE_URI", "MEMORY://"),
        ("RATELIMIT_STORAGE_URI", "10.0.0.2:6379"),
        # It would be counted where DB_HOST is.
        ("RATELIMIT_STORAGE_URI", "postgresql://other.example.edu/limits"),
        ("TRUSTED_HOSTS", "https://exam.example.edu"),
        ("TRUSTED_HOSTS", "exam.example.edu www.example.edu"),
        ("TRUSTED_HOSTS", "*"),
        ("RATELIMIT_DEFAULT", "lots"),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "null"),
        ("AUDIT_LOG_VKEYS", "proctoring/exams"),
        ("WITNESS_POLICY_FILE", "/nowhere/at/all"),
        ("WITNESS_POLICY_FILE", "."),
        ("WITNESSES", f"{WITNESS}=https://board.example.edu"),
        ("LOG_LEVEL", "LOUD"),
        ("METRICS_NETWORKS", "everybody"),
        ("METRICS_NETWORKS", "10.0.0.1/8"),
        ("SWEEPER_INTERVAL_SECONDS", "soon"),
    ],
)
def test_a_wrong_or_weak_value_stops_the_start_by_name(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        Settings.from_env(PRODUCTION | {name: value})


@pytest.mark.parametrize("mode", ["", "prefer", "allow"])
@pytest.mark.parametrize(
    "host", ["10.0.0.7", "db.example.edu", "::2", "localhost,10.0.0.7"]
)
def test_over_a_network_production_wants_a_word_on_encryption(
    host: str, mode: str
) -> None:
    environ = PRODUCTION | {"DB_HOST": host, "DB_SSLMODE": mode}

    with pytest.raises(ConfigError, match="DB_SSLMODE"):
        Settings.from_env(environ)

    for certain in ("disable", "require", "verify-ca", "verify-full"):
        Settings.from_env(environ | {"DB_SSLMODE": certain})
    Settings.from_env(environ | {"FLASK_ENV": "development"})


@pytest.mark.parametrize(
    "host", ["", "localhost", "127.0.0.1", "127.0.0.2,::1", "/run/postgresql", "@pg"]
)
def test_on_one_machine_there_is_nobody_to_listen(host: str) -> None:
    Settings.from_env(PRODUCTION | {"DB_HOST": host, "DB_SSLMODE": "prefer"})


def test_behind_a_unix_socket_callers_are_told_apart_by_the_proxy_alone() -> None:
    environ = PRODUCTION | {"BEHIND_UNIX_SOCKET": "True"}

    with pytest.raises(ConfigError, match="TRUSTED_PROXIES"):
        Settings.from_env(environ)

    Settings.from_env(environ | {"TRUSTED_PROXIES": "1"})
    Settings.from_env(environ | {"FLASK_ENV": "development"})


def test_witnesses_are_named_with_the_key_of_the_log() -> None:
    other = Signer.generate("it.example.edu/witness", COSIGNATURE).verifier
    given = f"{WITNESS}=https://board.example.edu/w, {other}=http://10.0.0.7:7380"

    settings = Settings.from_env(
        PRODUCTION | {"AUDIT_LOG_VKEYS": str(LOG), "WITNESSES": given}
    )

    assert [(each.key, each.url) for each in settings.witnesses] == [
        (WITNESS, "https://board.example.edu/w"),
        (other, "http://10.0.0.7:7380"),
    ]


@pytest.mark.parametrize(
    "given",
    [
        "https://board.example.edu",
        str(WITNESS),
        f"{LOG}=https://board.example.edu",
        f"{WITNESS}=ftp://board.example.edu",
        f"{WITNESS}=https://",
        f"{WITNESS}=http://board.example.edu:99999",
        f"{WITNESS}=http://board.example.edu:seven",
    ],
    ids=range(7),
)
def test_what_is_no_witness_stops_the_start(given: str) -> None:
    with pytest.raises(ConfigError, match="WITNESSES takes VKEY=URL"):
        Settings.from_env(
            PRODUCTION | {"AUDIT_LOG_VKEYS": str(LOG), "WITNESSES": given}
        )


def test_a_secret_never_shows_in_the_settings_or_the_refusal() -> None:
    weak = "password-password-password-password"
    with pytest.raises(ConfigError) as refused:
        Settings.from_env(PRODUCTION | {"SECRET_KEY": weak})

    assert weak not in str(refused.value)
    assert STRONG not in repr(Settings.from_env(PRODUCTION))
    known = {"DB_PASSWORD": weak, "RATELIMIT_STORAGE_URI": f"redis://:{weak}@h:6379/0"}
    assert weak not in repr(Settings.from_env(PRODUCTION | known))
    # Slips of the pen: what does not start is in the log, with the reason.
    misspelt = {"RATELIMIT_STORAGE_URI": f"reddis://:{weak}@h:6379/0"}
    with pytest.raises(ConfigError) as refused:
        Settings.from_env(PRODUCTION | misspelt)
    assert weak not in str(refused.value)


@pytest.mark.parametrize(
    "given",
    ["exam.example.edu", ".example.edu,10.0.0.1:5000, [::1]", "prüfung.eu"],
)
def test_hosts_are_names_as_browsers_send_them(given: str) -> None:
    assert Settings.from_env(PRODUCTION | {"TRUSTED_HOSTS": given}).trusted_hosts


def test_a_secret_can_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(STRONG + "\n")
    environ = PRODUCTION | {"SECRET_KEY": "", "SECRET_KEY_FILE": str(file)}

    assert Settings.from_env(environ).secret_key == STRONG


LOG = Signer.generate("a.example/log", ED25519).verifier
BOARD = Signer.generate("b.example/board", COSIGNATURE).verifier
POLICY = f"log {LOG}\nwitness board {BOARD}\nquorum board\n"


def test_a_policy_is_read_to_the_letter(tmp_path: Path) -> None:
    file = tmp_path / "policy"
    file.write_text(f"# \u00fc\n{POLICY}", encoding="utf-8")

    found = Settings.from_env(PRODUCTION | {"WITNESS_POLICY_FILE": str(file)})

    assert found.witness_policy is not None
    assert found.witness_policy.text == f"# \u00fc\n{POLICY}"
    assert found.witness_policy.policy.quorum == "board"
    assert Settings.from_env(PRODUCTION).witness_policy is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        POLICY[:-1].encode(),
        POLICY.replace("\n", "\r\n").encode(),
        POLICY.replace("quorum board", "quorum none").encode(),
        POLICY.replace("quorum board", "quorum union").encode(),
        f"witness board {BOARD}\nquorum board\n".encode(),
        f"log {BOARD}\nwitness board {LOG}\nquorum board\n".encode(),
        b"# \xff\n" + POLICY.encode(),
    ],
    ids=range(8),
)
def test_what_is_no_policy_stops_the_start(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "policy"
    file.write_bytes(content)

    with pytest.raises(ConfigError, match="WITNESS_POLICY_FILE"):
        Settings.from_env(PRODUCTION | {"WITNESS_POLICY_FILE": str(file)})


def test_a_missing_secret_file_is_named() -> None:
    with pytest.raises(ConfigError, match="SECRET_KEY_FILE"):
        Settings.from_env(PRODUCTION | {"SECRET_KEY_FILE": "/nowhere/at/all"})


def test_development_makes_secrets_and_keeps_them() -> None:
    first, second = Settings.from_env({}), Settings.from_env({})

    assert first.secret_key == second.secret_key != first.jwt_secret_key
    assert len(first.jwt_secret_key) >= 32


def example() -> dict[str, str]:
    found = dotenv_values(ROOT / ".env.example")
    return {name: value or "" for name, value in found.items()}


def test_a_shell_reads_the_example_as_we_do() -> None:
    """So that whoever looks at a server has its settings: docs/operations.md."""
    read = subprocess.run(
        ["sh", "-e", "-c", "set -a; . ./.env.example; env -0"],
        cwd=ROOT,
        env={},
        capture_output=True,
        text=True,
        check=True,
    )
    known = dict(line.split("=", 1) for line in read.stdout.split("\0") if line)

    assert {name: known.get(name) for name in example()} == example()


def test_the_example_lists_every_variable_and_works_as_it_is() -> None:
    documented = example()
    source = (ROOT / "config" / "config.py").read_text()
    read = set(
        re.findall(r'read\.\w+\(\s*(?:#.*\n\s*#?.*)*?\s*"([A-Z][A-Z_]+)"', source)
    ) | {"RATELIMIT_STORAGE_URI", "BCRYPT_ROUNDS"}
    elsewhere = {"FLASK_APP", "PORT", "DB_ADMIN_USER", "DB_ADMIN_PASSWORD"}
    said_by_gunicorn = {"BEHIND_UNIX_SOCKET"}

    assert set(documented) == read - said_by_gunicorn | elsewhere
    assert Settings.from_env(documented).database.host == "localhost"


def test_production_refuses_the_example_as_it_is() -> None:
    documented = example()

    with pytest.raises(ConfigError, match="SECRET_KEY"):
        Settings.from_env(documented | {"FLASK_ENV": "production"})
