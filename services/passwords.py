"""Passwords: which are accepted, and hashing them without starving everybody else."""

import os
import random
import sys
import threading
import unicodedata
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final, TypeVar

import bcrypt

from services import errors
from utils import metrics

MIN_BYTES: Final = 12
# bcrypt reads no more; what it would not read is refused instead of cut off.
MAX_BYTES: Final = 72
# Has been printed in documentation, so everybody knows it.
DEFAULT_PASSWORD: Final = "StrongPassword123!"  # noqa: S105
# `aaaaaaaaaaab` is long, and no password.
MIN_DISTINCT: Final = 5
# What people think of when they have to think of something for this application.
APPLICATION_WORDS: Final = ("smart proctoring system", "proctoring", "proctor")
# Shorter words occur in good passwords by chance.
MIN_CONTEXT_LENGTH: Final = 4
# So many bytes have to be left without the words that an attacker knows.
MIN_OWN_LENGTH: Final = 8

# A core that nobody else wants is still theirs.
HASHING_NICENESS: Final = 10
LARGEST_NICENESS: Final = 19

Made = TypeVar("Made")

COMMON_PASSWORDS: Final = Path(__file__).parent / "data" / "common_passwords.txt"


class PasswordRefusedError(errors.UnprocessableError):
    slug = "password-refused"
    title = "Password refused"

    def __init__(self, field: str, detail: str) -> None:
        super().__init__("Choose another password.", [(f"#/{field}", detail)])


class HashingBusyError(errors.BusyError):
    slug = "too-many-logins"
    title = "Too many logins at once"

    def __init__(self) -> None:
        # Those who were turned away together must not come back together.
        seconds = random.randint(1, 5)  # noqa: S311
        super().__init__(
            "Many people are logging in at this moment. Try again.",
            retry_after_seconds=seconds,
        )


def check_new(password: str, field: str, context: Sequence[str] = ()) -> None:
    """Refuse a password that is too short, too long, common, or made of what is known.

    `field` is its name in the body; `context` the user's address and name. Raises
    PasswordRefusedError. There are no rules about kinds of characters (NIST SP
    800-63B-4 section 3.1.1.2).
    """
    normal = _normal(password)
    size = len(normal.encode())
    if size < MIN_BYTES:
        raise PasswordRefusedError(field, f"Must have at least {MIN_BYTES} bytes.")
    if size > MAX_BYTES:
        raise PasswordRefusedError(
            field, f"Must have at most {MAX_BYTES} bytes, and has {size} in UTF-8."
        )
    folded = normal.casefold()
    if len(set(folded)) < MIN_DISTINCT:
        raise PasswordRefusedError(
            field, f"Must have at least {MIN_DISTINCT} different characters."
        )
    if folded == DEFAULT_PASSWORD.casefold() or folded in _common_passwords():
        raise PasswordRefusedError(field, "Is among the first that anybody would try.")
    if _own_length(folded, context) < MIN_OWN_LENGTH:
        raise PasswordRefusedError(
            field, "Consists of little but your name, your address or ours."
        )


def is_default(password: str) -> bool:
    return is_same(password, DEFAULT_PASSWORD)


def is_same(password: str, other: str) -> bool:
    """Say whether both are the same to us, however they were typed."""
    return _normal(password) == _normal(other)


def _own_length(folded: str, context: Sequence[str]) -> int:
    words = [*APPLICATION_WORDS]
    for each in context:
        whole = _normal(each).casefold()
        words += [whole, whole.partition("@")[0], *whole.split()]
    for word in sorted(words, key=len, reverse=True):
        if len(word) >= MIN_CONTEXT_LENGTH:
            folded = folded.replace(word, "")
    return len(folded.encode())


@cache
def _common_passwords() -> frozenset[str]:
    lines = COMMON_PASSWORDS.read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))


def _normal(password: str) -> str:
    # An é is one character or two, depending on the keyboard (RFC 8265 section 4.2).
    return unicodedata.normalize("NFC", password)


class PasswordHasher:
    """bcrypt behind a bulkhead: a storm of logins leaves the other routes alone.

    `concurrency` hashes are made at once and `queue` wait for that; more are refused
    with HashingBusyError. Called outside of transactions.
    """

    def __init__(self, *, rounds: int, concurrency: int, queue: int) -> None:
        self._rounds = rounds
        self._hashers = ThreadPoolExecutor(concurrency, "bcrypt", initializer=_give_way)
        self._places = threading.BoundedSemaphore(concurrency + queue)
        # No password has this hash, and to find that out takes as long as ever.
        self._nobodys_hash = f"$2b${rounds:02d}$" + "." * 53

    def hash(self, password: str) -> str:
        """Hash a password that `check_new` has accepted."""
        raw = _normal(password).encode()
        salt = bcrypt.gensalt(self._rounds)
        return self._in_turn(bcrypt.hashpw, raw, salt).decode()

    def verify(self, password: str, password_hash: str | None) -> bool:
        """Compare; with no hash at all it takes as long, and fails."""
        raw = _normal(password).encode()
        known = (password_hash or self._nobodys_hash).encode()
        is_right = self._in_turn(bcrypt.checkpw, raw[:MAX_BYTES], known)
        return is_right and password_hash is not None and len(raw) <= MAX_BYTES

    def is_outdated(self, password_hash: str) -> bool:
        """Say whether a hash has another cost than new ones get."""
        return int(password_hash.split("$")[2]) != self._rounds

    def _in_turn(
        self, work: Callable[[bytes, bytes], Made], one: bytes, other: bytes
    ) -> Made:
        if not self._places.acquire(blocking=False):
            metrics.HASHING_REFUSALS.inc()
            raise HashingBusyError
        try:
            metrics.HASHING_WAITING.inc()
            return self._hashers.submit(_counted, work, one, other).result()
        finally:
            self._places.release()


def _counted(work: Callable[[bytes, bytes], Made], one: bytes, other: bytes) -> Made:
    """Do the work that has waited for this thread."""
    metrics.HASHING_WAITING.dec()
    with metrics.HASHING_IN_USE.track_inprogress():
        return work(one, other)


def _give_way() -> None:
    """Let every other thread of ours go first on a core that both want.

    Linux gives each thread a niceness of its own, and the threads of requests need a
    core for a millisecond where bcrypt wants it for a quarter of a second. Where a
    sandbox forbids it, all is as it was.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        niceness = os.getpriority(os.PRIO_PROCESS, thread) + HASHING_NICENESS
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, thread, min(niceness, LARGEST_NICENESS))
