"""A proof that one entry is in a log, complete in one text: C2SP tlog-proof.

Whoever knows the entry and trusts the keys checks it without asking anybody.
https://c2sp.org/tlog-proof
"""

import base64
from dataclasses import dataclass
from typing import Final, Self

from utils.checkpoint import parse_decimal
from utils.merkle import HASH_BYTES
from utils.signed_note import MAX_NOTE_BYTES, Note, NoteError, decoded_base64

HEADER: Final = "c2sp.org/tlog-proof@v1"
# A tree of 64 bits has no longer paths.
MAX_HASHES: Final = 64
MAX_EXTRA_BYTES: Final = 64 * 1024
MAX_PROOF_BYTES: Final = MAX_NOTE_BYTES + 2 * MAX_EXTRA_BYTES


@dataclass(frozen=True, slots=True)
class TlogProof:
    """`proof` leads from the entry's hash to the root that `note` signs.

    `extra` is not signed by anybody: believe of it only what hashes to the entry.
    """

    index: int
    proof: tuple[bytes, ...]
    note: Note
    extra: bytes | None = None

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read a proof. Raises NoteError."""
        if len(raw) > MAX_PROOF_BYTES:
            raise NoteError(f"a proof has at most {MAX_PROOF_BYTES} bytes")
        above, separator, note = raw.partition(b"\n\n")
        try:
            header, *lines = above.decode("ascii").split("\n")
        except UnicodeError as error:
            raise NoteError("the lines of a proof are ASCII") from error
        if header != HEADER or not separator:
            raise NoteError(f"a proof begins with {HEADER} and holds a checkpoint")
        extra = None
        if lines and lines[0].startswith("extra "):
            extra = decoded_base64(lines.pop(0).removeprefix("extra "))
            if len(extra) > MAX_EXTRA_BYTES:
                raise NoteError(f"extra data has at most {MAX_EXTRA_BYTES} bytes")
        if not lines or not lines[0].startswith("index "):
            raise NoteError("a proof names the index of its entry")
        index = parse_decimal(lines.pop(0).removeprefix("index "))
        if len(lines) > MAX_HASHES:
            raise NoteError(f"a proof has at most {MAX_HASHES} hashes")
        hashes = tuple(map(decoded_base64, lines))
        if any(len(each) != HASH_BYTES for each in hashes):
            raise NoteError(f"a hash has {HASH_BYTES} bytes")
        return cls(index, hashes, Note.parse(note), extra)

    def render(self) -> str:
        lines = [HEADER]
        if self.extra is not None:
            lines.append(f"extra {base64.b64encode(self.extra).decode()}")
        lines.append(f"index {self.index}")
        lines += [base64.b64encode(each).decode() for each in self.proof]
        return "\n".join(lines) + "\n\n" + self.note.render()
