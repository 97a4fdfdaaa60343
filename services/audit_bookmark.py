"""The bookmark: what a verifier keeps of a log that he has read, to go on from there.

It is his file and outside the database. A run that begins at it does not see changes of
what was read before; it says so, and when all was read last.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from models.audit_snapshot import HASH_IN_ROW
from models.audit_source import LogSource
from services.audit_anchors import Anchor
from services.audit_findings import Continued, ErrorClass, Finding, Verification
from utils.canonical_text import MAX_NUMBER
from utils.merkle import Frontier
from utils.safe_files import replace_file

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class BookmarkError(Exception):
    """A bookmark can not be used; it says nothing about the log."""


class Bookmark(BaseModel):
    """A log as it was verified. Hashes are lower-case hex, times RFC 3339."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["proctoring-bookmark/1"] = "proctoring-bookmark/1"
    origin: str
    log_id: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    size: Annotated[int, Field(ge=1, le=MAX_NUMBER, strict=True)]
    root: Digest
    # The perfect subtrees that the tree consists of, the largest first.
    frontier: tuple[Digest, ...]
    # Of the last entry; the time in microseconds since 1970.
    last_hash: Digest
    last_time_us: int
    made_at: AwareDatetime
    last_full_run_at: AwareDatetime

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if Frontier.restore(self.size, self.subtrees).root().hex() != self.root:
            raise ValueError("the frontier does not make the root")
        return self

    @property
    def subtrees(self) -> tuple[bytes, ...]:
        return tuple(map(bytes.fromhex, self.frontier))

    @property
    def continued(self) -> Continued:
        return Continued(size=self.size, last_full_run_at=self.last_full_run_at)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises BookmarkError."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            why = error if isinstance(error, OSError) else error.errors()[0]["msg"]
            raise BookmarkError(
                f"{path} is no bookmark that can be used ({why}). It says nothing about"
                " the log: move it away, and read everything once."
            ) from error

    @classmethod
    def of(cls, verification: Verification) -> Self | None:
        """Make the bookmark of a run that held; None for one that can have none."""
        end = verification.tree
        if end is None or not verification.valid:
            return None
        now = verification.snapshot_at
        before = verification.continued
        return cls(
            origin=end.origin,
            log_id=end.log_id.hex(),
            size=end.size,
            root=end.root.hex(),
            frontier=tuple(each.hex() for each in end.frontier),
            last_hash=end.last_hash.hex(),
            last_time_us=end.last_time_us,
            made_at=now,
            last_full_run_at=now if before is None else before.last_full_run_at,
        )

    def write(self, path: Path) -> None:
        """Put it in the place of the one before; all of it, or nothing changes."""
        replace_file(path, self.model_dump_json(indent=2) + "\n")

    def anchor(self, name: str) -> Anchor:
        """Return what a full run has to find at its size."""
        return Anchor(
            source=f"the bookmark {name}",
            origin=None,
            size=self.size,
            root=bytes.fromhex(self.root),
            detail=f"verified at {_shown(self.made_at)}",
        )

    def compare(
        self, log: LogSource, *, log_id: bytes, origin: str | None
    ) -> Iterator[Finding]:
        """See that the log still has what was verified, as far as one row can tell.

        Raises BookmarkError for one of another log.
        """
        if self.log_id != log_id.hex():
            if origin != self.origin:
                raise BookmarkError(
                    f"The bookmark is of the log {self.origin}, and this is {origin}:"
                    " another database, or another bookmark."
                )
            yield Finding(
                seq=0,
                reason=ErrorClass.GENESIS,
                expected=self.log_id,
                found=log_id.hex(),
                detail="the log bears the name of the one that was verified before, and"
                " is another: it was begun anew",
            )
        row = log.row(self.size - 1)
        if row is None:
            yield Finding(
                seq=self.size - 1,
                reason=ErrorClass.GAP,
                expected=str(self.size - 1),
                detail=f"entry {self.size - 1} was there at {_shown(self.made_at)}, and"
                " is not any more",
            )
        elif row[HASH_IN_ROW].hex() != self.last_hash:
            yield Finding(
                seq=self.size - 1,
                reason=ErrorClass.ROOT,
                expected=self.last_hash,
                found=row[HASH_IN_ROW].hex(),
                detail="this entry had another hash when the bookmark was made:"
                " history was rewritten",
            )


def _shown(moment: datetime) -> str:
    return f"{moment:%F %T} UTC"
