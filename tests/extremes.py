"""Entries and texts that are as unlike ordinary ones as the layout allows."""

import random
from datetime import UTC, datetime, timedelta
from typing import Final

from utils.blockchain_hasher import NO_HASH, Entry

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

# Text that has tripped serialisers: empty, long, joined, reordered, not normalised.
TEXTS = (
    "",
    "a",
    "main",
    "x" * 65536,
    "\u00e9",
    "e\u0301",
    "\U0001f9d1\u200d\U0001f393",
    "\u202eright to left",
    "\ufeff",
    "\U0010ffff",
    "'; DROP TABLE audit_log; --",
    "\\x00\\000%s{}",
    "line\nline\r\n\t",
    "ÿþ" * 300,
)


def some_text(rng: random.Random) -> str:
    if rng.random() < 0.3:
        return rng.choice(TEXTS)
    letters = [rng.randrange(1, 0x110000) for _ in range(rng.randrange(40))]
    return "".join(chr(each) for each in letters if not 0xD800 <= each < 0xE000)


def some_entry(
    rng: random.Random,
    payload_hash: bytes | None = None,
    state_hash: bytes | None = None,
) -> Entry:
    """Make an entry, with the hashes that are given or any others."""
    optional = [some_text(rng) if rng.random() < 0.8 else None for _ in range(2)]
    return Entry(
        log_id=rng.randbytes(16),
        seq=rng.choice([0, 1, 2**31, 2**63 - 1, rng.randrange(2**63)]),
        previous_hash=rng.choice([NO_HASH, rng.randbytes(32)]),
        # From 1600 to 2500, so before 1970 too.
        recorded_at_us=rng.randrange(-11_676_096_000_000_000, 16_725_225_600_000_000),
        xid=rng.randrange(2**63),
        flags=rng.randrange(2**15),
        schema_version=rng.randrange(2**31),
        payload_hash=payload_hash or rng.randbytes(32),
        state_hash=state_hash or rng.randbytes(32),
        attempt_id=optional[0],
        actor_id=optional[1],
        event_type=some_text(rng),
        entity_type=some_text(rng),
        entity_id=some_text(rng),
    )


def recorded_at(entry: Entry) -> datetime:
    return EPOCH + timedelta(microseconds=entry.recorded_at_us)
