"""Reads in a snapshot of the log what its entries say of erasures."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import BaseModel, NonNegativeInt, StringConstraints, ValidationError

from models.audit_snapshot import ReadInterruptedError, fields_of, row_of
from models.audit_source import LogSource
from services.audit_check import RangeCheck
from services.erased_entries import NOTHING_ERASED, ErasedEntries, Range, erased_in


class Named(BaseModel):
    """What of an erasure's payload counts here. Each range has two ends."""

    legal_basis: Annotated[str, StringConstraints(min_length=1)]
    entries: list[tuple[NonNegativeInt, NonNegativeInt]]


def read_erased_entries(log: LogSource, log_id: bytes, after: int) -> ErasedEntries:
    """Read what the entries behind `after` say; an entry is erased by a later one.

    An erasure whose own hash or payload is wrong erases nothing. Nor does one that was
    not read in time: then the reading of the log does not come to its end either.
    """
    rows: list[bytes] = []

    def receive(message: bytes) -> None:
        row = row_of(message)
        if row is not None:
            rows.append(row)

    try:
        log.copy_erasures(after, receive)
    except ReadInterruptedError:
        return NOTHING_ERASED
    return erased_in(each for row in rows for each in _named(row, log_id))


def _named(row: bytes, log_id: bytes) -> Iterator[Range]:
    fields = fields_of(row)
    seq = int.from_bytes(fields["seq"] or b"", signed=True)
    check = RangeCheck(log_id, seq, previous_hash=None, previous_time_us=None)
    check.receive(row)
    if check.result.findings:
        return
    try:
        named = Named.model_validate_json(fields["payload"] or b"")
    except ValidationError:
        return
    for first, last in named.entries:
        # Nothing that the log says of itself goes, nor what is yet to come.
        yield max(1, first), min(last, seq - 1)
