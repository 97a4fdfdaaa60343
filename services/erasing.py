"""What every erasure has in common: a person's, and one because the time is over."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

from pydantic import BaseModel, Field

from models import erasure, idempotency_key
from models.erasure import Counts, DataClass, RecordedErasure, Target
from models.transaction import Transaction
from services.erasure_errors import LegalHoldError, RowsDeviateError, UngradedError
from utils.blockchain_hasher import canonical_json

# So many ranges fit into the payload of an entry twice, whatever the numbers.
RANGES_AT_ONCE: Final = 15_000
# What the database refuses.
REFUSALS: Final = {
    "erasure_held": LegalHoldError,
    "erasure_ungraded": UngradedError,
    "erasure_rows_deviate": RowsDeviateError,
}
USER: Final = "user"
RETENTION: Final = "retention"


class ErasureFacts(BaseModel):
    """The payload of `data.erased`. No personal data: it is never erased.

    `classes` counts rows; `entries` are the ranges of the entries that were emptied;
    `mentions` of them, in the ranges `mention_entries`, are about somebody else, and
    `mentions_left` were left as they are. An erasure of many entries is recorded by
    several, of which only the first counts.
    """

    legal_basis: str
    reason: str
    classes: dict[str, Annotated[int, Field(ge=0)]]
    entries: list[tuple[int, int]]
    mentions: int = 0
    mention_entries: list[tuple[int, int]] = []
    mentions_left: int = 0
    # The rule of the retention that wanted it.
    data_class: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """What was erased, or would be: then it has no number, time and author yet.

    `subject_type` is user, with his id, or retention, with the class of data.
    """

    seq: int | None
    erased_at: datetime | None
    erased_by: str | None
    subject_type: str
    subject_id: str
    facts: ErasureFacts

    @property
    def entry_count(self) -> int:
        return sum(last - first + 1 for first, last in self.facts.entries)


def erase(tx: Transaction, target: Target, planned: Erasure, *, actor_id: str) -> None:
    """Do what is planned, and commit, inside of `in_our_words(REFUSALS)`."""
    if DataClass.ACCOUNT in target.classes:
        # The database forgets what names him; this may name no more than his attempts.
        idempotency_key.forget(tx, target.attempt_ids)
    erasure.erase(
        tx,
        target,
        entity_type=planned.subject_type,
        entity_id=planned.subject_id,
        actor_id=actor_id,
        payloads=[
            canonical_json(each.model_dump(mode="json"))
            for each in _parts(planned.facts)
        ],
    )


def counted(classes: Sequence[DataClass], counts: Counts) -> Mapping[str, int]:
    """Return the numbers of the classes that are to be erased."""
    return {
        each.value: 1 if each is DataClass.ACCOUNT else getattr(counts, each.value)
        for each in classes
    }


def from_records(rows: Sequence[RecordedErasure]) -> Erasure:
    """Return what the entries of one erasure say, the first of them first."""
    first, *others = rows
    facts = ErasureFacts.model_validate_json(first.payload)
    for row in others:
        more = ErasureFacts.model_validate_json(row.payload)
        facts.entries += more.entries
        facts.mention_entries += more.mention_entries
    return Erasure(
        seq=first.seq,
        erased_at=first.recorded_at,
        erased_by=first.actor_id,
        subject_type=first.entity_type,
        subject_id=first.entity_id,
        facts=facts,
    )


def _parts(facts: ErasureFacts) -> Iterator[ErasureFacts]:
    """Divide what one entry can not list. The first part has all the counts."""
    longest = max(len(facts.entries), len(facts.mention_entries), 1)
    for start in range(0, longest, RANGES_AT_ONCE):
        end = start + RANGES_AT_ONCE
        listed = {
            "entries": facts.entries[start:end],
            "mention_entries": facts.mention_entries[start:end],
        }
        counts = {"classes": {}, "mentions": 0, "mentions_left": 0} if start > 0 else {}
        yield facts.model_copy(update=listed | counts)
