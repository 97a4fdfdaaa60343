"""What no good client would send. It is refused, or it does no harm; never a 500."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app import create_app
from config import Settings
from tests.exams import Json, body
from tests.personas import Speaker
from tests.scene import Cast

ROOT = Path(__file__).parents[2]
EXAM = "https://exam.example.edu"


@pytest.fixture
def ada(scene_app: Flask, cast: Cast) -> Speaker:
    return Speaker(scene_app, cast.tokens["ada"])


@pytest.fixture
def alice(scene_app: Flask, cast: Cast) -> Speaker:
    return Speaker(scene_app, cast.tokens["alice"])


def assert_problem(response: TestResponse, *statuses: int) -> None:
    assert response.status_code in statuses, response.text
    assert response.mimetype == "application/problem+json"
    assert response.get_json()["status"] == response.status_code


ODD_SEGMENTS = [
    "%00",
    "%0a",
    "a%00b",
    "a%1b%5b31m",
    "..%2f",
    "%2e%2e",
    "%ff",
    "0",
    "-1",
    "2147483648",
    "1e3",
    "1.0",
    "%D9%A3",
    "9" * 5000,
    "null",
    "{}",
    "%F0%9F%92%A9",
    "{exam_id}%00",
    "{exam_id}%20",
    "{exam_id}/",
]


@pytest.mark.parametrize("segment", ODD_SEGMENTS)
@pytest.mark.parametrize(
    "place",
    [
        "/api/exams/{}",
        "/api/exams/{}/questions",
        "/api/users/{}",
        "/api/exams/attempts/{}/answers",
        "/api/blockchain/events/{}",
        "/docs/{}",
        "/problems/{}",
    ],
)
def test_an_id_that_is_none_is_not_found(
    ada: Speaker, cast: Cast, place: str, segment: str
) -> None:
    segment = segment.replace("{exam_id}", cast.ids["exam_id"])

    assert_problem(ada.get(place.format(segment)), 404)


@pytest.mark.parametrize("segment", ODD_SEGMENTS)
def test_an_id_that_is_none_is_asked_of_nobody(
    settings: Settings, cast: Cast, segment: str
) -> None:
    """S54: a database that is away is not missed."""
    nowhere = replace(settings.database, host="127.0.0.1", port=1)
    speaker = Speaker(
        create_app(replace(settings, database=nowhere)), cast.tokens["ada"]
    )
    segment = segment.replace("{exam_id}", cast.ids["exam_id"])

    assert_problem(speaker.get(f"/api/exams/{cast.ids['exam_id']}"), 503)
    assert_problem(speaker.get(f"/api/exams/{segment}"), 404)


@pytest.mark.parametrize("segment", ODD_SEGMENTS)
def test_the_trail_of_nothing_is_empty_or_not_found(
    ada: Speaker, cast: Cast, segment: str
) -> None:
    """An admin may ask about anything that can have a name."""
    segment = segment.replace("{exam_id}", cast.ids["exam_id"])
    response = ada.get(f"/api/blockchain/entity/exam/{segment}")

    if response.status_code == 200:
        assert response.get_json() == {"items": [], "next_cursor": None}
    else:
        assert_problem(response, 404)


def test_two_slashes_are_no_redirect(ada: Speaker) -> None:
    assert_problem(ada.get("/api//exams"), 404)
    assert_problem(ada.get("/api/exams/"), 404)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=-1",
        "limit=1_0",
        "limit=%2B5",
        "limit=%205",
        "limit=05",
        "limit=5.5",
        "limit=0x5",
        "limit=true",
        "limit=%D9%A3",
        "limit=" + "9" * 5000,
        "limit=1e999",
        "limit=",
        "limit=%00",
        "limit=1&limit=1",
        "limit[]=1",
        "LIMIT=1",
        "unknown=1",
        "%00=1",
        "=",
        "is_active=yes",
        "is_active=1",
        "is_active=TRUE",
        "role=ADMIN",
        "role=",
        "q=%00",
        "q=%1b",
        "q=" + "a" * 255,
        "q=",
        "cursor=",
        "cursor=" + "A" * 501,
    ],
)
def test_a_query_that_does_not_fit_is_refused(ada: Speaker, query: str) -> None:
    response = ada.get(f"/api/users?{query}")

    assert_problem(response, 422)
    assert response.get_json()["errors"][0]["pointer"].startswith("#/query")


@pytest.mark.parametrize("wildcard", ["%25", "_", "%5C", "%27", "%F0%9F%92%A9"])
def test_a_prefix_is_text_and_no_pattern(ada: Speaker, wildcard: str) -> None:
    assert body(ada.get(f"/api/users?q={wildcard}"))["items"] == []


@pytest.mark.parametrize(
    "min_risk", ["nan", "inf", "-1", "100.01", "0.001", "%D9%A3", "1_0", "1e400", "0x1"]
)
def test_a_risk_that_is_no_score_is_refused(ada: Speaker, min_risk: str) -> None:
    assert_problem(ada.get(f"/api/proctoring/suspicious?min_risk={min_risk}"), 422)


def cursor_of(key: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


LISTS = [
    ("ada", "/api/exams"),
    ("ada", "/api/users"),
    ("ada", "/api/exams/{exam_id}/attempts"),
    ("ada", "/api/exams/{exam_id}/results"),
    ("ada", "/api/exams/{exam_id}/assignments"),
    ("ada", "/api/exams/{exam_id}/proctors"),
    ("ada", "/api/blockchain/attempt/{attempt_id}"),
    ("ada", "/api/blockchain/attempt/{attempt_id}/views"),
    ("ada", "/api/blockchain/checkpoints"),
    ("ada", "/api/blockchain/entity/{entity_type}/{entity_id}"),
    ("ada", "/api/blockchain/events/{event_type}"),
    ("ada", "/api/blockchain/timestamps"),
    ("ada", "/api/blockchain/verifications"),
    ("ada", "/api/erasures"),
    ("ada", "/api/legal-holds"),
    ("ada", "/api/proctoring/attempt/{attempt_id}/events"),
    ("ada", "/api/proctoring/attempt/{attempt_id}/ai-analysis/history"),
    ("ada", "/api/proctoring/appeals"),
    ("ada", "/api/proctoring/suspicious"),
    ("alice", "/api/exams/available"),
    ("alice", "/api/exams/attempts"),
    ("alice", "/api/auth/sessions"),
]


def test_all_lists_are_tried() -> None:
    document = json.loads((ROOT / "docs" / "openapi.json").read_text())
    paged = {
        path
        for path, item in document["paths"].items()
        for parameter in item.get("get", {}).get("parameters", ())
        if parameter["name"] == "cursor"
    }

    assert paged == {path for _, path in LISTS}


@pytest.mark.parametrize(("who", "path"), LISTS)
def test_a_cursor_that_we_did_not_make_is_refused(
    scene_app: Flask, cast: Cast, who: str, path: str
) -> None:
    speaker = Speaker(scene_app, cast.tokens[who])
    garbage = ["a", "%00", "%C3%28", "%F0%9F%92%A9", "bnVsbA", "W10", "e30"]
    wrong = [[], [None], [[]], [{}], ["x"], ["x", "x"], {"a": 1}, "text", [1, 2, 3]]

    for cursor in [*garbage, *map(cursor_of, wrong)]:
        response = speaker.get(f"{path.format(**cast.ids)}?cursor={cursor}")
        assert_problem(response, 422)


@pytest.mark.parametrize(("who", "path"), LISTS)
def test_a_cursor_from_beyond_every_bound_does_no_harm(
    scene_app: Flask, cast: Cast, who: str, path: str
) -> None:
    speaker = Speaker(scene_app, cast.tokens[who])
    some_id = str(uuid4())
    keys: list[object] = [
        [10**30],
        [-(10**18)],
        [2**63],
        [1e308],
        ["0001-01-01T00:00:00Z", some_id],
        ["9999-12-31T23:59:59-14:00", some_id],
        ["2026-01-01T00:00:00", some_id],
        [1e308, some_id],
        ["1e400", some_id],
        ["NaN", some_id],
        ["-Infinity", some_id],
    ]

    for key in keys:
        response = speaker.get(f"{path.format(**cast.ids)}?cursor={cursor_of(key)}")
        assert response.status_code in {200, 422}, (key, response.text)


@pytest.mark.parametrize(
    "tag",
    [
        "",
        '"',
        '""',
        "x",
        '"0"',
        'W/"3"',
        '"-1"',
        '"٣"',
        '"' + "9" * 400,
        ",,,",
        '"3',
        "3x",
    ],
)
def test_a_tag_that_is_none_matches_nothing(ada: Speaker, cast: Cast, tag: str) -> None:
    path = f"/api/exams/{cast.ids['other_exam_id']}"
    raw = tag.encode().decode("latin-1")

    assert_problem(ada.open(path, method="DELETE", headers={"If-Match": raw}), 412)
    seen = ada.get(path, headers={"If-None-Match": raw})
    # To have seen a version weakly is enough for not reading it again.
    assert seen.status_code == (304 if tag == f"W/{seen.headers['ETag']}" else 200)


@pytest.mark.parametrize("key", ["", " ", "a b", "\t", "\xfc", "x" * 256])
def test_an_idempotency_key_that_is_none_is_refused(
    ada: Speaker, cast: Cast, key: str
) -> None:
    path = f"/api/exams/{cast.ids['draft_exam_id']}/duplicate"

    assert_problem(ada.post(path, headers={"Idempotency-Key": key}), 422)


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("/", "application/json"),
        ("application/xml", "application/json"),
        ("text/csv;q=banana, application/json", "application/json"),
        ("text/csv;q=0.1, application/json;q=0.2", "application/json"),
        ("a" * 5000, "application/json"),
        ("text/csv, application/json;q=0.9", "text/csv"),
    ],
)
def test_whatever_is_accepted_something_is_given(
    ada: Speaker, cast: Cast, accept: str, given: str
) -> None:
    path = f"/api/exams/{cast.ids['exam_id']}/results"

    with ada.get(path, headers={"Accept": accept}) as response:
        assert response.status_code == 200
        assert response.mimetype == given


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"\xed\xa0\x80{T}", b"x{T}\xc3"])
@pytest.mark.parametrize("media_type", ["text/csv", "text/plain"])
def test_a_file_that_is_no_utf_8_is_refused(
    ada: Speaker, cast: Cast, media_type: str, raw: bytes
) -> None:
    assert_problem(send_file(ada, cast, raw, media_type), 400)


@pytest.mark.parametrize("charset", ["latin-1", "utf-16", "no-such"])
def test_a_file_in_another_charset_is_refused(
    ada: Speaker, cast: Cast, charset: str
) -> None:
    response = send_file(ada, cast, b"x{T}", f"text/plain; charset={charset}")

    assert_problem(response, 415)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00",
        b"\r" * 100_000,
        b'"' * 99_999,
        b"x," * 200_000,
        b"{" * 100_000,
        b"~" * 100_000,
        b"x{#1e400}",
        b"x{#nan:1}",
        b"x{#1:1e999999999}",
        b"x{#" + b"9" * 5000 + b"}",
        "x{#٣}".encode(),
        b"x{=a\x00}",
        b"kind,text\nessay,\x00",
        b"x{T}" * 20_000,
    ],
    ids=lambda raw: repr(raw[:12]),
)
@pytest.mark.parametrize("media_type", ["text/csv", "text/plain"])
def test_a_strange_file_is_reported_on(
    ada: Speaker, cast: Cast, media_type: str, raw: bytes
) -> None:
    report = body(send_file(ada, cast, raw, media_type))

    assert report["is_dry_run"]
    assert report["questions"] == []


def send_file(ada: Speaker, cast: Cast, raw: bytes, content_type: str) -> TestResponse:
    path = f"/api/exams/{cast.ids['draft_exam_id']}/questions/import?dry_run=true"
    return ada.post(f"{path}&skip_bad=true", data=raw, content_type=content_type)


def answer(cast: Cast, number: int, response: str) -> bytes:
    """Write an answer to one of alice's questions as the wire has it."""
    question_id = cast.paper["questions"][number]["id"]
    return (
        f'{{"answers": [{{"question_id": "{question_id}", "client_version": 1,'
        f' "response": {response}}}]}}'
    ).encode()


