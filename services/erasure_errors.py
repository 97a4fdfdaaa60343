"""Why something was not erased, or not held."""

from collections.abc import Sequence
from uuid import UUID

from models.erasure import Obstacle, Obstruction
from models.user import User
from services import errors


def _named(what: str, ids: Sequence[UUID]) -> str:
    """Name the first of them; what the database alone refuses nobody has counted."""
    return f" ({what} {', '.join(map(str, ids[:5]))})" if ids else ""


class LegalHoldError(errors.ConflictError):
    slug = "legal-hold"
    title = "A legal hold applies"

    def __init__(self, holds: Sequence[UUID] = ()) -> None:
        super().__init__(
            "Data that a legal hold keeps can not be erased"
            + _named("hold", holds)
            + ". Release the hold first, if its case is closed."
        )


class CaseOpenError(errors.ConflictError):
    slug = "case-open"
    title = "A case is open"

    def __init__(self, attempts: Sequence[UUID]) -> None:
        super().__init__(
            "An attempt runs, its review or an appeal is not finished, or its verdict"
            " can still be contested: its data are needed until then"
            f"{_named('attempt', attempts)}."
        )


class UngradedError(errors.ConflictError):
    slug = "answers-ungraded"
    title = "Answers have yet to be graded"

    def __init__(self, attempts: Sequence[UUID] = ()) -> None:
        super().__init__(
            "Without its answers an attempt can not be graded any more"
            + _named("attempt", attempts)
            + ". Grade it, or void it, first."
        )


class RowsDeviateError(errors.ConflictError):
    slug = "rows-not-as-logged"
    title = "The rows are not what the log says"

    def __init__(self) -> None:
        super().__init__(
            "A row that would be erased is not what the audit log says that it is, and"
            " an erasure would hide that for ever. Verify the log deeply, and find out"
            " who changed it."
        )


class ReasonNamesPersonError(errors.UnprocessableError):
    slug = "reason-names-person"
    title = "The reason names the person"

    def __init__(self, field: str) -> None:
        super().__init__(
            "What is written here is kept for ever, so it must not name the person.",
            [(f"#/{field}", "Contains the person's name or e-mail address.")],
        )


class AccountErasedError(errors.ConflictError):
    slug = "account-erased"
    title = "The account was erased"

    def __init__(self, user_id: UUID) -> None:
        super().__init__(
            f"What was known of user {user_id} was erased, so the account can not be"
            " used again. Make another one."
        )


class HoldNotFoundError(errors.NotFoundError):
    slug = "hold-not-found"
    title = "No such hold"

    def __init__(self, hold_id: UUID) -> None:
        super().__init__(f"There is no legal hold {hold_id}.")


class HoldReleasedError(errors.ConflictError):
    slug = "hold-released"
    title = "The hold was released"

    def __init__(self, hold_id: UUID) -> None:
        super().__init__(f"The legal hold {hold_id} was released already.")


def refuse_if_erased(account: User) -> None:
    """Raise AccountErasedError for an account that is no more than an id."""
    if account.email == f"erased-{account.id}@erased.invalid":
        raise AccountErasedError(account.id)


def refuse_if_obstructed(found: Sequence[Obstruction]) -> None:
    """Raise LegalHoldError, CaseOpenError or UngradedError if the data are needed."""
    named: dict[Obstacle, list[UUID]] = {}
    for each in found:
        named.setdefault(each.kind, []).append(each.id)
    if Obstacle.HOLD in named:
        raise LegalHoldError(named[Obstacle.HOLD])
    cases = [*named.get(Obstacle.RUNNING, ()), *named.get(Obstacle.REVIEW, ())]
    cases += named.get(Obstacle.APPEAL, ())
    if cases:
        raise CaseOpenError(cases)
    if Obstacle.UNGRADED in named:
        raise UngradedError(named[Obstacle.UNGRADED])
