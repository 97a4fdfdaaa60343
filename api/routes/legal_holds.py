"""Endpoints through which admins keep data that a case needs."""

from uuid import UUID

from flask import Blueprint

from api.context import services
from api.contract import (
    accepts,
    authenticated,
    idempotent,
    may_fail,
    queries,
    returns,
)
from api.paging import PageResponse
from api.schemas.erasure import HoldQuery, HoldResponse
from models.legal_hold import Hold
from models.page import Page
from models.principal import Principal, Role
from services.hold_service import HoldRelease, NewHold

bp = Blueprint("legal_holds", __name__, url_prefix="/api/legal-holds")


@bp.post("")
@idempotent
@may_fail(404)
@returns(HoldResponse, 201)
@authenticated(Role.ADMIN)
@accepts(NewHold)
def place_hold(new: NewHold, admin: Principal) -> Hold:
    """Keep the data of a person, an attempt or an exam from being erased."""
    return services().holds.place_hold(admin, new)


@bp.get("")
@returns(PageResponse[HoldResponse])
@authenticated(Role.ADMIN)
@queries(HoldQuery)
def list_holds(query: HoldQuery, _: Principal) -> Page[Hold]:
    """List holds, the newest first."""
    return services().holds.list_holds(
        is_active=query.is_active,
        before=query.after_id(),
        limit=query.limit,
    )


@bp.post("/<uuid:hold_id>/release")
@may_fail(404, 409)
@returns(HoldResponse)
@authenticated(Role.ADMIN)
@accepts(HoldRelease)
def release_hold(release: HoldRelease, admin: Principal, hold_id: UUID) -> Hold:
    """Say that the case needs the data no longer."""
    return services().holds.release_hold(admin, hold_id, release)
