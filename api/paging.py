"""Keyset pages on the wire: `?limit=&cursor=`, `{"items": [...], "next_cursor": …}`."""

import base64
import binascii
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from models.wire import WireModel
from services import errors

Item = TypeVar("Item")
Key = TypeVar("Key")

BY_ID = TypeAdapter(tuple[UUID])
# The key of lists that are ordered by a bigint.
BY_NUMBER: TypeAdapter[tuple[int]] = TypeAdapter(
    tuple[Annotated[int, Field(ge=0, lt=2**63)]]
)


class InvalidCursorError(errors.UnprocessableError):
    slug = "invalid-cursor"
    title = "Invalid cursor"

    def __init__(self) -> None:
        super().__init__(
            "The cursor is none of ours. Start again without one.",
            [("#/query/cursor", "Is not a cursor of this list.")],
        )


class PageQuery(WireModel):
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    cursor: Annotated[str, Field(min_length=1, max_length=500)] | None = None

    def after(self, key: TypeAdapter[Key]) -> Key | None:
        """Decode the cursor into the list's sort key. Raises InvalidCursorError."""
        if self.cursor is None:
            return None
        try:
            raw = base64.urlsafe_b64decode(self.cursor + "=" * (-len(self.cursor) % 4))
            return key.validate_json(raw)
        except (ValidationError, binascii.Error, ValueError) as error:
            raise InvalidCursorError from error

    def after_id(self) -> UUID | None:
        """Decode the cursor of a list that is ordered by ids."""
        key = self.after(BY_ID)
        return None if key is None else key[0]

    def after_number(self, start: int) -> int:
        """Do the same of a list by numbers, which begins at `start`."""
        key = self.after(BY_NUMBER)
        return start if key is None else key[0]


class PageResponse(BaseModel, Generic[Item], from_attributes=True):
    items: list[Item]
    next_cursor: str | None = Field(
        description="Give it as ?cursor= for what follows; null at the end."
    )


_key_writer = TypeAdapter(tuple[object, ...])


def encode_cursor(key: tuple[object, ...] | None) -> str | None:
    if key is None:
        return None
    return base64.urlsafe_b64encode(_key_writer.dump_json(key)).decode().rstrip("=")
