"""UUID version 7 (RFC 9562 section 5.7): ids that sort by when they were made."""

import secrets
import time
from uuid import UUID


def uuid7() -> UUID:
    """Return 48 bits of Unix milliseconds followed by 74 random bits."""
    (made,) = uuid7s(1)
    return made


def uuid7s(count: int) -> list[UUID]:
    """Return ids of the same moment, for one question to the system's entropy."""
    milliseconds = time.time_ns() // 1_000_000
    base = (milliseconds & (1 << 48) - 1) << 80 | 0x7 << 76 | 0b10 << 62
    entropy = secrets.token_bytes(10 * count)
    return [
        UUID(int=base | _spread(int.from_bytes(entropy[at : at + 10])))
        for at in range(0, 10 * count, 10)
    ]


def _spread(random_bits: int) -> int:
    """Put 74 of 80 bits where no version and no variant is."""
    return (random_bits >> 62 & 0xFFF) << 64 | random_bits & (1 << 62) - 1
