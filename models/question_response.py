"""What a student answers: one JSON value, whose shape depends on the question's kind.

| kind            | response                                    |
|-----------------|---------------------------------------------|
| single_choice   | the id of an option                         |
| multiple_choice | a list of ids of options, in any order      |
| true_false      | true or false                               |
| numeric         | a number                                    |
| short_text      | a string of at most 500 characters          |
| essay           | a string of at most `max_characters`        |

null clears the answer, whatever the kind. Whatever breaks a line is kept as a newline.
"""

import re
from decimal import Decimal
from typing import Final, TypeAlias
from uuid import UUID

from pydantic import JsonValue

from models.question_storage import ChoiceBody, EssayBody, Option, parse_body
from models.question_types import (
    LARGEST_NUMBER,
    MAX_SHORT_TEXT_CHARACTERS,
    QuestionKind,
    check_prose,
)

# A line break as Word and PDF copy it (VT, FF), as an old Mac or a mainframe writes it,
# and as Unicode has it. Nobody should lose an essay for where it was pasted from.
LINE_BREAK: Final = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")

Response: TypeAlias = UUID | tuple[UUID, ...] | bool | Decimal | str | None


class ResponseMismatchError(ValueError):
    """A response does not fit its question. The message is for the client."""


def parse_response(  # noqa: PLR0911 - one return a kind.
    kind: QuestionKind, body: dict[str, JsonValue], raw: JsonValue
) -> Response:
    """Return the typed response to a question with this kind and stored body.

    Several option ids come back in the question's own order, so that equal answers
    are equal values. Raises ResponseMismatchError if `raw` does not fit the question.
    """
    if raw is None:
        return None
    match kind, parse_body(kind, body):
        case QuestionKind.SINGLE_CHOICE, ChoiceBody(options=options):
            return _option_id(raw, options)
        case _, ChoiceBody(options=options):
            return _option_ids(raw, options)
        case QuestionKind.TRUE_FALSE, _:
            return _boolean(raw)
        case QuestionKind.NUMERIC, _:
            return _number(raw)
        case _, EssayBody(max_characters=max_characters):
            return _text(raw, max_characters)
    return _text(raw, MAX_SHORT_TEXT_CHARACTERS)


def response_to_json(response: Response) -> JsonValue:
    """Return the one JSON form of a response: what is stored, hashed and compared."""
    match response:
        case UUID():
            return str(response)
        case tuple():
            return [str(option_id) for option_id in response]
        case Decimal():
            whole = int(response)
            return whole if whole == response else float(response)
        case _:
            return response


def _option_id(raw: JsonValue, options: tuple[Option, ...]) -> UUID:
    if not isinstance(raw, str):
        raise ResponseMismatchError(
            "The response must be the id of an option, or null."
        )
    try:
        option_id = UUID(raw)
    except ValueError as error:
        raise ResponseMismatchError(
            "The response is not the id of an option."
        ) from error
    # UUID() also reads braces, urn: and missing hyphens; we write one form only.
    if str(option_id) != raw.lower() or all(o.id != option_id for o in options):
        raise ResponseMismatchError(
            "The response names an option that the question has not."
        )
    return option_id


def _option_ids(raw: JsonValue, options: tuple[Option, ...]) -> tuple[UUID, ...]:
    if not isinstance(raw, list):
        raise ResponseMismatchError(
            "The response must be a list of option ids, or null."
        )
    if len(raw) > len(options):
        raise ResponseMismatchError(
            "The response names more options than the question has."
        )
    chosen = {_option_id(item, options) for item in raw}
    if len(chosen) != len(raw):
        raise ResponseMismatchError("The response names the same option twice.")
    return tuple(option.id for option in options if option.id in chosen)


def _boolean(raw: JsonValue) -> bool:
    if not isinstance(raw, bool):
        raise ResponseMismatchError("The response must be true, false or null.")
    return raw


def _number(raw: JsonValue) -> Decimal:
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise ResponseMismatchError("The response must be a number, or null.")
    # NaN compares as false, so it is refused here too.
    if not abs(raw) <= LARGEST_NUMBER:
        raise ResponseMismatchError("The response must lie between -10^15 and 10^15.")
    # The shortest decimal that reads as this float is what the student typed.
    return Decimal(repr(raw))


def _text(raw: JsonValue, max_characters: int) -> str:
    if not isinstance(raw, str):
        raise ResponseMismatchError("The response must be text, or null.")
    try:
        text = check_prose(LINE_BREAK.sub("\n", raw))
        text.encode()
    except ValueError as error:
        raise ResponseMismatchError(
            "The response must not contain control characters."
        ) from error
    if len(text) > max_characters:
        raise ResponseMismatchError(
            f"The response has {len(text)} characters; {max_characters} are allowed."
        )
    return text
