"""The body of `POST /add-checkpoint`, read strictly (C2SP tlog-witness)."""

import re
from dataclasses import dataclass
from typing import Final

from utils.canonical_text import MAX_NUMBER, hash_from_base64
from utils.checkpoint import Checkpoint
from utils.signed_note import Note, NoteError
from witness.refusals import MalformedError

# Sixteen signatures of the largest kind that the specification knows fit in it.
MAX_BODY_BYTES: Final = 128 * 1024
MAX_PROOF_LINES: Final = 63
OLD_LINE: Final = re.compile(rb"old (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A checkpoint, and the proof that it extends the one of `old_size`."""

    old_size: int
    proof: tuple[bytes, ...]
    note: Note
    checkpoint: Checkpoint


def parse(body: bytes) -> Submission:
    """Read a submission. Nothing in it is to be trusted yet. Raises MalformedError."""
    head, blank, signed = body.partition(b"\n\n")
    old_line, *proof_lines = head.split(b"\n", MAX_PROOF_LINES + 1)
    old = OLD_LINE.fullmatch(old_line)
    if not blank or old is None or int(old[1]) > MAX_NUMBER:
        raise MalformedError("The body does not begin with an old size and a proof.")
    if len(proof_lines) > MAX_PROOF_LINES:
        raise MalformedError(f"The proof has more than {MAX_PROOF_LINES} lines.")
    try:
        proof = tuple(hash_from_base64(line.decode("ascii")) for line in proof_lines)
        note = Note.parse(signed)
        checkpoint = Checkpoint.parse(note.text)
    except UnicodeError as error:
        raise MalformedError("A line of the proof is not base64.") from error
    except NoteError as error:
        raise MalformedError(f"It is malformed: {error}.") from error
    return Submission(
        old_size=int(old[1]), proof=proof, note=note, checkpoint=checkpoint
    )
