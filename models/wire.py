"""Types of single values on the wire: bounded, and without control characters.

Bodies are parsed in pydantic's strict mode: a string is no number and true is no 1.
"""

import re
import unicodedata
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Final

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    StringConstraints,
    ValidationError,
)

from utils.visible_text import INVISIBLE_16_BIT, is_visible, without_unseen

# NUL can't be stored; the others have no business in a name and can forge a log line.
CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# How Python shows the values that a Literal allows.
ENUM_MEMBER: Final = re.compile(r"<[A-Za-z]+\.[A-Z_]+: ('[a-z_]+')>")
# date-time of RFC 3339, section 5.6.
RFC_3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?"
    r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
CONTROLS_BUT_NEWLINES: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class WireModel(BaseModel):
    """A request body: immutable, and refusing what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def problems_of(
    error: ValidationError, *where: str, document: JsonValue = None
) -> list[tuple[str, str]]:
    """Return what does not fit as (JSON pointer, sentence), at most 50 of them.

    `where` are the steps that lead to what was validated, and `document` is what it
    was: the pointers then point into it. The input is left out of the sentences: it
    may be a password.
    """
    found = error.errors(include_url=False, include_input=False)
    problems = []
    for each in found[:50]:
        location, message = each["loc"], each["msg"]
        if document is not None:
            location = _within(document, location, each["type"])
        context = each.get("ctx", {})
        if "discriminator" in context:
            # Pydantic points at the object around it, and repeats what was sent.
            location = (*location, context["discriminator"].strip("'"))
            tags = context.get("expected_tags")
            message = f"Input should be one of {tags}" if tags else "Field required"
        pointer = "/".join(["#", *where, *map(_step, location)])
        problems.append((pointer, _sentence(message)))
    return problems


def _within(
    document: JsonValue, location: tuple[int | str, ...], kind: str
) -> tuple[int | str, ...]:
    """Drop the steps of pydantic's own: the tag of a union, and `[key]`."""
    steps: list[int | str] = []
    for step in location:
        match document, step:
            case dict(), str() if step in document:
                document = document[step]
            case list(), int():
                document = document[step]
            # A field that is missing is named, though it is not there.
            case _ if kind != "missing" or step != location[-1]:
                continue
        steps.append(step)
    return tuple(steps)


def _step(name: str | int) -> str:
    # RFC 6901 escapes.
    return str(name).replace("~", "~0").replace("/", "~1")


def _sentence(message: str) -> str:
    message = ENUM_MEMBER.sub(r"\1", message.removeprefix("Value error, "))
    # Of a text that was trimmed pydantic says that it has items.
    if message.startswith("Value should have"):
        message = message.replace(" item", " character")
    return message[:1].upper() + message[1:]


def _one_line(value: str) -> str:
    if CONTROLS.search(value):
        raise ValueError("must be one line without control characters")
    # They make two names look the same, or one look like another.
    if without_unseen(value) != value:
        raise ValueError(
            "must not contain invisible characters, or such as turn the direction of "
            "writing: type it instead of pasting it"
        )
    return value.strip()


def _can_be_seen(value: str) -> str:
    if value and not is_visible(value):
        raise ValueError("must contain a letter, a number or a sign")
    return value


def _no_controls(value: str) -> str:
    value = value.replace("\r\n", "\n")
    if CONTROLS_BUT_NEWLINES.search(value):
        raise ValueError("must not contain control characters")
    return value


def _integral(value: object) -> object:
    # JSON Schema calls 1.0 an integer; pydantic's strict mode does not.
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def _rfc_3339(value: object) -> object:
    # Pydantic also takes a number of seconds in a string, and separators of its own.
    if not isinstance(value, str):
        return value
    try:
        if RFC_3339.fullmatch(value):
            moment = datetime.fromisoformat(value.upper())
            # What nearly all clients send needs no conversion.
            return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    except ValueError:
        pass
    except OverflowError as error:
        raise ValueError("is out of range") from error
    raise ValueError("must be a time such as 2026-11-24T09:00:00Z (RFC 3339)")


def _exact(value: object) -> object:
    if isinstance(value, bool | str):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic wants it.
    # The shortest decimal that the sender can have meant.
    if isinstance(value, int | float):
        return Decimal(repr(value))
    return value


# What the validators above check, for JSON Schema.
LINE_PATTERN: Final[JsonValue] = f"^[^{CONTROLS.pattern[1:-1]}{INVISIBLE_16_BIT}]*$"
TEXT_PATTERN: Final[JsonValue] = rf"^([^{CONTROLS_BUT_NEWLINES.pattern[1:]}|\r\n)*$"

# One line of text, trimmed, in which nothing is invisible but what joins letters or
# varies their shape. Bound it with StringConstraints or Field.
Line = Annotated[
    str, AfterValidator(_one_line), Field(json_schema_extra={"pattern": LINE_PATTERN})
]
# Text of several lines.
Text = Annotated[
    str,
    AfterValidator(_no_controls),
    Field(json_schema_extra={"pattern": TEXT_PATTERN}),
]
Title = Annotated[
    Line,
    StringConstraints(min_length=1, max_length=200),
    AfterValidator(_can_be_seen),
]
Integer = Annotated[int, BeforeValidator(_integral)]
# Positive and within bigint, so that no query ever sees more.
Sequence = Annotated[int, Field(ge=1, le=2**53 - 1), BeforeValidator(_integral)]
Instant = Annotated[
    AwareDatetime,
    Field(ge=datetime(2000, 1, 1, tzinfo=UTC), le=datetime(2200, 1, 1, tzinfo=UTC)),
    BeforeValidator(_rfc_3339),
]
# A decimal that is exact inside and an ordinary number in JSON.
Number = Annotated[
    Decimal,
    BeforeValidator(_exact),
    PlainSerializer(float, return_type=float, when_used="json"),
]


# RFC 5321, 4.5.3.1.3: a path of 256 octets, with its brackets.
MAX_ADDRESS_LENGTH: Final = 254


def canonical_email(address: str) -> str:
    """Return what makes two addresses the same account.

    Raises ValueError for an address that is not one, or that Unicode lets look like
    another (NFKC must not change it, and the part before the @ must be ASCII).
    """
    address = address.strip()
    # Before anything else: the time that normalizing takes grows with the square of a
    # run of combining marks, and the limits of logins ask for this too.
    if len(address) > MAX_ADDRESS_LENGTH:
        raise ValueError("is not an e-mail address")
    address = unicodedata.normalize("NFC", address)
    if unicodedata.normalize("NFKC", address) != address:
        raise ValueError("contains characters that can be mistaken for others")
    local, at, domain = address.rpartition("@")
    if (
        not at
        or not re.fullmatch(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}", local)
        or local.startswith(".")
        or local.endswith(".")
        or ".." in local
        or len(address) > MAX_ADDRESS_LENGTH
    ):
        raise ValueError("is not an e-mail address")
    try:
        ascii_domain = domain.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise ValueError("is not an e-mail address") from error
    if not re.fullmatch(
        r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]{1,62}",
        ascii_domain,
    ):
        raise ValueError("is not an e-mail address")
    return f"{local}@{ascii_domain}".lower()


def _checked_email(value: str) -> str:
    canonical_email(value)
    return unicodedata.normalize("NFC", value.strip())


Email = Annotated[
    str,
    StringConstraints(min_length=3, max_length=254),
    AfterValidator(_checked_email),
    Field(json_schema_extra={"format": "email"}),
]
