"""Bodies about what is erased, what is held, and how long data are kept."""

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AliasPath, Field

from api.paging import PageQuery
from api.schemas.base import ResponseModel, Time
from models.retention import RetentionClass
from models.wire import WireModel

# Two numbers, as a list: readers of schemas stumble over tuples.
Ends = Annotated[list[int], Field(min_length=2, max_length=2)]


class ErasureQuery(WireModel):
    dry_run: bool = Field(
        default=False, description="Only say what would be erased, and erase nothing."
    )


class HoldQuery(PageQuery):
    is_active: bool | None = Field(
        default=None, description="Only holds that apply, or only released ones."
    )


class ErasureResponse(ResponseModel):
    """What was erased and why. Of a dry run seq, erased_at and erased_by are null."""

    seq: int | None = Field(description="The entry of the audit log that records it.")
    erased_at: Time | None
    erased_by: str | None = Field(description="A user's id, or `system`.")
    subject_type: Literal["user", "retention"]
    subject_id: str = Field(description="A user's id, or a class of data.")
    legal_basis: str = Field(validation_alias=AliasPath("facts", "legal_basis"))
    reason: str = Field(validation_alias=AliasPath("facts", "reason"))
    classes: dict[str, int] = Field(
        validation_alias=AliasPath("facts", "classes"),
        description="How many rows of each class of data.",
    )
    entry_count: int = Field(description="Entries of the log that were emptied.")
    entries: list[Ends] = Field(
        validation_alias=AliasPath("facts", "entries"),
        description="Which they are: the first and the last of each range.",
    )
    mentions: int = Field(
        validation_alias=AliasPath("facts", "mentions"),
        description="How many of them are about others and mention the person.",
    )
    mention_entries: list[Ends] = Field(
        validation_alias=AliasPath("facts", "mention_entries"),
        description="Which those are; part of `entries`.",
    )
    mentions_left: int = Field(
        validation_alias=AliasPath("facts", "mentions_left"),
        description="Entries that mention the person and were left as they are.",
    )


class HoldResponse(ResponseModel):
    id: UUID
    user_id: UUID | None
    attempt_id: UUID | None
    exam_id: UUID | None
    reason: str
    placed_by: UUID | None
    placed_at: Time
    released_by: UUID | None
    released_at: Time | None
    release_reason: str | None


class RetentionRuleResponse(ResponseModel):
    data_class: RetentionClass
    days: int | None = Field(description="Null: kept for ever.")
    updated_by: UUID | None
    updated_at: Time
    applied_on: date | None = Field(
        description="The last day, UTC, on which all that was due was erased."
    )


class RetentionRulesResponse(ResponseModel):
    rules: list[RetentionRuleResponse]
