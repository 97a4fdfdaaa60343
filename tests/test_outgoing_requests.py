"""Nothing that a user sends makes the server ask another machine (S69).

Only the client of the configured witnesses can speak to others at all; PostgreSQL and
Redis are reached by their own drivers, at addresses of the configuration.
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
CLIENT = "services/witness_client.py"


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


def test_only_the_client_of_the_witnesses_can_ask_other_machines() -> None:
    asking = {name: found & CAN_ASK for name, found in sources().items()}

    assert {name: found for name, found in asking.items() if found} == {
        CLIENT: {"http.client", "socket", "ssl"}
    }


def test_no_route_asks_a_witness() -> None:
    """Who asks has the addresses from the configuration, and no request at hand."""
    using = {
        name for name, found in sources().items() if "services.witness_client" in found
    }

    assert not {name for name in using if name.startswith(("api/", "middleware/"))}
