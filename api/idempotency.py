"""The Idempotency-Key header (draft-ietf-httpapi-idempotency-key-header).

The key is claimed inside the transaction that does the work, so the work is done once
whatever is cut off in between; the answer is kept right after. A retry that finds the
work done and the answer not kept (the process died between the two) gets a 409 that
says so.
"""

import hmac
import logging
import re
from collections.abc import Callable
from hashlib import sha256

from flask import Flask, Response, current_app, g, request

from models import idempotency_key
from models.database import Database
from models.database_errors import DatabaseUnavailableError
from models.transaction import Transaction, before_commit
from services import errors
from utils.addresses import caller_at

logger = logging.getLogger(__name__)

# What an answer says beside its body that is true of the work, not of this request.
KEPT_HEADERS = ("ETag",)


class KeyReusedError(errors.UnprocessableError):
    slug = "idempotency-key-reused"
    title = "Idempotency-Key used for another request"

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key came with another body or query before.")


class KeyInvalidError(errors.UnprocessableError):
    slug = "idempotency-key-invalid"
    title = "Idempotency-Key invalid"

    def __init__(self) -> None:
        super().__init__("An Idempotency-Key has 1 to 255 visible ASCII characters.")


class AlreadyCarriedOutError(errors.ConflictError):
    slug = "request-already-carried-out"
    title = "Request already carried out"

    def __init__(self) -> None:
        super().__init__(
            "This request is being, or has been, carried out under the same "
            "Idempotency-Key. Read the resource instead of sending it again."
        )


def init_app(app: Flask, secret_key: str) -> None:
    """Let the app honour keys. Its secret is what makes their traces unreadable."""
    app.extensions["idempotency"] = secret_key.encode()


def answered_once(key: str, carry_out: Callable[[], Response]) -> Response:
    """Carry the request out, or give the first answer to its key again."""
    if not re.fullmatch(r"[\x21-\x7e]{1,255}", key):
        raise KeyInvalidError
    database: Database = current_app.extensions["database"]
    route = f"{request.method} {request.path}"
    # A body may contain a password. Whoever got hold of the table could try passwords
    # against a bare digest of it, and a list of addresses says who was where.
    # What an import does with its body stands in the query.
    query = _keyed(b"query", request.query_string) if request.query_string else b""
    body_hash = _keyed(b"body", query + request.get_data())
    if g.get("principal"):
        # A login is one device. Another one of the same user must not be handed what
        # this one was given: the paper of an attempt, say, that it does not hold.
        scope = f"{g.principal.id}:{g.principal.session_id}"
    else:
        scope = _keyed(b"scope", caller_at(request.remote_addr).encode()).hex()

    with database.bookkeeping() as tx:
        kept = idempotency_key.get(tx, scope, route, key)
    if kept is not None:
        if kept.body_hash != body_hash:
            raise KeyReusedError
        if kept.status is None or kept.body is None:
            raise AlreadyCarriedOutError
        response = Response(kept.body, kept.status, mimetype="application/json")
        response.headers.update(kept.headers)
        response.headers["Idempotency-Replayed"] = "true"
        return response

    def claim(tx: Transaction) -> None:
        if not idempotency_key.claim(tx, scope, route, key, body_hash):
            raise AlreadyCarriedOutError

    token = before_commit.set(claim)
    try:
        response = carry_out()
    finally:
        before_commit.reset(token)
    try:
        with database.bookkeeping() as tx:
            idempotency_key.keep(
                tx,
                scope,
                route,
                key,
                status=response.status_code,
                body=response.get_data(as_text=True),
                headers={
                    name: response.headers[name]
                    for name in KEPT_HEADERS
                    if name in response.headers
                },
            )
    except DatabaseUnavailableError:
        # The work is done: a 503 would say to send it again, which gives nothing.
        logger.warning("an answer could not be kept")
    return response


def _keyed(purpose: bytes, message: bytes) -> bytes:
    secret: bytes = current_app.extensions["idempotency"]
    return hmac.new(secret, purpose + b"\0" + message, sha256).digest()
