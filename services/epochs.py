"""The log's epochs: under which origin it is signed, since which entry, and why.

An origin promises one history. A log that can not keep the promise any more, because
its end was lost, goes on under another origin, and the entry that says so begins it.
docs/decisions/0013-epochs.md
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models import audit_suspension
from models.audit_suspension import OriginEntry, Suspension
from models.transaction import Transaction

FIRST: Final = 1


class Contradicted(BaseModel):
    """What an origin had promised and the log does not hold. Hashes are hex."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    found_at: datetime
    seen_by: str
    note: str
    size: int
    root: str
    log_size: int
    log_root: str | None

    @classmethod
    def of(cls, found: Suspension) -> "Contradicted":
        return cls(
            found_at=found.found_at,
            seen_by=found.seen_by,
            note=found.note,
            size=found.size,
            root=found.root.hex(),
            log_size=found.log_size,
            log_root=None if found.log_root is None else found.log_root.hex(),
        )

    @property
    def sentence(self) -> str:
        seen = f"{self.seen_by} has a checkpoint of {self.size} entries that we signed"
        if self.log_root is None:
            return f"{seen}, and the log had {self.log_size}"
        return f"{seen}, and those of the log make another root"


class EpochOpened(BaseModel):
    """The payload of the entry that opens an epoch.

    Up to `agreed_size` entries the log was what the checkpoints in it say.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epoch: int = Field(gt=FIRST)
    origin: str
    previous_origin: str
    reason: str
    agreed_size: int
    contradiction: Contradicted


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """`opened` is None of the first one, which needed no reason."""

    number: int
    origin: str
    first_seq: int
    began_at: datetime
    opened_by: str | None
    opened: EpochOpened | None


class _Manifest(BaseModel):
    """What is read of the payload of entry 0."""

    origin: str


class BrokenEpochsError(Exception):
    """The entries do not say under which origin the log is signed."""


def read_epochs(tx: Transaction) -> Sequence[Epoch]:
    """Return all epochs, the first first. Raises BrokenEpochsError.

    What the log's head says is not asked: who owns the database can write there what
    he likes, and no entry would tell.
    """
    return parse_epochs(audit_suspension.list_origins(tx))


def parse_epochs(entries: Sequence[OriginEntry]) -> Sequence[Epoch]:
    """Make epochs of the entries that say so. Raises BrokenEpochsError."""
    epochs: list[Epoch] = []
    for entry in entries:
        opened = None if entry.seq == 0 else _parsed(entry)
        if opened is None and epochs:
            raise BrokenEpochsError("entry 0 stands there twice")
        if opened is not None and (
            not epochs
            or opened.epoch != len(epochs) + 1
            or opened.previous_origin != epochs[-1].origin
            or opened.origin in {epoch.origin for epoch in epochs}
        ):
            raise BrokenEpochsError(
                f"entry {entry.seq} opens an epoch that does not follow"
            )
        epochs.append(
            Epoch(
                number=len(epochs) + 1,
                origin=origin_of_genesis(entry.payload or "")
                if opened is None
                else opened.origin,
                first_seq=entry.seq,
                began_at=entry.recorded_at,
                opened_by=entry.actor_id,
                opened=opened,
            )
        )
    if not epochs:
        raise BrokenEpochsError("there is no entry 0")
    return epochs


def next_origin(epochs: Sequence[Epoch]) -> str:
    return f"{epochs[0].origin}/epoch-{len(epochs) + 1}"


def promises_of(epochs: Sequence[Epoch]) -> Mapping[str, int | None]:
    """Return up to which size the log has to be what each origin has promised.

    None for the last one: all that is signed under it has to hold.
    """
    agreed = [each.opened.agreed_size for each in epochs if each.opened is not None]
    return dict(zip((each.origin for each in epochs), [*agreed, None], strict=True))


def _parsed(entry: OriginEntry) -> EpochOpened:
    try:
        return EpochOpened.model_validate_json(entry.payload or "")
    except ValidationError as error:
        raise BrokenEpochsError(
            f"entry {entry.seq} does not say which epoch it opens"
        ) from error


def origin_of_genesis(payload: str | bytes) -> str:
    """Return the name that entry 0 gives the log. Raises BrokenEpochsError."""
    try:
        return _Manifest.model_validate_json(payload).origin
    except ValidationError as error:
        raise BrokenEpochsError("entry 0 does not name the log") from error
