"""Bodies of the proctoring endpoints: events, and what became of them."""

from typing import Annotated, Literal
from uuid import UUID

import orjson
from pydantic import (
    AliasGenerator,
    AliasPath,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    field_validator,
)

from api.paging import PageQuery
from api.problems import describe
from api.schemas.base import ResponseModel, Time
from models.attempt import AttemptStatus
from models.wire import Instant, Text, WireModel
from services.event_catalogue import EventClass, Reporter, Severity, resolve
from services.proctoring_service import (
    BatchReceipt,
    RecordedEvent,
    RefusedEvent,
    ResultStatus,
)
from utils.instants import rfc3339

EventTypeName = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class NoteRequest(WireModel):
    event_type: EventTypeName = Field(
        default="proctor.note",
        description="A type whose reporters include the proctor.",
    )
    text: Annotated[Text, StringConstraints(min_length=1, max_length=2000)]


class EventsQuery(PageQuery):
    event_type: EventTypeName | None = Field(
        default=None, alias="type", description="A code or an alias."
    )
    event_class: EventClass | None = Field(default=None, alias="class")
    severity: Severity | None = None
    since: Instant | None = Field(
        default=None, alias="from", description="Occurred then or later."
    )
    until: Instant | None = Field(
        default=None, alias="to", description="Occurred before."
    )

    @field_validator("event_type")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        return None if value is None else resolve(value).code


class ProctoringEventResponse(ResponseModel):
    """An event as it is stored."""

    id: UUID
    attempt_id: UUID
    client_event_id: UUID
    sequence: int | None = Field(
        description="null: the server or a proctor reported it."
    )
    event_type: str = Field(description="The code, whatever alias was sent.")
    event_class: EventClass
    severity: Severity
    occurred_at: Time
    received_at: Time
    payload: dict[str, JsonValue]
    audit_seq: int = Field(description="The audit entry that holds it.")


def _within_event(name: str) -> str | AliasPath:
    return name if name == "audit_seq" else AliasPath("event", name)


class RecordedEventResponse(ProctoringEventResponse):
    model_config = ConfigDict(
        alias_generator=AliasGenerator(validation_alias=_within_event)
    )


class FieldProblemResponse(ResponseModel):
    pointer: str
    detail: str


class ProblemResponse(ResponseModel):
    """Why one event was refused: what a request for it alone would have got."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldProblemResponse] | None = None
    current_status: str | None = None


class AcceptedResponse(ResponseModel):
    client_event_id: UUID
    status: Literal[ResultStatus.ACCEPTED]
    audit_seq: int


class DuplicateResponse(ResponseModel):
    client_event_id: UUID
    status: Literal[ResultStatus.DUPLICATE]
    audit_seq: int


class RejectedResponse(ResponseModel):
    client_event_id: UUID | None = Field(description="null: none could be read.")
    status: Literal[ResultStatus.REJECTED]
    problem: Annotated[ProblemResponse, BeforeValidator(describe)] = Field(
        validation_alias="reason"
    )


class BatchResponse(ResponseModel):
    """A reply means: what was accepted is on disk and in the chain."""

    results: list[
        Annotated[
            AcceptedResponse | DuplicateResponse | RejectedResponse,
            Field(discriminator="status"),
        ]
    ] = Field(description="One for each event, in the order in which they were sent.")
    missing_sequences: list[int] = Field(
        description="Numbers below the highest that are not on record; the first 1000."
    )
    status: AttemptStatus = Field(
        description="Of the attempt: whether it runs, a proctor has paused it, or it"
        " has ended."
    )
    expected_report_interval_seconds: float = Field(
        description="Report at least this often, and if nothing happens a"
        " `session.milestone` without a payload: a report vouches for this much time"
        " before it. It stays the same for the whole attempt."
    )
    server_time: Time
    deadline_at: Time
    seconds_remaining: int


def batch_json(receipt: BatchReceipt) -> bytes:
    """Return the BatchResponse of a receipt as JSON.

    Pydantic takes ten times as long for a hundred results; a test compares the two.
    """
    return orjson.dumps(
        {
            "results": [_result(each) for each in receipt.results],
            "missing_sequences": receipt.missing_sequences,
            "status": receipt.status,
            "expected_report_interval_seconds": (
                receipt.expected_report_interval_seconds
            ),
            "server_time": rfc3339(receipt.server_time),
            "deadline_at": rfc3339(receipt.deadline_at),
            "seconds_remaining": receipt.seconds_remaining,
        }
    )


def _result(each: RecordedEvent | RefusedEvent) -> dict[str, object]:
    if isinstance(each, RefusedEvent):
        return RejectedResponse.model_validate(each).model_dump()
    return {
        "client_event_id": each.client_event_id,
        "status": each.status,
        "audit_seq": each.audit_seq,
    }


class EventTypeResponse(ResponseModel):
    code: str
    event_class: EventClass
    default_severity: Severity
    label: str = Field(description="Names it in a sentence to the student.")
    reporters: list[Reporter]
    is_detection: bool = Field(
        description="The opinion of a detector: it weighs nothing until it lasts."
    )
    repeated_severity: Severity | None
    aliases: list[str]

    @field_validator("reporters", mode="before")
    @classmethod
    def _in_order(cls, value: frozenset[Reporter]) -> list[Reporter]:
        return sorted(value)


class EventTypesResponse(ResponseModel):
    items: list[EventTypeResponse]
    payload_keys: dict[str, str] = Field(
        description="Keys of a payload that mean something; all others are stored."
    )
