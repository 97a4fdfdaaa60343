"""What holds for the body of every endpoint that writes.

Each body here is one that is accepted (tests/writes.py) with one thing changed; so what
is refused is refused for that.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from api.contract import contract_of
from tests.exams import Json
from tests.scene import Cast
from tests.test_permissions import path_of
from tests.writes import WRITES, Write

# They end a string, begin a command to a terminal, or vanish.
CSI = "\x9b"
CONTROLS = ("\x00", "\x1b", CSI, "\x7f")
COLUMNS = """
    SELECT DISTINCT column_name FROM information_schema.columns
     WHERE table_schema = 'public' ORDER BY column_name
"""
# A problem names at most so many errors.
AT_ONCE = 50


@pytest.fixture
def app(scene_app: Flask) -> Flask:
    """One for all tests here: what is refused leaves nothing behind."""
    return scene_app


@dataclass(frozen=True, slots=True)
class Request:
    endpoint: str
    write: Write
    body: Json

    def send(self, app: Flask, cast: Cast, body: object) -> TestResponse:
        (rule,) = app.url_map.iter_rules(self.endpoint)
        named = {name: cast.ids[there] for name, there in self.write.ids.items()}
        return app.test_client().open(
            path_of(rule, {**cast.ids, **named}),
            method=next(iter((rule.methods or set()) - {"HEAD", "OPTIONS"})),
            json=body,
            headers={**cast.headers(self.write.who), **self.write.headers},
        )


def requests_with_body(app: Flask, cast: Cast) -> Iterator[Request]:
    for endpoint, write in WRITES.items():
        body = write.body(cast) if callable(write.body) else write.body
        if contract_of(app.view_functions[endpoint]).body is not None:
            yield Request(endpoint, write, body or {})


def pointers(answer: TestResponse) -> set[str]:
    return {error["pointer"] for error in answer.get_json().get("errors", [])}


def test_no_body_decides_what_the_database_keeps(
    app: Flask, cast: Cast, database_columns: list[str]
) -> None:
    """S35, S38: a column is no field, unless the endpoint says that it is one."""
    taken: dict[str, set[str]] = {}
    count = 0
    for request in requests_with_body(app, cast):
        schema = contract_of(app.view_functions[request.endpoint]).body
        known = {*request.body, *getattr(schema, "model_fields", ())}
        foreign = [name for name in database_columns if name not in known]
        for begin in range(0, len(foreign), AT_ONCE):
            names = foreign[begin : begin + AT_ONCE]
            answer = request.send(app, cast, request.body | dict.fromkeys(names, 1))
            missing = {f"#/{name}" for name in names} - pointers(answer)
            if answer.status_code != 422 or missing:
                taken[request.endpoint] = missing
            count += 1

    assert count > 60
    assert taken == {}


@pytest.fixture
def database_columns(scene_app: Flask) -> list[str]:
    with scene_app.extensions["database"].read() as tx:
        rows = tx.all(dict[str, str], COLUMNS)
    return [row["column_name"] for row in rows]


def spoiled(value: object, control: str) -> Iterator[tuple[str, object]]:
    """Yield where a text is, and the value with a control character in that text."""
    match value:
        case str():
            yield "", value + control
        case dict():
            for name, inner in value.items():
                for where, worse in spoiled(inner, control):
                    yield f"/{name}{where}", value | {name: worse}
        case list():
            for place, inner in enumerate(value):
                for where, worse in spoiled(inner, control):
                    yield (
                        f"/{place}{where}",
                        [*value[:place], worse, *value[place + 1 :]],
                    )


# An event of a batch is refused by itself.
BATCH = "proctoring.record_events"


@pytest.mark.parametrize("control", CONTROLS, ids=["NUL", "ESC", "CSI", "DEL"])
def test_no_text_takes_a_control_character(
    app: Flask, cast: Cast, control: str
) -> None:
    """S53: it can not be stored, or it forges a line on somebody's terminal."""
    taken = {}
    count = 0
    for request in requests_with_body(app, cast):
        for where, worse in spoiled(request.body, control):
            if control == CSI and where.endswith("password"):
                # It is stored, yet shown to nobody.
                continue
            answer = request.send(app, cast, worse)
            count += 1
            is_refused = answer.status_code in REFUSED.get(request.endpoint, {422})
            if request.endpoint == BATCH and answer.status_code == 200:
                statuses = [each["status"] for each in answer.get_json()["results"]]
                is_refused = statuses.count("rejected") == 1
            if not is_refused:
                taken[request.endpoint + where] = (answer.status_code, answer.text)

    assert count > 60
    assert taken == {}


# A wrong password is wrong, whatever is in it, and what is no token opens nothing.
REFUSED: Mapping[str, set[int]] = {
    "auth.login": {401, 422},
    "auth.refresh": {401, 422},
    "auth.change_password": {401, 422},
}
