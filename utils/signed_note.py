"""Text signed by one or more keys: C2SP signed-note, and its tlog-cosignature.

Two kinds of signature are known, both Ed25519: of a log (type 1), over the text; and of
a witness (type 4), over the text and the time at which it saw it.
https://c2sp.org/signed-note, https://c2sp.org/tlog-cosignature
"""

import base64
import binascii
import re
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

ED25519: Final = 0x01
COSIGNATURE: Final = 0x04
ALGORITHMS: Final = frozenset({ED25519, COSIGNATURE})

MAX_NOTE_BYTES: Final = 256 * 1024
MAX_SIGNATURES: Final = 64
MAX_NAME_CHARACTERS: Final = 255
KEY_ID_BYTES: Final = 4
KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
TIMESTAMP_BYTES: Final = 8
LARGEST_TIMESTAMP: Final = 2**63 - 1

CONTROLS: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")
# \s covers what Unicode calls a space.
NAME: Final = re.compile(rf"[^\s+\x00-\x1f]{{1,{MAX_NAME_CHARACTERS}}}")
SIGNATURE_MARK: Final = "\u2014"
PRIVATE_PREFIX: Final = "PRIVATE+KEY+"


class NoteError(ValueError):
    """Something is no note, no key or no checkpoint. The message says why."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One line below a note. `value` is what follows the key's id."""

    name: str
    key_id: bytes
    value: bytes

    def render(self) -> str:
        encoded = base64.b64encode(self.key_id + self.value).decode()
        return f"{SIGNATURE_MARK} {self.name} {encoded}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A text that ends with a newline, and its signatures. None of them is checked."""

    text: str
    signatures: tuple[Signature, ...]

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read a note. Raises NoteError."""
        if len(raw) > MAX_NOTE_BYTES:
            raise NoteError(f"a note has at most {MAX_NOTE_BYTES} bytes")
        try:
            whole = raw.decode("utf-8")
        except UnicodeError as error:
            raise NoteError("a note is UTF-8 text") from error
        if CONTROLS.search(whole):
            raise NoteError("a note has no control characters but newlines")
        body, separator, below = whole.rpartition("\n\n")
        if not separator or not below.endswith("\n"):
            raise NoteError("a note ends with an empty line and signatures")
        # Not splitlines: it also splits at characters that are no newlines here.
        lines = below[:-1].split("\n")
        if len(lines) > MAX_SIGNATURES:
            raise NoteError(f"a note has at most {MAX_SIGNATURES} signatures")
        return cls(body + "\n", tuple(map(_parse_signature, lines)))

    def render(self) -> str:
        return self.text + "\n" + "".join(each.render() for each in self.signatures)

    def with_signatures(self, *more: Signature) -> Self:
        """Return the note with more signatures; what it has already is not doubled."""
        new = [each for each in more if each not in self.signatures]
        return replace(self, signatures=(*self.signatures, *new))


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key under its name. `str` gives the vkey that people exchange."""

    name: str
    algorithm: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        named = self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public
        return sha256(named).digest()[:KEY_ID_BYTES]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `name+id+key`. Raises NoteError."""
        name, key_id, algorithm, public = _parse_key(text)
        key = cls(name, algorithm, public)
        if key.key_id != key_id:
            raise NoteError("the id of the key is not that of its name and bytes")
        return key

    def __str__(self) -> str:
        key = base64.b64encode(bytes([self.algorithm]) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{key}"


class Signer:
    """A private key under its name.

    `str` gives the text to keep in a file, as Go's note package writes it. It is the
    secret itself, so its `repr` shows only whose it is.
    """

    __slots__ = ("_private", "verifier")

    def __init__(self, name: str, algorithm: int, seed: bytes) -> None:
        if not NAME.fullmatch(name):
            raise NoteError("a key's name has neither spaces nor a plus")
        if algorithm not in ALGORITHMS:
            raise NoteError(f"signatures of type {algorithm} are not known")
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        public = self._private.public_key().public_bytes_raw()
        self.verifier = VerifierKey(name, algorithm, public)

    @classmethod
    def generate(cls, name: str, algorithm: int) -> Self:
        """Make a new key. Raises NoteError for a name that none can have."""
        seed = Ed25519PrivateKey.generate().private_bytes_raw()
        return cls(name, algorithm, seed)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` wrote. Raises NoteError, whose message shows no secret."""
        if not text.startswith(PRIVATE_PREFIX):
            raise NoteError(f"a private key begins with {PRIVATE_PREFIX}")
        name, key_id, algorithm, seed = _parse_key(text.removeprefix(PRIVATE_PREFIX))
        signer = cls(name, algorithm, seed)
        if signer.verifier.key_id != key_id:
            raise NoteError("the id of the key is not that of its name and bytes")
        return signer

    def __str__(self) -> str:
        verifier = self.verifier
        seed = self._private.private_bytes_raw()
        key = base64.b64encode(bytes([verifier.algorithm]) + seed).decode()
        return f"{PRIVATE_PREFIX}{verifier.name}+{verifier.key_id.hex()}+{key}"

    def __repr__(self) -> str:
        return f"<Signer {self.verifier}>"

    def sign(self, text: str) -> Signature:
        """Sign as a log does. Raises ValueError for a witness's key."""
        self._require(ED25519)
        return self._signature(self._private.sign(text.encode()))

    def cosign(self, text: str, timestamp_seconds: int) -> Signature:
        """Sign as a witness does, with the time since 1970.

        Raises ValueError for a log's key, or a time before 1970.
        """
        self._require(COSIGNATURE)
        signed = self._private.sign(_cosigned(text, timestamp_seconds))
        return self._signature(timestamp_seconds.to_bytes(TIMESTAMP_BYTES) + signed)

    def _require(self, algorithm: int) -> None:
        if self.verifier.algorithm != algorithm:
            raise ValueError("the key is for another type of signature")

    def _signature(self, value: bytes) -> Signature:
        return Signature(self.verifier.name, self.verifier.key_id, value)


