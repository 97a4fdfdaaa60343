"""Checks entries one after the other, as fast as Python can.

It gets rows as `models.audit_snapshot` describes them and rebuilds from their columns
what they must hash to. Almost every entry is right, so the fast path only asks whether
all is well; `_diagnose` finds out what is not.
"""

from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from struct import Struct
from struct import error as BadStructError  # noqa: N812
from typing import Final

from models.audit_snapshot import (
    COLUMNS,
    EPOCH_US,
    REGULAR,
    Receive,
    fields_of,
    row_of,
)
from services.audit_findings import ErrorClass, Finding
from services.audit_tree import Chunk
from services.erased_entries import NOTHING_ERASED, ErasedEntries
from utils.blockchain_hasher import (
    ENTRY_TAG,
    LEAF_PREFIX,
    NO_HASH,
    NULL,
    PAYLOAD_TAG,
    STATE_TAG,
)

# All of a regular row up to the payload: each field behind its length, which is known,
# and at the end the length of the payload.
_ROW = Struct(">7s4xQ4xq4x14s4x32s4x32s4x32s4x32s4xi4x36xi")
_PAYLOAD: Final = _ROW.size
# The salt with the zeros behind it. What a payload is committed to lies ready in the
# row from here to the payload's end.
_SALT: Final = slice(_PAYLOAD - 40, _PAYLOAD - 4)
# What stands between the log's id and the numbers.
_PLACE = Struct(">Q32sq")
# The first string of an entry, which is always the same.
_STREAM: Final = b"\x00\x00\x00\x04main"
_length = Struct(">i")
# Where the seq stands among the bytes of an entry.
_SEQ: Final = slice(32, 40)
# Which of COLUMNS are the strings of an entry.
_SUBJECT: Final = (COLUMNS.index("attempt_id"), COLUMNS.index("state"))

MAX_FINDINGS: Final = 100
PROGRESS_EVERY: Final = 4096

# Is told that so many more entries have been checked.
Progress = Callable[[int], None]
# Is given the hash of each row, as it is stored: the leaf of a Merkle tree.
Keep = Callable[[bytes], object]
# Does nothing with it, in the least time.
FORGET: Final[Keep] = len


@dataclass(frozen=True, slots=True)
class Misfit:
    """An entry whose hash is wrong at its place. At another it may be right."""

    seq: int
    hash: bytes
    entry: bytes

    def fits(self, seq: int) -> bool:
        entry = self.entry[: _SEQ.start] + seq.to_bytes(8) + self.entry[_SEQ.stop :]
        return sha256(LEAF_PREFIX + entry).digest() == self.hash


@dataclass(slots=True)
class RangeResult:
    """What was found in a range. It travels between processes."""

    entries: int = 0
    last_seq: int | None = None
    last_hash: bytes | None = None
    last_time_us: int | None = None
    counts: Counter[ErrorClass] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    misfits: list[Misfit] = field(default_factory=list)
    # For each gap the first seq that is missing, and the first that is there again.
    gaps: list[tuple[int, int]] = field(default_factory=list)
    # What the range adds to the tree, if that was asked for.
    chunk: Chunk | None = None
    # Why the range was not read to its end.
    interruption: str | None = None

    def add(self, finding: Finding) -> None:
        self.counts[finding.reason] += 1
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)


