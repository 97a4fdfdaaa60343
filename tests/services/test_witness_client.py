"""A witness is somebody else's machine: whatever it does, the client says so, soon."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from services import witness_client
from services.witness_client import (
    Behind,
    Cosigned,
    NeverSeen,
    Refused,
    Seen,
    Unreachable,
    add_checkpoint,
    latest,
)
from tests.witnesses import ORIGIN, Log, serving
from utils.signed_note import COSIGNATURE, Note, Signer

LOG = Log.of_size(9)
NOTE = LOG.note(9)
COSIGNATURE_LINE = Signer.generate("w", COSIGNATURE).cosign(
    Note.parse(NOTE.encode()).text, 1
)
Speak = Callable[[socket.socket], None]


@contextmanager
def stranger(speak: Speak) -> Iterator[str]:
    """Listen, read one request, and let `speak` answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            # The client hangs up on whoever talks too long.
            with suppress(OSError):
                line, _ = listener.accept()
                with line:
                    read_request(line)
                    speak(line)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def read_request(line: socket.socket) -> None:
    received = b""
    while b"\r\n\r\n" not in received or (
        received.startswith(b"POST") and not received.endswith(NOTE.encode())
    ):
        if not (more := line.recv(65536)):
            raise ConnectionResetError
        received += more


def saying(status: str, content: bytes, *headers: str) -> Speak:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", *headers, "", ""]
    return lambda line: line.sendall("\r\n".join(lines).encode() + content)


def ask(
    speak: Speak, timeout_seconds: float = 30
) -> Cosigned | Behind | Refused | Unreachable:
    with stranger(speak) as url:
        return add_checkpoint(url, 0, [], NOTE, timeout_seconds=timeout_seconds)


def test_speaks_to_a_witness_of_ours(tmp_path: Path) -> None:
    """What it says to which question is in tests/test_witness.py."""
    with serving(tmp_path / "state", LOG) as witness:
        for prefix in (witness.url, f"{witness.url}/"):
            assert isinstance(latest(prefix, "unknown"), NeverSeen)
        assert isinstance(add_checkpoint(witness.url, 0, [], NOTE), Cosigned)
        assert isinstance(latest(witness.url, ORIGIN), Seen)


def test_several_cosignatures_of_any_kind_are_returned() -> None:
    unknown = COSIGNATURE_LINE.render().replace(" w ", " other ")

    answer = ask(saying("200 OK", (COSIGNATURE_LINE.render() + unknown).encode()))

    assert isinstance(answer, Cosigned)
    assert [each.name for each in answer.signatures] == ["w", "other"]
    assert answer.signatures[0] == COSIGNATURE_LINE


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"OK\n",
        b"<html>",
        b"\xff\n",
        COSIGNATURE_LINE.render().encode()[:-1],
        b"\n" + COSIGNATURE_LINE.render().encode(),
        COSIGNATURE_LINE.render().encode() * 100,
        f"\nother text\n\n{COSIGNATURE_LINE.render()}".encode(),
    ],
    # Keys and hashes are other ones in each process of the run.
    ids=lambda content: str(len(content)),
)
def test_what_is_no_cosignature_is_a_refusal(content: bytes) -> None:
    answer = ask(saying("200 OK", content))

    assert isinstance(answer, Refused)
    assert answer.status == 200


def test_a_conflict_says_where_the_witness_is() -> None:
    size = "Content-Type: text/x.tlog.size"

    assert ask(saying("409 Conflict", b"7\n", size)) == Behind(7)
    assert ask(saying("409 Conflict", b"0\n", size)) == Behind(0)


@pytest.mark.parametrize("content", [b"7", b"-7\n", b"07\n", b"9" * 30 + b"\n", b""])
def test_a_conflict_without_a_size_is_a_refusal(content: bytes) -> None:
    answer = ask(saying("409 Conflict", content, "Content-Type: text/x.tlog.size"))

    assert isinstance(answer, Refused)


