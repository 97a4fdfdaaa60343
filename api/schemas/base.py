"""What all response bodies share."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from utils.instants import rfc3339

# RFC 3339, UTC, always with microseconds.
Time = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str, when_used="json-unless-none"),
    Field(json_schema_extra={"format": "date-time"}),
]
# Exact inside, an ordinary number in JSON.
Number = Annotated[
    Decimal, PlainSerializer(float, return_type=float, when_used="json-unless-none")
]


class ResponseModel(BaseModel):
    """A response body, read from the attributes of what a service returns."""

    model_config = ConfigDict(from_attributes=True)
