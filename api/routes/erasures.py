"""Endpoints through which admins erase what is known of a person (GDPR, article 17)."""

from uuid import UUID

from flask import Blueprint

from api.context import services
from api.contract import accepts, authenticated, may_fail, queries, returns
from api.paging import PageQuery, PageResponse
from api.schemas.erasure import ErasureQuery, ErasureResponse
from models.page import FROM_THE_NEWEST, Page
from models.principal import Principal, Role
from services.erasing import Erasure
from services.erasure_service import NewErasure

bp = Blueprint("erasures", __name__, url_prefix="/api")


@bp.post("/users/<uuid:user_id>/erasure")
@may_fail(404, 409)
@returns(ErasureResponse)
@authenticated(Role.ADMIN)
@queries(ErasureQuery)
@accepts(NewErasure)
def erase_user(
    new: NewErasure, query: ErasureQuery, admin: Principal, user_id: UUID
) -> Erasure:
    """Erase what is known of a person; again, it gives the same report."""
    if query.dry_run:
        return services().erasures.preview(user_id, new)
    return services().erasures.erase_user(admin, user_id, new)


@bp.get("/users/<uuid:user_id>/erasure")
@may_fail(404)
@returns(ErasureResponse)
@authenticated(Role.ADMIN)
def get_erasure(_: Principal, user_id: UUID) -> Erasure:
    """Return the report of a person who was erased."""
    return services().erasures.get_erasure(user_id)


@bp.get("/erasures")
@returns(PageResponse[ErasureResponse])
@authenticated(Role.ADMIN)
@queries(PageQuery)
def list_erasures(query: PageQuery, _: Principal) -> Page[Erasure]:
    """List what was erased, when and why: people, and what was kept long enough."""
    return services().erasures.list_erasures(
        before=query.after_number(FROM_THE_NEWEST), limit=query.limit
    )
