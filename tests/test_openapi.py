"""/openapi.json is valid, complete, bounded, and what the repository shows."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from api import openapi
from api.contract import contract_of
from tests.exams import Json

SNAPSHOT = Path(__file__).parent.parent / "docs" / "openapi.json"
# Pages for people, and the description itself.
PAGES = {"docs.openapi_json", "docs.docs", "docs.docs_asset", "docs.problem"}
# Words that pydantic has for what JSON Schema calls otherwise.
FOREIGN_KEYWORDS = {"ge", "gt", "le", "lt", "decimal_places", "multiple_of"}


@pytest.fixture
def document(app: Flask) -> Json:
    return openapi.build(app)


def operations(document: Json) -> Iterator[tuple[str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def schemas(node: object) -> Iterator[Json]:
    """Yield every schema that has a type, however deep it stands."""
    if isinstance(node, list):
        for each in node:
            yield from schemas(each)
    elif isinstance(node, dict):
        if isinstance(node.get("type"), str):
            yield node
        for each in node.values():
            yield from schemas(each)


def test_it_is_openapi_3_1(document: Json) -> None:
    assert document["openapi"].startswith("3.1.")
    validate(document, cls=OpenAPIV31SpecValidator)


def test_it_is_what_the_server_gives_and_the_repository_shows(app: Flask) -> None:
    given = app.test_client().get("/openapi.json").get_json()

    assert given == openapi.build(app)
    assert SNAPSHOT.read_text(encoding="utf-8") == openapi.text(app), (
        "run script/openapi, and look at what changed for clients"
    )


def test_every_route_is_described_and_nothing_else(app: Flask, document: Json) -> None:
    routes = {
        f"{method} " + re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.endpoint not in PAGES
    }

    assert {name for name, _ in operations(document)} == routes


def test_operations_have_names_of_their_own_and_a_summary(document: Json) -> None:
    found = [operation for _, operation in operations(document)]
    names = [operation["operationId"] for operation in found]

    assert len(names) == len(set(names))
    assert all(operation["summary"].endswith((".", ";")) for operation in found)


def test_it_says_who_has_to_log_in(app: Flask, document: Json) -> None:
    for name, operation in operations(document):
        contract = contract_of(app.view_functions[operation["operationId"]])
        assert ("security" in operation) == bool(contract.roles), name
        if contract.roles:
            assert {"401", "403"} <= set(operation["responses"]), name


def test_a_model_has_the_name_under_which_it_stands_and_no_other(
    document: Json,
) -> None:
    """Generators of clients prefer a title, and drop what has that of another."""
    titled = [
        name
        for name, model in document["components"]["schemas"].items()
        if "title" in model
    ]

    assert titled == []


@pytest.mark.parametrize(
    "operation_id", ["users.reset_password", "analysis.compute_analysis"]
)
def test_what_was_erased_is_a_conflict(document: Json, operation_id: str) -> None:
    (responses,) = [
        operation["responses"]
        for _, operation in operations(document)
        if operation["operationId"] == operation_id
    ]

    assert "409" in responses


def test_bounds_are_said_in_the_words_of_json_schema(document: Json) -> None:
    for schema in schemas(document):
        is_a_property_map = not isinstance(schema["type"], str)
        assert is_a_property_map or not FOREIGN_KEYWORDS & set(schema), schema


def inputs(document: Json) -> Iterator[tuple[str, Json]]:
    """Yield every schema of what comes in, with the models that it refers to."""
    models = document["components"]["schemas"]
    waiting: list[tuple[str, object]] = []
    for name, operation in operations(document):
        waiting += [
            (f"{name} {each['name']}", each["schema"])
            for each in operation["parameters"]
        ]
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" in content:
            waiting.append((name, content["application/json"]["schema"]))
    seen = set()
    while waiting:
        name, node = waiting.pop()
        for schema in schemas(node):
            yield name, schema
        for model in re.findall(r"'#/components/schemas/([^']+)'", repr(node)):
            if model not in seen:
                seen.add(model)
                waiting.append((model, models[model]))


# An ETag and a text file, bounded by the server's limits on headers and bodies.
UNBOUNDED = {"If-Match", "If-None-Match"}


def test_a_time_is_known_as_one(document: Json) -> None:
    """A generated client makes text of it otherwise."""
    for name, schema in document["components"]["schemas"].items():
        for field, found in schema.get("properties", {}).items():
            if field.endswith("_at") or field == "server_time":
                kinds = found.get("anyOf", [found])
                assert {"type": "string", "format": "date-time"}.items() <= (
                    kinds[0].items()
                ), (name, field)


def test_whoever_must_send_a_version_is_told_so_and_where_it_comes_from(
    document: Json,
) -> None:
    read = document["paths"]["/api/exams/{exam_id}"]["get"]["responses"]
    assert read["200"]["headers"].keys() == {"ETag"}
    for name, operation in operations(document):
        headers = {each["name"]: each for each in operation["parameters"]}
        if "428" in operation["responses"]:
            assert headers["If-Match"]["required"], name
        else:
            assert not headers.get("If-Match", {}).get("required"), name


def test_whatever_comes_in_is_bounded(document: Json) -> None:
    boundless = []
    for name, schema in inputs(document):
        match schema["type"]:
            case "string":
                bounds = {"maxLength", "format", "enum", "const", "pattern"}
            case "integer" | "number":
                bounds = {"maximum", "exclusiveMaximum"}
            case "array":
                bounds = {"maxItems"}
            case "object":
                bounds = {"maxProperties", "additionalProperties"}
            case _:
                continue
        if not bounds & set(schema) and name.rpartition(" ")[2] not in UNBOUNDED:
            boundless.append((name, schema))

    assert boundless == []


def test_no_field_of_a_body_is_taken_that_is_not_named(document: Json) -> None:
    loose = [
        name
        for name, schema in inputs(document)
        if "properties" in schema and schema.get("additionalProperties") is not False
    ]

    assert loose == []
