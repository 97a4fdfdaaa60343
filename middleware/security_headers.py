"""What every response tells a browser about itself."""

from collections.abc import Sequence

from flask import Flask, Response, request

# JSON needs to load nothing. Pages that do set a policy of their own.
DEFAULT_POLICY = "default-src 'none'; frame-ancestors 'none'"

CORS_METHODS = "GET, POST, PUT, PATCH, DELETE"
# A tracer in the page sends the last two with every request, asked or not.
CORS_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match,"
    " X-Request-ID, traceparent, tracestate"
)
CORS_EXPOSED = (
    "Accept, Accept-Encoding, Allow, Backoff, Content-Disposition, ETag,"
    " Idempotency-Replayed, Location, Retry-After, WWW-Authenticate,"
    " X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-ID,"
    " traceresponse"
)


def init_app(app: Flask, cors_origins: Sequence[str]) -> None:
    """Add the headers; answer preflights of `cors_origins`, and of nobody else."""
    origins = frozenset(cors_origins)

    def add_headers(response: Response) -> Response:
        headers = response.headers
        headers.setdefault("Content-Security-Policy", DEFAULT_POLICY)
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"
        # Personal data by default; a route that may be cached says so itself.
        headers.setdefault("Cache-Control", "no-store")
        if origins:
            headers.add("Vary", "Origin")
            origin = request.headers.get("Origin", "")
            if origin in origins:
                headers["Access-Control-Allow-Origin"] = origin
                headers["Access-Control-Expose-Headers"] = CORS_EXPOSED
                if request.method == "OPTIONS":
                    headers["Access-Control-Allow-Methods"] = CORS_METHODS
                    headers["Access-Control-Allow-Headers"] = CORS_HEADERS
                    headers["Access-Control-Max-Age"] = "600"
        return response

    app.after_request(add_headers)
