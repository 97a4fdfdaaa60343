"""Schemathesis holds the whole API to /openapi.json: what it says, and nothing else.

SCHEMATHESIS_EXAMPLES says how many random requests each operation gets from each
caller, on top of those that cover its schema systematically.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from zlib import crc32

import psycopg2
import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, settings
from psycopg2.extensions import connection
from schemathesis.specs.openapi.checks import positive_data_acceptance

from config import Settings
from tests.databases import connection_to, copy_of, settings_for
from tests.personas import open_session
from tests.scene import Cast, Scene, playing

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# tests/test_openapi.py sees to it that this is what the server gives.
DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "10"))

# What the scene has under a name that a path or a body can have.
KNOWN: Mapping[str, tuple[str, ...]] = {
    "exam_id": ("exam_id", "draft_exam_id", "other_exam_id"),
    "attempt_id": ("attempt_id", "paused_attempt_id", "submitted_attempt_id"),
    "question_id": ("question_id", "draft_question_id", "essay_question_id"),
    "student_id": ("student_id", "idle_student_id"),
    "proctor_id": ("proctor_id",),
    "user_id": ("user_id", "idle_student_id"),
    "session_id": ("session_id",),
    "entity_type": ("entity_type",),
    "entity_id": ("entity_id",),
}

KNOWN_LISTS = {"student_ids": "stranger_id", "proctor_ids": "proctor_id"}

# Whether a request that fits the schema is carried out depends on what is there: an
# exam that may be changed, a password that is not common, times in their order. That
# what does not fit is refused, and how, is for all the other checks.
# Any: two lists of schemathesis' own do not agree on the type of a check.
UNDECIDABLE: list[Any] = [positive_data_acceptance]


class Stage:
    """The scene, anew for every operation: none finds what another has destroyed."""

    def __init__(self) -> None:
        self._app: Flask | None = None
        self._settings: Settings | None = None
        self._sql: connection | None = None
        self._cast: Cast | None = None

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        assert self._app is not None
        return self._app(environ, start_response)

    def set(self, dsn: str, cast: Cast, running: ExitStack) -> None:
        self._cast = cast
        self._settings = settings_for(connection_to(dsn))
        self._sql = running.enter_context(closing(psycopg2.connect(dsn)))
        self._sql.autocommit = True
        self._app = running.enter_context(playing(self._settings))

    def headers(self, who: str, *, is_throw_away: bool) -> dict[str, str]:
        """Return who sends a request, perhaps through a login of its own."""
        assert self._cast is not None
        assert self._sql is not None
        assert self._settings is not None
        if who == "anonymous" or not is_throw_away:
            return self._cast.headers(who)
        token = open_session(self._sql, self._settings, self._cast[who].id)
        return {"Authorization": f"Bearer {token}"}


stage = Stage()
# Any: the generic part of a case is of no matter here.
Case: TypeAlias = schemathesis.Case[Any]

api = schemathesis.openapi.from_path(DOCUMENT)
api.app = stage
# A body can also be too large to be looked at, and a version not the current one.
api.config.checks.negative_data_rejection.expected_statuses += ["412", "413"]
# RFC 6585 has a status for whoever leaves If-Match out.
api.config.checks.missing_required_header.expected_statuses += ["428"]


@pytest.fixture
def cast(
    scene: Scene, administrator: connection, database_server: str
) -> Iterator[Cast]:
    with ExitStack() as running:
        copy = copy_of(scene.template, administrator, database_server)
        stage.set(running.enter_context(copy), scene.cast, running)
        yield scene.cast


def put_on_stage(case: Case, cast: Cast) -> None:
    """Let a well-formed request speak of what exists, mostly."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    choice = crc32(repr((case.path_parameters, case.query, case.body)).encode())
    if choice % 8 == 0:
        return
    for place in (case.path_parameters, case.query, case.body):
        name_what_exists(place, cast, choice)
    # Else hardly a write would get past the first one's key, nor a read past a cursor.
    case.headers.pop("Idempotency-Key", None)
    case.query.pop("cursor", None)
    if case.method == "PUT":
        case.headers["If-Match"] = "*"
    if isinstance(case.body, dict) and isinstance(case.body.get("ends_at"), str):
        case.body["ends_at"] = "2100-01-01T00:00:00Z"


def name_what_exists(place: object, cast: Cast, choice: int) -> None:
    """Put ids of the scene in the place of generated ones, however deep."""
    if isinstance(place, list):
        for each in place:
            name_what_exists(each, cast, choice)
    elif isinstance(place, dict):
        for name, value in place.items():
            ids = KNOWN.get(name)
            if isinstance(value, str) and ids:
                place[name] = cast.ids[ids[choice % len(ids)]]
            elif isinstance(value, list) and name in KNOWN_LISTS:
                place[name] = [cast.ids[KNOWN_LISTS[name]] for _ in value]
            else:
                name_what_exists(value, cast, choice)


@pytest.mark.parametrize("who", ["anonymous", "alice", "bob", "ada"])
@api.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_the_api_is_what_it_says(case: Case, who: str, cast: Cast) -> None:
    put_on_stage(case, cast)
    is_about_sessions = "auth" in (case.operation.tags or ())

    case.call_and_validate(
        headers=stage.headers(who, is_throw_away=is_about_sessions),
        excluded_checks=UNDECIDABLE,
    )
