"""Erasing what is known of a person, while the log still verifies."""

from typing import Annotated, Final
from uuid import UUID

from pydantic import Field, StringConstraints

from models import erasure
from models.database import Database
from models.erasure import ConcernedEntry, DataClass, Person, Target
from models.page import Page, paged
from models.principal import Principal, Role
from models.transaction import Transaction
from models.wire import Line, Text, WireModel
from services.audit import SYSTEM_ACTOR_ID
from services.erased_entries import ranges_of
from services.erasing import (
    REFUSALS,
    USER,
    Erasure,
    ErasureFacts,
    counted,
    erase,
    from_records,
)
from services.erasure_errors import ReasonNamesPersonError, refuse_if_obstructed
from services.errors import in_our_words
from services.mentions import is_mentioned, mention_pattern
from services.user_service import LastAdminError, UserNotFoundError

EVERYTHING: Final = tuple(DataClass)


class NewErasure(WireModel):
    """Why somebody's data are erased. It is kept, so it must not name him."""

    legal_basis: Annotated[
        Line,
        StringConstraints(min_length=3, max_length=200),
        Field(description="Such as `GDPR Art. 17(1)(a)`."),
    ]
    reason: Annotated[Text, StringConstraints(min_length=1, max_length=1000)]
    # No default: it empties evidence about others, and a person chooses his own name.
    erase_mentions: bool = Field(
        description=(
            "Also empty what staff wrote about attempts of others and that names him."
            " A dry run lists the entries: look at them first."
        )
    )


class ErasureService:
    def __init__(self, database: Database) -> None:
        self._database = database

    def preview(self, user_id: UUID, wanted: NewErasure) -> Erasure:
        """Return what `erase_user` would erase, and change nothing.

        Raises what that raises.
        """
        with self._database.read() as tx:
            erasure.take_time(tx)
            return _plan(tx, user_id, wanted, None)[0]

    def erase_user(
        self, admin: Principal, user_id: UUID, wanted: NewErasure
    ) -> Erasure:
        """Erase what is known of a person; again, the same report.

        Scores, times and the kinds of events stay, under an id that leads to nobody.
        Raises UserNotFoundError, LegalHoldError, CaseOpenError, UngradedError,
        RowsDeviateError, LastAdminError and ReasonNamesPersonError.
        """
        return self._erase(str(admin.id), user_id, wanted)

    def erase_user_on_terminal(self, user_id: UUID, wanted: NewErasure) -> Erasure:
        """Do the same for who sits at the server."""
        return self._erase(SYSTEM_ACTOR_ID, user_id, wanted)

    def _erase(self, actor_id: str, user_id: UUID, wanted: NewErasure) -> Erasure:
        with in_our_words(REFUSALS), self._database.transaction() as tx:
            done = erase_person(tx, user_id, wanted, actor_id=actor_id)
        return done or self.get_erasure(user_id)

    def get_erasure(self, user_id: UUID) -> Erasure:
        """Return the report of a person who was erased. Raises UserNotFoundError."""
        with self._database.read() as tx:
            found = erasure.list_of_user(tx, user_id)
        if not found:
            raise UserNotFoundError(user_id)
        return from_records(found)

    def list_erasures(self, *, before: int, limit: int) -> Page[Erasure]:
        """Return what was erased, the newest first: people, and by retention."""
        with self._database.read() as tx:
            rows = erasure.list_page(tx, before=before, limit=limit + 1)
        page = paged(rows, limit, lambda row: (row.seq,))
        return Page([from_records([row]) for row in page.items], page.next_key)


def erase_person(
    tx: Transaction,
    user_id: UUID,
    wanted: NewErasure,
    *,
    actor_id: str,
    data_class: str | None = None,
) -> Erasure | None:
    """Erase a person; return the report if that was done before.

    `data_class` is the rule of the retention that wants it, if one does.
    """
    erasure.take_time(tx)
    erasure.lock_user(tx, user_id)
    planned, target = _plan(tx, user_id, wanted, data_class)
    if target is None:
        return planned
    erase(tx, target, planned, actor_id=actor_id)
    return None


def _plan(
    tx: Transaction, user_id: UUID, wanted: NewErasure, data_class: str | None
) -> tuple[Erasure, Target | None]:
    """Return the plan, or the report and no target if he was erased already."""
    person = erasure.get_person(tx, user_id)
    if person is None:
        raise UserNotFoundError(user_id)
    if done := erasure.list_of_user(tx, user_id):
        return from_records(done), None
    pattern = mention_pattern(person)
    for field in ("legal_basis", "reason") if data_class is None else ():
        if is_mentioned(person, getattr(wanted, field)):
            raise ReasonNamesPersonError(field)
    _refuse_last_admin(tx, person)
    entries = erasure.list_entries(tx, person, pattern)
    own = [each for each in entries if each.is_own]
    mentions = [each for each in entries if wanted.erase_mentions and _may_go(each)]
    target = Target(
        user_id=person.id,
        session_ids=person.session_ids,
        attempt_ids=person.attempt_ids,
        classes=EVERYTHING,
        pattern=pattern,
        mentioned_in=sorted(
            {each.attempt_id for each in mentions if each.attempt_id is not None}
        ),
        with_mentions=wanted.erase_mentions,
    )
    refuse_if_obstructed(erasure.list_obstructions(tx, target))
    facts = ErasureFacts(
        legal_basis=wanted.legal_basis,
        reason=wanted.reason,
        classes=counted(EVERYTHING, erasure.count(tx, target)),
        entries=ranges_of(sorted(each.seq for each in [*own, *mentions])),
        mentions=len(mentions),
        mention_entries=ranges_of(sorted(each.seq for each in mentions)),
        mentions_left=len(entries) - len(own) - len(mentions),
        data_class=data_class,
    )
    return _planned(user_id, facts), target


def _planned(user_id: UUID, facts: ErasureFacts) -> Erasure:
    return Erasure(
        seq=None,
        erased_at=None,
        erased_by=None,
        subject_type=USER,
        subject_id=str(user_id),
        facts=facts,
    )


def _may_go(entry: ConcernedEntry) -> bool:
    """Say whether it is what staff wrote about an attempt, and mentions him.

    A name in an exam is the author's business, and another account may have the same.
    What a student writes into his answers is his. And of an attempt it is known whether
    somebody still needs it.
    """
    return entry.is_written and entry.attempt_id is not None


def _refuse_last_admin(tx: Transaction, person: Person) -> None:
    if person.role is not Role.ADMIN or not person.is_active:
        return
    if not erasure.is_other_admin(tx, person.id):
        raise LastAdminError
