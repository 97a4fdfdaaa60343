"""Decorators for endpoints that show somebody's evidence.

    @bp.get("/attempt/<uuid:attempt_id>/events")
    …
    @shows(What.EVENTS)
    def list_events(…):

They stand last, right above the handler: it has decided by then that the caller may see
this, and nothing is sent yet. docs/decisions/0016-access.md
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from functools import wraps
from typing import Final, ParamSpec, TypeVar
from uuid import UUID

from flask import request
from werkzeug.exceptions import MethodNotAllowed

from api.context import services
from api.contract import contract_of
from models.audit_event import AuditEvent
from models.blockchain_log import AuditEntry
from models.evidence_view import Subject, SubjectType
from models.page import Page
from models.principal import Principal
from services.analysis_service import SuspiciousAttempt
from services.evidence_views import What

P = ParamSpec("P")
R = TypeVar("R")

# The variables of a path, the narrowest first.
NAMED_BY: Final = {
    "attempt_id": SubjectType.ATTEMPT,
    "exam_id": SubjectType.EXAM,
    "user_id": SubjectType.USER,
}


def shows(what: What) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Have it in the log that the caller looks at `what` of whom the path names."""

    def decorate(handler: Callable[P, R]) -> Callable[P, R]:
        contract_of(handler).shows = what

        @wraps(handler)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            shown = handler(*args, **kwargs)
            services().views.note(_viewer(args), what, [_named(kwargs)])
            return shown

        return wrapper

    return decorate


def shows_some(
    what: What, of: Callable[[R], Collection[Subject]]
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Do the same of whom `of` finds in what is about to be shown."""

    def decorate(handler: Callable[P, R]) -> Callable[P, R]:
        contract_of(handler).shows = what

        @wraps(handler)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            shown = handler(*args, **kwargs)
            services().views.note(_viewer(args), what, of(shown))
            return shown

        return wrapper

    return decorate


def exports(
    what: What, recorded_as: AuditEvent
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Say that the handler appends an entry of its own each time. Refuses HEAD."""

    def decorate(handler: Callable[P, R]) -> Callable[P, R]:
        contract = contract_of(handler)
        contract.shows, contract.recorded_as = what, recorded_as
        return refuses_head(handler)

    return decorate


def refuses_head(handler: Callable[P, R]) -> Callable[P, R]:
    """Make nothing for who asks only for the headers: it would be recorded."""

    @wraps(handler)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        if request.method == "HEAD":
            raise MethodNotAllowed(valid_methods=["GET", "OPTIONS"])
        return handler(*args, **kwargs)

    return wrapper


def people_in(entries: Page[AuditEntry]) -> Collection[Subject]:
    """Return of whom entries of the log speak: attempts, and users by themselves."""
    return {subject for each in entries.items for subject in _people_in(each)}


def exams_in(ranked: Page[SuspiciousAttempt]) -> Collection[Subject]:
    """Return the exams of attempts in a list by risk."""
    return {Subject(SubjectType.EXAM, each.attempt.exam_id) for each in ranked.items}


def _people_in(entry: AuditEntry) -> Iterator[Subject]:
    if entry.event_type == AuditEvent.EVIDENCE_VIEWED:
        # Who looks at the looks sees staff at work, and nobody's evidence.
        return
    if entry.attempt_id is not None:
        yield Subject(SubjectType.ATTEMPT, entry.attempt_id)
    elif entry.entity_type == "user":
        yield from _user(entry.entity_id)
    elif entry.entity_type == "session":
        yield from _user(entry.actor_id)


def _user(text: str | None) -> Iterator[Subject]:
    # Who failed to log in may be nobody: then a pseudonym stands there.
    with suppress(ValueError):
        yield Subject(SubjectType.USER, UUID(text or ""))


def _named(variables: Mapping[str, object]) -> Subject:
    for name, subject_type in NAMED_BY.items():
        if isinstance(found := variables.get(name), UUID):
            return Subject(subject_type, found)
    raise LookupError("the path names nobody")


def _viewer(arguments: tuple[object, ...]) -> Principal:
    return next(each for each in arguments if isinstance(each, Principal))
