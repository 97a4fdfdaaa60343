"""Response bodies of the health endpoints."""

from typing import Literal

from api.schemas.base import ResponseModel, Time


class HealthResponse(ResponseModel):
    status: Literal["ok", "unavailable"]
    version: str
    database: Literal["ok", "unavailable"]
    audit_log: Literal["ok", "unavailable"]
    server_time: Time | None


class LiveResponse(ResponseModel):
    status: Literal["ok"]


class ReadyResponse(ResponseModel):
    status: Literal["ready", "draining", "unavailable"]
    reason: str | None
