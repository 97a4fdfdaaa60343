"""One login's HTTP client: keeps its connection and its tokens, and tries again.

Whatever is sent twice here is idempotent at the server: a request without an answer is
neither done nor undone, so it is sent again until there is an answer.
"""

import http.client
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar
from uuid import uuid4

from pydantic import BaseModel, ValidationError

from script.demo_exam.link import Fate, Link, LostOnTheWayError
from script.demo_exam.replies import PageOf, Tokens

ADDRESS: Final = "127.0.0.1"
PATIENCE_SECONDS: Final = 60.0
TIMEOUT_SECONDS: Final = 20.0
# A retry waits this long first, then twice as long each time, up to a second.
FIRST_WAIT_SECONDS: Final = 0.05
LONGEST_WAIT_SECONDS: Final = 1.0
# A token is renewed when this share of its life is over.
RENEWED_AFTER: Final = 0.6
GOOD: Final = frozenset({200, 201, 204})
UNAUTHENTICATED: Final = 401
COME_BACK_LATER: Final = frozenset({429, 503})
SERVER_ERROR: Final = 500

Body = Mapping[str, object] | str | None
Model = TypeVar("Model", bound=BaseModel)


class UnexpectedAnswerError(Exception):
    """An answer that the demonstration does not expect, or none at all."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    content: bytes

    def read(self, model: type[Model]) -> Model:
        """Raise UnexpectedAnswerError for a body that is no such thing."""
        try:
            return model.model_validate_json(self.content)
        except ValidationError as error:
            raise UnexpectedAnswerError(f"{error}: {self.detail}") from error

    @property
    def detail(self) -> str:
        return f"{self.status} {self.content[:400].decode(errors='replace')}"


@dataclass(slots=True)
class Client:
    """Safe to share between threads, which then take turns."""

    port: int
    link: Link
    _tokens: Tokens | None = None
    _renew_at: float = 0.0
    _connection: http.client.HTTPConnection | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def log_in(self, email: str, password: str) -> None:
        body = {"email": email, "password": password}
        self._tokens = None
        self._keep(self.send("POST", "/api/auth/login", body).read(Tokens))

    def get(self, model: type[Model], path: str) -> Model:
        return self.send("GET", path).read(model)

    def post(self, model: type[Model], path: str, body: Body = None) -> Model:
        return self.send("POST", path, body).read(model)

    def put(self, model: type[Model], path: str, body: Body) -> Model:
        return self.send("PUT", path, body).read(model)

    def create(self, model: type[Model], path: str, body: Body) -> Model:
        """Post what must not be made twice, however often it has to be sent."""
        headers = {"Idempotency-Key": str(uuid4())}
        return self.send("POST", path, body, headers=headers).read(model)

    def list_all(self, model: type[Model], path: str) -> list[Model]:
        """Read all pages of a list."""
        items: list[Model] = []
        joint = "&" if "?" in path else "?"
        where = f"{path}{joint}limit=200"
        cursor: str | None = ""
        while cursor is not None:
            after = f"&cursor={cursor}" if cursor else ""
            page = self.get(PageOf[model], where + after)  # type: ignore[valid-type]
            items += page.items
            cursor = page.next_cursor
        return items

    def send(
        self,
        method: str,
        path: str,
        body: Body = None,
        *,
        good: frozenset[int] = GOOD,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send until there is an answer. Raises UnexpectedAnswerError for a bad one."""
        with self._lock:
            return self._send(method, path, body, good, headers or {})

    def _send(
        self,
        method: str,
        path: str,
        body: Body,
        good: frozenset[int],
        headers: Mapping[str, str],
    ) -> Reply:
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        wait = FIRST_WAIT_SECONDS
        has_renewed = False
        while True:
            self._renew_if_due(path)
            try:
                reply = self._carry(method, path, body, headers)
            except (OSError, http.client.HTTPException, LostOnTheWayError) as error:
                self.hang_up()
                if time.monotonic() > give_up_at:
                    raise UnexpectedAnswerError(
                        f"{method} {path}: {error!r}"
                    ) from error
                self.link.traffic.count("repeated")
                self.link.wait(wait)
                wait = min(2 * wait, LONGEST_WAIT_SECONDS)
                continue
            if reply.status in good:
                return reply
            if reply.status in COME_BACK_LATER and time.monotonic() < give_up_at:
                self.link.traffic.count("asked_to_wait")
                self.link.wait(float(reply.headers.get("Retry-After", "1")))
            elif reply.status == UNAUTHENTICATED and self._tokens and not has_renewed:
                # Its time ran out on the way.
                has_renewed, self._renew_at = True, 0.0
            else:
                if reply.status >= SERVER_ERROR:
                    self.link.traffic.count("server_errors")
                raise UnexpectedAnswerError(f"{method} {path}: {reply.detail}")

    def _renew_if_due(self, path: str) -> None:
        if self._tokens is None or time.monotonic() < self._renew_at:
            return
        if path.startswith(("/api/auth/refresh", "/api/auth/login")):
            return
        body = {"refresh_token": self._tokens.refresh_token}
        self._keep(self.send("POST", "/api/auth/refresh", body).read(Tokens))
        self.link.traffic.count("refreshes")

    def _keep(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._renew_at = time.monotonic() + RENEWED_AFTER * tokens.expires_in

    def _carry(
        self, method: str, path: str, body: Body, headers: Mapping[str, str]
    ) -> Reply:
        fate = self.link.outward()
        reply = self._exchange(method, path, body, headers)
        if fate is Fate.REPLY_LOST:
            raise LostOnTheWayError
        return reply

    def _exchange(
        self, method: str, path: str, body: Body, headers: Mapping[str, str]
    ) -> Reply:
        content = body if body is None or isinstance(body, str) else json.dumps(body)
        sent = {"User-Agent": "demo"}
        if content is not None:
            sent["Content-Type"] = "application/json"
        sent |= headers
        if self._tokens is not None:
            sent["Authorization"] = f"Bearer {self._tokens.access_token}"
        began = time.monotonic()
        is_used = self._connection is not None
        try:
            reply = self._ask(method, path, content, sent)
        except ConnectionError:
            # The server may have closed a connection that was idle.
            self.hang_up()
            if not is_used:
                raise
            reply = self._ask(method, path, content, sent)
        self.link.traffic.answered(time.monotonic() - began)
        return reply

    def _ask(
        self, method: str, path: str, content: str | None, headers: Mapping[str, str]
    ) -> Reply:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(
                ADDRESS, self.port, timeout=TIMEOUT_SECONDS
            )
        raw = None if content is None else content.encode()
        self._connection.request(method, path, raw, dict(headers))
        answer = self._connection.getresponse()
        return Reply(answer.status, dict(answer.headers), answer.read())

    def hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
