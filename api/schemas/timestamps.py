"""Bodies of timestamps. Hashes are lower-case hex."""

from pydantic import Field

from api.schemas.base import ResponseModel, Time
from api.schemas.blockchain import Hash


class TimestampResponse(ResponseModel):
    """RFC 3161. The answer itself is at `GET …/timestamps/<id>`."""

    id: int
    size: int = Field(description="Of the checkpoint: how many entries it covers.")
    note: str = Field(
        description="The checkpoint as it was stamped, with the signatures of then:"
        " these bytes in UTF-8 are what `openssl ts -verify -data` wants."
    )
    note_sha256: Hash = Field(description="The message imprint.")
    tsa_url: str = Field(description="The authority that was asked.")
    stamped_at: Time = Field(description="What the authority says.")
    is_chain_verified: bool = Field(
        description="Whether this server knew roots, and they vouched for the authority"
        " when the answer came. Without them it only is an answer to our question."
    )
    received_at: Time
