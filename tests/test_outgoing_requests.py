"""Nothing that a user sends makes the server ask another machine (S69).

Only one module can speak to others at all, for the configured witnesses and authorities
of time; PostgreSQL and Redis are reached by their own drivers, at addresses of the
configuration.
"""

import ast
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
SERVER = (
    *("api", "checkpointer", "config", "middleware", "models", "services", "utils"),
    "witness",
)
CAN_ASK = {
    *("aiohttp", "asyncio", "ftplib", "http.client", "httpx", "imaplib", "poplib"),
    *("requests", "smtplib", "socket", "ssl", "telnetlib", "urllib.request"),
    *("urllib3", "xmlrpc"),
}
CLIENT = "services/outgoing_requests.py"
# Who uses it: each has the addresses from the configuration.
USING = {"services/timestamp_client.py", "services/witness_client.py"}
ASKING = {
    "services.outgoing_requests",
    "services.timestamp_client",
    "services.witness_client",
}


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module}
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def sources() -> dict[str, set[str]]:
    paths = [PROJECT / "app.py"]
    for package in SERVER:
        paths += (PROJECT / package).rglob("*.py")
    return {str(path.relative_to(PROJECT)): imports_of(path) for path in paths}


def test_only_one_module_can_ask_other_machines() -> None:
    asking = {name: found & CAN_ASK for name, found in sources().items()}

    assert {name: found for name, found in asking.items() if found} == {
        CLIENT: {"http.client", "socket", "ssl"},
        # Ends a connection that libpq has opened, and opens none.
        "models/watched_connection.py": {"socket"},
    }


def test_only_the_two_clients_use_it() -> None:
    using = {
        name
        for name, found in sources().items()
        if "services.outgoing_requests" in found
    }

    assert using == USING


def test_no_route_asks_anybody() -> None:
    """Who asks has the addresses from the configuration, and no request at hand."""
    using = {name for name, found in sources().items() if found & ASKING}

    assert not {name for name in using if name.startswith(("api/", "middleware/"))}
