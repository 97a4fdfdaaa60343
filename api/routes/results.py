"""The results of an exam, as JSON or as a spreadsheet."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final
from uuid import UUID

from flask import Blueprint, Response, request
from pydantic import Field

from api.context import services
from api.contract import also_as, authenticated, queries, returns
from api.evidence import shows
from api.paging import PageQuery, PageResponse
from api.schemas.exams import ResultResponse
from models.exam_result import ExamResult
from models.page import Page
from models.principal import Principal, Role
from services.evidence_views import What
from utils.csv_text import csv_line
from utils.instants import rfc3339

bp = Blueprint("results", __name__, url_prefix="/api/exams/<uuid:exam_id>/results")


JSON: Final = "application/json"
CSV: Final = "text/csv"
COLUMNS: Final = tuple(ResultResponse.model_fields)


class ResultsFormat(StrEnum):
    JSON = "json"
    CSV = "csv"


class ResultsQuery(PageQuery):
    format: ResultsFormat | None = Field(
        default=None, description="Else the Accept header decides. CSV has all rows."
    )


@bp.get("")
@also_as(CSV)
@returns(PageResponse[ResultResponse])
@authenticated(Role.ADMIN)
@queries(ResultsQuery)
@shows(What.RESULTS)
def list_results(
    query: ResultsQuery, admin: Principal, exam_id: UUID
) -> Page[ExamResult] | Response:
    """List one row an attempt, in the order in which they were begun."""
    if _wants_csv(query):
        pieces = services().results.export_results(admin, exam_id)
        return Response(
            _csv(pieces),
            content_type=f"{CSV}; charset=utf-8; header=present",
            headers={
                "Content-Disposition": f'attachment; filename="results-{exam_id}.csv"'
            },
        )
    return services().results.list_results(
        admin, exam_id, limit=query.limit, after=query.after_id()
    )


def _wants_csv(query: ResultsQuery) -> bool:
    if query.format is not None:
        return query.format is ResultsFormat.CSV
    return request.accept_mimetypes.best_match([JSON, CSV]) == CSV


def _csv(pieces: Iterable[Iterable[ExamResult]]) -> Iterator[str]:
    yield csv_line(COLUMNS)
    for piece in pieces:
        yield "".join(
            csv_line([_cell(getattr(row, name)) for name in COLUMNS]) for row in piece
        )


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime():
            return rfc3339(value)
        case Decimal():
            return f"{value:f}"
        case _:
            return str(value)
