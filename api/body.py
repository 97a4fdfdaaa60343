"""Reading a request body: nothing strange gets past this point."""

from collections.abc import Sequence
from typing import TypeVar

import jiter
from flask import request
from pydantic import BaseModel, JsonValue, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge

from api.problems import InvalidRequestError, MalformedRequestError, MediaTypeError

Body = TypeVar("Body", bound=BaseModel)

DEFAULT_MAX_BYTES = 64 * 1024


def read_body(schema: type[Body], max_bytes: int) -> Body:
    """Parse the JSON body into `schema`.

    Raises MediaTypeError, RequestEntityTooLarge, MalformedRequestError (it is no JSON)
    and InvalidRequestError (it does not fit).
    """
    if request.mimetype != "application/json" or request.content_encoding:
        raise MediaTypeError("application/json")
    raw = read_bytes(max_bytes)
    document = check_json(raw)
    try:
        return schema.model_validate_json(raw, strict=True)
    except ValidationError as error:
        raise InvalidRequestError(error, document=document) from error


def has_body() -> bool:
    """Say whether the client sends a body.

    A media type alone is none: many clients name one with every POST.
    """
    return "Transfer-Encoding" in request.headers or bool(request.content_length)


def read_text(media_types: Sequence[str], max_bytes: int) -> str:
    """Read a body of UTF-8 text, a byte order mark or none before it.

    Raises MediaTypeError, RequestEntityTooLarge and MalformedRequestError.
    """
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if (
        request.mimetype not in media_types
        or request.content_encoding
        or charset not in ("utf-8", "us-ascii")
    ):
        raise MediaTypeError(*media_types)
    try:
        return read_bytes(max_bytes).decode("utf-8-sig")
    except UnicodeError as error:
        raise MalformedRequestError("The body is not UTF-8 text.") from error


def read_bytes(max_bytes: int) -> bytes:
    """Read at most `max_bytes`, whether or not the client says how many there are."""
    # Werkzeug cuts a chunked body off at its limit without a word. One byte more than
    # we accept tells the two apart.
    request.max_content_length = max_bytes + 1
    raw = request.get_data(cache=False)
    if len(raw) > max_bytes:
        raise RequestEntityTooLarge
    return raw


def check_json(raw: bytes) -> JsonValue:
    """Return the document, read as pydantic will read it.

    Raises MalformedRequestError for what is no JSON, and for what parsers disagree
    about: doubled names, NaN, lone surrogates, endless depth and endless numbers.
    """
    try:
        document: JsonValue = jiter.from_json(
            raw, allow_inf_nan=False, catch_duplicate_keys=True
        )
    except ValueError as error:
        raise MalformedRequestError(
            f"The body is not JSON in UTF-8, in which each name stands once: {error}."
        ) from error
    return document
