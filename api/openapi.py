"""/openapi.json, made from the contracts that the endpoints really have."""

import json
import re
from typing import Any

from flask import Flask
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode
from werkzeug.routing import Rule

from api.contract import Contract
from api.json_schema import SchemaGenerator
from api.paths import MAX_SEQ, TileConverter
from models.principal import Role
from services.health_service import VERSION

# Any: a JSON document.
Json = dict[str, Any]

REF = "#/components/schemas/{model}"
PROBLEM = {
    "application/problem+json": {"schema": {"$ref": REF.format(model="Problem")}}
}
DESCRIPTION = (
    "Proctored online exams with a tamper-evident audit log. Every reply has a header "
    "`Backoff`: 0, or for how many seconds a client is to leave out what is not "
    "essential (heartbeats, looking again). Answers and submissions never wait."
)
NULL: Json = {"type": "null"}
PATH_SCHEMAS: dict[str, Json] = {
    "uuid": {"type": "string", "format": "uuid"},
    "int": {"type": "integer", "minimum": 0},
    "seq": {"type": "integer", "minimum": 0, "maximum": MAX_SEQ},
    "level": {"type": "integer", "minimum": 0, "maximum": 63},
    "tile": {"type": "string", "pattern": f"^{TileConverter.regex}$"},
    "default": {"type": "string", "minLength": 1, "maxLength": 200},
}
PROBLEMS = {
    400: "The request can not be read.",
    401: "Not authenticated, or no longer.",
    403: "Authenticated, but this role may not do it.",
    404: "Not there, or not yours.",
    405: "Another method than those of this path.",
    406: "No media type that the client accepts.",
    409: "The state forbids it: until Retry-After, if that is there.",
    412: "Somebody else changed it since you looked.",
    413: "The body is too large.",
    415: "The body is of another media type than those of Accept, or compressed.",
    422: "The request does not fit the schema, or can not be carried out.",
    428: "Say which version you change: If-Match.",
    429: "Too many requests; see Retry-After.",
    500: "Our fault.",
    503: "Busy or restarting; see Retry-After.",
}


# What a client can rely on beside the body.
PROBLEM_HEADERS: dict[int, dict[str, Json]] = {
    401: {"WWW-Authenticate": {"type": "string"}},
    415: {"Accept": {"type": "string"}, "Accept-Encoding": {"type": "string"}},
    429: {"Retry-After": {"type": "integer", "minimum": 0}},
    503: {"Retry-After": {"type": "integer", "minimum": 0}},
}


class ProblemError(BaseModel):
    pointer: str
    detail: str


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    # nginx can not write it into JSON, whatever it contains.
    instance: str | None = None
    errors: list[ProblemError] | None = None
    current_status: str | None = None
    allowed_actions: list[str] | None = None


def build(app: Flask) -> Json:
    """Describe every endpoint of `app` that has a contract, in OpenAPI 3.1."""
    rules = [
        (rule, contract)
        for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule)
        if (contract := getattr(app.view_functions[rule.endpoint], "contract", None))
        # What renders itself is a page, no part of the API.
        and (contract.response is not None or contract.status == 204)  # noqa: PLR2004
    ]
    schemas = _Schemas([contract for _, contract in rules])
    paths: Json = {}
    for rule, contract in rules:
        path = re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            handler = app.view_functions[rule.endpoint]
            paths.setdefault(path, {})[method.lower()] = _operation(
                rule, contract, handler.__doc__ or "", schemas
            )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Smart Proctoring System",
            "version": VERSION,
            "description": DESCRIPTION,
        },
        "paths": paths,
        "components": {
            "schemas": schemas.used_by(paths),
            "responses": {f"Problem{status}": _problem(status) for status in PROBLEMS},
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                }
            },
        },
    }


def text(app: Flask) -> str:
    """Return the description as it stands in docs/openapi.json."""
    return json.dumps(build(app), indent=2, ensure_ascii=False) + "\n"


class _Schemas:
    """Every model once, under a name that is unique among inputs and outputs."""

    def __init__(self, contracts: list[Contract]) -> None:
        wanted: list[tuple[Any, JsonSchemaMode, TypeAdapter[Any]]] = [
            (Problem, "serialization", TypeAdapter(Problem))
        ]
        for contract in contracts:
            inputs: tuple[Any, ...] = (contract.body, contract.query)
            wanted += [
                (schema, "validation", TypeAdapter(schema))
                for schema in inputs
                if schema is not None
            ]
            if contract.response is not None:
                response = contract.response
                wanted.append((response, "serialization", TypeAdapter(response)))
        refs, document = TypeAdapter.json_schemas(
            wanted, ref_template=REF, schema_generator=SchemaGenerator
        )
        self._refs = refs
        self.definitions: Json = document.get("$defs", {})

    def used_by(self, document: Json) -> Json:
        """Return the models that are referred to: a query's own is written out."""
        waiting, used = _names_in(document) | {"Problem"}, set[str]()
        while waiting:
            used |= waiting
            waiting = {
                name for known in waiting for name in _names_in(self.definitions[known])
            } - used
        # The title is the class's name, which an input and an output may share.
        return {
            name: {
                word: value
                for word, value in self.definitions[name].items()
                if word != "title"
            }
            for name in sorted(used)
        }

    def of(self, schema: Any, mode: JsonSchemaMode) -> Json:
        return self._refs[schema, mode]

    def fields(self, schema: Any) -> Json:
        found = self.of(schema, "validation")
        if "$ref" in found:
            found = self.definitions[found["$ref"].rpartition("/")[2]]
        return found


