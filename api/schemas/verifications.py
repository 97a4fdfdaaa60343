"""Bodies of the endpoints for verifications that take long."""

from typing import Annotated
from uuid import UUID

from pydantic import BeforeValidator, Field

from api.schemas.base import ResponseModel, Time
from api.schemas.blockchain import VerificationResponse
from models.verification_run import RunState
from models.wire import WireModel
from services.verification_job import REPORT


def _parsed(value: object) -> object:
    return REPORT.validate_json(value) if isinstance(value, str) else value


class NewVerification(WireModel):
    deep: bool = Field(
        default=False, description="Also compare the rows of other tables."
    )


class VerificationRunResponse(ResponseModel):
    id: UUID
    state: RunState = Field(
        description="`incomplete`: it did not get to its end, or its process died."
    )
    deep: bool
    requested_by: UUID
    started_at: Time
    ended_at: Time | None
    entries_total: int = Field(description="As many as there were at the start.")
    entries_checked: int
    failure: str | None = Field(description="Why there is no result.")
    result: Annotated[VerificationResponse | None, BeforeValidator(_parsed)] = Field(
        description="The report; null unless the state is `finished`."
    )