def test_a_conflict_of_somebody_else_is_a_refusal() -> None:
    """A proxy before the witness may have an opinion of its own."""
    answer = ask(saying("409 Conflict", b"7\n", "Content-Type: text/plain"))

    assert answer == Refused(409, "7")


@pytest.mark.parametrize("status", ["400 x", "403 x", "404 x", "422 x", "503 x"])
def test_a_refusal_says_why(status: str) -> None:
    assert ask(saying(status, b"Because.\n")) == Refused(int(status[:3]), "Because.")


def test_what_a_refusal_says_can_be_shown() -> None:
    answer = ask(saying("422 x", b"\x1b[2Jgone\r\nforged line\xff" + b"x" * 9999))

    assert isinstance(answer, Refused)
    assert answer.detail.isprintable()
    assert len(answer.detail) <= 200


def test_a_redirect_is_not_followed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        url = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/"

        answer = ask(saying("302 Found", b"", f"Location: {url}"))

        assert isinstance(answer, Refused)
        assert answer.status == 302
        elsewhere.settimeout(0)
        with pytest.raises(BlockingIOError):
            elsewhere.accept()


def test_proxies_of_the_environment_are_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")

    assert ask(saying("404 x", b"here")) == Refused(404, "here")


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    for answer in (
        add_checkpoint(f"http://127.0.0.1:{port}", 0, [], NOTE),
        latest(f"http://127.0.0.1:{port}", ORIGIN),
    ):
        assert isinstance(answer, Unreachable)
        assert "refused" in answer.cause


@pytest.mark.parametrize(
    "speak",
    [
        lambda _: None,
        lambda line: line.sendall(b"garbage\r\n\r\n"),
        lambda line: line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
        lambda line: line.sendall(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf"
        ),
        lambda line: line.sendall(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000),
        lambda line: line.sendall(b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000),
    ],
    ids=["closes", "garbage", "half", "half a chunk", "headers", "header"],
)
def test_an_answer_that_is_not_whole_is_none(speak: Speak) -> None:
    assert isinstance(ask(speak), Unreachable)


def test_an_answer_without_an_end_is_not_read_to_it() -> None:
    sent = 0

    def speak(line: socket.socket) -> None:
        nonlocal sent
        line.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while sent < 10**9:
            sent += line.send(b"x" * 65536)

    assert ask(speak) == Unreachable("The answer does not end.")
    assert sent < 10**9


def silent(line: socket.socket) -> None:
    # Until the other side has had enough.
    line.recv(1)


def dripping(start: bytes) -> Speak:
    def speak(line: socket.socket) -> None:
        line.sendall(start)
        line.settimeout(0.01)
        while True:
            with suppress(TimeoutError):
                if line.recv(1) == b"":
                    return
            line.sendall(b"x")

    return speak


@pytest.mark.parametrize(
    "speak",
    [
        silent,
        dripping(b"HTTP/1.1 200 OK\r\nX: "),
        dripping(b"HTTP/1.1 200 OK\r\n\r\n"),
        dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"),
    ],
    ids=["silent", "header", "body", "body of a length"],
)
def test_nobody_can_hold_the_client_for_longer_than_its_timeout(speak: Speak) -> None:
    began = time.monotonic()

    answer = ask(speak, timeout_seconds=0.3)

    assert isinstance(answer, Unreachable)
    assert time.monotonic() - began < 10


def test_https_asks_for_a_certificate() -> None:
    def speak(line: socket.socket) -> None:
        line.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            line, _ = listener.accept()
            with line:
                assert line.recv(1) == b"\x16"  # A TLS handshake, and no request.
                speak(line)

        thread = threading.Thread(target=serve)
        thread.start()
        answer = latest(f"https://127.0.0.1:{listener.getsockname()[1]}", ORIGIN)
        thread.join()

    assert isinstance(answer, Unreachable)
    assert "SSL" in answer.cause


@pytest.mark.parametrize("url", ["", "witness", "file:///etc/passwd", "ftp://x", "//x"])
def test_only_addresses_of_the_web_can_be_configured(url: str) -> None:
    with pytest.raises(ValueError, match="no address of the web"):
        witness_client.latest(url, ORIGIN)
