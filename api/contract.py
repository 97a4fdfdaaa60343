"""Decorators that state an endpoint's contract: who, what in, what out.

    @bp.post("/<uuid:exam_id>/assignments")
    @returns(AssignmentsResponse, 201)
    @authenticated(Role.ADMIN)
    @accepts(NewAssignments)
    def assign_students(new: NewAssignments, admin: Principal, exam_id: UUID) -> …:

A handler gets the body, then the query, then the principal, then what the URL names.
Authentication runs before anything is parsed. Each decorator notes what it promises in
`contract_of(handler)`, from which /openapi.json and the permission tests are made.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from flask import Response, request
from pydantic import BaseModel, TypeAdapter

from api import idempotency
from api.body import DEFAULT_MAX_BYTES, has_body, read_body, read_text
from api.paging import PageResponse, encode_cursor
from api.query import QueryReader
from middleware.auth_middleware import require_role
from models.audit_event import AuditEvent
from models.page import Page
from models.principal import Principal, Role
from services.evidence_views import What

P = ParamSpec("P")
R = TypeVar("R")
Body = TypeVar("Body", bound=BaseModel)
Query = TypeVar("Query", bound=BaseModel)

# Any: a contract is kept beside handlers of every shape.
Handler = Callable[..., Any]


@dataclass(slots=True)
class Contract:
    """What a handler promises, as its decorators have noted it."""

    # None: nobody said, and a test fails. Empty: open to all.
    roles: tuple[Role, ...] | None = None
    body: type[BaseModel] | None = None
    max_body_bytes: int = DEFAULT_MAX_BYTES
    # No body at all means its defaults.
    is_body_optional: bool = False
    query: type[BaseModel] | None = None
    response: Any = None
    status: int = 200
    # Other successful statuses, and other media types of the same answer.
    other_statuses: tuple[int, ...] = ()
    media_types: tuple[str, ...] = ("application/json",)
    # Media types of a body that is no JSON.
    text_body: tuple[str, ...] = ()
    # Headers besides Authorization that the endpoint reads.
    request_headers: tuple[str, ...] = ()
    problems: frozenset[int] = field(default_factory=frozenset)
    is_idempotent: bool = False
    # Somebody's evidence, and the entry that is left of who looked at it.
    shows: What | None = None
    recorded_as: AuditEvent = AuditEvent.EVIDENCE_VIEWED


@dataclass(frozen=True, slots=True)
class TextFile:
    """A body that is no JSON."""

    media_type: str
    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    """A handler's result with a status or headers other than the usual."""

    content: object
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def contract_of(handler: Handler) -> Contract:
    """Return the contract of a handler, and begin one if it has none."""
    found: Contract | None = getattr(handler, "contract", None)
    if found is None:
        found = Contract()
        handler.contract = found  # type: ignore[attr-defined]
    return found


def accepts(
    schema: type[Body], *, max_bytes: int = DEFAULT_MAX_BYTES
) -> Callable[[Callable[Concatenate[Body, P], R]], Callable[P, R]]:
    """Parse the JSON body into `schema` and pass it first."""

    def decorate(handler: Callable[Concatenate[Body, P], R]) -> Callable[P, R]:
        contract = contract_of(handler)
        contract.body, contract.max_body_bytes = schema, max_bytes

        @wraps(handler)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            return handler(read_body(schema, max_bytes), *args, **kwargs)

        return wrapper

    return decorate


def may_accept(
    schema: type[Body],
) -> Callable[[Callable[Concatenate[Body, P], R]], Callable[P, R]]:
    """Do what `accepts` does; whoever sends no body means the defaults."""

    def decorate(handler: Callable[Concatenate[Body, P], R]) -> Callable[P, R]:
        contract = contract_of(handler)
        contract.body, contract.is_body_optional = schema, True

        @wraps(handler)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            body = read_body(schema, DEFAULT_MAX_BYTES) if has_body() else schema()
            return handler(body, *args, **kwargs)

        return wrapper

    return decorate


def accepts_text(
    *media_types: str, max_bytes: int
) -> Callable[[Callable[Concatenate[TextFile, P], R]], Callable[P, R]]:
    """Read a body of UTF-8 text in one of `media_types` and pass it first."""

    def decorate(handler: Callable[Concatenate[TextFile, P], R]) -> Callable[P, R]:
        contract = contract_of(handler)
        contract.text_body, contract.max_body_bytes = media_types, max_bytes

        @wraps(handler)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            file = TextFile(request.mimetype, read_text(media_types, max_bytes))
            return handler(file, *args, **kwargs)

        return wrapper

    return decorate


