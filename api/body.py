"""Reading a request body: nothing strange gets past this point."""

import json
from collections.abc import Sequence
from typing import Any, TypeVar

from flask import request
from pydantic import BaseModel, JsonValue, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from api.problems import InvalidRequestError, MalformedRequestError

Body = TypeVar("Body", bound=BaseModel)

DEFAULT_MAX_BYTES = 64 * 1024
# No number that means anything has more digits; a text may well have them.
MAX_DIGITS = 400
# Found by looking for as many zeros once all digits are zeros: a pattern begins anew at
# every digit, and ids are full of them.
MANY_DIGITS = b"0" * MAX_DIGITS
DIGITS = bytes.maketrans(b"123456789", b"000000000")


def read_body(schema: type[Body], max_bytes: int) -> Body:
    """Parse the JSON body into `schema`.

    Raises UnsupportedMediaType, RequestEntityTooLarge, MalformedRequestError (it is
    no JSON) and InvalidRequestError (it does not fit).
    """
    if request.mimetype != "application/json" or request.content_encoding:
        raise UnsupportedMediaType
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

    Raises UnsupportedMediaType, RequestEntityTooLarge and MalformedRequestError.
    """
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if (
        request.mimetype not in media_types
        or request.content_encoding
        or charset not in ("utf-8", "us-ascii")
    ):
        raise UnsupportedMediaType
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
    """Return the document. Refuse what parsers disagree about: doubled names, NaN.

    Raises MalformedRequestError, also for endless depth and endless numbers.
    """
    try:
        text = raw.decode("utf-8")
        if MANY_DIGITS in raw.translate(DIGITS):
            json.loads(text, parse_int=_refuse_endless, parse_float=_refuse_endless)
        document: JsonValue = json.loads(
            text, object_pairs_hook=_without_doubles, parse_constant=_refuse_constant
        )
        # Lone surrogates can be written in JSON and in nothing else.
        if "\\u" in text:
            json.dumps(document, ensure_ascii=False).encode("utf-8")
    except RecursionError as error:
        raise MalformedRequestError("The body is nested too deeply.") from error
    except UnicodeError as error:
        raise MalformedRequestError("The body is not UTF-8 text.") from error
    except json.JSONDecodeError as error:
        raise MalformedRequestError(
            f"The body is not JSON: {error.msg} at line {error.lineno}, "
            f"column {error.colno}."
        ) from error
    except ValueError as error:
        raise MalformedRequestError("The body is not JSON.") from error
    return document


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedRequestError("The body names the same field twice.")
    return found


def _refuse_endless(number: str) -> None:
    if len(number) >= MAX_DIGITS:
        raise MalformedRequestError("The body contains an endless number.")


def _refuse_constant(name: str) -> None:
    raise MalformedRequestError(f"The body contains {name}, which is not JSON.")
