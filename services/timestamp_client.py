"""Asking an authority for a timestamp, and verifying what it answers (RFC 3161).

What does not hold is not returned, so nobody stores it: the status, the nonce, the
hash, that the time is about now, and the chain of certificates if roots are configured.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final, Self
from urllib.parse import urlsplit

from cryptography.x509 import Certificate
from cryptography.x509.oid import ObjectIdentifier
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from services.outgoing_requests import Unreachable, ask, printable

# Nobody waits for it but who stops the program.
TIMEOUT_SECONDS: Final = 10.0
QUERY: Final = "application/timestamp-query"
REPLY: Final = "application/timestamp-reply"
MAX_RESPONSE_BYTES: Final = 64 * 1024
MAX_URL_LENGTH: Final = 500
HTTP_OK: Final = 200
GRANTED: Final = 0
SHA256: Final = ObjectIdentifier("2.16.840.1.101.3.4.2.1")
# An authority whose clock, or ours, is off by more proves nothing of today. It also
# keeps a certificate that has expired from being used for a time when it had not.
MAX_DIFFERENCE_SECONDS: Final = 600.0


class TimestampError(Exception):
    """There is no timestamp to be believed. The message says why."""


@dataclass(frozen=True, slots=True)
class Authority:
    """Where a timestamp is to be had, and which certificates vouch for it.

    Without roots it is checked only that the answer is one to our question.
    """

    url: str
    roots: Sequence[Certificate] = ()

    def __post_init__(self) -> None:
        where = urlsplit(self.url)
        if where.scheme not in ("http", "https") or not where.hostname:
            raise ValueError(f"{self.url!r} is no http or https address")
        if where.username is not None or where.fragment:
            # It is shown to everybody who asks for the timestamps.
            raise ValueError("the address of an authority is public: no password in it")
        if len(self.url) > MAX_URL_LENGTH or not re.fullmatch("[!-~]+", self.url):
            raise ValueError(f"not {MAX_URL_LENGTH} printable characters of ASCII")


@dataclass(frozen=True, slots=True)
class Timestamp:
    """An answer that holds: the DER, when it says that it was, and by whose word."""

    response: bytes
    stamped_at: datetime
    is_chain_verified: bool


@dataclass(frozen=True, slots=True)
class _Question:
    content: bytes
    nonce: int
    query: bytes

    @classmethod
    def about(cls, content: bytes) -> Self:
        request = (
            TimestampRequestBuilder()
            .data(content)
            .hash_algorithm(HashAlgorithm.SHA256)
            .nonce(nonce=True)
            .cert_request(cert_request=True)
            .build()
        )
        if request.nonce is None:
            raise TimestampError("the library made a question without a nonce")
        return cls(content, request.nonce, request.as_bytes())


def stamp(
    authority: Authority, content: bytes, *, timeout_seconds: float = TIMEOUT_SECONDS
) -> Timestamp:
    """Have the SHA-256 of `content` stamped. Raises TimestampError."""
    question = _Question.about(content)
    answer = ask(
        "POST",
        authority.url,
        question.query,
        {"Content-Type": QUERY, "Accept": REPLY},
        timeout_seconds=timeout_seconds,
    )
    if isinstance(answer, Unreachable):
        raise TimestampError(answer.cause)
    if answer.status != HTTP_OK or answer.content_type != REPLY:
        said = answer.text if answer.content_type.startswith("text/") else "no text"
        raise TimestampError(f"status {answer.status}, {answer.content_type}: {said}")
    if len(answer.body) > MAX_RESPONSE_BYTES:
        raise TimestampError(f"an answer of {len(answer.body)} bytes")
    try:
        stamped_at = _verify(
            authority, question, decode_timestamp_response(answer.body)
        )
    except (ValueError, VerificationError) as error:
        raise TimestampError(printable(str(error))) from error
    return Timestamp(answer.body, stamped_at, is_chain_verified=bool(authority.roots))


def _verify(
    authority: Authority, question: _Question, response: TimeStampResponse
) -> datetime:
    """Return the time. Raises ValueError and VerificationError for what is wrong."""
    if response.status != GRANTED:
        said = "; ".join(response.status_string)
        raise TimestampError(
            printable(f"refused with status {response.status}: {said}")
        )
    info = response.tst_info
    imprint = info.message_imprint
    if imprint.hash_algorithm != SHA256:
        raise TimestampError(f"hashed by {imprint.hash_algorithm.dotted_string}")
    if imprint.message != sha256(question.content).digest():
        raise TimestampError("it is over something else (message imprint)")
    if info.nonce != question.nonce:
        raise TimestampError("it answers another question (nonce)")
    if abs(info.gen_time.timestamp() - time.time()) > MAX_DIFFERENCE_SECONDS:
        raise TimestampError(f"it says that it is {info.gen_time:%F %T} UTC")
    if authority.roots:
        verifier = VerifierBuilder(roots=list(authority.roots), nonce=question.nonce)
        verifier.build().verify_message(response, question.content)
    return info.gen_time
