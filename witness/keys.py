"""The key of a witness, in a file that is made once; and the keys of logs, as given."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from utils.signed_note import COSIGNATURE, NoteError, Signer, VerifierKey
from witness.cosigning import Logs

# A key that others can read may have been copied, one that the group can write may
# have been exchanged. The group may read it: systemd grants credentials that way.
FORBIDDEN_MODE: Final = 0o027
MAX_KEY_BYTES: Final = 4096
# A name has no plus sign, and the base64 of 33 bytes no equals sign.
LOG: Final = re.compile(
    r"(?P<vkey>[^+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44})(=(?P<origin>.+))?"
)


class KeyFileError(Exception):
    """A key cannot be used; the message says why."""


def make(path: Path, name: str) -> VerifierKey:
    """Make a key and its file; return the half that everybody may know."""
    try:
        signer = Signer.generate(name, COSIGNATURE)
    except NoteError as error:
        raise KeyFileError(f"{name!r} is no name for a key: {error}") from error
    try:
        made = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(made, "w", encoding="utf-8") as file:
            file.write(f"{signer}\n")
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as error:
        raise KeyFileError(
            f"{path} is there already, and is not overwritten."
        ) from error
    except OSError as error:
        raise KeyFileError(f"{path} cannot be made: {error.strerror}") from error
    return signer.verifier


def read(path: Path) -> Signer:
    try:
        with path.open(encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & FORBIDDEN_MODE:
                raise KeyFileError(f"Others have access to {path}: chmod 600 {path}")
            signer = Signer.parse(file.read(MAX_KEY_BYTES).strip())
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        # The message of a parser might quote what it read.
        raise KeyFileError(f"{path} does not hold a key.") from error
    if signer.algorithm != COSIGNATURE:
        raise KeyFileError(f"{path} holds a key that is not for cosignatures.")
    return signer


def parse_logs(texts: Iterable[str]) -> Logs:
    """Read VKEY or VKEY=ORIGIN, once for each key. Raises KeyFileError.

    Without ORIGIN the log is called as its key, as the specification recommends.
    """
    logs: dict[str, list[VerifierKey]] = {}
    for text in texts:
        found = LOG.fullmatch(text)
        if found is None:
            raise KeyFileError(f"{text!r} is not VKEY or VKEY=ORIGIN.")
        try:
            key = VerifierKey.parse(found["vkey"])
        except NoteError as error:
            raise KeyFileError(f"{text!r} is no verifier key: {error}") from error
        logs.setdefault(found["origin"] or key.name, []).append(key)
    return logs
