"""What a verification of the audit log can say, and the words for it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Final

from pydantic import ConfigDict

from utils.described_enum import DescribedEnum

# Bytes of a report that is kept as JSON.
IN_HEX: Final = ConfigDict(ser_json_bytes="hex", val_json_bytes="hex")


class ErrorClass(DescribedEnum):
    """A kind of damage. Each is also a check, which passed when there is none."""

    HASH = "hash", "The entry's own hash is not that of its columns."
    PREVIOUS_HASH = "previous_hash", "It does not follow from the entry before it."
    GAP = "gap", "Entries are missing."
    ORDER = "order", "An entry stands at another's place, or twice at one."
    PAYLOAD = "payload", "The payload is not the one that was committed to."
    STATE = "state", "What it says of other tables' rows is not what was committed to."
    REDACTION = "redaction", "The payload is missing and nothing says why."
    CLOCK = "clock", "Time goes backwards."
    GENESIS = "genesis", "The first entry does not bind this log."
    HEAD = "head", "The log does not end where its head says."
    EPOCH = "epoch", "The log does not say under which origin it is signed, and why."
    SCHEMA = "schema", "Something stands between the tables and who reads them."
    ROOT = "root", "The Merkle root differs."
    CHECKPOINT = "checkpoint", "A signed checkpoint contradicts the log."
    DOMAIN_MISSING = "domain_missing", "A logged row is not there."
    DOMAIN_DIFFERS = "domain_differs", "A row differs from what was logged."
    DOMAIN_UNLOGGED = "domain_unlogged", "A row was never logged."


class Verdict(StrEnum):
    TAMPERED = "tampered"
    # Nothing wrong was found, and not all that was asked for could be read.
    INCOMPLETE = "incomplete"
    # All that the database can say about itself agrees. Who owns it could have written
    # it all anew: only a hash that was kept elsewhere can tell.
    INTERNALLY_CONSISTENT = "internally_consistent"
    # And it is the log of which somebody outside the database has kept a checkpoint.
    CONSISTENT_WITH_ANCHOR = "consistent_with_anchor"
    # And the rows of the other tables are those that the log tells of.
    CONSISTENT_WITH_ANCHOR_AND_DOMAIN = "consistent_with_anchor_and_domain"


class CheckResult(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    NOT_CHECKED = "not_checked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong. `expected` and `found` are text, hashes in hex."""

    seq: int
    reason: ErrorClass
    expected: str | None = None
    found: str | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    name: str
    result: CheckResult
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorCheck:
    """A checkpoint from outside the database, and whether the log is the one it is of.

    `source` says who had it. `size` is None for one that was not to be had.
    `witnessed_at` is when a witness last called it the newest.
    """

    source: str
    result: CheckResult
    detail: str
    size: int | None = None
    witnessed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Continued:
    """Where an incremental run began, and when all before it was read last."""

    size: int
    last_full_run_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeEnd:
    """The Merkle tree over the entries, as far as they were read.

    `frontier` are the roots of its perfect subtrees, the largest first; `last_hash` and
    `last_time_us` are of the last entry.
    """

    __pydantic_config__: ClassVar = IN_HEX

    origin: str
    log_id: bytes
    size: int
    root: bytes
    frontier: tuple[bytes, ...]
    last_hash: bytes
    last_time_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The outcome. `valid` means that no error was found in what was asked for."""

    __pydantic_config__: ClassVar = IN_HEX

    valid: bool
    verdict: Verdict
    entries_checked: int
    # Of other tables; None when they were not asked for.
    rows_checked: int | None
    first_seq: int | None
    last_seq: int | None
    # Of the last entry that was checked; None if it is no hash.
    head_hash: bytes | None
    first_invalid: Finding | None
    errors_by_class: dict[str, int]
    # The first hundred, by seq.
    errors: tuple[Finding, ...]
    checks: tuple[Check, ...]
    snapshot_at: datetime
    duration_ms: int
    anchors: tuple[AnchorCheck, ...] = ()
    # Behind the largest anchor that agrees: nothing outside the database knows of them.
    # None without such an anchor.
    unanchored_entries: int | None = None
    # None if it was not made: only a part was read, or something is missing.
    tree: TreeEnd | None = None
    continued: Continued | None = None
