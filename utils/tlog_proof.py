"""Proofs for offline use (c2sp.org/tlog-proof): an entry's place in a signed tree."""

from dataclasses import dataclass
from typing import Final, Self

from utils.canonical_text import (
    NoteError,
    check_number,
    from_base64,
    from_decimal,
    hash_from_base64,
    text_from_bytes,
    to_base64,
)
from utils.checkpoint import Checkpoint
from utils.merkle import HASH_BYTES, verify_inclusion
from utils.signed_note import MAX_NOTE_BYTES, Note

HEADER: Final = "c2sp.org/tlog-proof@v1"
# What a tree of fewer than 2**63 leaves can need.
MAX_HASHES: Final = 63
MAX_EXTRA_BYTES: Final = 64 * 1024
MAX_PROOF_BYTES: Final = MAX_NOTE_BYTES + 2 * MAX_EXTRA_BYTES
_INDEX: Final = "index "
_EXTRA: Final = "extra "


@dataclass(frozen=True, slots=True)
class TlogProof:
    """The way from the leaf at `index` to the root that a checkpoint names.

    `checkpoint_note` is the signed note, letter by letter. `extra` is what the
    application wants to keep with it, and nothing authenticates it.
    """

    index: int
    proof: tuple[bytes, ...]
    checkpoint_note: str
    extra: bytes | None = None

    def __post_init__(self) -> None:
        check_number(self.index)
        if len(self.proof) > MAX_HASHES:
            raise NoteError(f"a proof has at most {MAX_HASHES} hashes")
        if any(len(value) != HASH_BYTES for value in self.proof):
            raise NoteError(f"a hash has {HASH_BYTES} bytes")
        if self.extra is not None and len(self.extra) > MAX_EXTRA_BYTES:
            raise NoteError(f"extra data has at most {MAX_EXTRA_BYTES} bytes")
        self.checkpoint()

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read a proof, which is yet to be verified."""
        text = text_from_bytes(raw, MAX_PROOF_BYTES)
        head, separator, note = text.partition("\n\n")
        header, *lines = head.split("\n")
        if header != HEADER or not separator:
            raise NoteError(f"not {HEADER}, or no checkpoint after an empty line")
        extra = None
        if lines and lines[0].startswith(_EXTRA):
            extra = from_base64(lines.pop(0).removeprefix(_EXTRA))
        if not lines or not lines[0].startswith(_INDEX):
            raise NoteError("no index line where it has to be")
        index = from_decimal(lines.pop(0).removeprefix(_INDEX))
        if len(lines) > MAX_HASHES:
            raise NoteError(f"a proof has at most {MAX_HASHES} hashes")
        return cls(index, tuple(map(hash_from_base64, lines)), note, extra)

    def render(self) -> str:
        lines = [HEADER]
        if self.extra is not None:
            lines.append(_EXTRA + to_base64(self.extra))
        lines.append(f"{_INDEX}{self.index}")
        lines += map(to_base64, self.proof)
        return "\n".join(lines) + f"\n\n{self.checkpoint_note}"

    def note(self) -> Note:
        """Return the checkpoint with its signatures, for a policy to check."""
        try:
            raw = self.checkpoint_note.encode()
        except UnicodeEncodeError as error:
            raise NoteError("a lone surrogate") from error
        return Note.parse(raw)

    def checkpoint(self) -> Checkpoint:
        return Checkpoint.parse(self.note().text)

    def includes(self, leaf: bytes) -> bool:
        """Say whether the checkpoint's tree has this leaf hash at the index.

        That is half of the answer: whether to believe the checkpoint is for a policy
        to say.
        """
        checkpoint = self.checkpoint()
        return verify_inclusion(
            self.index, checkpoint.size, leaf, self.proof, checkpoint.root
        )
