"""All that is held on a person, for that person."""

from base64 import b64encode
from collections.abc import Iterator
from typing import Final
from uuid import UUID

from flask import Blueprint, Response

from api.context import services
from api.contract import authenticated, may_fail, queries, returns
from api.evidence import exports, refuses_head
from api.schemas.blockchain import BundleQuery
from api.schemas.data_export import DataExportResponse
from models.audit_event import AuditEvent
from models.principal import Principal, Role
from services.data_export import DataExport
from services.evidence_views import What

bp = Blueprint("data_exports", __name__, url_prefix="/api")

PIECE_BYTES: Final = 64 * 1024


@bp.get("/auth/me/data-export")
@returns(DataExportResponse)
@may_fail(503)
@authenticated()
@refuses_head
def export_own_data(caller: Principal) -> Response:
    """Give out all that is held on the caller, and record that it was."""
    return _sent(services().data_exports.export(caller, caller.id, None), caller.id)


@bp.get("/users/<uuid:user_id>/data-export")
@returns(DataExportResponse)
@may_fail(404, 503)
@authenticated(Role.ADMIN)
@queries(BundleQuery)
@exports(What.DATA_EXPORT, AuditEvent.DATA_EXPORTED)
def export_user_data(query: BundleQuery, admin: Principal, user_id: UUID) -> Response:
    """Make the same of somebody who asks by letter."""
    made = services().data_exports.export(admin, user_id, query.reason)
    return _sent(made, user_id)


def _sent(made: DataExport, user_id: UUID) -> Response:
    response = Response(
        _pieces(made),
        content_type="application/json",
        headers={
            "Content-Disposition": f'attachment; filename="data-{user_id}.json"',
            "Content-Length": str(made.size),
            # RFC 9530.
            "Repr-Digest": f"sha-256=:{b64encode(made.sha256).decode()}:",
        },
    )
    # Nobody may have begun to read when the client goes away.
    response.call_on_close(made.file.close)
    return response


def _pieces(made: DataExport) -> Iterator[bytes]:
    with made.file as file:
        while piece := file.read(PIECE_BYTES):
            yield piece
