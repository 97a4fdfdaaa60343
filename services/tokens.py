"""Access and refresh tokens: JWTs (RFC 7519) that only we issue and only we read.

Everything that RFC 8725 warns of is settled here, except the clock: a token's times
are compared with the database's (models/session.py), which all processes share.
docs/decisions/0004-tokens-and-sessions.md
"""

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Final
from uuid import UUID

import jwt
from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError

from services import errors

ALGORITHM: Final = "HS256"
ISSUER: Final = "proctoring"
# How far in the future a token may have been issued, should two clocks differ.
LEEWAY_SECONDS: Final = 30
# A token of ours has some 500 bytes. Nothing longer is worth decoding.
MAX_TOKEN_LENGTH: Final = 4096
# Until the year 2242; PostgreSQL can still make a time of it.
MAX_TIME: Final = 2**33


class InvalidTokenError(errors.UnauthenticatedError):
    slug = "invalid-token"
    title = "Invalid token"

    def __init__(self) -> None:
        # One sentence for every reason: whoever forges tokens learns nothing.
        super().__init__(
            "The token is not valid, or not any more. Refresh it, or log in again."
        )


@dataclass(frozen=True, slots=True)
class TokenKind:
    """A kind of token has a header type (RFC 9068) and an audience of its own."""

    header_type: str
    audience: str


ACCESS: Final = TokenKind("at+jwt", "proctoring-api")
REFRESH: Final = TokenKind("rt+jwt", "proctoring-refresh")

Time = Annotated[StrictInt, Field(ge=0, le=MAX_TIME)]


class Claims(BaseModel):
    """Exactly the claims that we write. A token with others is not from us."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    iss: str
    aud: str
    # The user's id, and his session's.
    sub: UUID
    sid: UUID
    jti: Annotated[str, Field(min_length=1, max_length=100)]
    # Seconds since the epoch.
    iat: Time
    exp: Time


class Tokens:
    """Signs with the current key; reads what this or the previous one has signed."""

    def __init__(
        self,
        key: str,
        previous_key: str | None,
        *,
        access_seconds: int,
        refresh_seconds: int,
    ) -> None:
        self.access_seconds = access_seconds
        self.refresh_seconds = refresh_seconds
        self._current_id = _key_id(key)
        self._keys = {
            _key_id(each): each.encode() for each in (previous_key, key) if each
        }

    def issue(
        self,
        kind: TokenKind,
        *,
        user_id: UUID,
        session_id: UUID,
        token_id: str,
        issued_at: int,
        expires_at: int,
    ) -> str:
        """Sign a token. The same arguments make the same token."""
        return jwt.encode(
            {
                "iss": ISSUER,
                "aud": kind.audience,
                "sub": str(user_id),
                "sid": str(session_id),
                "jti": token_id,
                "iat": issued_at,
                "exp": expires_at,
            },
            self._keys[self._current_id],
            algorithm=ALGORITHM,
            headers={"typ": kind.header_type, "kid": self._current_id},
        )

    def read(self, token: str, kind: TokenKind) -> Claims:
        """Return the claims of a token of this kind. Raises InvalidTokenError.

        Its times are still to be compared with the database's clock.
        """
        if len(token) > MAX_TOKEN_LENGTH:
            raise InvalidTokenError
        try:
            claims = Claims.model_validate(
                jwt.decode(
                    token,
                    self._key_of(token, kind),
                    algorithms=[ALGORITHM],
                    audience=kind.audience,
                    issuer=ISSUER,
                    options={
                        "require": ["iss", "aud", "sub", "sid", "jti", "iat", "exp"],
                        "strict_aud": True,
                        # The database's clock decides, and there is no nbf.
                        "verify_exp": False,
                        "verify_iat": False,
                        "verify_nbf": False,
                    },
                )
            )
        except (jwt.PyJWTError, ValidationError, RecursionError) as error:
            raise InvalidTokenError from error
        longest = self.access_seconds if kind is ACCESS else self.refresh_seconds
        if not claims.iat <= claims.exp <= claims.iat + longest:
            raise InvalidTokenError
        return claims

    def _key_of(self, token: str, kind: TokenKind) -> bytes:
        header = jwt.get_unverified_header(token)
        key_id = header.get("kid")
        expected = {"alg": ALGORITHM, "typ": kind.header_type, "kid": key_id}
        # We write three members. More (jku, jwk, x5u, crit) is not from us.
        if header != expected or key_id not in self._keys:
            raise InvalidTokenError
        return self._keys[key_id]

    def successor_of(self, token: str, claims: Claims) -> str:
        """Return the id of the token that follows a refresh token that was read.

        It follows from the predecessor, so who asks twice gets the same one, and
        nothing that a thief of the database could use has to be kept.
        """
        key = self._keys[jwt.get_unverified_header(token)["kid"]]
        message = f"successor of {claims.jti}".encode()
        return hmac.new(key, message, sha256).hexdigest()


def new_token_id() -> str:
    return secrets.token_hex(32)


def stored_form(token_id: str) -> bytes:
    """Return what is kept of a refresh token's id, which has 256 random bits."""
    return sha256(token_id.encode()).digest()


def seconds_of(moment: datetime) -> int:
    return int(moment.timestamp())


def _key_id(key: str) -> str:
    return sha256(key.encode()).hexdigest()[:8]
