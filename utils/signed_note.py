"""Signed notes (c2sp.org/signed-note) and cosignatures (c2sp.org/tlog-cosignature).

Text, an empty line, and a line for each signature. Keys are Ed25519; of the signature
types that have been assigned, these are the two that a log and its witnesses need.
"""

import re
from dataclasses import dataclass, field, replace
from hashlib import sha256
from struct import Struct
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from utils.canonical_text import (
    MAX_NUMBER,
    NoteError,
    check_characters,
    check_number,
    from_base64,
    text_from_bytes,
    to_base64,
)

__all__ = [
    "COSIGNATURE",
    "ED25519",
    "Note",
    "NoteError",
    "Signature",
    "Signer",
    "Verified",
    "VerifierKey",
    "has_signature_of",
    "verified",
]

# The signature types: over the text itself, and over a time and the text.
ED25519: Final = 0x01
COSIGNATURE: Final = 0x04
# Every verifier has to accept 16; 32 witnesses and a log that rotates its key fit.
MAX_SIGNATURES: Final = 64
# As much as 64 of the longest signatures there are (ML-DSA-44), and a long text.
MAX_NOTE_BYTES: Final = 1_000_000
KEY_ID_BYTES: Final = 4
KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

_SIGNATURE_LINE = re.compile("\u2014 ([^ \n]+) ([^ \n]+)")
_PRIVATE_PREFIX: Final = "PRIVATE+KEY+"
_TIMESTAMP = Struct(">Q")


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line. `value` is what comes after the key id."""

    name: str
    key_id: bytes
    value: bytes

    def __post_init__(self) -> None:
        _check_name(self.name)
        if len(self.key_id) != KEY_ID_BYTES or not self.value:
            raise NoteError("a signature is 4 bytes of key id and at least one more")

    @classmethod
    def parse(cls, line: str) -> Self:
        """Read one line, without its newline."""
        if not (found := _SIGNATURE_LINE.fullmatch(line)):
            raise NoteError("a signature line is \u2014, key name and base64")
        value = from_base64(found[2])
        return cls(found[1], value[:KEY_ID_BYTES], value[KEY_ID_BYTES:])

    def render(self) -> str:
        """Return the line with its newline."""
        return f"\u2014 {self.name} {to_base64(self.key_id + self.value)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A text and who claims to have signed it. Nothing of it is verified yet.

    Raises NoteError for a text that no note can have. One without signatures can be
    made, to be signed, but neither parsed nor rendered.
    """

    text: str
    signatures: tuple[Signature, ...]

    def __post_init__(self) -> None:
        _check_text(self.text)
        if len(self.signatures) > MAX_SIGNATURES:
            raise NoteError(f"more than {MAX_SIGNATURES} signatures")

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read a note. Signatures of unknown keys and types are kept as they are."""
        note = text_from_bytes(raw, MAX_NOTE_BYTES)
        # The text may have empty lines itself: the last one is meant.
        text, separator, lines = note.rpartition("\n\n")
        if not separator or not lines.endswith("\n"):
            raise NoteError("no empty line before signatures, or no newline at the end")
        if lines.count("\n") > MAX_SIGNATURES:
            raise NoteError(f"more than {MAX_SIGNATURES} signatures")
        return cls(f"{text}\n", tuple(map(Signature.parse, lines[:-1].split("\n"))))

    def render(self) -> str:
        if not self.signatures:
            raise NoteError("a note has at least one signature")
        lines = "".join(signature.render() for signature in self.signatures)
        note = f"{self.text}\n{lines}"
        if len(note.encode()) > MAX_NOTE_BYTES:
            raise NoteError(f"more than {MAX_NOTE_BYTES} bytes")
        return note

    def with_signatures(self, *more: Signature) -> Self:
        """Return the note with these signatures too. What it has is not repeated."""
        return replace(self, signatures=tuple(dict.fromkeys((*self.signatures, *more))))


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A name with a public key and the one signature type that it is used for."""

    name: str
    algorithm: int
    public: bytes

    def __post_init__(self) -> None:
        _check_key(self.name, self.algorithm, self.public)

    @property
    def key_id(self) -> bytes:
        return _key_id(self.name, self.algorithm, self.public)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a vkey: name, key id and key, separated by plus signs."""
        key = cls(*_key_parts(text))
        if str(key) != text:
            raise NoteError("the key id is not that of name and key")
        return key

    def __str__(self) -> str:
        return _key_text(self.name, self.key_id, self.algorithm, self.public)


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key. `str(signer)` is its secret; `repr(signer)` is not."""

    name: str
    algorithm: int
    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _check_key(self.name, self.algorithm, self.seed)

    @classmethod
    def generate(cls, name: str, algorithm: int) -> Self:
        return cls(name, algorithm, Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text form of Go's `note` package: PRIVATE+KEY+ and then as a vkey.

        The key id is that of the public key, so a name or a key that was altered by
        accident does not go unnoticed.
        """
        if not text.startswith(_PRIVATE_PREFIX):
            raise NoteError(f"a private key begins with {_PRIVATE_PREFIX}")
        signer = cls(*_key_parts(text.removeprefix(_PRIVATE_PREFIX)))
        if str(signer) != text:
            raise NoteError("the key id is not that of name and key")
        return signer

    def __str__(self) -> str:
        key_id = self.verifier.key_id
        return _PRIVATE_PREFIX + _key_text(self.name, key_id, self.algorithm, self.seed)

    @property
    def verifier(self) -> VerifierKey:
        public = self._private().public_key().public_bytes_raw()
        return VerifierKey(self.name, self.algorithm, public)

    def sign(self, text: str) -> Signature:
        """Sign the text as it is. Raises ValueError if the key is one for cosigning."""
        self._check_algorithm(ED25519)
        _check_text(text)
        return self._signature(self._private().sign(text.encode()))

    def cosign(self, text: str, timestamp_seconds: int) -> Signature:
        """Sign a checkpoint's text with the time at which it was the newest known.

        Raises ValueError if the key is not one for cosigning.
        """
        self._check_algorithm(COSIGNATURE)
        _check_text(text)
        check_number(timestamp_seconds)
        signed = self._private().sign(_cosigned(text, timestamp_seconds))
        return self._signature(_TIMESTAMP.pack(timestamp_seconds) + signed)

    def _check_algorithm(self, algorithm: int) -> None:
        if self.algorithm != algorithm:
            raise ValueError(f"{self!r} does not make signatures of type {algorithm}")

    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    def _signature(self, value: bytes) -> Signature:
        return Signature(self.name, self.verifier.key_id, value)


@dataclass(frozen=True, slots=True)
class Verified:
    """A key has signed the note; a cosigner's key has also said when."""

    key: VerifierKey
    timestamp_seconds: int | None


def has_signature_of(note: Note, key: VerifierKey) -> bool:
    """Say whether the note claims a signature of this key, right or wrong."""
    return bool(_values_of(note, key))


def verified(note: Note, key: VerifierKey) -> Verified | None:
    """Say what the key has signed; None if nothing, or if any signature is wrong.

    A note with a wrong signature of a known key has to be rejected whole, however many
    right ones it has. Of several cosignatures of a key the newest counts.
    """
    values = _values_of(note, key)
    if not values:
        return None
    public = Ed25519PublicKey.from_public_bytes(key.public)
    timestamps = []
    for value in values:
        if key.algorithm == ED25519:
            message, signature = note.text.encode(), value
        else:
            if len(value) != _TIMESTAMP.size + SIGNATURE_BYTES:
                return None
            (timestamp,) = _TIMESTAMP.unpack_from(value)
            if timestamp > MAX_NUMBER:
                return None
            timestamps.append(timestamp)
            message, signature = (
                _cosigned(note.text, timestamp),
                value[_TIMESTAMP.size :],
            )
        try:
            public.verify(signature, message)
        except InvalidSignature:
            return None
    return Verified(key, max(timestamps, default=None))


def _values_of(note: Note, key: VerifierKey) -> list[bytes]:
    key_id = key.key_id
    return [
        signature.value
        for signature in note.signatures
        if signature.name == key.name and signature.key_id == key_id
    ]


def _cosigned(text: str, timestamp_seconds: int) -> bytes:
    return f"cosignature/v1\ntime {timestamp_seconds}\n{text}".encode()


def _key_id(name: str, algorithm: int, public: bytes) -> bytes:
    hashed = name.encode() + b"\n" + bytes([algorithm]) + public
    return sha256(hashed).digest()[:KEY_ID_BYTES]


def _key_text(name: str, key_id: bytes, algorithm: int, key: bytes) -> str:
    return f"{name}+{key_id.hex()}+{to_base64(bytes([algorithm]) + key)}"


def _key_parts(text: str) -> tuple[str, int, bytes]:
    # The base64 may have plus signs of its own.
    name, _, rest = text.partition("+")
    _, separator, encoded = rest.partition("+")
    if not separator:
        raise NoteError("a key is name, key id and base64, separated by plus signs")
    key = from_base64(encoded)
    if not key:
        raise NoteError("a key without a signature type")
    return name, key[0], key[1:]


def _check_key(name: str, algorithm: int, key: bytes) -> None:
    _check_name(name)
    if algorithm not in (ED25519, COSIGNATURE):
        raise NoteError(f"signature type {algorithm} is not supported")
    if len(key) != KEY_BYTES:
        raise NoteError(f"an Ed25519 key has {KEY_BYTES} bytes, not {len(key)}")


def _check_name(name: str) -> None:
    check_characters(name)
    if not name or "+" in name or any(map(str.isspace, name)):
        raise NoteError("a key name is not empty and has neither spaces nor plus signs")


def _check_text(text: str) -> None:
    check_characters(text)
    if not text.endswith("\n"):
        raise NoteError("the text of a note ends with a newline")
