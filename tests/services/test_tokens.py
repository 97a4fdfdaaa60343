"""Tokens: whatever is not exactly what we write is refused, with one sentence."""

import base64
import hmac
import json
from hashlib import sha256
from itertools import product
from typing import Any
from uuid import UUID

import pytest

from services.tokens import (
    ACCESS,
    LEEWAY_SECONDS,
    MAX_TOKEN_LENGTH,
    REFRESH,
    InvalidTokenError,
    TokenKind,
    Tokens,
    stored_form,
)
from tests.exams import Json

KEY = "0aBc9DeF8gHi7JkL6mNo5PqR4sTu3VwX"
OTHER_KEY = "qW3eRt5ZuI8oPa1sDf6GhJ9kLyXc2vBn"
USER = UUID("019ab1c2-0000-7000-8000-000000000001")
SESSION = UUID("019ab1c2-0000-7000-8000-000000000002")
NOW = 1_800_000_000
DAY = 86_400


def tokens(key: str = KEY, previous: str | None = None) -> Tokens:
    return Tokens(key, previous, access_seconds=900, refresh_seconds=7 * DAY)


def issued(kind: TokenKind = ACCESS, issuer: Tokens | None = None) -> str:
    return (issuer or tokens()).issue(
        kind,
        user_id=USER,
        session_id=SESSION,
        token_id="the id of the token",
        issued_at=NOW,
        expires_at=NOW + 900,
    )


def parts(token: str) -> tuple[Json, Json]:
    header, claims, _ = (
        base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        for part in token.split(".")
    )
    return json.loads(header), json.loads(claims)


# Any: whatever a forger may write.
def forged(
    claims: dict[str, Any] | None = None,
    header: dict[str, Any] | None = None,
    *,
    without: str = "",
    key: str = KEY,
    digest: str = "sha256",
) -> str:
    """Sign with the right key what we would never write."""
    own_header, own_claims = parts(issued())
    own_claims |= claims or {}
    own_header |= header or {}
    own_claims.pop(without, None)
    own_header.pop(without, None)
    return signed(json.dumps(own_header), json.dumps(own_claims), key, digest)


def signed(header: str, claims: str, key: str = KEY, digest: str = "sha256") -> str:
    content = f"{in_base64(header)}.{in_base64(claims)}"
    return f"{content}.{in_base64(hmac.digest(key.encode(), content.encode(), digest))}"


def in_base64(content: str | bytes) -> str:
    raw = content.encode() if isinstance(content, str) else content
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def assert_refused(token: str, kind: TokenKind = ACCESS) -> None:
    with pytest.raises(InvalidTokenError) as caught:
        tokens().read(token, kind)
    assert str(caught.value) == str(InvalidTokenError())


def test_what_is_issued_is_read() -> None:
    claims = tokens().read(issued(), ACCESS)

    assert (claims.sub, claims.sid) == (USER, SESSION)
    assert (claims.iat, claims.exp) == (NOW, NOW + 900)
    assert tokens().read(forged(), ACCESS) == claims


def test_the_same_arguments_make_the_same_token() -> None:
    """On which the grace of a second tab rests."""
    assert issued() == issued()
    assert issued(REFRESH) != issued()


def test_another_algorithm_is_refused() -> None:
    """S1; the unsigned one with and without a signature."""
    for name in ("none", "None", "NONE", ""):
        unsigned = forged(header={"alg": name})
        assert_refused(unsigned)
        assert_refused(unsigned.rpartition(".")[0] + ".")
    assert_refused(forged(header={"alg": "HS512"}, digest="sha512"))
    assert_refused(forged(header={"alg": "HS384"}, digest="sha384"))
    assert_refused(forged(digest="sha512"))
    # As if our key were a public one that everybody may know.
    assert_refused(forged(header={"alg": "RS256"}))
    assert_refused(forged(without="alg"))
    assert_refused(forged(key=OTHER_KEY))
    assert_refused(forged(key=""))
    assert_refused(issued()[:-2])
    assert_refused(issued().rpartition(".")[0] + ".")


@pytest.mark.parametrize(
    "claim", ["iss", "aud", "sub", "sid", "jti", "iat", "exp", "typ", "kid"]
)
def test_every_part_is_needed(claim: str) -> None:
    """S2."""
    assert_refused(forged(without=claim))


