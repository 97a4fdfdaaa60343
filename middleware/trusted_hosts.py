"""Under which names we answer, if TRUSTED_HOSTS says."""

from collections.abc import Sequence

from flask import Flask, request
from werkzeug.wsgi import get_host

from middleware.monitoring import MONITORING


def init_app(app: Flask, hosts: Sequence[str]) -> None:
    """Refuse requests for other hosts with 400; empty `hosts` refuse none."""
    if not hosts:
        return

    def check() -> None:
        if request.endpoint not in MONITORING:
            get_host(request.environ, hosts)  # Raises SecurityError, a BadRequest.

    app.before_request(check)
