"""Is the server alive, and can it work."""

from flask import Blueprint

from api.context import services
from api.contract import Reply, may_fail, public, returns
from api.schemas.health import HealthResponse, LiveResponse, ReadyResponse

bp = Blueprint("health", __name__)


@bp.get("/health")
@may_fail(503)
@returns(HealthResponse, or_status=(503,))
@public
def health() -> Reply:
    """Say whether the server can work: 503, with the same body, when it can not.

    200 with `read_only` while nothing may be written: who reads is to be sent here.
    """
    found = services().health.check()
    return Reply(found, 503 if found.status == "unavailable" else 200)


@bp.get("/health/live")
@returns(LiveResponse)
@public
def live() -> LiveResponse:
    """Say that the process answers. Asks nothing else, the database included."""
    return LiveResponse(status="ok")


@bp.get("/health/ready")
@may_fail(503)
@returns(ReadyResponse, or_status=(503,))
@public
def ready() -> Reply:
    """Say whether new requests should be sent here: 503, with why, while not."""
    found = services().health.ready()
    return Reply(found, 200 if found.status == "ready" else 503)
