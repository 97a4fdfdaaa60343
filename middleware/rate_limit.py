"""Rate limits that hold across processes: who may call what, how often.

Counted in PostgreSQL by default (the `limits` package has no such storage, so one
stands here), or wherever RATELIMIT_STORAGE_URI says.
"""

import json
import logging
import time
from functools import partial
from hashlib import sha256
from typing import Any, ClassVar

from flask import Flask, Response, g, request
from flask_limiter import Limiter
from limits.storage import Storage
from redis import RedisError

from config.config import RateLimits
from middleware.monitoring import MONITORING
from models import rate_limit
from models.database import Database
from models.database_errors import DatabaseUnavailableError
from models.rate_limit import Window
from models.wire import canonical_email
from services.auth_service import LoginFailedError
from services.tokens import REFRESH, InvalidTokenError, Tokens
from utils.addresses import caller_at

logger = logging.getLogger(__name__)

REDIS_TIMEOUT_SECONDS = 0.5


class PostgresStorage(Storage):
    """Counts in the rate_limits table."""

    STORAGE_SCHEME: ClassVar[list[str]] = ["postgresql"]  # type: ignore[misc]

    def __init__(self, uri: str | None = None, **options: Any) -> None:
        super().__init__(uri, wrap_exceptions=False)
        self._database: Database = options["database"]

    @property
    def base_exceptions(self) -> type[Exception]:
        return DatabaseUnavailableError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        with self._database.bookkeeping() as tx:
            window = rate_limit.hit(tx, key, amount, expiry)
        _seen()[key] = window
        return window.hits

    def get(self, key: str) -> int:
        window = self._window(key)
        return window.hits if window else 0

    def get_expiry(self, key: str) -> float:
        # The limiter asks this host's clock how long that is from now.
        window = self._window(key)
        return time.time() + (window.seconds_left if window else 0)

    def check(self) -> bool:
        with self._database.bookkeeping() as tx:
            rate_limit.get(tx, "")
        return True

    def reset(self) -> int | None:
        with self._database.bookkeeping() as tx:
            return rate_limit.clear_all(tx)

    def clear(self, key: str) -> None:
        with self._database.bookkeeping() as tx:
            rate_limit.clear(tx, key)

    def _window(self, key: str) -> Window | None:
        # The headers ask twice for what the hit has just said.
        seen = _seen()
        if key not in seen:
            with self._database.bookkeeping() as tx:
                seen[key] = rate_limit.get(tx, key)
        return seen[key]


def _seen() -> dict[str, Window | None]:
    """Return what this request knows of its windows."""
    if "rate_limit_windows" not in g:
        g.rate_limit_windows = {}
    found: dict[str, Window | None] = g.rate_limit_windows
    return found


def caller() -> str:
    """Return the user if he is known, else the address."""
    principal = g.get("principal")
    return f"user:{principal.id}" if principal else address()


def address() -> str:
    return f"ip:{caller_at(request.remote_addr)}"


def address_and_account() -> str:
    """Return who tries to log in from where.

    A guesser blocks himself and nobody else: the owner of the account comes from
    another address, and his neighbours behind the same one have other accounts.
    """
    try:
        email = canonical_email(_sent("email"))
    except ValueError:
        email = ""
    return f"{address()}:{sha256(email.encode()).hexdigest()[:32]}"


def session_or_address(tokens: Tokens) -> str:
    """Return whose refresh token was sent; what is no token of ours counts by address.

    Who sits in a lecture hall with two hundred others has their address too. Nobody
    can use up what they need but with a token of theirs.
    """
    try:
        return f"session:{tokens.read(_sent('refresh_token'), REFRESH).sid}"
    except (ValueError, InvalidTokenError):
        return address()


def _sent(name: str) -> str:
    """Return a member of the body, whatever the body is; empty if there is none."""
    try:
        return str(json.loads(request.get_data())[name])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def is_exempt() -> bool:
    """Say whether the default limit counts this request not.

    A browser asks OPTIONS without credentials: counted by address, those of a lecture
    hall would keep each other from starting.
    """
    return request.method == "OPTIONS" or request.endpoint in MONITORING


