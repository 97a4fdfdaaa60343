"""ETag, If-Match and If-None-Match (RFC 9110 sections 8.8.3 and 13.1).

An entity tag is the version that a row counts: `ETag: "7"`. That of a paper is a name
of its own.
"""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from flask import Response, request

from api.contract import Reply, contract_of
from services import errors
from services.versions import ANY_VERSION, ExpectedVersions

P = ParamSpec("P")
R = TypeVar("R")

# More digits than a version has, and few enough to read as a number.
MAX_TAG_LENGTH = 10


class IfMatchRequiredError(errors.PreconditionRequiredError):
    slug = "if-match-required"
    title = "If-Match required"

    def __init__(self) -> None:
        super().__init__(
            "This overwrites what others may have changed: send If-Match with the "
            "ETag of the version that you have seen."
        )


def if_match(
    *, is_required: bool
) -> Callable[[Callable[Concatenate[ExpectedVersions, P], R]], Callable[P, R]]:
    """Pass the versions that If-Match names: any, if it is missing and may be."""

    def decorate(
        handler: Callable[Concatenate[ExpectedVersions, P], R],
    ) -> Callable[P, R]:
        contract = contract_of(handler)
        contract.request_headers += ("If-Match",)
        contract.problems |= {412, 428} if is_required else {412}

        @wraps(handler)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            return handler(_expected(is_required=is_required), *args, **kwargs)

        return wrapper

    return decorate


def _expected(*, is_required: bool) -> ExpectedVersions:
    if "If-Match" not in request.headers:
        if is_required:
            raise IfMatchRequiredError
        return ANY_VERSION
    tags = request.if_match
    if tags.star_tag:
        return ANY_VERSION
    # If-Match compares strongly: a weak tag matches nothing. Werkzeug reads an empty
    # tag as None.
    return ExpectedVersions(
        frozenset(
            int(tag)
            for tag in tags.as_set(include_weak=False)
            if tag and tag.isascii() and tag.isdecimal() and len(tag) <= MAX_TAG_LENGTH
        )
    )


def tagged(content: object, version: int, status: int | None = None) -> Reply:
    """Return a reply that says which version it shows."""
    return Reply(content, status, {"ETag": f'"{version}"'})


def tagged_unless_known(content: object, tag: str) -> Reply:
    """Return the content with its tag, or 304 before it is rendered to who has it.

    For a GET under `if_none_match`.
    """
    is_known = request.if_none_match.contains_weak(tag)
    shown = Response(status=304) if is_known else content
    return Reply(shown, 304 if is_known else None, {"ETag": f'"{tag}"'})


def if_none_match(handler: Callable[P, Response]) -> Callable[P, Response]:
    """Answer 304 to who has this version already. Stands above @returns."""
    contract = contract_of(handler)
    contract.request_headers += ("If-None-Match",)
    contract.other_statuses += (304,)

    @wraps(handler)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Response:
        response = handler(*args, **kwargs)
        tag, _ = response.get_etag()
        if tag is None or not request.if_none_match.contains_weak(tag):
            return response
        return Response(status=304, headers={"ETag": response.headers["ETag"]})

    return wrapper
