"""Reading a query as strictly as a body: `1_0` is no number, and `yes` no boolean."""

import json
import re
from typing import Final, Generic, TypeVar

from flask import request
from pydantic import BaseModel, JsonValue, ValidationError

from api.problems import InvalidRequestError

Query = TypeVar("Query", bound=BaseModel)

# What JSON takes for a number or a boolean (RFC 8259), and of a sane length.
LITERAL: Final = re.compile(
    r"true|false|-?(0|[1-9][0-9]{0,19})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?"
)
LITERAL_TYPES: Final = frozenset({"integer", "number", "boolean"})


class QueryReader(Generic[Query]):
    """Reads queries of one type. Numbers and booleans are written as in JSON."""

    def __init__(self, schema: type[Query]) -> None:
        self._schema = schema
        fields = schema.model_json_schema()["properties"]
        self._literals = {
            name for name, field in fields.items() if _types(field) & LITERAL_TYPES
        }

    def read(self) -> Query:
        """Read the request's query. Raises InvalidRequestError."""
        document = {
            # A doubled name stays a list, which no field accepts.
            name: self._value(name, values[0]) if len(values) == 1 else list(values)
            for name, values in request.args.lists()
        }
        try:
            return self._schema.model_validate_json(json.dumps(document), strict=True)
        except ValidationError as error:
            raise InvalidRequestError(error, "query") from error

    def _value(self, name: str, text: str) -> JsonValue:
        if name in self._literals and LITERAL.fullmatch(text):
            found: JsonValue = json.loads(text)
            return found
        return text


def _types(field: dict[str, JsonValue]) -> set[JsonValue]:
    alternatives = field.get("anyOf")
    if isinstance(alternatives, list):
        return {each.get("type") for each in alternatives if isinstance(each, dict)}
    return {field.get("type")}
