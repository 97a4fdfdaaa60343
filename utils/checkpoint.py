"""What a log says about itself in a signed note: C2SP tlog-checkpoint."""

import base64
import re
from dataclasses import dataclass
from typing import Final, Self

from utils.merkle import HASH_BYTES
from utils.signed_note import NoteError, decoded_base64

# Without leading zeros, and at most 2**63 - 1, which is all that a database can count.
DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}")
LARGEST_SIZE: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's name, how many entries it has, and the root over all of them."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text of a note. Raises NoteError."""
        if not text.endswith("\n"):
            raise NoteError("a checkpoint ends with a newline")
        lines = text[:-1].split("\n")
        if len(lines) < 3 or not all(lines):  # noqa: PLR2004
            raise NoteError("a checkpoint has three lines or more, none of them empty")
        origin, size, root, *extensions = lines
        decoded = decoded_base64(root)
        if len(decoded) != HASH_BYTES:
            raise NoteError(f"a checkpoint's root has {HASH_BYTES} bytes")
        return cls(origin, parse_decimal(size), decoded, tuple(extensions))

    def render(self) -> str:
        root = base64.b64encode(self.root).decode()
        lines = (self.origin, str(self.size), root, *self.extensions)
        return "".join(f"{line}\n" for line in lines)


def parse_decimal(text: str) -> int:
    """Read a number as the specifications write it. Raises NoteError."""
    if not DECIMAL.fullmatch(text) or int(text) > LARGEST_SIZE:
        raise NoteError("a number is not written as it should be")
    return int(text)