def is_wrong_guess(_: Response) -> bool:
    """Say whether a password was wrong. Whatever else is refused was no guess."""
    return bool(g.get("problem_slug") == LoginFailedError.slug)


def is_success(response: Response) -> bool:
    """Say whether somebody was let in. Who was told to come back later was not."""
    return response.status_code < 400  # noqa: PLR2004


def _note_retry_after(response: Response) -> Response:
    g.retry_after = response.headers.get("Retry-After")
    return response


def _correct_retry_after(response: Response) -> Response:
    """Undo what the limiter does to answers that are not its own.

    It writes the end of its window on every one of them: who is told by a 503 to come
    back in two seconds would come back in sixty, and a 200 has no Retry-After.
    """
    if g.get("retry_after") is not None:
        response.headers["Retry-After"] = g.retry_after
    elif response.status_code != 429:  # noqa: PLR2004
        response.headers.pop("Retry-After", None)
    elif response.headers.get("Retry-After") == "0":
        response.headers["Retry-After"] = "1"
    return response


def _spare_answers(app: Flask) -> None:
    """Give an answer that is made although the limiter can not count it any more.

    Its last step, which it has just registered, counts who was let in and who guessed
    wrong. If the database is lost in between, somebody who is logged in is told so.
    """
    count = app.after_request_funcs[None].pop()

    def count_if_possible(response: Response) -> Response:
        try:
            app.ensure_sync(count)(response)
        except (DatabaseUnavailableError, RedisError) as error:
            logger.warning("an answer was not counted: %s", error)
        return response

    app.after_request(count_if_possible)


def init_app(
    app: Flask, limits: RateLimits, database: Database, tokens: Tokens
) -> None:
    """Limit every endpoint of the app. Called after its blueprints are registered."""
    is_redis = _is_redis(limits.storage_uri)
    limiter = Limiter(
        caller,
        default_limits=[limits.default],
        default_limits_exempt_when=is_exempt,
        storage_uri=limits.storage_uri,
        storage_options=_storage_options(limits.storage_uri, database),
        strategy="fixed-window",
        headers_enabled=True,
        # Without Redis each process counts for itself: a limit, if a looser one.
        in_memory_fallback_enabled=is_redis,
    )
    # What is registered later runs earlier.
    app.after_request(_correct_retry_after)
    limiter.init_app(app)
    _spare_answers(app)
    app.after_request(_note_retry_after)
    _limit(app, "auth.register", limiter.limit(limits.register, key_func=address))
    _limit(
        app,
        "auth.refresh",
        limiter.limit(limits.refresh, key_func=partial(session_or_address, tokens)),
    )
    for limit, key, counts in (
        # Two thousand students behind one address may log in, each some times.
        (limits.login_failures_address, address, is_wrong_guess),
        (limits.login_failures, address_and_account, is_wrong_guess),
        (limits.logins, address_and_account, is_success),
    ):
        _limit(
            app, "auth.login", limiter.limit(limit, key_func=key, deduct_when=counts)
        )
    # Who finds a device that is logged in does not know its owner's password; and who
    # does know it has no reason to have it hashed all the time.
    _limit(app, "auth.change_password", limiter.limit(limits.login_failures))
    for endpoint in ("proctoring.record_event", "proctoring.record_events"):
        _limit(app, endpoint, limiter.limit(limits.events))
    for endpoint in ("data_exports.export_own_data", "data_exports.export_user_data"):
        _limit(app, endpoint, limiter.limit(limits.data_exports))


def _is_redis(storage_uri: str) -> bool:
    return storage_uri.startswith("redis")


def _storage_options(storage_uri: str, database: Database) -> dict[str, Any]:
    if storage_uri.startswith("postgresql"):
        return {"database": database}
    if _is_redis(storage_uri):
        # Its host may be gone without a word, and every request asks it.
        return {
            "socket_connect_timeout": REDIS_TIMEOUT_SECONDS,
            "socket_timeout": REDIS_TIMEOUT_SECONDS,
        }
    return {}


def _limit(app: Flask, endpoint: str, limit: Any) -> None:
    app.view_functions[endpoint] = limit(app.view_functions[endpoint])
