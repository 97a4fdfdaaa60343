"""What a verification of the audit log can say, and the words for it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from utils.described_enum import DescribedEnum


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
class Verification:
    """The outcome. `valid` means that no error was found in what was asked for."""

    valid: bool
    verdict: Verdict
    entries_checked: int
    # Of other tables; None when they were not asked for.
    rows_checked: int | None
    first_seq: int | None
    last_seq: int | None
    # Of the last entry that was checked.
    head_hash: bytes | None
    first_invalid: Finding | None
    errors_by_class: dict[str, int]
    # The first hundred, by seq.
    errors: tuple[Finding, ...]
    checks: tuple[Check, ...]
    snapshot_at: datetime
    duration_ms: int
