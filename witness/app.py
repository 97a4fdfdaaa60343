"""A witness over HTTP, to the letter of C2SP tlog-witness.

Nobody logs in: what may be cosigned follows from the signature of the log alone.
"""

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, InternalServerError

from utils.logger import configure_logging
from witness import keys
from witness.cosigning import Witness
from witness.refusals import BusyError, RefusalError, StaleError
from witness.store import Store
from witness.submission import MAX_BODY_BYTES, parse

TEXT: Final = "text/plain; charset=utf-8"
SIZE: Final = "text/x.tlog.size"
ORIGIN_HASH: Final = re.compile(r"[0-9a-f]{64}")
RETRY_AFTER_SECONDS: Final = 5


def create_app(witness: Witness) -> Flask:
    """Build the application. It writes to `witness.store` and nowhere else."""
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False
    # Werkzeug cuts a chunked body off at its limit without a word. One byte more than
    # is accepted tells the two apart.
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES + 1

    @app.post("/add-checkpoint")
    def add_checkpoint() -> Response:
        body = request.get_data(cache=False)
        if len(body) > MAX_BODY_BYTES:
            return _text(413, "The body is too large.")
        cosignature = witness.cosign(parse(body))
        return Response(cosignature.render(), content_type=TEXT)

    @app.get("/<origin_hash>/checkpoint")
    def get_checkpoint(origin_hash: str) -> Response:
        seen = None
        if ORIGIN_HASH.fullmatch(origin_hash):
            seen = witness.store.get_by_hash(origin_hash)
        if seen is None:
            return _text(404, "Nothing of that origin has been cosigned here.")
        return Response(seen.note, content_type=TEXT)

    @app.get("/health")
    def health() -> Response:
        with witness.store.transaction() as tx:
            tx.write_nothing_new()
        return _text(200, str(witness.signer.verifier))

    app.register_error_handler(RefusalError, _refuse)
    app.register_error_handler(HTTPException, _render)
    app.after_request(_add_headers)
    return app


def from_files(state: str, key: str, logs: Sequence[str]) -> Flask:
    """Build the application from what `serve` was told. gunicorn calls this."""
    configure_logging("INFO")
    return create_app(
        Witness(
            store=Store(Path(state)),
            signer=keys.read(Path(key)),
            logs=keys.parse_logs(logs),
            clock=lambda: int(time.time()),
        )
    )


def _refuse(refusal: RefusalError) -> Response:
    if isinstance(refusal, StaleError):
        return Response(f"{refusal.size}\n", 409, content_type=SIZE)
    response = _text(refusal.status, str(refusal))
    if isinstance(refusal, BusyError):
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _render(error: HTTPException) -> Response:
    response = _text(error.code or InternalServerError.code, error.name)
    # Which methods an address has: a 405 says so.
    response.headers.extend(
        pair for pair in error.get_headers() if pair[0] != "Content-Type"
    )
    return response


def _text(status: int, line: str) -> Response:
    return Response(f"{line}\n", status, content_type=TEXT)


def _add_headers(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
