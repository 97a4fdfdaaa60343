"""A name for each request, and one log line when it is done."""

import logging
import re
import secrets
import time

from flask import Flask, Response, g, request

logger = logging.getLogger("request")

# What a caller may name his request; anything else could forge a log line or a header.
SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Asked every few seconds by machines.
QUIET = frozenset({"health.live", "health.health"})


def init_app(app: Flask) -> None:
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    g.started = time.perf_counter()
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if SANE_ID.fullmatch(given) else secrets.token_hex(8)


def _end(response: Response) -> Response:
    request_id = g.get("request_id", "")
    response.headers["X-Request-ID"] = request_id
    quiet = request.endpoint in QUIET and response.status_code < 400  # noqa: PLR2004
    principal = g.get("principal")
    logger.log(
        logging.DEBUG if quiet else logging.INFO,
        "request",
        extra={
            "request_id": request_id,
            "user_id": str(principal.id) if principal else None,
            "method": request.method,
            # The pattern, not the path: ids stay out, and lines can be counted.
            "route": request.url_rule.rule if request.url_rule else None,
            "status": response.status_code,
            "ms": round((time.perf_counter() - g.started) * 1000, 2),
        },
    )
    return response
