"""Evidence that leaves the system, and who has looked at it."""

from base64 import b64encode
from typing import Final
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
from api.evidence import exports
from api.paging import PageQuery
from api.schemas.blockchain import BundleQuery
from api.schemas.evidence import ViewResponse
from models.audit_event import AuditEvent
from models.page import FROM_THE_NEWEST, Page
from models.principal import Principal, Role
from services.evidence_views import ShownView, What

bp = Blueprint("evidence", __name__, url_prefix="/api/blockchain")

ZIP: Final = "application/zip"


@bp.get("/attempt/<uuid:attempt_id>/bundle")
@returns(bytes, media_type=ZIP)
@may_fail(404, 409)
@authenticated(Role.ADMIN, Role.PROCTOR)
@queries(BundleQuery)
@exports(What.BUNDLE, AuditEvent.EVIDENCE_EXPORTED)
def export_bundle(query: BundleQuery, staff: Principal, attempt_id: UUID) -> Reply:
    """Make a bundle of evidence about an attempt, and record that it was made."""
    made = services().evidence.export_bundle(staff, attempt_id, query.reason)
    return Reply(
        made.content,
        headers={
            "Content-Disposition": f'attachment; filename="evidence-{attempt_id}.zip"',
            # RFC 9530.
            "Repr-Digest": f"sha-256=:{b64encode(made.sha256).decode()}:",
        },
    )


@bp.get("/attempt/<uuid:attempt_id>/views")
@returns(PageResponse[ViewResponse])
@may_fail(404)
@authenticated()
@queries(PageQuery)
def list_views(
    query: PageQuery, reader: Principal, attempt_id: UUID
) -> Page[ShownView]:
    """List who of the staff looked at an attempt's evidence, the newest first."""
    return services().views.list_views(
        reader,
        attempt_id,
        before=query.after_number(FROM_THE_NEWEST),
        limit=query.limit,
    )
