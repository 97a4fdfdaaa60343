"""Names for members of staff, which only the student who is told them can compare."""

import hmac
from hashlib import sha256
from typing import Final
from uuid import UUID

LENGTH: Final = 12


class Pseudonyms:
    def __init__(self, secret_key: str) -> None:
        self._key = secret_key.encode()

    def of(self, person_id: UUID, reader_id: UUID) -> str:
        """Return 12 hex digits: the same person is the same to the same reader.

        Two readers can not compare theirs, and nobody without the key finds out whose
        it is. Another SECRET_KEY gives others.
        """
        named = b"staff\n" + person_id.bytes + reader_id.bytes
        return hmac.new(self._key, named, sha256).hexdigest()[:LENGTH]
