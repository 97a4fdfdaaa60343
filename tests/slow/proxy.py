"""The real nginx with the real deploy/nginx.conf, moved to where a test may run it."""

import datetime as dt
import ipaddress
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.slow.running import PATIENCE_SECONDS, PROJECT, find_program, free_port

CONFIGURATION = PROJECT / "deploy" / "nginx.conf"
HOST = "exam.example.edu"
# Where pages come from that are not the API's own.
ORIGIN = "https://app.example.edu"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningProxy:
    """Where nginx listens on 127.0.0.1, and the certificate that it shows."""

    port: int
    plain_port: int
    monitoring_port: int
    certificate: Path
    access_log: Path
    process: subprocess.Popen[bytes]

    def trust(self) -> ssl.SSLContext:
        """Return a client's context that trusts this proxy and nobody else."""
        return ssl.create_default_context(cafile=str(self.certificate))


@contextmanager
def running_proxy(api_socket: Path) -> Iterator[RunningProxy]:
    """Run nginx in front of a unix socket, whether or not anybody answers there."""
    program = find_program("nginx")
    if program is None:
        raise FileNotFoundError("nginx is not installed")
    home = Path(tempfile.mkdtemp(prefix="proctoring-nginx-"))
    # As root its workers are another account, which has to get through here.
    home.chmod(0o711)
    certificate = make_certificate(home)
    ports = [free_port() for _ in range(3)]
    configuration = home / "nginx.conf"
    configuration.write_text(moved(home, api_socket, *ports))
    command = [program, "-p", str(home), "-c", str(configuration), "-e", "stderr"]
    instructions = f"daemon off; pid {home}/nginx.pid; error_log {home}/error.log warn;"
    process = subprocess.Popen(
        [*command, "-g", instructions], stderr=subprocess.DEVNULL
    )
    try:
        _wait_until_open(ports[0], process)
        yield RunningProxy(
            port=ports[0],
            plain_port=ports[1],
            monitoring_port=ports[2],
            certificate=certificate,
            access_log=home / "access.log",
            process=process,
        )
    finally:
        process.send_signal(signal.SIGQUIT)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            # A client may keep its connection for as long as it likes.
            process.terminate()
            process.wait(10)
        shutil.rmtree(home)


def moved(
    home: Path, api_socket: Path, port: int, plain_port: int, monitoring_port: int
) -> str:
    """Return deploy/nginx.conf with the paths, ports and origin of a test."""
    return replaced(
        relocated(home),
        {
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "listen 80": f"listen 127.0.0.1:{plain_port}",
            "listen 127.0.0.1:9180": f"listen 127.0.0.1:{monitoring_port}",
            "/run/proctoring/gunicorn.sock": str(api_socket),
            f"# {ORIGIN} ": f"{ORIGIN} ",
        },
    )


def relocated(home: Path) -> str:
    """Return deploy/nginx.conf with everything that it reads and writes in `home`."""
    return replaced(
        CONFIGURATION.read_text(),
        {
            "/etc/nginx/proctoring/": f"{home}/",
            "/var/log/nginx/access.log": f"{home}/access.log",
            "/var/cache/nginx-tiles": f"{home}/tiles",
            # Debian's own places for bodies are root's.
            "http {\n": "http {\n"
            + "".join(
                f"    {name}_temp_path {home}/{name};\n"
                for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            ),
        },
    )


def replaced(text: str, replacements: Mapping[str, str]) -> str:
    """Raise ValueError if the text no longer says what is to be replaced."""
    for old, new in replacements.items():
        if old not in text:
            raise ValueError(f"there is no {old!r}")
        text = text.replace(old, new)
    return text


def make_certificate(home: Path) -> Path:
    """Write fullchain.pem and privkey.pem of a host that signs for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName(HOST), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    chain = home / "fullchain.pem"
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (home / "privkey.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return chain


def _wait_until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError("nginx does not start") from error
            time.sleep(0.02)
        else:
            return
