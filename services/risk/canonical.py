"""One way to hash a document, whatever the order of its keys."""

from collections.abc import Mapping
from hashlib import sha256

import rfc8785


def digest(document: Mapping[str, object]) -> str:
    """Return SHA-256, in hex, of the document's canonical JSON (RFC 8785)."""
    # Its own type for JSON is recursive and private.
    return sha256(rfc8785.dumps(document)).hexdigest()  # type: ignore[arg-type]
