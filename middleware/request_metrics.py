"""Counts requests: how many, how long, how they ended, and how many at this moment."""

import time
from functools import cache

from flask import Flask, Response, g, request
from prometheus_client import Counter, Histogram

from utils import metrics

# What is neither a route of ours nor a verb that we know has one name: a client that
# invents addresses must not fill our memory.
UNMATCHED = "unmatched"
OTHER = "OTHER"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# The slug of the rate limits' own refusal; others end with 429 too.
REFUSED = "too-many-requests"


def init_app(app: Flask) -> None:
    """Called first, so that what every other part takes is measured."""
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(_leave)


def _begin() -> None:
    g.arrived = time.perf_counter()
    metrics.REQUESTS_IN_FLIGHT.inc()


def _end(response: Response) -> Response:
    method = request.method if request.method in METHODS else OTHER
    route = request.url_rule.rule if request.url_rule else UNMATCHED
    requests, seconds = _counters(method, route, response.status_code)
    requests.inc()
    seconds.observe(time.perf_counter() - g.arrived)
    if g.get("problem_slug") == REFUSED:
        metrics.RATE_LIMIT_REFUSALS.labels(route).inc()
    return response


@cache
def _counters(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    """Finding them by their labels takes longer than counting."""
    return (
        metrics.REQUESTS.labels(method, route, str(status)),
        metrics.REQUEST_SECONDS.labels(method, route),
    )


def _leave(_: BaseException | None) -> None:
    if g.pop("arrived", None) is not None:
        metrics.REQUESTS_IN_FLIGHT.dec()
