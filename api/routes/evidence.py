"""Evidence that leaves the system: a bundle for a hearing."""

from base64 import b64encode
from typing import Final
from uuid import UUID

from flask import Blueprint

from api.context import services
from api.contract import Reply, authenticated, may_fail, queries, returns
from api.schemas.blockchain import BundleQuery
from models.principal import Principal, Role

bp = Blueprint("evidence", __name__, url_prefix="/api/blockchain")

ZIP: Final = "application/zip"


@bp.get("/attempt/<uuid:attempt_id>/bundle")
@returns(bytes, media_type=ZIP)
@may_fail(404, 409)
@authenticated(Role.ADMIN, Role.PROCTOR)
@queries(BundleQuery)
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
