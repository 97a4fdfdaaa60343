"""Endpoints for whoever checks the audit log from outside: checkpoints and proofs.

They are laid out as C2SP's tlog-tiles wants it, and open to all: hashes of salted
commitments say nothing about anybody. Entries are not served here.
"""

from typing import Final

from flask import Blueprint, Response, request

from api.context import services
from api.contract import (
    PageResponse,
    Reply,
    also_as,
    authenticated,
    may_fail,
    public,
    queries,
    returns,
)
from api.paging import PageQuery
from api.schemas.transparency import (
    CheckpointResponse,
    ConsistencyQuery,
    ConsistencyResponse,
    InclusionQuery,
    InclusionResponse,
    NewestCheckpointResponse,
)
from models.page import FROM_THE_NEWEST, Page
from models.principal import Principal, Role
from services.merkle_service import (
    ConsistencyProof,
    InclusionProof,
    JudgedCheckpoint,
    PublishedCheckpoint,
)

bp = Blueprint("transparency", __name__, url_prefix="/api/blockchain")

JSON: Final = "application/json"
TEXT: Final = "text/plain"
OCTETS: Final = "application/octet-stream"
# A tile never changes.
FOR_EVER: Final = "public, max-age=31536000, immutable"


@bp.get("/checkpoint")
@also_as(TEXT)
@returns(NewestCheckpointResponse)
@may_fail(404)
@public
def get_checkpoint() -> Response | PublishedCheckpoint:
    """Return the newest signed checkpoint: the note itself, unless JSON is wanted."""
    newest = services().merkle.get_checkpoint()
    if request.accept_mimetypes.best_match([TEXT, JSON]) == JSON:
        return newest
    return Response(newest.checkpoint.note, content_type=f"{TEXT}; charset=utf-8")


@bp.get("/checkpoints")
@returns(PageResponse[CheckpointResponse])
@public
@queries(PageQuery)
def list_checkpoints(query: PageQuery) -> Page[JudgedCheckpoint]:
    """List the signed checkpoints, the newest first."""
    return services().merkle.list_checkpoints(
        before=query.after_number(FROM_THE_NEWEST), limit=query.limit
    )


@bp.get("/proof/inclusion/<seq:seq>")
@returns(InclusionResponse)
@may_fail(404, 409)
@authenticated(Role.ADMIN, Role.PROCTOR)
@queries(InclusionQuery)
def prove_inclusion(query: InclusionQuery, _: Principal, seq: int) -> InclusionProof:
    """Prove that a checkpoint covers an entry as it stands in the log."""
    return services().merkle.prove_inclusion(seq, query.size)


@bp.get("/proof/consistency")
@returns(ConsistencyResponse)
@may_fail(404, 409)
@public
@queries(ConsistencyQuery)
def prove_consistency(query: ConsistencyQuery) -> ConsistencyProof:
    """Prove that the log of one size only continues that of a smaller one."""
    return services().merkle.prove_consistency(query.from_size, query.to_size)


@bp.get("/tile/<level:level>/<tile:tile>")
@returns(bytes, media_type=OCTETS)
@may_fail(404, 409)
@public
def get_tile(level: int, tile: tuple[int, int]) -> Reply:
    """Return hashes of the Merkle tree, as C2SP's tlog-tiles lays them out."""
    hashes = services().merkle.get_tile(level, *tile)
    return Reply(hashes, headers={"Cache-Control": FOR_EVER})
