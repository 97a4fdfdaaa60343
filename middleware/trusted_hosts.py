"""Under which names we answer, if TRUSTED_HOSTS says."""

from collections.abc import Sequence

from flask import Flask, request
from werkzeug.wsgi import get_host

# Asked by whatever name or number leads to this machine: by nginx's monitoring, the
# image's health check, Prometheus. What they say depends on no name.
ANY_HOST = frozenset(
    {"health.live", "health.health", "health.ready", "metrics.metrics"}
)


def init_app(app: Flask, hosts: Sequence[str]) -> None:
    """Refuse requests for other hosts with 400; empty `hosts` refuse none."""
    if not hosts:
        return

    def check() -> None:
        if request.endpoint not in ANY_HOST:
            get_host(request.environ, hosts)  # Raises SecurityError, a BadRequest.

    app.before_request(check)