def _names_in(document: Json) -> set[str]:
    """List the models that a part of the document refers to."""
    return set(re.findall(r'"#/components/schemas/([^"/]+)"', json.dumps(document)))


def _operation(rule: Rule, contract: Contract, doc: str, schemas: _Schemas) -> Json:
    summary, _, description = doc.strip().partition("\n")
    operation: Json = {
        "operationId": rule.endpoint,
        "tags": [rule.endpoint.partition(".")[0]],
        "summary": summary,
        "parameters": [*_path_parameters(rule), *_other_parameters(contract, schemas)],
        "responses": _responses(rule, contract, schemas),
    }
    if description.strip():
        operation["description"] = re.sub(r"\s+", " ", description).strip()
    if contract.roles:
        operation["security"] = [{"bearer": []}]
        if set(contract.roles) != set(Role):
            operation["x-roles"] = [str(role) for role in contract.roles]
    body: Json = {}
    if contract.body is not None:
        body["application/json"] = {"schema": schemas.of(contract.body, "validation")}
    for media_type in contract.text_body:
        body[media_type] = {"schema": {"type": "string"}}
    if body:
        required = not contract.is_body_optional
        operation["requestBody"] = {"required": required, "content": body}
    return operation


def _path_parameters(rule: Rule) -> list[Json]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": PATH_SCHEMAS[_converter_name(rule, name)],
        }
        for name in re.findall(r"<(?:[^:<>]+:)?([^<>]+)>", rule.rule)
    ]


def _converter_name(rule: Rule, name: str) -> str:
    found = re.search(rf"<([^:<>(]+)(?:\([^)]*\))?:{re.escape(name)}>", rule.rule)
    return found.group(1) if found else "default"


def _other_parameters(contract: Contract, schemas: _Schemas) -> list[Json]:
    parameters: list[Json] = []
    if contract.query is not None:
        schema = schemas.fields(contract.query)
        parameters += [
            _query_parameter(
                name, field, is_required=name in schema.get("required", ())
            )
            for name, field in schema.get("properties", {}).items()
        ]
    if contract.is_idempotent:
        pattern = {"type": "string", "pattern": "^[!-~]{1,255}$"}
        parameters.append(
            {"name": "Idempotency-Key", "in": "header", "schema": pattern}
        )
    parameters += [
        {
            "name": name,
            "in": "header",
            "required": name == "If-Match" and 428 in contract.problems,  # noqa: PLR2004
            "schema": {"type": "string"},
        }
        for name in contract.request_headers
    ]
    return parameters


def _query_parameter(name: str, field: Json, *, is_required: bool) -> Json:
    """Describe one field of a query. Null is said by leaving it out."""
    schema = dict(field)
    parameter: Json = {"name": name, "in": "query", "required": is_required}
    if "description" in schema:
        parameter["description"] = schema.pop("description")
    if schema.get("default", ...) is None:
        del schema["default"]
    alternatives = [each for each in schema.pop("anyOf", []) if each != NULL]
    if len(alternatives) > 1:
        schema["anyOf"] = alternatives
    elif alternatives:
        schema |= alternatives[0]
    return parameter | {"schema": schema}


def _responses(rule: Rule, contract: Contract, schemas: _Schemas) -> Json:
    responses: Json = {}
    for status in (contract.status, *contract.other_statuses):
        response: Json = {"description": "As asked."}
        if contract.response is not None and status != 304:  # noqa: PLR2004
            schema = schemas.of(contract.response, "serialization")
            response["content"] = {
                media_type: {
                    "schema": schema
                    if media_type.endswith("json")
                    else {"type": "string"}
                }
                for media_type in contract.media_types
            }
        if contract.response is not None and contract.request_headers:
            # If-Match and If-None-Match: this is where their value comes from.
            response["headers"] = {
                "ETag": {"required": True, "schema": {"type": "string"}}
            }
        responses[str(status)] = response
    for status in sorted(_problem_statuses(rule, contract)):
        if str(status) in responses:
            responses[str(status)]["content"].update(PROBLEM)
        else:
            reference = f"#/components/responses/Problem{status}"
            responses[str(status)] = {"$ref": reference}
    return responses


def _problem(status: int) -> Json:
    response: Json = {"description": PROBLEMS[status], "content": PROBLEM}
    headers = PROBLEM_HEADERS.get(status)
    if headers is not None:
        response["headers"] = {
            name: {"required": True, "schema": schema}
            for name, schema in headers.items()
        }
    return response


def _problem_statuses(rule: Rule, contract: Contract) -> set[int]:
    found = {400, 429, 500, 503} | set(contract.problems)
    if contract.roles:
        found |= {401, 403}
    if rule.arguments:
        found.add(404)
    if contract.body is not None or contract.text_body:
        found |= {413, 415, 422}
    if contract.query is not None or contract.is_idempotent:
        found.add(422)
    if contract.is_idempotent:
        found.add(409)
    return found
