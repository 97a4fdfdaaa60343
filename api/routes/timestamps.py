"""Endpoints for timestamps of checkpoints (RFC 3161), open to all as those are."""

from typing import Final

from flask import Blueprint, Response, request

from api.context import services
from api.contract import (
    PageResponse,
    Reply,
    also_as,
    may_fail,
    public,
    queries,
    returns,
)
from api.paging import PageQuery
from api.schemas.timestamps import TimestampResponse
from models.checkpoint_timestamp import StoredTimestamp
from models.page import FROM_THE_NEWEST, Page

bp = Blueprint("timestamps", __name__, url_prefix="/api/blockchain/timestamps")

REPLY: Final = "application/timestamp-reply"
TEXT: Final = "text/plain"
# What was stamped never changes.
FOR_EVER: Final = "public, max-age=31536000, immutable"


@bp.get("")
@returns(PageResponse[TimestampResponse])
@public
@queries(PageQuery)
def list_timestamps(query: PageQuery) -> Page[StoredTimestamp]:
    """List the timestamps of checkpoints, the newest first."""
    return services().timestamps.list_timestamps(
        before=query.after_number(FROM_THE_NEWEST), limit=query.limit
    )


@bp.get("/<seq:timestamp_id>")
@also_as(TEXT)
@returns(bytes, media_type=REPLY)
@may_fail(404)
@public
def get_timestamp(timestamp_id: int) -> Response | Reply:
    """Return the authority's answer; as text/plain, the very bytes that it is over."""
    found = services().timestamps.get_timestamp(timestamp_id)
    is_text = request.accept_mimetypes.best_match([REPLY, TEXT]) == TEXT
    name = f"checkpoint-{found.size}-{found.id}.{'txt' if is_text else 'tsr'}"
    headers = {
        "Cache-Control": FOR_EVER,
        "Vary": "Accept",
        "Content-Disposition": f'attachment; filename="{name}"',
    }
    if is_text:
        content_type = f"{TEXT}; charset=utf-8"
        return Response(found.note, content_type=content_type, headers=headers)
    return Reply(found.response, headers=headers)
