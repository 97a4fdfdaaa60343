"""The API's description of itself: /openapi.json, /docs and a page for each problem."""

import json
import re
from functools import cache
from html import escape
from pathlib import Path

import flask_swagger_ui  # type: ignore[import-untyped]
from flask import Blueprint, Response, abort, current_app, send_from_directory

from api import openapi
from api.contract import public

bp = Blueprint("docs", __name__)

# Swagger UI as its package ships it: nothing is fetched from elsewhere.
SWAGGER_UI = Path(flask_swagger_ui.__file__).parent / "dist"
ASSETS = frozenset(
    {"swagger-ui.css", "swagger-ui-bundle.js", "favicon-16x16.png", "favicon-32x32.png"}
)
PROBLEMS = Path(__file__).resolve().parents[2] / "docs" / "problems.md"

# Swagger UI sets styles on elements; it needs no script but the two files.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
)

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Smart Proctoring System: API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""

START = """SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null
});
"""


@bp.get("/openapi.json")
@public
def openapi_json() -> Response:
    return Response(_openapi_text(), mimetype="application/json")


@bp.get("/docs")
@public
def docs() -> Response:
    return _page(PAGE, "text/html")


@bp.get("/docs/<name>")
@public
def docs_asset(name: str) -> Response:
    if name == "start.js":
        return _page(START, "text/javascript")
    if name not in ASSETS:
        abort(404)
    response = send_from_directory(SWAGGER_UI, name, max_age=86400)
    response.headers["Content-Security-Policy"] = PAGE_POLICY
    return response


@bp.get("/problems/<slug>")
@public
def problem(slug: str) -> Response:
    """Explain one kind of problem, as docs/problems.md does."""
    sections = _problem_sections()
    if slug not in sections:
        abort(404)
    text = re.sub("`([^`]+)`", r"<code>\1</code>", escape(sections[slug]))
    paragraphs = "".join(f"<p>{each}</p>\n" for each in text.split("\n\n"))
    return _page(
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(slug)}</title>\n</head>\n<body>\n<h1>{escape(slug)}</h1>\n"
        f"{paragraphs}</body>\n</html>\n",
        "text/html",
    )


def _page(text: str, mimetype: str) -> Response:
    response = Response(text, mimetype=mimetype)
    response.headers["Content-Security-Policy"] = PAGE_POLICY
    return response


def _openapi_text() -> str:
    # Made once an app, when somebody first asks: it takes a tenth of a second.
    kept: str | None = current_app.extensions.get("openapi")
    if kept is None:
        kept = json.dumps(openapi.build(current_app))
        current_app.extensions["openapi"] = kept
    return kept


@cache
def _problem_sections() -> dict[str, str]:
    """Return slug → text of the `## slug` sections of docs/problems.md."""
    text = PROBLEMS.read_text(encoding="utf-8")
    return {
        slug: body.strip()
        for slug, body in re.findall(
            r"^## ([a-z0-9-]+)\n(.*?)(?=^#{1,2} |\Z)", text, re.MULTILINE | re.DOTALL
        )
    }
