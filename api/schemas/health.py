"""Response bodies of the health endpoints."""

from typing import Literal

from pydantic import Field

from api.schemas.base import ResponseModel, Time
from services.log_watch import LogCheck


class HealthResponse(ResponseModel):
    status: Literal["ok", "read_only", "unavailable"] = Field(
        description="`read_only`, with 200: the audit log contradicts what was signed"
        " of it, so nothing is written until an admin has decided."
    )
    version: str
    database: Literal["ok", "busy", "unavailable"] = Field(
        description="`busy`: all connections are in use, so it could not be asked."
    )
    audit_log: Literal["ok", "read_only", "unavailable"]
    log_check: LogCheck = Field(
        description="Whether the log continues what witnesses have seen of it."
    )
    server_time: Time | None


class LiveResponse(ResponseModel):
    status: Literal["ok"]


class ReadyResponse(ResponseModel):
    status: Literal["ready", "draining", "unavailable"]
    reason: str | None
