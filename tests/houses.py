"""Three houses that witness this database's log, each in a process of its own."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.checkpoint_files import Files
from services.witnessing import ConfiguredWitness
from tests.slow.running import free_port
from tests.witnesses import Log, Process, Running
from utils.witness_policy import WitnessPolicy

NAMES: Final = ("board", "union", "press")


@dataclass(frozen=True, slots=True, kw_only=True)
class Houses:
    """The witnesses by name. `policy` asks for two, and knows where they are."""

    log: Log
    processes: Mapping[str, Process]
    running: Mapping[str, Running]
    policy: WitnessPolicy

    @property
    def configured(self) -> Sequence[ConfiguredWitness]:
        return ConfiguredWitness.all_of(self.policy.policy)

    def stop(self, *names: str) -> None:
        for name in names:
            self.processes[name].kill()

    def start(self, *names: str) -> None:
        for name in names:
            self.processes[name].start()


@contextmanager
def houses(directory: Path, files: Files) -> Iterator[Houses]:
    """Start three witnesses that trust the key in `files`."""
    log = Log.of(files)
    processes = {
        name: Process(
            home=directory / name,
            log=log,
            port=free_port(),
            name=f"{name}.example.edu/witness",
        )
        for name in NAMES
    }
    try:
        for process in processes.values():
            process.settle()
        running = {name: process.start() for name, process in processes.items()}
        yield Houses(
            log=log,
            processes=processes,
            running=running,
            policy=WitnessPolicy.parse(two_of_three(log, running)),
        )
    finally:
        for process in processes.values():
            process.kill()


def two_of_three(log: Log, running: Mapping[str, Running]) -> str:
    witnesses = "".join(
        f"witness {name} {each.key} {each.url}\n" for name, each in running.items()
    )
    group = f"group two 2 {' '.join(running)}\nquorum two\n"
    return f"# Two of three houses.\nlog {log.key}\n{witnesses}{group}"