NUMERIC, ESSAY = 3, 5


@pytest.mark.parametrize(
    ("number", "response", "status"),
    [
        (NUMERIC, "1e400", 422),
        (NUMERIC, "-1e400", 422),
        (NUMERIC, "1e999999999", 422),
        (NUMERIC, "9" * 4300, 422),
        (NUMERIC, "9" * 4301, 400),
        (NUMERIC, "true", 422),
        (NUMERIC, '"1"', 422),
        (ESSAY, "[" * 3000 + "]" * 3000, 400),
        (ESSAY, '"\\u0000"', 422),
        (ESSAY, '"\\ud800"', 400),
        (ESSAY, "1e400", 422),
    ],
)
def test_an_answer_that_is_none_is_refused(
    alice: Speaker, cast: Cast, number: int, response: str, status: int
) -> None:
    path = f"/api/exams/attempts/{cast.ids['attempt_id']}/answers"
    raw = answer(cast, number, response)

    found = alice.put(path, data=raw, content_type="application/json")

    assert_problem(found, status)


def test_a_text_may_have_as_many_digits_as_pi(alice: Speaker, cast: Cast) -> None:
    path = f"/api/exams/attempts/{cast.ids['attempt_id']}/answers"
    raw = answer(cast, ESSAY, f'"3.{"1415926535" * 500}"')

    saved = body(alice.put(path, data=raw, content_type="application/json"))

    assert len(saved["saved"]) == 1


