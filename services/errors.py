"""Every failure that a caller can cause, named in the language of the domain.

Each leaf has a `slug` (its page in docs/problems.md) and a `title`; the message is
written for the person who made the request. No HTTP number stands here: api/problems.py
maps the kinds to them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar

from models.database_errors import ConstraintError


class DomainError(Exception):
    """A request that was understood and refused."""

    slug: ClassVar[str]
    title: ClassVar[str]
    # When trying again will help, if waiting is all that is needed.
    retry_after_seconds: int | None = None


class NotFoundError(DomainError):
    """It is not there, or not yours: the two look the same."""


class ConflictError(DomainError):
    """The state forbids it. Says what the state is, and what may be done instead."""

    def __init__(
        self,
        message: str,
        *,
        current_status: str | None = None,
        allowed_actions: Sequence[str] = (),
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.current_status = current_status
        self.allowed_actions = tuple(allowed_actions)


class ForbiddenError(DomainError):
    """Authenticated, but may not do this."""


class UnauthenticatedError(DomainError):
    """Nobody that we know, or no longer."""


class UnprocessableError(DomainError):
    """Well-formed, but it can not be carried out as it is.

    `problems` are (JSON pointer, sentence) pairs.
    """

    def __init__(self, message: str, problems: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class PreconditionFailedError(DomainError):
    """Somebody else changed it since the caller looked."""


class PreconditionRequiredError(DomainError):
    """The caller has to say which version he changes."""


class LimitError(DomainError):
    """Too much, too fast. Trying again later will help."""

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class BusyError(LimitError):
    """The server has no room at this moment."""


@contextmanager
def in_our_words(refusals: Mapping[str, Callable[[], DomainError]]) -> Iterator[None]:
    """Raise what stands for the constraint by which the database refuses.

    Stands around the transaction: some of them speak at its commit.
    """
    try:
        yield
    except ConstraintError as error:
        refusal = refusals.get(error.constraint)
        if refusal is None:
            raise
        raise refusal() from error
