"""What the log's entries say of its epochs, and what they can not say."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from models.audit_suspension import OriginEntry
from services.epochs import (
    BrokenEpochsError,
    Contradicted,
    EpochOpened,
    next_origin,
    parse_epochs,
)

THEN = datetime(2026, 11, 29, tzinfo=UTC)
ORIGIN = "log.example"
BEGIN = OriginEntry(
    seq=0, recorded_at=THEN, actor_id=None, payload='{"origin": "log.example"}'
)
SECOND = EpochOpened(
    epoch=2,
    origin=f"{ORIGIN}/epoch-2",
    previous_origin=ORIGIN,
    reason="an old backup",
    agreed_size=5,
    contradiction=Contradicted(
        found_at=THEN,
        seen_by="a witness",
        note="a note",
        size=9,
        root="00" * 32,
        log_size=5,
        log_root=None,
    ),
)
THIRD = SECOND.model_copy(
    update={
        "epoch": 3,
        "origin": f"{ORIGIN}/epoch-3",
        "previous_origin": SECOND.origin,
    }
)


def entry(seq: int, opened: EpochOpened, **changes: object) -> OriginEntry:
    changed = opened.model_copy(update=changes)
    return OriginEntry(
        seq=seq,
        recorded_at=THEN,
        actor_id="an admin",
        payload=changed.model_dump_json(),
    )


def test_each_epoch_follows_the_one_before() -> None:
    epochs = parse_epochs([BEGIN, entry(5, SECOND), entry(9, THIRD)])

    assert [each.origin for each in epochs] == [ORIGIN, SECOND.origin, THIRD.origin]
    assert [each.first_seq for each in epochs] == [0, 5, 9]
    assert next_origin(epochs) == f"{ORIGIN}/epoch-4"


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": 2},
        {"epoch": 4},
        {"previous_origin": ORIGIN},
        {"origin": ORIGIN},
        {"origin": SECOND.origin},
    ],
)
def test_an_epoch_that_does_not_follow_is_none(changes: Mapping[str, object]) -> None:
    with pytest.raises(BrokenEpochsError):
        parse_epochs([BEGIN, entry(5, SECOND), entry(9, THIRD, **changes)])


def test_a_log_begins_once_and_with_its_first_entry() -> None:
    with pytest.raises(BrokenEpochsError):
        parse_epochs([BEGIN, BEGIN])
    with pytest.raises(BrokenEpochsError):
        parse_epochs([entry(5, SECOND)])
    with pytest.raises(BrokenEpochsError):
        parse_epochs([])