def test_a_kind_is_no_other_kind() -> None:
    """S3: the header's type and the audience each suffice to tell."""
    assert_refused(issued(REFRESH), ACCESS)
    assert_refused(issued(ACCESS), REFRESH)
    assert_refused(forged(header={"typ": "rt+jwt"}), REFRESH)
    assert_refused(forged({"aud": REFRESH.audience}), REFRESH)
    assert_refused(forged({"aud": REFRESH.audience}), ACCESS)
    assert_refused(forged({"aud": [ACCESS.audience, REFRESH.audience]}), ACCESS)
    assert_refused(forged(header={"typ": "JWT"}))


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1e30},
        {"exp": 10**30},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"exp": str(NOW + 900)},
        {"exp": NOW + 900.5},
        {"exp": True},
        {"exp": None},
        {"exp": [NOW + 900]},
        {"exp": -1},
        # Longer than we ever give, and over before it has begun.
        {"exp": NOW + 901},
        {"exp": NOW - 1},
        {"iat": NOW - 1},
        {"iat": -NOW},
        {"iat": "now"},
        {"nbf": NOW},
        {"nbf": float("inf")},
        {"nbf": []},
        {"role": "admin"},
        {"sub": "admin"},
        {"sub": 7},
        {"sub": None},
        {"sid": ""},
        {"jti": ""},
        {"jti": "x" * 101},
        {"jti": 7},
        {"iss": "somebody"},
        {"iss": ["proctoring"]},
        {"aud": ""},
    ],
    ids=str,
)
def test_claims_that_we_do_not_write_are_refused(claims: Json) -> None:
    """S2, S4: though the key is ours."""
    assert_refused(forged(claims))


@pytest.mark.parametrize(
    "header",
    [
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/keys"},
        {"jwk": {"kty": "oct", "k": "AAAA"}},
        {"crit": ["exp"]},
        {"crit": ["unknown"], "unknown": 1},
        {"b64": False},
        {"cty": "JWT"},
        {"kid": "00000000"},
        {"kid": "../../dev/null"},
        {"kid": ""},
    ],
    ids=str,
)
def test_headers_that_we_do_not_write_are_refused(header: Json) -> None:
    """S5."""
    assert_refused(forged(header=header))


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "é.é.é",
        "\x00",
        in_base64("{}") + "..",
        in_base64("[]") + "..",
        in_base64("null") + "..",
        in_base64('{"alg": "HS256", "typ": "at+jwt", "kid": []}') + "..",
        in_base64('{"alg": "HS256", "typ": "at+jwt", "kid": {}}') + "..",
        in_base64('{"alg": ["HS256"], "typ": "at+jwt"}') + "..",
        in_base64("[" * 3000) + "..",
        in_base64('{"a":' * 600) + "..",
        in_base64('{"alg": ' + "9" * 3000 + "}") + "..",
        "x" * (MAX_TOKEN_LENGTH + 1),
        issued() + "\n",
        issued() + "." + issued(),
    ],
)
def test_what_is_no_token_is_refused(token: str) -> None:
    """S6: never another error."""
    assert_refused(token)


def test_a_longer_token_is_not_even_decoded() -> None:
    assert_refused(forged({"jti": "x" * 5000}))


def test_a_token_of_the_greatest_length_is_read_and_no_longer_one() -> None:
    """Spaces in its JSON are all that can make one of ours so long."""
    assert tokens().read(padded(MAX_TOKEN_LENGTH), ACCESS).sub == USER
    # It would be read if it were not for its length.
    assert_refused(padded(MAX_TOKEN_LENGTH + 1))


def padded(length: int) -> str:
    header, claims = map(json.dumps, parts(issued()))
    # Four characters for three bytes; of a length that this never gives, others do.
    about = (length - len(signed(header, claims))) * 3 // 4
    for spaces in product(range(3), range(about - 4, about + 4)):
        token = signed(header + " " * spaces[0], claims + " " * spaces[1])
        if len(token) == length:
            return token
    raise AssertionError(f"no token has {length} characters")


def test_the_previous_key_is_read_and_never_signs() -> None:
    """S27."""
    old, new = tokens(KEY), tokens(OTHER_KEY, previous=KEY)
    after = tokens(OTHER_KEY)

    assert new.read(issued(issuer=old), ACCESS).sub == USER
    assert after.read(issued(issuer=new), ACCESS).sub == USER
    with pytest.raises(InvalidTokenError):
        after.read(issued(issuer=old), ACCESS)
    with pytest.raises(InvalidTokenError):
        old.read(issued(issuer=new), ACCESS)


def test_a_key_reads_only_what_names_it() -> None:
    """S5, S27: `kid` chooses among our keys; it does not let one sign for another."""
    both = tokens(OTHER_KEY, previous=KEY)
    key_ids = {key: sha256(key.encode()).hexdigest()[:8] for key in (KEY, OTHER_KEY)}

    token = forged(header={"kid": key_ids[OTHER_KEY]}, key=KEY)

    with pytest.raises(InvalidTokenError):
        both.read(token, ACCESS)
    assert parts(issued())[0]["kid"] == key_ids[KEY]


def test_a_successor_follows_from_the_key_and_the_token() -> None:
    old, new = tokens(KEY), tokens(OTHER_KEY, previous=KEY)
    token = issued(REFRESH)
    claims = old.read(token, REFRESH)

    successor = old.successor_of(token, claims)

    # Also by a process that has the new key already.
    assert successor == new.successor_of(token, new.read(token, REFRESH))
    assert successor != tokens(OTHER_KEY).successor_of(
        issued(REFRESH, tokens(OTHER_KEY)), claims
    )
    assert len(bytes.fromhex(successor)) == 32
    assert stored_form(successor) != stored_form(claims.jti)


def test_clocks_may_differ_by_half_a_minute() -> None:
    """S7."""
    assert LEEWAY_SECONDS <= 30
