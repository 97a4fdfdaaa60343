"""Hosts with addresses and cables of their own: network namespaces of this machine."""

import os
import random
import secrets
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import psutil

from database.embedded_home import Account
from tests.waiting import until

# Addresses in deploy/two-hosts; a test has the same with another beginning.
DEPLOYED: Final = "10.0.0."
HOSTS: Final = {"front": 2, "app1": 11, "app2": 12, "db1": 21, "db2": 22}


class NoNamespacesError(Exception):
    """Network namespaces can't be made here, and why."""


class ProgramError(Exception):
    """A program did not end well; the message has what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A switch with a cable to each host, and one to us (`prefix` + "1")."""

    tag: str
    prefix: str
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def address(self, host: str) -> str:
        return f"{self.prefix}{HOSTS[host]}"

    def moved(self, text: str) -> str:
        """Put our addresses into a file of deploy/two-hosts."""
        return text.replace(DEPLOYED, self.prefix)

    def start(
        self, host: str, *command: Any, account: Account | None = None, **popen: Any
    ) -> subprocess.Popen[bytes]:
        """Start a program on a host. It is in a session of its own, like a service."""
        identity: list[str] = []
        if account is not None:
            identity = [f"--setuid={account.user}", f"--setgid={account.group}"]
        process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self._name(host)}", *identity, "--"]
            + [str(each) for each in command],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            **popen,
        )
        self._started.append(process)
        return process

    def run(self, host: str, *command: Any, **popen: Any) -> str:
        """Run a program on a host to its end, and return what it said."""
        process = self.start(
            host, *command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **popen
        )
        output = process.communicate(timeout=120)[0].decode()
        if process.returncode != 0:
            raise ProgramError(f"{command}: {output}")
        return output

    def pull(self, host: str) -> None:
        """Pull the cable: what is sent arrives nowhere, and nobody is told."""
        _ip("-n", self._name("switch"), "link", "set", host, "nomaster")

    def plug(self, host: str) -> None:
        _ip("-n", self._name("switch"), "link", "set", host, "master", "switch")

    def kill(self, host: str) -> None:
        """End every process of a host at once, as a power cut does."""

        def pids() -> list[int]:
            return [int(pid) for pid in _ip("netns", "pids", self._name(host)).split()]

        killed = pids()
        for pid in killed:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until(lambda: not any(map(_lives, pids())))
        for process in self._started:
            # Who is dying leaves the namespace first. Until he is dead and waited for,
            # he looks alive to whoever finds his lock file, and would not start.
            process.wait(30) if process.pid in killed else process.poll()

    def _name(self, host: str) -> str:
        return f"exam-{self.tag}-{host}"

    def build(self) -> None:
        switch, outside = self._name("switch"), f"exam{self.tag}"
        _ip("netns", "add", switch)
        _ip("-n", switch, "link", "add", "switch", "type", "bridge")
        _ip("-n", switch, "link", "set", "switch", "up")
        cable = ["link", "add", outside, "type", "veth", "peer", "name", "outside"]
        _ip(*cable, "netns", switch)
        _ip("address", "add", f"{self.prefix}1/24", "dev", outside)
        _ip("link", "set", outside, "up")
        for host, number in HOSTS.items():
            name = self._name(host)
            _ip("netns", "add", name)
            cable = ["link", "add", host, "type", "veth", "peer", "name", "eth0"]
            _ip("-n", switch, *cable, "netns", name)
            own = ["address", "add", f"{self.prefix}{number}/24", "dev", "eth0"]
            _ip("-n", name, *own)
            for device in ("lo", "eth0"):
                _ip("-n", name, "link", "set", device, "up")
        for port in ("outside", *HOSTS):
            _ip("-n", switch, "link", "set", port, "master", "switch", "up")

    def tear_down(self) -> None:
        for host in HOSTS:
            with suppress(NoNamespacesError):
                self.kill(host)
        for process in self._started:
            # What is dying is in no namespace any more, and not yet dead; and what had
            # just begun was not in one yet.
            process.kill()
            process.wait(30)
        with suppress(NoNamespacesError):
            _ip("link", "del", f"exam{self.tag}")
        for name in ("switch", *HOSTS):
            with suppress(NoNamespacesError):
                _ip("netns", "del", self._name(name))


@contextmanager
def network() -> Iterator[Network]:
    """Lay the cables. Raises NoNamespacesError."""
    # RFC 2544's addresses for benchmarks, which no real network has.
    net = random.Random().randrange(512)
    built = Network(
        tag=secrets.token_hex(3), prefix=f"198.{18 + net // 256}.{net % 256}."
    )
    try:
        built.build()
        yield built
    finally:
        built.tear_down()


def _ip(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["ip", *arguments], capture_output=True, text=True, check=False, timeout=30
        )
    except OSError as error:
        raise NoNamespacesError(f"ip: {error}") from error
    if done.returncode != 0:
        raise NoNamespacesError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _lives(pid: int) -> bool:
    """A child of ours that nobody has waited for is listed, and dead."""
    try:
        status = psutil.Process(pid).status()
    except psutil.NoSuchProcess:
        return False
    return status != psutil.STATUS_ZOMBIE
