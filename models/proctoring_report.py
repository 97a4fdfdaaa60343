"""What an exam client sends of its observations: the wire types."""

import json
from collections.abc import Iterator
from typing import Annotated, Final, TypeAlias
from uuid import UUID

from pydantic import (
    AfterValidator,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
)

from models.wire import (
    CONTROLS,
    CONTROLS_BUT_NEWLINES,
    Instant,
    Sequence,
    WireModel,
    problems_of,
)
from utils.stored_json import LARGEST_NUMBER

MAX_PAYLOAD_BYTES: Final = 4096
MAX_PAYLOAD_DEPTH: Final = 4
MAX_PAYLOAD_KEYS: Final = 50
MAX_EVENTS: Final = 200
# Of one attempt, in all: seven a second for a whole hour. The database counts them
# (attempt_activity_reported_events_check).
MAX_REPORTED_EVENTS: Final = 20_000
# MAX_EVENTS of the largest payload would be more; a client then sends fewer at once.
MAX_BATCH_BYTES: Final = 512 * 1024

Payload: TypeAlias = dict[str, JsonValue]


def check_payload(payload: Payload) -> Payload:
    """Return the payload if it may be stored.

    At most 4 KiB as compact JSON, 4 levels and 50 keys in all; no control characters
    (but tabs and newlines in values), and no number beyond 2**53 - 1. Raises
    ValueError.
    """
    if _is_plain(payload):
        return payload
    keys = sum(_checked_keys(payload, MAX_PAYLOAD_DEPTH))
    if keys > MAX_PAYLOAD_KEYS:
        raise ValueError(f"has {keys} keys; at most {MAX_PAYLOAD_KEYS} are allowed")
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    # A character has at most four bytes, so most payloads need not be encoded.
    if (
        len(text) > MAX_PAYLOAD_BYTES // 4
        and len(text.encode("utf-8")) > MAX_PAYLOAD_BYTES
    ):
        raise ValueError(f"has more than {MAX_PAYLOAD_BYTES} bytes")
    return payload


def _is_plain(payload: Payload) -> bool:
    """Say whether a glance shows that it may be stored, as it does of nearly all.

    Six names of 40 characters with texts of 100, four bytes each, stay below 4 KiB.
    """
    if len(payload) > 6:  # noqa: PLR2004
        return False
    for key, value in payload.items():
        if len(key) > 40 or not key.isidentifier():  # noqa: PLR2004
            return False
        # JSON has no subclasses, and this takes half the time of isinstance.
        if type(value) is int or type(value) is float:
            if not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
                return False
        elif type(value) is str:
            if len(value) > 100 or not value.isprintable():  # noqa: PLR2004
                return False
        elif type(value) is not bool and value is not None:
            return False
    return True


def _checked_keys(value: JsonValue, levels_left: int) -> Iterator[int]:
    """Check a value, and yield how many keys each object in it has."""
    if isinstance(value, str):
        if CONTROLS_BUT_NEWLINES.search(value):
            raise ValueError("must not contain control characters")
    elif isinstance(value, dict | list):
        if levels_left == 0:
            raise ValueError(f"has more than {MAX_PAYLOAD_DEPTH} levels")
        if isinstance(value, dict):
            yield len(value)
            if any(map(CONTROLS.search, value)):
                raise ValueError("must not contain control characters")
        for child in value.values() if isinstance(value, dict) else value:
            yield from _checked_keys(child, levels_left - 1)
    elif value is not None and not abs(value) <= LARGEST_NUMBER:
        raise ValueError(f"must not contain numbers beyond {LARGEST_NUMBER}")


class ReportedEvent(WireModel):
    """One observation. Class and severity are the server's to say."""

    client_event_id: UUID = Field(
        description="The client's own id for it: the same one when it is sent again."
    )
    sequence: Sequence = Field(
        description="The client's counter over the attempt, from 1 without a gap."
    )
    event_type: Annotated[str, StringConstraints(min_length=1, max_length=64)] = Field(
        description="A code or an alias of GET /api/proctoring/event-types."
    )
    occurred_at: Instant
    payload: Annotated[
        Payload, AfterValidator(check_payload), Field(max_length=MAX_PAYLOAD_KEYS)
    ] = Field(default_factory=dict)


class NewEvent(ReportedEvent):
    """One observation and its attempt."""

    attempt_id: UUID


class NewEvents(WireModel):
    """Several observations of one attempt. Each one is accepted or refused alone."""

    attempt_id: UUID
    # What fits no event is kept as it came, to be refused by itself.
    events: Annotated[
        list[Annotated[ReportedEvent | JsonValue, Field(union_mode="left_to_right")]],
        Field(min_length=1, max_length=MAX_EVENTS),
    ]


def misfit(raw: JsonValue) -> list[tuple[str, str]]:
    """Say why a value is no ReportedEvent, as (JSON pointer, sentence)."""
    try:
        ReportedEvent.model_validate_json(json.dumps(raw), strict=True)
    except ValidationError as error:
        return problems_of(error)
    return []


def client_event_id_of(raw: JsonValue) -> UUID | None:
    """Return the id that a value gives itself, whatever else is wrong with it."""
    given = raw.get("client_event_id") if isinstance(raw, dict) else None
    try:
        return UUID(given) if isinstance(given, str) else None
    except ValueError:
        return None
