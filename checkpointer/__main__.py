"""Signs checkpoints of the audit log: `python -m checkpointer <command>`.

It needs the DB_* variables of .env.example, for a login that is a member of the role
proctoring_checkpointer. Its two files belong where the database's administrator can not
write. It ends with 0; with 1 if something is missing (a file, the database); with 3 if
it refuses to sign, because the database contradicts what was signed.
"""

import argparse
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from cryptography.x509 import Certificate, load_pem_x509_certificates

from checkpointer.loop import Loop, compare
from config import ConfigError, database_from_env, read_policy
from database.administration import environment
from models import blockchain_log, checkpoint
from models.database import Database
from models.database_errors import DatabaseUnavailableError
from services.checkpoint_epoch import begin_epoch
from services.checkpoint_files import (
    CheckpointFileError,
    Files,
    make_keys,
    read_keys,
    read_state,
    rotate_keys,
)
from services.checkpointer import Checkpointer, RefusedError
from services.log_watch import LogWatch
from services.timestamp_client import Authority
from services.timestamping import DAY_SECONDS, Timestamping
from services.witnessing import ConfiguredWitness, Witnessing
from utils.logger import configure_logging
from utils.safe_files import FileInUseError, locked
from utils.signed_note import Note, NoteError
from utils.witness_policy import WitnessPolicy

HOME: Final = Path(".local", "checkpointer")
ROLE: Final = "proctoring_checkpointer"
# Storing many tiles at once may take longer than a request.
STATEMENT_TIMEOUT_SECONDS: Final = 60.0
FAILED: Final = 1
REFUSED: Final = 3

# Each gets what was parsed, and the files.
Command = Callable[[argparse.Namespace, Files], None]


def main() -> None:
    arguments = _parser().parse_args()
    files = Files(keys=arguments.keys, state=arguments.state)
    command: Command = arguments.command
    try:
        command(arguments, files)
    except RefusedError as error:
        _end(REFUSED, f"Refused to sign: {error}")
    except FileInUseError as error:
        _end(FAILED, f"Another checkpointer is at work: {error}.")
    except (CheckpointFileError, ConfigError, NoteError) as error:
        _end(FAILED, str(error))
    except DatabaseUnavailableError as error:
        _end(FAILED, f"The database is not to be had: {error.__cause__ or error}")
    except OSError as error:
        _end(FAILED, f"A file can not be used: {error}")


def run(arguments: argparse.Namespace, files: Files) -> None:
    """Sign until it is stopped."""
    configure_logging("INFO")
    with _working(files) as checkpointer, _database() as database:
        loop = Loop(
            checkpointer,
            _witnessing(database, arguments),
            _timestamping(database, arguments),
            LogWatch(database, _witnesses(arguments), checkpointer.verifiers),
            interval_seconds=arguments.interval,
            is_thorough=not arguments.quick,
        )
        loop.stop_on(signal.SIGINT, signal.SIGTERM)
        loop.run()


def once(arguments: argparse.Namespace, files: Files) -> None:
    """Sign what is new, and end."""
    with _working(files) as checkpointer, _database() as database:
        witnessing = _witnessing(database, arguments)
        watch = LogWatch(database, _witnesses(arguments), checkpointer.verifiers)
        compare(watch, checkpointer)
        checkpointer.begin(is_thorough=not arguments.quick)
        witnessing.compare(checkpointer.size, checkpointer.verifiers)
        made = checkpointer.advance(checkpointer.look())
        if made is None:
            print(f"nothing new: {checkpointer.size} entries are signed")
            _report(witnessing, witnessing.resume())
        else:
            print(made.note, end="")
            _report(witnessing, witnessing.cosign(made))
        for each in _timestamping(database, arguments).stamp():
            print(f"stamped by {each.tsa_url} at {each.stamped_at:%F %T} UTC")


def keygen(arguments: argparse.Namespace, files: Files) -> None:
    """Make the first key, and print its public half."""
    files.keys.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = arguments.name or _origin()
    print(make_keys(files.keys, name))


def new_epoch(_: argparse.Namespace, files: Files) -> None:
    """Follow the log into a new epoch: make its key, and set the old state aside.

    `flask --app app audit new-epoch` has opened it.
    """
    with locked(files.state), _database() as database:
        begun = begin_epoch(database, files)
    print(begun.key)
    if (opened := begun.epoch.opened) is not None:
        sys.stderr.write(
            f"Signs {opened.origin} from entry {begun.epoch.first_seq} on, because"
            f" {opened.contradiction.sentence}. The reason given: {opened.reason}\n"
        )
    if begun.old_state is not None:
        sys.stderr.write(f"Keep {begun.old_state}: it says what was signed before.\n")


def rotate(_: argparse.Namespace, files: Files) -> None:
    """Make a new key; the next checkpoint is signed by both."""
    state = read_state(files.state)
    print(rotate_keys(files.keys, 0 if state is None else state.size))


def show(_: argparse.Namespace, files: Files) -> None:
    """Print the public keys, what was signed and what is published."""
    for period in read_keys(files.keys).periods:
        until = "now" if period.to_size is None else period.to_size
        print(f"key {period.vkey} from {period.from_size} to {until} entries")
    if (state := read_state(files.state)) is not None:
        print(f"signed {state.size} entries of {state.origin}, root {state.root}")
    with _database() as database, database.read() as tx:
        newest = checkpoint.get_newest(tx)
    if newest is not None:
        print(f"published {newest.size} entries at {newest.signed_at:%F %T} UTC")


