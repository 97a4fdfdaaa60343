"""Bodies of checkpoints and proofs. Hashes are lower-case hex."""

from typing import Annotated, Self

from pydantic import AliasPath, Field, model_validator

from api.schemas.base import ResponseModel, Time
from api.schemas.blockchain import Hash
from models.wire import WireModel

Size = Annotated[int, Field(ge=1, le=2**53 - 1)]


class CosignatureResponse(ResponseModel):
    name: str = Field(description="As the policy names the witness.")
    cosigned_at: Time = Field(description="When it says that it signed.")


class CheckpointResponse(ResponseModel):
    size: int = Field(description="How many entries it covers: 0 to size - 1.")
    root: Hash
    note: str = Field(
        description="C2SP's tlog-checkpoint as it was signed, with the signatures of"
        " the witnesses that have answered.",
    )
    signed_at: Time
    cosigned_at: Time | None
    witnesses: list[CosignatureResponse] = Field(
        description="Those of the server's policy whose cosignatures are right."
    )
    is_witnessed: bool = Field(
        description="Whether the log and the quorum of the policy have signed it."
    )
    missing: str | None = Field(description="What the policy still asks for.")


class NewestCheckpointResponse(ResponseModel):
    checkpoint: CheckpointResponse
    verifier_keys: list[str] = Field(
        description="Who may sign, as this server was told. Do not believe it here:"
        " compare with what the institution has published."
    )
    policy: str | None = Field(
        description="The C2SP tlog-policy that this server judges by, as it was given"
        " it. Who verifies brings one of his own."
    )


class InclusionQuery(WireModel):
    size: Size | None = Field(
        default=None, description="That of a checkpoint; else the newest is taken."
    )


class InclusionResponse(ResponseModel):
    """RFC 9162 section 2.1.3."""

    seq: int
    leaf_hash: Hash = Field(description="The entry's own `hash`.")
    size: int
    root: Hash
    proof: list[Hash]
    checkpoint: str = Field(
        validation_alias=AliasPath("checkpoint", "best_note"),
        description="The signed note that has the root.",
    )


class ConsistencyQuery(WireModel):
    from_size: Size = Field(alias="from")
    to_size: Size | None = Field(
        default=None, alias="to", description="Else that of the newest checkpoint."
    )

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.to_size is not None and self.from_size > self.to_size:
            raise ValueError("from must not be greater than to")
        return self


class ConsistencyResponse(ResponseModel):
    """RFC 9162 section 2.1.4."""

    from_size: int
    to_size: int
    from_root: Hash
    to_root: Hash
    proof: list[Hash]
