"""The body of an export of somebody's data."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from api.schemas.base import Time


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LeftOutResponse(_Strict):
    what: str
    why: str


class SectionResponse(_Strict):
    """What is held of one kind."""

    about: str = Field(description="What it is, in plain words.")
    rests_on: str = Field(description="Where it comes from and why it is there.")
    seen_by: str
    items: list[dict[str, JsonValue]] = Field(
        description="Rows as they are stored. `held_back` names what is not shown yet."
    )


class DataExportResponse(_Strict):
    """All that is held on a person. Is written piece by piece; its size is known."""

    format: str
    made_at: Time
    user_id: UUID
    notes: list[str]
    left_out: list[LeftOutResponse]
    sections: dict[str, SectionResponse]