def queries(
    schema: type[Query],
) -> Callable[[Callable[Concatenate[Query, P], R]], Callable[P, R]]:
    """Parse the query string into `schema` and pass it. A name may come once."""

    def decorate(handler: Callable[Concatenate[Query, P], R]) -> Callable[P, R]:
        contract_of(handler).query = schema
        reader = QueryReader(schema)

        @wraps(handler)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            return handler(reader.read(), *args, **kwargs)

        return wrapper

    return decorate


def authenticated(
    *roles: Role, is_password_pending_allowed: bool = False
) -> Callable[[Callable[Concatenate[Principal, P], R]], Callable[P, R]]:
    """Require one of `roles` (any, if none is named), and pass the principal.

    Who must change his password first is let through only where that is said.
    """
    allowed = roles or tuple(Role)

    def decorate(handler: Callable[Concatenate[Principal, P], R]) -> Callable[P, R]:
        contract_of(handler).roles = allowed

        @wraps(handler)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            caller = require_role(
                allowed, is_password_pending_allowed=is_password_pending_allowed
            )
            return handler(caller, *args, **kwargs)

        return wrapper

    return decorate


def public(handler: Callable[P, R]) -> Callable[P, R]:
    """Open to everybody. Said aloud, because silence is refused."""
    contract_of(handler).roles = ()
    return handler


def may_fail(*statuses: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Note the problem statuses that this endpoint has besides the obvious ones."""

    def decorate(handler: Callable[P, R]) -> Callable[P, R]:
        contract = contract_of(handler)
        contract.problems |= frozenset(statuses)
        return handler

    return decorate


def also_as(*media_types: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Note other media types in which the handler gives the same answer."""

    def decorate(handler: Callable[P, R]) -> Callable[P, R]:
        contract_of(handler).media_types += media_types
        return handler

    return decorate


def idempotent(handler: Callable[P, Response]) -> Callable[P, Response]:
    """Honour an Idempotency-Key. Stands above @returns, below @authenticated's user.

    The first answer to a key is kept for a day and given again to the same body.
    """
    contract_of(handler).is_idempotent = True

    @wraps(handler)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Response:
        key = request.headers.get("Idempotency-Key")
        if key is None:
            return handler(*args, **kwargs)
        return idempotency.answered_once(key, lambda: handler(*args, **kwargs))

    return wrapper


def returns(
    schema: Any,
    status: int = 200,
    *,
    or_status: tuple[int, ...] = (),
    media_type: str = "application/json",
) -> Callable[[Callable[P, object]], Callable[P, Response]]:
    """Render what the handler returns through `schema`; None means no body.

    Of another media type than JSON the handler returns bytes.
    """
    adapter = TypeAdapter(schema) if schema is not None else None

    def decorate(handler: Callable[P, object]) -> Callable[P, Response]:
        contract = contract_of(handler)
        contract.response, contract.status = schema, status
        contract.other_statuses, contract.media_types = or_status, (media_type,)

        @wraps(handler)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> Response:
            result = handler(*args, **kwargs)
            reply = result if isinstance(result, Reply) else Reply(result)
            response = _render(reply.content, adapter, media_type)
            response.status_code = reply.status or status
            response.headers.update(reply.headers)
            return response

        return wrapper

    return decorate


def _render(
    content: object, adapter: TypeAdapter[Any] | None, media_type: str
) -> Response:
    if isinstance(content, Response):
        return content
    if isinstance(content, bytes):
        return Response(content, mimetype=media_type)
    if adapter is None:
        return Response(status=204)
    if isinstance(content, Page):
        content = {
            "items": content.items,
            "next_cursor": encode_cursor(content.next_key),
        }
    model = adapter.validate_python(content, from_attributes=True)
    return Response(adapter.dump_json(model), mimetype=media_type)


__all__ = [
    "Contract",
    "PageResponse",
    "Reply",
    "TextFile",
    "accepts",
    "accepts_text",
    "also_as",
    "authenticated",
    "contract_of",
    "idempotent",
    "may_accept",
    "may_fail",
    "public",
    "queries",
    "returns",
]
