"""Optimistic locking: who changes something says which version of it he has seen."""

from dataclasses import dataclass
from typing import Final

from services import errors


class VersionMismatchError(errors.PreconditionFailedError):
    slug = "version-mismatch"
    title = "Changed by somebody else"

    def __init__(self, current: int) -> None:
        super().__init__(
            f"Version {current} is the current one, and not what If-Match names. Read "
            "it again and decide whether your change still holds."
        )


@dataclass(frozen=True, slots=True)
class ExpectedVersions:
    """The versions that a caller is ready to change; None stands for any."""

    versions: frozenset[int] | None

    def check(self, current: int) -> None:
        """Raise VersionMismatchError if the caller has seen another version."""
        if self.versions is not None and current not in self.versions:
            raise VersionMismatchError(current)


ANY_VERSION: Final = ExpectedVersions(None)
