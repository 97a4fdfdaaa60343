"""Bodies about evidence: who looked at it."""

from uuid import UUID

from pydantic import Field

from api.schemas.base import ResponseModel, Time
from models.principal import Role


class ViewerResponse(ResponseModel):
    """Nobody at all: somebody at the server's terminal."""

    role: Role | None
    pseudonym: str | None = Field(
        description="The same viewer has the same one in all that one student is shown."
    )
    id: UUID | None = Field(description="For staff.")
    name: str | None = Field(description="For staff.")


class ViewResponse(ResponseModel):
    """A look at evidence: the same again within ten minutes is none of its own."""

    seq: int = Field(description="The number of its entry in the audit log.")
    recorded_at: Time
    what: str
    subject_type: str = Field(
        description="`attempt`; `exam`, if all of its attempts were looked at; `user`."
    )
    viewer: ViewerResponse