@pytest.mark.parametrize(
    "payload",
    [
        '{"duration_ms": 1e400}',
        '{"duration_ms": -1}',
        '{"duration_ms": 0.5}',
        '{"x": 1e400}',
        '{"x": 12345678901234567890}',
        '{"x": 1.5e300}',
        '{"\\u0000": 1}',
        '{"x": "\\u0000"}',
        '{"x": [[[[[1]]]]]}',
        f'{{"x": "{"x" * 5000}"}}',
        "[]",
        "null",
        '"text"',
    ],
)
def test_an_event_with_a_strange_payload_is_refused_alone_and_in_a_batch(
    alice: Speaker, cast: Cast, payload: str
) -> None:
    event = (
        f'"client_event_id": "{uuid4()}", "sequence": 9, "event_type": "focus.lost",'
        f' "occurred_at": "2026-01-01T00:00:00Z", "payload": {payload}'
    )
    attempt = f'"attempt_id": "{cast.ids["attempt_id"]}"'
    batch = f'{{{attempt}, "events": [{{{event}}}, 1, null, [], {{}}]}}'

    alone = alice.post(
        "/api/proctoring/event",
        data=f"{{{attempt}, {event}}}",
        content_type="application/json",
    )
    together = alice.post(
        "/api/proctoring/events", data=batch, content_type="application/json"
    )

    assert_problem(alone, 422)
    results: list[Json] = body(together)["results"]
    assert [each["status"] for each in results] == ["rejected"] * 5


