"""Bodies of the appeals, for the student and for whoever decides."""

from typing import Annotated
from uuid import UUID

from pydantic import AliasGenerator, AliasPath, ConfigDict, Field

from api.paging import PageQuery
from api.schemas.base import ResponseModel, Time
from models.appeal import AppealStatus


class AppealsQuery(PageQuery):
    exam_id: UUID | None = None
    status: Annotated[AppealStatus | None, Field(description="Only these.")] = None
    pending: Annotated[
        bool,
        Field(description="Only those that wait for somebody: open, under_review."),
    ] = False


class AppealResponse(ResponseModel):
    """An appeal, as its student sees it."""

    id: UUID
    attempt_id: UUID
    status: AppealStatus
    verdict_at: Time = Field(description="When the verdict was given.")
    reason: str | None = Field(description="null: it was erased.")
    lodged_at: Time
    ended_at: Time | None = Field(description="When it was decided or withdrawn.")
    decision_reason: str | None


def _within_handled(name: str) -> str | AliasPath:
    return name if name == "allowed_actions" else AliasPath("appeal", name)


class HandledAppealResponse(AppealResponse):
    """An appeal as staff sees it. `allowed_actions`: of whoever asks."""

    model_config = ConfigDict(
        alias_generator=AliasGenerator(validation_alias=_within_handled)
    )

    verdict_by: UUID
    reviewer_id: UUID | None = Field(description="Who looks into it, or has decided.")
    allowed_actions: list[str]


class ListedAppealResponse(HandledAppealResponse):
    exam_id: UUID
    exam_title: str
    student_id: UUID
    student_name: str
