"""Endpoints for receipts: a student gets his, and anybody has one checked."""

from typing import Final
from uuid import UUID

from flask import Blueprint, Response, request

from api.context import services
from api.contract import (
    TextFile,
    accepts_text,
    also_as,
    authenticated,
    may_fail,
    public,
    returns,
)
from api.schemas.receipts import ReceiptReportResponse, SealedReceiptResponse
from models.principal import Principal, Role
from services.receipt_page import POLICY, receipt_page
from services.receipt_service import ReceiptReport, SealedReceipt

bp = Blueprint("receipts", __name__, url_prefix="/api")

JSON: Final = "application/json"
TEXT: Final = "text/plain"
HTML: Final = "text/html"
MAX_RECEIPT_BYTES: Final = 64 * 1024


@bp.get("/exams/attempts/<uuid:attempt_id>/receipt")
@also_as(TEXT, HTML)
@returns(SealedReceiptResponse)
@may_fail(404, 409, 503)
@authenticated(Role.STUDENT)
def get_receipt(student: Principal, attempt_id: UUID) -> Response | SealedReceipt:
    """Return the proof that the log holds the attempt's end: JSON, text, or a page."""
    receipt = services().receipts.get_receipt(student, attempt_id)
    wanted = request.accept_mimetypes.best_match([JSON, TEXT, HTML], default=JSON)
    if wanted == TEXT:
        name = f"receipt-{attempt_id}.tlog-proof"
        return Response(
            receipt.proof,
            content_type=f"{TEXT}; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )
    if wanted == HTML:
        return Response(
            receipt_page(receipt),
            content_type=f"{HTML}; charset=utf-8",
            headers={"Content-Security-Policy": POLICY},
        )
    return receipt


@bp.post("/blockchain/receipts/verify")
@returns(ReceiptReportResponse)
@public
@accepts_text(TEXT, max_bytes=MAX_RECEIPT_BYTES)
def check_receipt(file: TextFile) -> ReceiptReport:
    """Check a receipt by itself and against the log of today. Stores nothing."""
    return services().receipts.check_receipt(file.text)
