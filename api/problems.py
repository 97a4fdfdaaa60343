"""Errors rendered as RFC 9457 problem details. Nothing else renders an error."""

import json
import logging
from http import HTTPStatus

from flask import Flask, Response, g, request
from flask_limiter import RateLimitExceeded
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from pydantic import JsonValue, ValidationError
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from models.database_errors import (
    ConstraintError,
    DatabaseUnavailableError,
    LogSuspendedError,
    RowError,
)
from models.wire import problems_of
from services import errors

logger = logging.getLogger(__name__)

STATUS: dict[type[errors.DomainError], HTTPStatus] = {
    errors.UnauthenticatedError: HTTPStatus.UNAUTHORIZED,
    errors.ForbiddenError: HTTPStatus.FORBIDDEN,
    errors.NotFoundError: HTTPStatus.NOT_FOUND,
    errors.ConflictError: HTTPStatus.CONFLICT,
    errors.PreconditionFailedError: HTTPStatus.PRECONDITION_FAILED,
    errors.PreconditionRequiredError: HTTPStatus.PRECONDITION_REQUIRED,
    errors.UnprocessableError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.BusyError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.LimitError: HTTPStatus.TOO_MANY_REQUESTS,
}

# What werkzeug can raise before or beside our own code, in our words.
HTTP_PROBLEMS: dict[int, tuple[str, str, str]] = {
    400: ("bad-request", "Bad request", "The request could not be read."),
    404: ("not-found", "Not found", "There is nothing at this address."),
    405: ("method-not-allowed", "Method not allowed", "See the Allow header."),
    413: ("body-too-large", "Body too large", "Send less at once."),
}


class MalformedRequestError(Exception):
    """The request can not be read at all (400)."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class MediaTypeError(Exception):
    """The body is of another type than this endpoint reads, or compressed (415)."""

    def __init__(self, *media_types: str) -> None:
        super().__init__(*media_types)
        self.media_types = media_types


class InvalidRequestError(Exception):
    """The request was read and does not fit the schema (422).

    A ValidationError that reaches us bare is about what we made ourselves: that is our
    fault, and a 500.
    """

    def __init__(
        self, cause: ValidationError, where: str = "", document: JsonValue = None
    ) -> None:
        self.problems = [
            {"pointer": pointer, "detail": detail}
            for pointer, detail in problems_of(
                cause, *([where] if where else []), document=document
            )
        ]


def problem(
    status: int, slug: str, title: str, detail: str, **extra: object
) -> Response:
    body = {
        "type": f"/problems/{slug}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": request.path,
        "request_id": g.get("request_id", ""),
    }
    response = Response(
        json.dumps(body | extra, default=str),
        status,
        mimetype="application/problem+json",
    )
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="proctoring"'
    response.headers["Cache-Control"] = "no-store"
    return response


def describe(error: errors.DomainError) -> dict[str, object]:
    """Return the problem as an object, for a refusal inside a larger answer."""
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    return {
        "type": f"/problems/{error.slug}",
        "title": error.title,
        "status": status,
        "detail": str(error),
        **_extra(error),
    }


def domain_error(error: errors.DomainError) -> Response:
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    # The rate limits count some of them.
    g.problem_slug = error.slug
    response = problem(status, error.slug, error.title, str(error), **_extra(error))
    if error.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(error.retry_after_seconds)
    return response


def _extra(error: errors.DomainError) -> dict[str, object]:
    if isinstance(error, errors.ConflictError):
        return {
            "current_status": error.current_status,
            "allowed_actions": error.allowed_actions,
        }
    if isinstance(error, errors.UnprocessableError):
        return {
            "errors": [
                {"pointer": pointer, "detail": detail}
                for pointer, detail in error.problems
            ]
        }
    return {}


def malformed_request(error: MalformedRequestError) -> Response:
    return problem(400, "bad-request", "Bad request", error.detail)


def unsupported_media_type(error: MediaTypeError) -> Response:
    response = problem(
        415,
        "unsupported-media-type",
        "Unsupported media type",
        f"Send {' or '.join(error.media_types)} in UTF-8 without a Content-Encoding.",
    )
    # RFC 9110, section 15.5.16.
    response.headers["Accept"] = ", ".join(error.media_types)
    response.headers["Accept-Encoding"] = "identity"
    return response


def unreadable_body(_: ParseException) -> Response:
    # gunicorn reads a body in chunks while we do.
    return problem(400, *HTTP_PROBLEMS[400])


def invalid_request(error: InvalidRequestError) -> Response:
    return problem(
        422,
        "invalid-request",
        "Invalid request",
        "The request does not fit the schema; see errors.",
        errors=error.problems,
    )


def too_many_requests(error: RateLimitExceeded) -> Response:
    # The limiter adds Retry-After and the X-RateLimit headers to every response.
    g.problem_slug = "too-many-requests"
    return problem(
        429,
        "too-many-requests",
        "Too many requests",
        f"The limit here is {error.description}. Wait as long as Retry-After says.",
    )


def http_error(error: HTTPException) -> Response:
    code = error.code or 500
    if code not in HTTP_PROBLEMS:
        return problem(code, "http-error", error.name, error.name)
    response = problem(code, *HTTP_PROBLEMS[code])
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response


def unavailable(_: DatabaseUnavailableError) -> Response:
    response = problem(
        503,
        "unavailable",
        "Temporarily unavailable",
        "The database is busy or restarting. Send the same request again.",
    )
    response.headers["Retry-After"] = "1"
    return response


def log_contradicted(_: LogSuspendedError) -> Response:
    response = problem(
        503,
        "log-contradicted",
        "Nothing can be written",
        "The audit log is not the one that was signed: this server may run on an old"
        " copy of its database. Nothing was written, and nothing is until an admin has"
        " decided. Keep what you have and send it again later.",
    )
    # A person has to act first.
    response.headers["Retry-After"] = "30"
    return response


def unreadable(error: RowError) -> Response:
    # Where it does not fit, but nothing of what stands there.
    logger.error("a row that can not be read", extra={"cause": str(error)})
    return problem(
        500,
        "data-unreadable",
        "Data that can not be read",
        "Something stands in the database that its own rules do not let in: it was"
        " changed past this server, or damaged. Nothing was written. Quote the request"
        " id when you report it; an admin finds out what it is with"
        " GET /api/blockchain/verify?deep=true.",
    )


def unexpected(error: Exception) -> Response:
    logger.error("unhandled exception", exc_info=error)
    return problem(
        500,
        "internal-error",
        "Internal error",
        "This is our fault. Quote the request id when you report it.",
    )


def init_app(app: Flask) -> None:
    app.register_error_handler(errors.DomainError, domain_error)
    app.register_error_handler(MalformedRequestError, malformed_request)
    app.register_error_handler(MediaTypeError, unsupported_media_type)
    app.register_error_handler(ParseException, unreadable_body)
    app.register_error_handler(InvalidRequestError, invalid_request)
    app.register_error_handler(RateLimitExceeded, too_many_requests)
    app.register_error_handler(DatabaseUnavailableError, unavailable)
    app.register_error_handler(LogSuspendedError, log_contradicted)
    app.register_error_handler(RowError, unreadable)
    # A rule of the schema that no service translated: nothing was written.
    app.register_error_handler(ConstraintError, unexpected)
    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(Exception, unexpected)
