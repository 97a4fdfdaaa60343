"""Endpoints of the exam client: it reports, and its student sees what is held."""

from uuid import UUID

from flask import Blueprint

from api.context import services
from api.contract import Reply, accepts, authenticated, may_fail, returns
from api.schemas.analysis import OwnAttemptResponse
from api.schemas.proctoring import (
    BatchResponse,
    EventTypesResponse,
    RecordedEventResponse,
    batch_json,
)
from models.principal import Principal, Role
from models.proctoring_report import MAX_BATCH_BYTES, NewEvent, NewEvents
from services import event_catalogue
from services.event_catalogue import Catalogue
from services.proctoring_reads import OwnAttempt
from services.proctoring_service import ResultStatus

bp = Blueprint("proctoring", __name__, url_prefix="/api/proctoring")


@bp.post("/event")
@returns(RecordedEventResponse, 201, or_status=(200,))
@may_fail(404, 409)
@authenticated(Role.STUDENT)
@accepts(NewEvent)
def record_event(new: NewEvent, student: Principal) -> Reply:
    """Record one event (201). Sent again, it gives the same body (200)."""
    recorded = services().proctoring.record_event(student, new)
    return Reply(recorded, 201 if recorded.status is ResultStatus.ACCEPTED else 200)


@bp.post("/events")
@returns(BatchResponse)
@may_fail(404, 409)
@authenticated(Role.STUDENT)
@accepts(NewEvents, max_bytes=MAX_BATCH_BYTES)
def record_events(new: NewEvents, student: Principal) -> bytes:
    """Record up to 200 events. One that is refused does not lose the others."""
    return batch_json(services().proctoring.record_events(student, new))


@bp.get("/event-types")
@returns(EventTypesResponse)
@authenticated()
def list_event_types(_: Principal) -> Catalogue:
    """List every type of event, who may report it, and what its payload can say."""
    return event_catalogue.CATALOGUE


@bp.get("/my-attempt/<uuid:attempt_id>")
@returns(OwnAttemptResponse)
@may_fail(404)
@authenticated(Role.STUDENT)
def read_own_attempt(student: Principal, attempt_id: UUID) -> OwnAttempt:
    """Return one's own attempt with the flags held on it and what each weighs."""
    return services().proctoring_reads.read_own_attempt(student, attempt_id)
