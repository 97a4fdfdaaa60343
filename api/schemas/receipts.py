"""Bodies of receipts. Hashes are lower-case hex."""

from typing import Annotated
from uuid import UUID

from pydantic import BeforeValidator, Field, JsonValue
from pydantic_core import from_json

from api.schemas.base import ResponseModel, Time
from api.schemas.blockchain import CheckResponse, Hash


def _parsed(value: object) -> object:
    # What a stranger sends as a payload need not be JSON, nor such as we could answer
    # with (NaN, half a character): then it is shown as it is.
    if not isinstance(value, str):
        return value
    try:
        return from_json(value, allow_inf_nan=False)
    except ValueError:
        return value


class SealedReceiptResponse(ResponseModel):
    """Keep `proof`: it can be checked without this server."""

    attempt_id: UUID
    audit_seq: int
    receipt_hash: Hash = Field(description="The entry's hash, as at submission.")
    checkpoint_size: int
    is_cosigned: bool = Field(description="Whether a witness has signed as well.")
    is_witnessed: bool = Field(
        description="Whether enough have, by the policy of this server: the receipt is"
        " final. Else ask again: witnesses that were away are asked every few seconds."
    )
    missing: str | None = Field(description="What the policy still asks for.")
    proof: str = Field(description="C2SP tlog-proof; as text/plain it comes alone.")


class ReceiptReportResponse(ResponseModel):
    is_valid: bool = Field(description="Nothing that was checked contradicts it.")
    is_witnessed: bool = Field(
        description="The quorum of this server's policy has confirmed its checkpoint."
    )
    audit_seq: int
    event_type: str
    attempt_id: str | None
    recorded_at: Time
    payload: Annotated[JsonValue, BeforeValidator(_parsed)]
    checks: list[CheckResponse]
