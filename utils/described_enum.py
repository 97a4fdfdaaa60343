"""An enumeration whose members carry a sentence about themselves."""

from enum import StrEnum
from typing import Self


class DescribedEnum(StrEnum):
    """Members are written `NAME = "value", "A sentence."`; they equal their value."""

    description: str

    def __new__(cls, value: str, description: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.description = description
        return member
