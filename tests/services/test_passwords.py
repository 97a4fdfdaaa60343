"""Which passwords are accepted, and how they are compared."""

import unicodedata

import bcrypt
import pytest

from services.passwords import (
    COMMON_PASSWORDS,
    DEFAULT_PASSWORD,
    MAX_BYTES,
    MIN_BYTES,
    PasswordHasher,
    PasswordRefusedError,
    check_new,
    is_default,
    is_same,
)

CONTEXT = ("alice.liddell@example.edu", "Alice Liddell")
DENIED = [
    line
    for line in COMMON_PASSWORDS.read_text().splitlines()
    if not line.startswith("#")
]


def hasher(rounds: int = 4) -> PasswordHasher:
    return PasswordHasher(rounds=rounds, concurrency=1, queue=0)


@pytest.mark.parametrize(
    "password",
    [
        "x7 is enough",
        "correct horse battery staple",
        "abcdefabcdef",
        "64 characters of ASCII are welcome, whichever they happen to be.",
        "9j3kd72ndka01",
        "я помню чудное мгновенье",
        "😀🐎🔋🖇️😃",
        # A word of ours, with enough of one's own beside it.
        "alice likes to keep bees",
        "proctoring is what bees do",
        # The application does not decide which characters make a password good.
        "onlylowercaseletters",
        "   spaces are kept   ",
    ],
)
def test_a_good_password_is_accepted(password: str) -> None:
    """S15."""
    check_new(password, "password", CONTEXT)


@pytest.mark.parametrize(
    "password",
    [
        "",
        "eleven char",
        # In characters it would be long enough, once put together.
        unicodedata.normalize("NFD", "ééééééé"),
        "x7" * 36 + "x",
        "😀🐎🔋🖇" * 5,
        # Less than five different characters, in whatever case.
        "aaaaaaaaaaaaaaaa",
        "abcdabcdabcd",
        "abABcdCDabcdAB",
        "StrongPassword123!",
        "strongpassword123!",
        "STRONGPASSWORD123!",
        "passwordpassword",
        "PasswordPassword",
        "qwertyuiop123",
        "123456789012",
        "alice.liddell@example.edu",
        "alice.liddell1",
        "Alice Liddell 1",
        "AliceLiddell",
        "liddell-alice",
        "Smart Proctoring System",
        "proctoring2026!",
        "ProctorProctor1",
    ],
)
def test_a_bad_password_is_refused(password: str) -> None:
    """S15, S16."""
    with pytest.raises(PasswordRefusedError) as caught:
        check_new(password, "new_password", CONTEXT)

    ((pointer, detail),) = caught.value.problems
    assert pointer == "#/new_password"
    assert detail.endswith(".")
    assert not password or password not in detail


def test_the_length_is_that_of_what_is_hashed() -> None:
    """S15: composed it has 72 bytes, decomposed more."""
    password = "é" * 5 + "0123456789" * 6 + "ab"
    decomposed = unicodedata.normalize("NFD", password)
    assert len(password.encode()) == MAX_BYTES < len(decomposed.encode())

    check_new(decomposed, "password")

    assert hasher().verify(password, hasher().hash(decomposed))


def test_the_list_holds_what_the_other_rules_would_let_through() -> None:
    assert len(DENIED) >= 3000
    assert len(set(DENIED)) == len(DENIED)
    for each in DENIED:
        assert each == unicodedata.normalize("NFC", each).casefold()
        assert MIN_BYTES <= len(each.encode()) <= MAX_BYTES


def test_the_list_says_where_it_comes_from() -> None:
    first = COMMON_PASSWORDS.read_text().partition("\n")[0]

    assert first.startswith("# ")


def test_the_default_password_is_known_however_it_is_written() -> None:
    assert is_default(DEFAULT_PASSWORD)
    assert not is_default(DEFAULT_PASSWORD.lower())
    assert is_same("cafe\u0301", "café")
    assert not is_same("cafe", "café")


def test_a_password_is_verified_in_full() -> None:
    password = "0123456789abcdefghijklmnopqrstuvwxyz" * 2
    kept = hasher().hash(password)

    assert hasher().verify(password, kept)
    assert not hasher().verify(password[:-1], kept)
    # bcrypt itself would not see the difference.
    assert not hasher().verify(password + "0", kept)
    assert password not in kept
    assert hasher().hash(password) != kept


def test_nobodys_password_is_never_right() -> None:
    """S18."""
    for password in ("", "x", "." * 53, "\x00", "😀" * 100):
        assert not hasher().verify(password, None)


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
def test_hashes_of_other_programs_are_read(prefix: str) -> None:
    kept = bcrypt.hashpw(b"sixteen candles", bcrypt.gensalt(4)).decode()

    assert hasher().verify("sixteen candles", prefix + kept[4:])


def test_the_cost_is_read_from_the_hash() -> None:
    """S17."""
    kept = hasher(5).hash("sixteen candles")

    assert kept.startswith("$2b$05$")
    assert hasher(4).verify("sixteen candles", kept)
    assert hasher(4).is_outdated(kept)
    assert not hasher(5).is_outdated(kept)
