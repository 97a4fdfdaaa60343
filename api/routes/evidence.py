"""Evidence that leaves the system: a bundle for a hearing."""

from base64 import b64encode
from typing import Final
from uuid import UUID

from flask import Blueprint, Response

from api.context import services
from api.contract import authenticated, may_fail, queries, sends
from api.schemas.blockchain import BundleQuery
from models.principal import Principal, Role

bp = Blueprint("evidence", __name__, url_prefix="/api/blockchain")

ZIP: Final = "application/zip"


@bp.get("/attempt/<uuid:attempt_id>/bundle")
@sends(ZIP)
@may_fail(404)
@authenticated(Role.ADMIN, Role.PROCTOR)
@queries(BundleQuery)
def export_bundle(query: BundleQuery, staff: Principal, attempt_id: UUID) -> Response:
    """Make a bundle of evidence about an attempt, and record that it was made."""
    made = services().evidence.export_bundle(staff, attempt_id, query.reason)
    return Response(
        made.content,
        mimetype=ZIP,
        headers={
            "Content-Disposition": f'attachment; filename="evidence-{attempt_id}.zip"',
            # RFC 9530.
            "Repr-Digest": f"sha-256=:{b64encode(made.sha256).decode()}:",
        },
    )
