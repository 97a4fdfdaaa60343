"""Checkpoints (c2sp.org/tlog-checkpoint): what a log signs of its tree at one size."""

from dataclasses import dataclass
from typing import Self

from utils.canonical_text import (
    NoteError,
    check_characters,
    check_number,
    from_decimal,
    hash_from_base64,
    to_base64,
)
from utils.merkle import HASH_BYTES


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The text of a note. `origin` is the log's identity, `extensions` are opaque.

    Raises NoteError for what no checkpoint can hold.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for line in (self.origin, *self.extensions):
            check_characters(line)
            if not line or "\n" in line:
                raise NoteError("a line of a checkpoint is one line and not empty")
        check_number(self.size)
        if len(self.root) != HASH_BYTES:
            raise NoteError(f"a root has {HASH_BYTES} bytes, not {len(self.root)}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text of a note, which is yet to be verified."""
        if not text.endswith("\n"):
            raise NoteError("a checkpoint ends with a newline")
        try:
            origin, size, root, *extensions = text[:-1].split("\n")
        except ValueError as error:
            raise NoteError("a checkpoint has at least three lines") from error
        return cls(
            origin, from_decimal(size), hash_from_base64(root), tuple(extensions)
        )

    def render(self) -> str:
        lines = (self.origin, str(self.size), to_base64(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines)
