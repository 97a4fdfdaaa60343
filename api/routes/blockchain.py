"""Endpoints that read and verify the audit log."""

from uuid import UUID

from flask import Blueprint

from api.context import services
from api.contract import (
    PageResponse,
    Reply,
    authenticated,
    may_fail,
    queries,
    returns,
)
from api.evidence import people_in, shows, shows_some
from api.paging import PageQuery
from api.schemas.blockchain import (
    EntryResponse,
    EventTypeResponse,
    SummaryResponse,
    VerificationResponse,
    VerifyQuery,
)
from models.audit_event import AuditEvent
from models.blockchain_log import AuditEntry
from models.page import FROM_THE_OLDEST, Page
from models.principal import Principal, Role
from services.audit_findings import Verification
from services.blockchain_service import Summary
from services.evidence_views import What

bp = Blueprint("blockchain", __name__, url_prefix="/api/blockchain")


@bp.post("/initialize")
@returns(EntryResponse, 201, or_status=(200,))
@may_fail(409)
@authenticated(Role.ADMIN)
def initialize(_: Principal) -> Reply:
    """Make the genesis entry; 200 and the same one if it is there already."""
    made = services().blockchain.initialize()
    return Reply(made.entry, 201 if made.is_new else 200)


@bp.get("/summary")
@returns(SummaryResponse)
@may_fail(409)
@authenticated(Role.ADMIN)
def summarize(_: Principal) -> Summary:
    """Return the size, the identity and the head of the log."""
    return services().blockchain.summarize()


@bp.get("/verify")
@returns(VerificationResponse)
@may_fail(503)
@authenticated(Role.ADMIN)
@queries(VerifyQuery)
def verify(query: VerifyQuery, _: Principal) -> Verification:
    """Check every entry, or a range; 200 whether the chain holds or not."""
    return services().blockchain.verify(
        from_seq=query.from_seq, to_seq=query.to_seq, deep=query.deep
    )


@bp.get("/event-types")
@returns(PageResponse[EventTypeResponse])
@authenticated(Role.ADMIN, Role.PROCTOR)
def list_event_types(_: Principal) -> Page[AuditEvent]:
    """List every event type that there is, with a sentence about it."""
    return Page(list(AuditEvent), None)


@bp.get("/entity/<entity_type>/<entity_id>")
@returns(PageResponse[EntryResponse])
@may_fail(404)
@authenticated(Role.ADMIN, Role.PROCTOR)
@queries(PageQuery)
@shows_some(What.ENTRIES, people_in)
def list_entity_trail(
    query: PageQuery, reader: Principal, entity_type: str, entity_id: str
) -> Page[AuditEntry]:
    """Return what happened to one thing, the oldest first."""
    return services().blockchain.list_entity_trail(
        reader,
        entity_type,
        entity_id,
        after=query.after_number(FROM_THE_OLDEST),
        limit=query.limit,
    )


@bp.get("/events/<event_type>")
@returns(PageResponse[EntryResponse])
@may_fail(404)
@authenticated(Role.ADMIN, Role.PROCTOR)
@queries(PageQuery)
@shows_some(What.ENTRIES, people_in)
def list_events(
    query: PageQuery, reader: Principal, event_type: str
) -> Page[AuditEntry]:
    """Return the entries of one type; a proctor gets those of his exams."""
    return services().blockchain.list_events(
        reader, event_type, after=query.after_number(FROM_THE_OLDEST), limit=query.limit
    )


@bp.get("/attempt/<uuid:attempt_id>")
@returns(PageResponse[EntryResponse])
@may_fail(404)
@authenticated(Role.ADMIN, Role.PROCTOR)
@queries(PageQuery)
@shows(What.TRAIL)
def list_attempt_trail(
    query: PageQuery, reader: Principal, attempt_id: UUID
) -> Page[AuditEntry]:
    """Return everything that was recorded of an attempt, the oldest first."""
    return services().blockchain.list_attempt_trail(
        reader, attempt_id, after=query.after_number(FROM_THE_OLDEST), limit=query.limit
    )
