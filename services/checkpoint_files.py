"""What the checkpointer remembers outside the database: its keys and what it signed.

Neither the database nor the processes of the API read these files. The state is
written before a checkpoint is published, so whatever happens in between, the next
start finds what was promised and publishes that.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from utils.merkle import Frontier
from utils.safe_files import is_private, locked, replace_file
from utils.signed_note import ED25519, NoteError, Signer, VerifierKey

Hex = Annotated[str, Field(pattern="^([0-9a-f]{2})+$")]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class CheckpointFileError(Exception):
    """A file can not be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Where the two files are."""

    keys: Path
    state: Path


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class State(_File):
    """The last tree that was signed, or was about to be."""

    origin: str
    log_id: Hex
    size: Annotated[int, Field(ge=1)]
    root: Digest
    # The perfect subtrees that the tree consists of, the largest first.
    frontier: tuple[Digest, ...]
    last_hash: Digest

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if Frontier.restore(self.size, self.subtrees).root().hex() != self.root:
            raise ValueError("the frontier does not make the root")
        return self

    @property
    def subtrees(self) -> tuple[bytes, ...]:
        return tuple(map(bytes.fromhex, self.frontier))


class KeyPeriod(_File):
    """A key, and the sizes of the trees that it may have signed.

    Both ends are included; None at the end: it still signs.
    """

    vkey: str
    from_size: Annotated[int, Field(ge=0)]
    to_size: Annotated[int, Field(ge=0)] | None


class KeyFile(_File):
    """What the file of the keys holds. `retiring` signs once more, with `current`."""

    current: str = Field(repr=False)
    retiring: str | None = Field(repr=False)
    periods: tuple[KeyPeriod, ...]


@dataclass(frozen=True, slots=True)
class Keys:
    """Who signs, and who has signed."""

    signers: tuple[Signer, ...]
    periods: tuple[KeyPeriod, ...]

    @property
    def is_rotating(self) -> bool:
        return len(self.signers) > 1

    @property
    def verifiers(self) -> tuple[VerifierKey, ...]:
        return tuple(VerifierKey.parse(period.vkey) for period in self.periods)


def read_state(path: Path) -> State | None:
    """Return the state, or None if there is none yet. Raises CheckpointFileError."""
    try:
        return State.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CheckpointFileError(
            f"The state in {path} can not be read ({_in_one_line(error)}). It is"
            " written as a whole, so somebody changed it: `python -m checkpointer"
            " recover` makes it anew from a checkpoint that you trust."
        ) from error


def write_state(path: Path, state: State) -> None:
    replace_file(path, state.model_dump_json(indent=2) + "\n")


def read_keys(path: Path) -> Keys:
    """Raises CheckpointFileError, also for a file that others may read."""
    try:
        if not is_private(path):
            raise CheckpointFileError(
                f"Others may read {path}, which holds the signing key: chmod 600 it,"
                " and rotate the key if anybody could have."
            )
        file = KeyFile.model_validate_json(path.read_text(encoding="utf-8"))
        texts = [file.current, *([file.retiring] if file.retiring else [])]
        return Keys(tuple(map(Signer.parse, texts)), file.periods)
    except FileNotFoundError as error:
        raise CheckpointFileError(
            f"There is no key in {path}: `python -m checkpointer keygen` makes one."
        ) from error
    except (OSError, ValidationError, NoteError) as error:
        # Not what is in it: that is the key.
        raise CheckpointFileError(
            f"The keys in {path} can not be read ({type(error).__name__}): restore"
            " the file from its backup."
        ) from error


def make_keys(path: Path, name: str) -> VerifierKey:
    """Make the first key. Raises CheckpointFileError if there is a file already."""
    with locked(path, is_waiting=True):
        if path.exists():
            raise CheckpointFileError(
                f"{path} exists: `python -m checkpointer rotate` replaces the key."
            )
        signer = Signer.generate(name, ED25519)
        period = KeyPeriod(vkey=str(signer.verifier), from_size=0, to_size=None)
        file = KeyFile(current=str(signer), retiring=None, periods=(period,))
        _write_keys(path, file)
    return signer.verifier


def rotate_keys(path: Path, size: int) -> VerifierKey:
    """Make a new key, from the trees behind `size` on.

    The next checkpoint is signed by both. Raises CheckpointFileError.
    """
    with locked(path, is_waiting=True):
        keys = read_keys(path)
        if keys.is_rotating:
            raise CheckpointFileError(
                "The last new key has not signed yet: let the checkpointer sign"
                " (`python -m checkpointer once`), then rotate."
            )
        old = keys.signers[0]
        new = Signer.generate(old.verifier.name, ED25519)
        period = KeyPeriod(vkey=str(new.verifier), from_size=size, to_size=None)
        file = KeyFile(
            current=str(new), retiring=str(old), periods=(period, *keys.periods)
        )
        _write_keys(path, file)
    return new.verifier


def begin_epoch_keys(path: Path, name: str, *, last_size: int, from_size: int) -> None:
    """Make the key of a new epoch, called as its origin, unless it is made already.

    The keys before it sign nothing more: they stay valid up to `last_size`, the last
    tree that they signed. Raises CheckpointFileError.
    """
    with locked(path, is_waiting=True):
        keys = read_keys(path)
        if keys.signers[0].verifier.name == name:
            return
        new = Signer.generate(name, ED25519)
        period = KeyPeriod(vkey=str(new.verifier), from_size=from_size, to_size=None)
        ended = tuple(
            each
            if each.to_size is not None
            else each.model_copy(update={"to_size": last_size})
            for each in keys.periods
        )
        file = KeyFile(current=str(new), retiring=None, periods=(period, *ended))
        _write_keys(path, file)


def set_state_aside(path: Path, epoch: int) -> Path | None:
    """Keep the state of an epoch that is over, as evidence, under another name."""
    aside = path.with_name(f"{path.stem}.epoch-{epoch}{path.suffix}")
    if not path.exists():
        return None
    if aside.exists():
        raise CheckpointFileError(f"{aside} is there already: move it away first.")
    path.rename(aside)
    return aside


def end_rotation(path: Path, size: int) -> None:
    """Forget the old key, which has signed the tree of `size` as its last."""
    with locked(path, is_waiting=True):
        keys = read_keys(path)
        if not keys.is_rotating:
            return
        current, retiring = keys.signers
        ends = {
            str(current.verifier): {"from_size": size},
            str(retiring.verifier): {"to_size": size},
        }
        periods = tuple(
            period.model_copy(update=ends.get(period.vkey, {}))
            for period in keys.periods
        )
        file = KeyFile(current=str(current), retiring=None, periods=periods)
        _write_keys(path, file)


def _write_keys(path: Path, file: KeyFile) -> None:
    replace_file(path, file.model_dump_json(indent=2) + "\n")


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())
