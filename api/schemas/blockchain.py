"""Bodies of the audit log's endpoints. Hashes are lower-case hex."""

from typing import Annotated, Self
from uuid import UUID

from pydantic import (
    BeforeValidator,
    Field,
    JsonValue,
    StringConstraints,
    model_validator,
)

from api.schemas.base import ResponseModel, Time
from models.wire import Line, WireModel
from services.audit_findings import CheckResult, ErrorClass, Verdict
from services.epochs import EpochOpened
from utils.payload_text import shown


def _to_hex(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value


def _shown(value: object) -> object:
    return shown(value) if isinstance(value, str) else value


Hash = Annotated[str, BeforeValidator(_to_hex), Field(pattern="^[0-9a-f]{64}$")]
LogId = Annotated[str, BeforeValidator(_to_hex), Field(pattern="^[0-9a-f]{32}$")]
Payload = Annotated[dict[str, JsonValue] | str, BeforeValidator(_shown)]
Seq = Annotated[int, Field(ge=0, le=2**53 - 1)]


class EntryResponse(ResponseModel):
    seq: int
    recorded_at: Time
    event_type: str
    entity_type: str
    entity_id: str
    actor_id: str | None = Field(
        description="A user's id, `system`, or null for a caller who did not log in."
    )
    attempt_id: UUID | None
    payload: Payload | None = Field(
        description="What was hashed is its RFC 8785 text. Null after a redaction. What"
        " is no object, in a log that was tampered with, is shown as its text."
    )
    payload_hash: Hash = Field(description="A salted commitment to the payload.")
    previous_hash: Hash
    hash: Hash


class EventTypeResponse(ResponseModel):
    event_type: Annotated[str, Field(validation_alias="value")]
    description: str


class EventCountResponse(ResponseModel):
    event_type: str
    entries: int


class EpochResponse(ResponseModel):
    """Since when the log is signed under an origin; of all but the first, why."""

    number: int
    origin: str
    first_seq: int
    began_at: Time
    opened_by: str | None
    opened: EpochOpened | None = Field(
        description="What the entry says that opened it: the reason, and the signed"
        " checkpoint that the log contradicted."
    )


class SuspensionResponse(ResponseModel):
    """A checkpoint that was signed, and the log that does not continue it."""

    found_at: Time
    seen_by: str
    note: str
    size: int
    root: Hash
    log_size: int
    log_root: Hash | None = Field(
        description="At the size of the checkpoint; null if the log is shorter."
    )


class SummaryResponse(ResponseModel):
    """The log at a glance. Nothing of it was verified."""

    log_id: LogId
    origin: str
    entries: int
    genesis_hash: Hash
    began_at: Time
    head_seq: int
    head_hash: Hash
    last_recorded_at: Time
    event_types: list[EventCountResponse]
    epochs: list[EpochResponse] = Field(
        description="More than one: the log did not hold all that was signed of it."
    )
    suspension: SuspensionResponse | None = Field(
        description="Why nothing can be written; null while all is well."
    )


class VerifyQuery(WireModel):
    from_seq: Seq | None = None
    to_seq: Seq | None = None
    deep: bool = Field(
        default=False,
        description="Also compare the rows of other tables with what the log says of"
        " them. Needs the whole log.",
    )

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if (
            self.from_seq is not None
            and self.to_seq is not None
            and self.from_seq > self.to_seq
        ):
            raise ValueError("from_seq must not be greater than to_seq")
        if self.deep and (self.from_seq is not None or self.to_seq is not None):
            raise ValueError("a deep check is of the whole log, not of a range")
        return self


class BundleQuery(WireModel):
    reason: Annotated[Line, StringConstraints(min_length=1, max_length=500)] | None = (
        Field(default=None, description="What it is made for. Is recorded in the log.")
    )


class FindingResponse(ResponseModel):
    seq: int
    reason: ErrorClass
    expected: str | None
    found: str | None
    detail: str


class CheckResponse(ResponseModel):
    name: str
    result: CheckResult
    detail: str


class AnchorResponse(ResponseModel):
    source: str = Field(description="Who has the checkpoint.")
    size: int | None = Field(description="Of how many entries it is.")
    result: CheckResult
    detail: str
    witnessed_at: Time | None = Field(
        description="When a witness last called it the newest."
    )


class ContinuedResponse(ResponseModel):
    size: int = Field(description="So many entries were not read again in this run.")
    last_full_run_at: Time


class VerificationResponse(ResponseModel):
    valid: bool = Field(
        description="No error was found in what was asked for, and all of it was read."
        " The verdict says what that is worth."
    )
    verdict: Verdict = Field(
        description="`internally_consistent` is all that a database can say of itself:"
        " who owns it could have written all of the log anew. The two above it need a"
        " checkpoint from outside, and hold for the entries that it covers."
    )
    entries_checked: int
    rows_checked: int | None = Field(
        description="How many rows of other tables were compared; null without `deep`."
    )
    first_seq: int | None
    last_seq: int | None
    head_hash: Hash | None = Field(
        description="Of the last entry that was checked. Keep it elsewhere: a later log"
        " that has another hash at this seq was rewritten."
    )
    first_invalid: FindingResponse | None
    errors_by_class: dict[str, int]
    errors: list[FindingResponse] = Field(description="The first hundred.")
    checks: list[CheckResponse] = Field(
        description="Also what was not checked, and why."
    )
    anchors: list[AnchorResponse] = Field(
        description="Checkpoints from outside the database, believed or not."
    )
    unanchored_entries: int | None = Field(
        description="Entries behind the largest anchor that agrees: nobody outside the"
        " database vouches for them. Null without one."
    )
    continued: ContinuedResponse | None = Field(
        description="Where an incremental run began; null if all was read."
    )
    snapshot_at: Time
    duration_ms: int