def rebuild_tiles(_: argparse.Namespace, files: Files) -> None:
    """Make the tiles anew from the entries, and compare with the signed root."""
    with _working(files) as checkpointer:
        size = checkpointer.reread()
    print(f"the tiles of {size} entries make the root that was signed")


def recover(arguments: argparse.Namespace, files: Files) -> None:
    """Make a lost state anew from a checkpoint that a witness or a student has."""
    note = Note.parse(arguments.note.read_bytes())
    with _working(files) as checkpointer:
        print(checkpointer.recover(note).note, end="")


@contextmanager
def _working(files: Files) -> Iterator[Checkpointer]:
    """Make sure that there is no other signer."""
    files.state.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(files.state), _database() as database:
        yield Checkpointer(database, files)


@contextmanager
def _database() -> Iterator[Database]:
    settings = replace(
        database_from_env(environment()),
        role=ROLE,
        pool_size=2,
        statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS,
    )
    with closing(Database(settings)) as database:
        yield database


def _witnesses(arguments: argparse.Namespace) -> Sequence[ConfiguredWitness]:
    """Return who is named on the command line, or has an address in the policy."""
    policy: WitnessPolicy | None = arguments.policy
    named = {each.key: each for each in arguments.witness}
    listed = [] if policy is None else ConfiguredWitness.all_of(policy.policy)
    return list(({each.key: each for each in listed} | named).values())


def _witnessing(database: Database, arguments: argparse.Namespace) -> Witnessing:
    return Witnessing(database, _witnesses(arguments), policy=arguments.policy)


def _timestamping(database: Database, arguments: argparse.Namespace) -> Timestamping:
    return Timestamping(
        database,
        [Authority(url, arguments.tsa_ca) for url in dict.fromkeys(arguments.tsa)],
        interval_seconds=arguments.tsa_interval,
    )


def _report(witnessing: Witnessing, count: int) -> None:
    if witnessing.count:
        print(f"{count} of {witnessing.count} witnesses have cosigned")
    if witnessing.is_witnessed is not None:
        print("witnessed" if witnessing.is_witnessed else "no quorum of witnesses")


def _origin() -> str:
    with _database() as database, database.read() as tx:
        head = blockchain_log.get_head(tx)
    if head is None:
        raise RefusedError("The audit log has no head.")
    return head.origin


def _witness(text: str) -> ConfiguredWitness:
    try:
        return ConfiguredWitness.parse(text)
    except NoteError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _policy(text: str) -> WitnessPolicy:
    try:
        return read_policy(Path(text))
    except (OSError, NoteError) as error:
        raise argparse.ArgumentTypeError(f"{text} can not be used: {error}") from error


def _tsa(text: str) -> str:
    try:
        return Authority(text).url
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _certificates(text: str) -> Sequence[Certificate]:
    try:
        return load_pem_x509_certificates(Path(text).read_bytes())
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{text} can not be used: {error}") from error


def _end(code: int, message: str) -> None:
    sys.stderr.write(f"checkpointer: {message}\n")
    sys.exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m checkpointer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--keys", type=Path, default=HOME / "keys.json")
    parser.add_argument("--state", type=Path, default=HOME / "state.json")
    commands = parser.add_subparsers(required=True, metavar="command")

    def add(command: Command) -> argparse.ArgumentParser:
        name = command.__name__.replace("_", "-")
        made = commands.add_parser(name, help=command.__doc__)
        made.set_defaults(command=command)
        return made

    signing = [add(run), add(once)]
    for each in signing:
        each.add_argument(
            "--quick",
            action="store_true",
            help="do not read again everything that was signed",
        )
        each.add_argument(
            "--witness",
            action="append",
            default=[],
            type=_witness,
            metavar="VKEY=URL",
            help="ask this witness to cosign; again for each other",
        )
        each.add_argument(
            "--policy",
            type=_policy,
            metavar="FILE",
            help="a C2SP tlog-policy: ask its witnesses, and call witnessed what its"
            " quorum has cosigned",
        )
        each.add_argument(
            "--tsa",
            action="append",
            default=[],
            type=_tsa,
            metavar="URL",
            help="have a checkpoint stamped by this authority (RFC 3161) now and then;"
            " again for each other",
        )
        each.add_argument(
            "--tsa-ca",
            type=_certificates,
            default=(),
            metavar="FILE",
            help="believe authorities that these certificates (PEM) vouch for only",
        )
        each.add_argument(
            "--tsa-interval",
            type=float,
            default=DAY_SECONDS,
            metavar="SECONDS",
            help="default: a day",
        )
    signing[0].add_argument(
        "--interval", type=float, default=1.0, metavar="SECONDS", help="default: 1"
    )
    add(keygen).add_argument(
        "--name", help="the log's origin; by default the database is asked for it"
    )
    add(rotate)
    add(new_epoch)
    add(show)
    add(rebuild_tiles)
    add(recover).add_argument("note", type=Path, help="a file with the signed note")
    return parser


if __name__ == "__main__":
    main()
