"""Erasing entries of the log that are about nobody in particular."""

from collections.abc import Sequence

from models import erasure
from models.database import Database
from models.erasure import Target
from utils.blockchain_hasher import canonical_json

LEGAL_BASIS = "GDPR Art. 17(1)(a)"


def erase_entries(
    database: Database,
    *ranges: Sequence[int],
    legal_basis: str = LEGAL_BASIS,
    target: Target | None = None,
) -> int:
    """Empty the entries of these ranges, and return the number of the erasure."""
    with database.transaction() as tx:
        return erasure.erase(
            tx,
            target or Target(),
            entity_type="user",
            entity_id="somebody",
            actor_id="system",
            payloads=[
                canonical_json(
                    {"entries": ranges, "legal_basis": legal_basis, "reason": "a test"}
                )
            ],
        )
