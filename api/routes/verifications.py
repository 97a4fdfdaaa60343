"""Endpoints for verifications of the log that take long."""

from uuid import UUID

from flask import Blueprint

from api.context import services
from api.contract import (
    PageResponse,
    Reply,
    authenticated,
    may_accept,
    may_fail,
    queries,
    returns,
)
from api.paging import PageQuery
from api.schemas.verifications import NewVerification, VerificationRunResponse
from models.page import Page
from models.principal import Principal, Role
from models.verification_run import VerificationRun

bp = Blueprint("verifications", __name__, url_prefix="/api/blockchain/verifications")


@bp.post("")
@returns(VerificationRunResponse, 202)
@may_fail(409)
@authenticated(Role.ADMIN)
@may_accept(NewVerification)
def start_verification(new: NewVerification, admin: Principal) -> Reply:
    """Begin to verify all of the log; Location says where to ask how far it is."""
    run = services().verifications.start(admin, deep=new.deep)
    return Reply(run, headers={"Location": f"{bp.url_prefix}/{run.id}"})


@bp.get("")
@returns(PageResponse[VerificationRunResponse])
@authenticated(Role.ADMIN)
@queries(PageQuery)
def list_verifications(query: PageQuery, _: Principal) -> Page[VerificationRun]:
    """Return the verifications that were started, the newest first."""
    return services().verifications.list_runs(
        before=query.after_id(), limit=query.limit
    )


@bp.get("/<uuid:run_id>")
@returns(VerificationRunResponse)
@may_fail(404)
@authenticated(Role.ADMIN)
def get_verification(_: Principal, run_id: UUID) -> VerificationRun:
    """Return how far a verification is, and what it found once it has finished."""
    return services().verifications.get(run_id)


@bp.post("/<uuid:run_id>/cancel")
@returns(VerificationRunResponse)
@may_fail(404, 409)
@authenticated(Role.ADMIN)
def cancel_verification(admin: Principal, run_id: UUID) -> VerificationRun:
    """Ask a verification to stop, which takes it a second."""
    return services().verifications.cancel(admin, run_id)