@dataclass(frozen=True, slots=True)
class Verified:
    """A signature that holds. A log's has no time."""

    key: VerifierKey
    timestamp_seconds: int | None


def verified(note: Note, key: VerifierKey) -> Verified | None:
    """Return the newest signature of the note that `key` made; None if there is none.

    As the specification wants it, a signature under the key's name and id that does not
    hold makes the whole note unsigned.
    """
    newest: Verified | None = None
    for signature in note.signatures:
        if (signature.name, signature.key_id) != (key.name, key.key_id):
            continue
        found = _verify(note.text, signature.value, key)
        if found is None:
            return None
        if newest is None or (found.timestamp_seconds or 0) > (
            newest.timestamp_seconds or 0
        ):
            newest = found
    return newest


def decoded_base64(text: str) -> bytes:
    """Decode what has one way only to be written. Raises NoteError."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError("what should be base64 is not") from error
    # The last character may have bits that no byte uses.
    if base64.b64encode(decoded).decode() != text:
        raise NoteError("base64 is not written as it should be")
    return decoded


def _verify(text: str, value: bytes, key: VerifierKey) -> Verified | None:
    message, timestamp = text.encode(), None
    if key.algorithm == COSIGNATURE:
        timestamp = int.from_bytes(value[:TIMESTAMP_BYTES])
        value = value[TIMESTAMP_BYTES:]
        if timestamp > LARGEST_TIMESTAMP:
            return None
        message = _cosigned(text, timestamp)
    if len(value) != SIGNATURE_BYTES:
        return None
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(value, message)
    except (InvalidSignature, ValueError):
        return None
    return Verified(key, timestamp)


def _cosigned(text: str, timestamp_seconds: int) -> bytes:
    if not 0 <= timestamp_seconds <= LARGEST_TIMESTAMP:
        raise ValueError("a cosignature's time counts from 1970")
    return f"cosignature/v1\ntime {timestamp_seconds}\n{text}".encode()


def _parse_signature(line: str) -> Signature:
    mark, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    if mark != SIGNATURE_MARK or not NAME.fullmatch(name):
        raise NoteError("a line below the text is no signature")
    decoded = decoded_base64(encoded)
    if len(decoded) <= KEY_ID_BYTES:
        raise NoteError("a signature is too short")
    return Signature(name, decoded[:KEY_ID_BYTES], decoded[KEY_ID_BYTES:])


def _parse_key(text: str) -> tuple[str, bytes, int, bytes]:
    # A key's base64 may contain a plus; its name may not.
    match text.split("+", 2):
        case [name, key_id, encoded] if NAME.fullmatch(name):
            pass
        case _:
            raise NoteError("a key is written name+id+base64")
    if not re.fullmatch(r"[0-9a-f]{8}", key_id):
        raise NoteError("a key's id has eight hexadecimal digits")
    decoded = decoded_base64(encoded)
    if not decoded or decoded[0] not in ALGORITHMS:
        raise NoteError("the key's type is not known")
    if len(decoded) != 1 + KEY_BYTES:
        raise NoteError(f"an Ed25519 key has {KEY_BYTES} bytes")
    return name, bytes.fromhex(key_id), decoded[0], decoded[1:]