class RangeCheck:
    """Checks the rows of a range.

    `first` is the seq that the first row must have; `previous_hash` and
    `previous_time_us` are of the entry before it, None if that is not there to compare.
    `erased` says which payloads may be gone. `receive` takes the rows in order, one a
    call, as `Snapshot.copy` sends them; `keep` is given the hash of each.
    """

    def __init__(
        self,
        log_id: bytes,
        first: int,
        *,
        previous_hash: bytes | None,
        previous_time_us: int | None,
        erased: ErasedEntries = NOTHING_ERASED,
        progress: Progress | None = None,
        keep: Keep = FORGET,
    ) -> None:
        self.result = RangeResult()
        self._erased = erased
        self._log_id = log_id
        self._expected_seq = first
        self._previous_hash = previous_hash
        self._previous_time_us = previous_time_us or 0
        self._progress = progress
        self._keep = keep
        self._told_seq = first
        # A generator keeps what it works with in local variables from row to row.
        # That, and no call of a function of ours, is a fifth of the time of a row.
        self._checking = self._check()
        next(self._checking)
        self.receive: Receive = self._checking.send

    def _check(self) -> Generator[None, bytes, None]:
        """Check row after row. Nearly all of the time is spent here."""
        unpack, pack = _ROW.unpack_from, _PLACE.pack
        salt_at, keep = _SALT.start, self._keep
        # Formatting bytes is the fastest way to join so many of them.
        leaf = b"%b%b%%b%%b%%b%%b%b%%b" % (
            LEAF_PREFIX + ENTRY_TAG,
            self._log_id.replace(b"%", b"%%"),
            _STREAM,
        )
        row = yield
        while True:
            if (found := row_of(row)) is None:
                row = yield
                continue
            row = found
            # From here on all is well as far as we know, and it is known only here.
            expected_seq = first_seq = self._expected_seq
            last_hash, last_time_us = self._previous_hash, self._previous_time_us
            try:
                while True:
                    # fmt: off
                    (
                        beginning, seq, time_us, numbers, payload_hash, state_hash,
                        previous_hash, stored_hash, state_bytes, payload_length,
                    ) = unpack(row)
                    # fmt: on
                    time_us += EPOCH_US
                    payload_end = _PAYLOAD + payload_length
                    place = pack(seq, previous_hash, time_us)
                    state_at = len(row) - 4 - state_bytes
                    subject = row[payload_end:state_at]
                    state = row[state_at:]
                    entry = leaf % (place, numbers, payload_hash, state_hash, subject)
                    committed = PAYLOAD_TAG + row[salt_at:payload_end]
                    if (
                        sha256(entry).digest() != stored_hash
                        or sha256(committed).digest() != payload_hash
                        or (
                            state_hash != NO_HASH
                            if state == NULL
                            else sha256(STATE_TAG + row[_SALT] + state).digest()
                            != state_hash
                        )
                        or seq != expected_seq
                        or previous_hash != last_hash
                        or time_us < last_time_us
                        or beginning != REGULAR
                    ):
                        break
                    expected_seq += 1
                    last_hash = stored_hash
                    last_time_us = time_us
                    keep(stored_hash)
                    if not expected_seq % PROGRESS_EVERY:
                        self._tell(expected_seq)
                    row = yield
            except BadStructError:
                # Too short for a row: COPY's trailer, or columns that were emptied.
                pass
            finally:
                self.result.entries += expected_seq - first_seq
                self._expected_seq = expected_seq
                self._previous_hash, self._previous_time_us = last_hash, last_time_us
            if row_of(row) is not None:
                self.result.entries += 1
                self._diagnose(row)
                self._tell(self._expected_seq)
            row = yield

    def _tell(self, seq: int) -> None:
        if self._progress is not None and seq >= self._told_seq + PROGRESS_EVERY:
            self._progress(seq - self._told_seq)
            self._told_seq = seq

    def finish(self, last: int) -> RangeResult:
        """Return what was found, once all rows up to `last` have come."""
        self._checking.close()
        result = self.result
        if result.interruption is None and self._expected_seq <= last:
            self._add_gap(last + 1)
        result.last_seq = self._expected_seq - 1 if result.entries else None
        result.last_hash = self._previous_hash
        result.last_time_us = self._previous_time_us
        return result

    def _diagnose(self, row: bytes) -> None:
        """Say everything that is wrong with this row, and go on behind it."""
        fields = fields_of(row)
        seq = int.from_bytes(fields["seq"] or b"", signed=True)
        if seq > self._expected_seq:
            self._add_gap(seq)
        elif seq < self._expected_seq:
            self._add(seq, ErrorClass.ORDER, str(self._expected_seq), str(seq))
        elif self._previous_hash not in (None, fields["previous_hash"]):
            self._add(
                seq,
                ErrorClass.PREVIOUS_HASH,
                _hex(self._previous_hash),
                _hex(fields["previous_hash"]),
            )
        self._check_hash(seq, fields)
        self._check_payload(seq, fields)
        self._check_state(seq, fields)
        time_us = EPOCH_US + int.from_bytes(fields["recorded_at"] or b"", signed=True)
        if time_us < self._previous_time_us:
            earliest = self._previous_time_us
            self._add(seq, ErrorClass.CLOCK, f"{earliest} µs or later", f"{time_us} µs")
        self._expected_seq = max(seq + 1, self._expected_seq)
        # What is stored, not what is right: the next entry is to be judged by itself.
        self._previous_hash = fields["hash"]
        self._previous_time_us = time_us
        # A hash that is none takes a place in the tree, where nobody has signed it.
        self._keep((fields["hash"] or b"")[:32].ljust(32, b"\0"))

    def _check_hash(self, seq: int, fields: dict[str, bytes | None]) -> None:
        entry = self._entry_of(fields)
        found = fields["hash"]
        if entry is None:
            self._add(seq, ErrorClass.HASH, None, _hex(found), "a column is malformed")
            return
        expected = sha256(LEAF_PREFIX + entry).digest()
        if expected == found:
            return
        self._add(seq, ErrorClass.HASH, _hex(expected), _hex(found))
        if found is not None and len(self.result.misfits) < MAX_FINDINGS:
            self.result.misfits.append(Misfit(seq, found, entry))

    def _entry_of(self, fields: dict[str, bytes | None]) -> bytes | None:
        # Every value as it is sent, the number of microseconds apart.
        fixed = [
            fields["seq"],
            fields["previous_hash"],
            fields["recorded_at"],
            fields["numbers"],
            fields["payload_hash"],
            fields["state_hash"],
        ]
        if any(
            value is None or len(value) != length
            for value, length in zip(fixed, (8, 32, 8, 14, 32, 32), strict=True)
        ):
            return None
        time_us = EPOCH_US + int.from_bytes(fields["recorded_at"] or b"", signed=True)
        try:
            fixed[2] = time_us.to_bytes(8, signed=True)
        except OverflowError:
            return None
        subject = b"".join(
            b"\xff\xff\xff\xff" if value is None else _length.pack(len(value)) + value
            for value in islice(fields.values(), *_SUBJECT)
        )
        header = b"".join(value for value in fixed if value is not None)
        return ENTRY_TAG + self._log_id + header + _STREAM + subject

    def _check_payload(self, seq: int, fields: dict[str, bytes | None]) -> None:
        salt, payload = _salt_in(fields), fields["payload"]
        if salt is None or payload is None:
            if salt is not None or payload is not None:
                gone, left = (
                    ("salt", "payload") if salt is None else ("payload", "salt")
                )
                detail = f"the {gone} is not there, and the {left} is"
            elif seq in self._erased:
                return
            else:
                detail = (
                    "the payload is not there, and no entry says that it was erased"
                )
            self._add(seq, ErrorClass.REDACTION, None, None, detail)
            return
        length = len(payload).to_bytes(8)
        expected = sha256(PAYLOAD_TAG + salt + length + payload).digest()
        if len(salt) != 32 or expected != fields["payload_hash"]:  # noqa: PLR2004
            self._add(
                seq, ErrorClass.PAYLOAD, _hex(fields["payload_hash"]), _hex(expected)
            )

    def _check_state(self, seq: int, fields: dict[str, bytes | None]) -> None:
        state, salt, found = (
            fields["state"],
            _salt_in(fields),
            fields["state_hash"],
        )
        if salt is None and state is None:
            # Erased together with the payload, which has been judged.
            return
        expected = NO_HASH
        if state is not None:
            length = len(state).to_bytes(8)
            expected = sha256(STATE_TAG + (salt or b"") + length + state).digest()
        if expected != found:
            self._add(seq, ErrorClass.STATE, _hex(found), _hex(expected))

    def _add_gap(self, next_seq: int) -> None:
        first = self._expected_seq
        missing = next_seq - first
        self._add(
            first,
            ErrorClass.GAP,
            str(first),
            None,
            f"{missing} {'entry is' if missing == 1 else 'entries are'} missing",
        )
        if len(self.result.gaps) < MAX_FINDINGS:
            self.result.gaps.append((first, next_seq))

    def _add(
        self,
        seq: int,
        reason: ErrorClass,
        expected: str | None,
        found: str | None,
        detail: str = "",
    ) -> None:
        self.result.add(
            Finding(
                seq=seq,
                reason=reason,
                expected=expected,
                found=found,
                detail=detail or reason.description,
            )
        )


def _salt_in(fields: dict[str, bytes | None]) -> bytes | None:
    """Return the salt without the zeros that were sent behind it."""
    salt = fields["salt"]
    return None if salt is None else salt[:-4]


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()