@pytest.mark.parametrize(
    "path", ["/api/exams", "/api/exams/{exam_id}", "/health", "/docs", "/nowhere"]
)
def test_head_says_what_get_would_and_sends_nothing(
    ada: Speaker, cast: Cast, path: str
) -> None:
    got = ada.get(path.format(**cast.ids))
    asked = ada.open(path.format(**cast.ids), method="HEAD")

    assert asked.data == b""
    assert asked.status_code == got.status_code
    assert asked.content_type == got.content_type


def test_options_tells_the_methods_to_everybody(scene_app: Flask, cast: Cast) -> None:
    path = f"/api/exams/{cast.ids['exam_id']}"

    response = Speaker(scene_app, None).open(path, method="OPTIONS")

    assert response.status_code == 200
    assert response.data == b""
    allowed = set(response.headers["Allow"].split(", "))
    assert allowed == {"GET", "PUT", "DELETE", "HEAD", "OPTIONS"}


def test_a_preflight_of_what_needs_a_login_is_answered_without_one(
    settings: Settings,
) -> None:
    app = create_app(replace(settings, cors_origins=(EXAM,)))

    preflight = Speaker(app, None).open(
        "/api/exams/available", method="OPTIONS", headers={"Origin": EXAM}
    )

    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == EXAM
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", "Bearer"),
        ("Authorization", "Bearer  x"),
        ("Authorization", "Basic YTpi"),
        ("Authorization", "Bearer \xfc"),
        ("Authorization", "Bearer " + "x" * 10_000),
        ("Authorization", "Bearer a.b.c"),
        ("Cookie", "access_token=x"),
        ("X-Forwarded-For", "x" * 5000),
        ("X-HTTP-Method-Override", "DELETE"),
        ("Range", "bytes=0-1"),
        ("User-Agent", "\xfc\x7f" * 600),
    ],
)
def test_no_header_opens_a_door(scene_app: Flask, name: str, value: str) -> None:
    response = Speaker(scene_app, None).get("/api/auth/me", headers={name: value})

    assert_problem(response, 401)
