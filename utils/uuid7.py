"""UUID version 7 (RFC 9562 section 5.7): ids that sort by when they were made."""

import secrets
import time
from uuid import UUID


def uuid7() -> UUID:
    """Return 48 bits of Unix milliseconds followed by 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    random_bits = secrets.randbits(74)
    value = (milliseconds & (1 << 48) - 1) << 80
    value |= 0x7 << 76 | (random_bits >> 62) << 64
    value |= 0b10 << 62 | random_bits & (1 << 62) - 1
    return UUID(int=value)
