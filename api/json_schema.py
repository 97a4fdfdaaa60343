"""JSON Schema as pydantic makes it, where it says less than the types do."""

from decimal import Decimal
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

# A constraint of a type that a function of ours wraps: pydantic checks it, and writes
# it into the schema under its own name.
NUMBER_KEYWORDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
}
LENGTH_KEYWORDS = {
    "array": {"minLength": "minItems", "maxLength": "maxItems"},
    "object": {"minLength": "minProperties", "maxLength": "maxProperties"},
}


class SchemaGenerator(GenerateJsonSchema):
    """Every bound under the name that JSON Schema has for it; no made-up titles."""

    def generate_inner(self, schema: Any) -> JsonSchemaValue:
        found = super().generate_inner(schema)
        kind = found.get("type")
        if kind in {"integer", "number"}:
            return _renamed(self._without_places(found), NUMBER_KEYWORDS)
        return _renamed(found, LENGTH_KEYWORDS.get(str(kind), {}))

    def _without_places(self, found: JsonSchemaValue) -> JsonSchemaValue:
        """Say decimal places as a multiple, but only of what comes in.

        A validator that computes in binary takes 0.29 for no multiple of 0.01, and
        would call our own answers wrong.
        """
        places = found.get("decimal_places")
        if places is None:
            return found
        rest = {name: found[name] for name in found if name != "decimal_places"}
        if self.mode == "serialization":
            return rest
        return rest | {"multipleOf": float(Decimal(1).scaleb(-places))}

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """A decimal is a number on our wire, and never a string."""
        bounds = {
            name: _number(Decimal(str(schema[name])))  # type: ignore[literal-required]
            for name in (*NUMBER_KEYWORDS, "decimal_places")
            if name in schema
        }
        return {"type": "number", **bounds}

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, Decimal):
            return _number(dft)
        return super().encode_default(dft)

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def _renamed(found: JsonSchemaValue, names: dict[str, str]) -> JsonSchemaValue:
    return {names.get(name, name): value for name, value in found.items()}
