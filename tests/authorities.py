"""Authorities of time for tests: OpenSSL's own (`openssl ts`), over HTTP."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

REPLY: Final = "application/timestamp-reply"
DAY: Final = timedelta(days=1)
CONFIG: Final = """
[tsa]
default_tsa = here
[here]
serial = {home}/serial
default_policy = 1.2.3.4.1
signer_digest = sha256
digests = {digests}
accuracy = secs:1
"""

# What becomes of a question before it is answered, and of the answer.
Change = Callable[[bytes], bytes]


def unchanged(der: bytes) -> bytes:
    return der


@dataclass(slots=True)
class Authority:
    """One with a certificate, and its ways. `questions` are those that it was asked."""

    home: Path
    url: str = ""
    digests: str = "sha256"
    status: int = 200
    content_type: str = REPLY
    ask: Change = unchanged
    answer: Change = unchanged
    questions: list[bytes] = field(default_factory=list)

    @property
    def roots(self) -> Path:
        return self.home / "ca.pem"

    def stamp(self, content: bytes) -> bytes:
        """Stamp something without being asked over HTTP."""
        data, query = self.home / "data", self.home / "own-query"
        data.write_bytes(content)
        openssl("ts", "-query", "-data", data, "-sha256", "-cert", "-out", query)
        return self.reply(query.read_bytes())

    def reply(self, query: bytes) -> bytes:
        self.questions.append(query)
        (self.home / "query").write_bytes(self.ask(query))
        config = self.home / "config"
        config.write_text(CONFIG.format(home=self.home, digests=self.digests))
        openssl(
            *("ts", "-reply", "-config", config, "-queryfile", self.home / "query"),
            *("-inkey", self.home / "key.pem", "-signer", self.home / "cert.pem"),
            *("-out", self.home / "reply"),
        )
        return self.answer((self.home / "reply").read_bytes())


def openssl(*arguments: str | Path) -> str:
    done = subprocess.run(
        ["openssl", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def settle(
    home: Path,
    *,
    began: datetime | None = None,
    ends: datetime | None = None,
    purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.TIME_STAMPING,
) -> Authority:
    """Make a root and an authority that it vouches for."""
    home.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    began, ends = began or now - DAY, ends or now + DAY
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root_name, name = _name("Root of tests"), _name("Time of tests")
    root = (
        _certificate(root_name, root_name, root_key, now - DAY * 9, now + DAY * 9)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(root_key, SHA256())
    )
    own = (
        _certificate(name, root_name, key, began, ends)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=True)
        .sign(root_key, SHA256())
    )
    (home / "ca.pem").write_bytes(root.public_bytes(Encoding.PEM))
    (home / "cert.pem").write_bytes(own.public_bytes(Encoding.PEM))
    (home / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    (home / "serial").write_text("01\n")
    return Authority(home=home)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _certificate(
    name: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    began: datetime,
    ends: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(began)
        .not_valid_after(ends)
    )


@contextmanager
def serving(authority: Authority) -> Iterator[Authority]:
    """Let it answer on the loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            content = authority.reply(query)
            self.send_response(authority.status)
            self.send_header("Content-Type", authority.content_type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    authority.url = f"http://127.0.0.1:{server.server_port}/tsr"
    try:
        yield authority
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def other_hash(query: bytes) -> bytes:
    """Ask about something else, with the same nonce."""
    place = query.index(b"\x04\x20") + 2
    return query[:place] + bytes(32) + query[place + 32 :]


def other_nonce(query: bytes) -> bytes:
    """Ask about the same with another nonce: what a replayed answer looks like."""
    place = query.index(b"\x04\x20") + 34
    # INTEGER, its length, and what tells the two apart at its end.
    end = place + 2 + query[place + 1]
    return query[: end - 1] + bytes([query[end - 1] ^ 1]) + query[end:]
