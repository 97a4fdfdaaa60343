"""A name for each request, and one log line when it is done."""

import logging
import re
import secrets
import time

from flask import Flask, Response, g, request

from middleware.monitoring import MONITORING
from utils import trace_context
from utils.logger import log_context

logger = logging.getLogger("request")

# What a caller may name his request; anything else could forge a log line or a header.
SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def init_app(app: Flask) -> None:
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(_forget)


def _begin() -> None:
    g.started = time.perf_counter()
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if SANE_ID.fullmatch(given) else secrets.token_hex(8)
    g.trace = trace_context.begin(request.headers.get("traceparent", ""))
    # Every line that is written until the end of the request says whose it is.
    g.log_token = log_context.set(
        {
            "request_id": g.request_id,
            "trace_id": g.trace.trace_id,
            "span_id": g.trace.span_id,
        }
    )


def _end(response: Response) -> Response:
    response.headers["X-Request-ID"] = g.get("request_id", "")
    response.headers["traceresponse"] = g.trace.header
    quiet = request.endpoint in MONITORING and response.status_code < 400  # noqa: PLR2004
    principal = g.get("principal")
    logger.log(
        logging.DEBUG if quiet else logging.INFO,
        "request",
        extra={
            "parent_span_id": g.trace.parent_id,
            "user_id": str(principal.id) if principal else None,
            "method": request.method,
            # The pattern, not the path: ids stay out, and lines can be counted.
            "route": request.url_rule.rule if request.url_rule else None,
            "status": response.status_code,
            "ms": round((time.perf_counter() - g.started) * 1000, 2),
        },
    )
    return response


def _forget(_: BaseException | None) -> None:
    # The thread goes on to somebody else's request.
    token = g.pop("log_token", None)
    if token is not None:
        log_context.reset(token)
