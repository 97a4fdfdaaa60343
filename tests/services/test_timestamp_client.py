"""What an authority of time answers is believed only if it holds, whatever it is."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.x509 import load_pem_x509_certificates

from services import timestamp_client
from services.timestamp_client import Timestamp, TimestampError
from tests import authorities
from tests.authorities import DAY, Authority, other_hash, other_nonce, serving

CONTENT = b"a note\n"


def stamp(
    authority: Authority, roots: Path | None, content: bytes = CONTENT
) -> Timestamp:
    trusted = () if roots is None else load_pem_x509_certificates(roots.read_bytes())
    with serving(authority):
        asked = timestamp_client.Authority(authority.url, trusted)
        return timestamp_client.stamp(asked, content, timeout_seconds=20)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return authorities.settle(tmp_path / "authority")


def test_what_is_returned_holds_for_openssl_too(
    authority: Authority, tmp_path: Path
) -> None:
    made = stamp(authority, authority.roots)

    assert made.is_chain_verified
    assert abs(made.stamped_at - datetime.now(UTC)) < timedelta(minutes=1)
    (tmp_path / "it.tsr").write_bytes(made.response)
    (tmp_path / "it.txt").write_bytes(CONTENT)
    said = authorities.openssl(
        *("ts", "-verify", "-data", tmp_path / "it.txt", "-in", tmp_path / "it.tsr"),
        *("-CAfile", authority.roots),
    )
    assert "Verification: OK" in said


def test_each_question_is_another_one(authority: Authority) -> None:
    stamp(authority, authority.roots)
    stamp(authority, authority.roots)

    first, second = authority.questions
    assert first != second


def test_without_roots_it_is_said_that_nobody_vouches(authority: Authority) -> None:
    assert not stamp(authority, None).is_chain_verified


def shortened(reply: bytes) -> bytes:
    return reply[:-5]


def with_another_signature(reply: bytes) -> bytes:
    return reply[:-1] + bytes([reply[-1] ^ 1])


def with_another_time(reply: bytes) -> bytes:
    """Say that it was a minute before, or after; what was signed stays."""
    place = reply.index(datetime.now(UTC).strftime("%Y%m%d").encode()) + 11
    return reply[:place] + bytes([reply[place] ^ 1]) + reply[place + 1 :]


@pytest.mark.parametrize(
    ("ways", "why"),
    [
        ({"ask": other_nonce}, "another question"),
        ({"ask": other_hash}, "something else"),
        ({"digests": "sha512"}, "refused with status 2: .*algorithm"),
        ({"answer": lambda _: b""}, "ASN.1"),
        ({"answer": lambda _: b"nonsense"}, "ASN.1"),
        ({"answer": lambda _: bytes(100_000)}, "100000 bytes"),
        ({"answer": lambda _: bytes(1_000_000)}, "does not end"),
        ({"answer": shortened}, "ASN.1"),
        ({"answer": with_another_signature}, "certificates"),
        ({"answer": with_another_time}, "certificates"),
        ({"status": 500}, "status 500"),
        ({"content_type": "text/html"}, "text/html"),
    ],
    ids=range(12),
)
def test_what_does_not_hold_is_refused(
    authority: Authority, ways: dict[str, object], why: str
) -> None:
    for name, way in ways.items():
        setattr(authority, name, way)

    with pytest.raises(TimestampError, match=why):
        stamp(authority, authority.roots)


@pytest.mark.parametrize("change", [other_nonce, other_hash])
def test_what_answers_another_question_is_refused_without_roots_too(
    authority: Authority, change: Callable[[bytes], bytes]
) -> None:
    authority.ask = change

    with pytest.raises(TimestampError, match=r"something else|another question"):
        stamp(authority, None)


def test_another_root_vouches_for_nothing(authority: Authority, tmp_path: Path) -> None:
    stranger = authorities.settle(tmp_path / "stranger")

    with pytest.raises(TimestampError, match="certificates"):
        stamp(authority, stranger.roots)


@pytest.mark.parametrize("days", [-3, 3])
def test_a_certificate_that_is_not_valid_today_is_none(
    tmp_path: Path, days: int
) -> None:
    """It has expired, or its time is yet to come."""
    middle = datetime.now(UTC) + days * DAY
    authority = authorities.settle(
        tmp_path / "authority", began=middle - DAY, ends=middle + DAY
    )

    with pytest.raises(TimestampError, match="certificates"):
        stamp(authority, authority.roots)


def test_an_authority_whose_clock_is_wrong_is_not_believed(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a certificate of old could be used for a time when it was valid."""
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3600)

    with pytest.raises(TimestampError, match="it says that it is 20"):
        stamp(authority, authority.roots)


@pytest.mark.parametrize("pause_seconds", [60, 0.05], ids=["silent", "dripping"])
def test_one_that_takes_its_time_is_not_waited_for(pause_seconds: float) -> None:
    is_over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            with suppress(OSError):
                line, _ = listener.accept()
                with line:
                    while not is_over.wait(pause_seconds):
                        line.sendall(b"H")

        thread = threading.Thread(target=drip)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        began = time.monotonic()

        with pytest.raises(TimestampError):
            timestamp_client.stamp(
                timestamp_client.Authority(url), CONTENT, timeout_seconds=0.3
            )

        assert time.monotonic() - began < 10
        is_over.set()
        thread.join()


def test_where_nobody_is_there_is_no_timestamp() -> None:
    with pytest.raises(TimestampError, match="ConnectionRefused"):
        timestamp_client.stamp(
            timestamp_client.Authority("http://127.0.0.1:9"), CONTENT
        )


@pytest.mark.parametrize(
    "url",
    [
        "",
        "tsa.example",
        "ftp://tsa.example",
        "file:///etc/passwd",
        "http://",
        "http://user:word@tsa.example",  # pragma: allowlist secret
        "http://tsa.example/#x",
        "http://tsa.example/a b",
        "http://tsa.example/\n",
        f"http://tsa.example/{'x' * 500}",
    ],
    ids=range(10),
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"address|characters"):
        timestamp_client.Authority(url)
