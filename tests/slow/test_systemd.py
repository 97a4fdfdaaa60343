"""A new host and its releases, as docs/operations.md has them, in a Debian that boots.

The real systemd starts the real units, sandboxed. The machine has a network of its own;
what it installs was fetched before.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.manual import ROOT, section

PACKAGES = "systemd,systemd-sysv,dbus,ca-certificates"
# This machine may have no systemd that it could be registered with.
NSPAWN = ["systemd-nspawn", "--register=no", "--keep-unit"]
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
BOOT_SECONDS = 120.0
# What somebody at the terminal has besides; the packages of Python lie on the disk.
TERMINAL = {
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "REPOSITORY": "/srv/repository",
    "ADMIN_PASSWORD": "correct horse 1 Battery staple",
    "PIP_NO_INDEX": "1",
    "PIP_FIND_LINKS": "/srv/wheels",
}
FETCH_WHEELS = """
python3 -m venv /tmp/fetching
/tmp/fetching/bin/pip download --quiet --require-hashes --dest /srv/wheels \\
    --requirement /srv/repository/requirements.lock
"""
CERTIFICATE = """
install -d -m 700 /etc/nginx/proctoring && cd /etc/nginx/proctoring
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
    -subj /CN=exam.example.edu -addext subjectAltName=DNS:exam.example.edu \
    -keyout privkey.pem -out fullchain.pem
cp fullchain.pem /usr/local/share/ca-certificates/exam.crt && update-ca-certificates
echo '127.0.0.1 localhost exam.example.edu' > /etc/hosts
"""
URL = "https://exam.example.edu"
HEALTH = f"curl -fsS {URL}/health"
CHECKPOINT = f"curl -fsS {URL}/api/blockchain/checkpoint"
# Without nginx's limit.
AT_THE_SOCKET = "curl -fsS --unix-socket /run/proctoring/gunicorn.sock http://localhost"
NOT_LOGGED_IN = "401"
# Asks until it is told to end, and prints which answers came, and how often.
ASK = """
import collections, http.client, json, os, ssl
seen, context = collections.Counter(), ssl.create_default_context()
while not os.path.exists('/root/enough'):
    try:
        nginx = http.client.HTTPSConnection('exam.example.edu', context=context)
        nginx.request('GET', '/api/exams')
        seen[nginx.getresponse().status] += 1
    except OSError as error:
        seen[repr(error)] += 1
print(json.dumps(seen))
"""


class Machine:
    """A directory with a Debian in it, and, once it is booted, its first process."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._container: subprocess.Popen[bytes] | None = None
        self._first = 0

    def before_boot(self, command: str) -> None:
        """Run a command with the network of this machine."""
        nspawn = [*NSPAWN, "--quiet", f"--directory={self.root}"]
        # Whatever this machine reaches the packages by.
        ways = [f"--bind-ro={AUTHORITIES}"]
        ways += [
            f"--setenv={name}={value}"
            for name, value in os.environ.items()
            if name.lower().endswith("_proxy") or name.startswith("PIP_")
        ]
        done = subprocess.run(
            [*nspawn, *ways, "/bin/sh", "-exc", command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

    def boot(self) -> None:
        log = (self.root.parent / "boot.log").open("wb")
        nspawn = [*NSPAWN, "--boot", "--private-network"]
        with log:
            self._container = subprocess.Popen(
                [*nspawn, f"--directory={self.root}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        parent = self._container.pid
        children = Path(f"/proc/{parent}/task/{parent}/children")
        deadline = time.monotonic() + BOOT_SECONDS
        state = ""
        while state not in {"running", "degraded"}:
            if time.monotonic() > deadline or self._container.poll() is not None:
                said = (self.root.parent / "boot.log").read_text(errors="replace")
                pytest.skip(f"no machine can be booted here: {state} {said[-500:]}")
            time.sleep(0.5)
            self._first = int((children.read_text().split() or ["0"])[0])
            state = self.run("systemctl is-system-running", is_checked=False).strip()

    def run(self, script: str, *, is_checked: bool = True) -> str:
        """Run what root would paste at a terminal; a line that fails ends it."""
        done = subprocess.run(
            [*self._inside(), "/bin/bash", "-ec", script],
            stdin=subprocess.DEVNULL,
            env=TERMINAL,
            capture_output=True,
            text=True,
            check=False,
        )
        if is_checked and done.returncode != 0:
            journal = self.run("journalctl -n 30 --no-pager", is_checked=False)
            pytest.fail("\n".join([done.stdout[-2000:], done.stderr[-2000:], journal]))
        return done.stdout

    @contextmanager
    def asked_meanwhile(self) -> Iterator[dict[str, int]]:
        """Ask nginx without a pause, and say in the end which answers came."""
        seen: dict[str, int] = {}
        self.run("rm -f /root/enough")
        asking = subprocess.Popen(
            [*self._inside(), "python3", "-c", ASK],
            env=TERMINAL,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            time.sleep(1)
            yield seen
            time.sleep(1)
        finally:
            self.run("touch /root/enough", is_checked=False)
            said, _ = asking.communicate(timeout=60)
        seen.update(json.loads(said))

    def cut_power(self) -> None:
        """End every process of it at once."""
        if self._container is not None:
            # What has not booted has none, and 0 would be we ourselves.
            if self._first:
                os.kill(self._first, signal.SIGKILL)
            else:
                self._container.kill()
            self._container.wait(60)
            self._container, self._first = None, 0

    def _inside(self) -> list[str]:
        spaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        return ["nsenter", f"--target={self._first}", *spaces]


def make_repository(place: Path) -> None:
    """Make three releases: the present code, a newer one, one that can not start."""

    def git(*arguments: str | Path, cwd: Path = place) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=cwd, capture_output=True, text=True, check=True
        )
        return done.stdout

    def release(version: str) -> None:
        who = ["-c", "user.name=release", "-c", "user.email=release@example.edu"]
        git("add", "--all")
        git(*who, "commit", "--quiet", "--message", version)
        git("tag", version)

    place.mkdir(parents=True)
    for name in git(
        "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT
    ).split("\0"):
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place / name)
    git("init", "--quiet")
    release("v0.1.0")
    health = place / "services" / "health_service.py"
    health.write_text(health.read_text().replace('"0.1.0"', '"0.2.0"'))
    release("v0.2.0")
    with (place / "app.py").open("a") as file:
        file.write("import a_package_that_nobody_has\n")
    release("v0.3.0")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Make a new host as the manual says."""
    if os.geteuid() != 0:
        pytest.skip("only root can boot a machine")
    for program in ("debootstrap", "systemd-nspawn", "nsenter"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not here")
    root = tmp_path_factory.mktemp("machine") / "root"
    fetch = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}"]
    fetch += ["bookworm", str(root)]
    subprocess.run(fetch, stdout=subprocess.DEVNULL, check=True)
    made = Machine(root)
    try:
        make_repository(root / "srv" / "repository")
        # Of a machine that does not run nothing can be started.
        (root / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
        (root / "usr/sbin/policy-rc.d").chmod(0o755)
        first, *_ = section("A new host", "systemd")
        (packages,) = (line for line in first.splitlines() if "apt-get" in line)
        made.before_boot(f"apt-get update --quiet; {packages}; {FETCH_WHEELS}")
        (root / "usr/sbin/policy-rc.d").unlink()
        made.boot()
        made.run("git config --system --add safe.directory '*'\n" + CERTIFICATE)
        made.run(new_host())
        yield made
    finally:
        made.cut_power()
        shutil.rmtree(root)


def commands() -> str:
    block, _ = section("Commands", "systemd")
    return block


def as_postgres() -> str:
    _, block = section("Commands", "systemd")
    return block


def new_host() -> str:
    """Set the variables of commands where the manual says that they are needed."""
    *before, schema, services = section("A new host", "systemd")
    return "\n".join([*before, commands(), schema, services])


def release(version: str) -> str:
    code, *_ = section("A release", "sh")
    (reload,) = section("A release", "systemd")
    return "\n".join([commands(), code.replace("v0.2.0", version), reload])


def roll_back() -> str:
    return "\n".join(
        block
        for language in ("sh", "systemd")
        for block in section("Roll back a release", language)
    )


def until_it_serves(version: str) -> str:
    """Wait until no old worker answers any more."""
    return f"""
        in_a_row=0
        until [ $in_a_row = 20 ]; do
            if {AT_THE_SOCKET}/health | grep -qF '"version":"{version}"'
            then in_a_row=$((in_a_row + 1)); else in_a_row=0; sleep 1; fi
        done
    """


def test_a_new_host_serves_what_it_has_signed(machine: Machine) -> None:
    who = {"email": "you@example.edu", "password": TERMINAL["ADMIN_PASSWORD"]}

    said = machine.run(
        f"curl -fsS {URL}/api/auth/login --json '{json.dumps(who)}'\n"
        f"until {CHECKPOINT}; do sleep 1; done"
    )

    assert "access_token" in said
    assert "\n— proctoring/proctoring_db " in said
    assert machine.run("systemctl --failed --plain --no-legend") == ""


def test_what_it_says_to_the_database_is_encrypted(machine: Machine) -> None:
    asked = (
        "SELECT DISTINCT usename, ssl FROM pg_stat_ssl"
        " JOIN pg_stat_activity USING (pid) WHERE usename LIKE 'proctoring%'"
    )

    said = machine.run(f'{HEALTH} && sudo -u postgres psql -qAtc "{asked}"')

    assert "proctoring_api|t\nproctoring_checkpoints|t\n" in said
    assert "|f" not in said


def test_a_release_fails_no_request(machine: Machine) -> None:
    with machine.asked_meanwhile() as seen:
        machine.run(release("v0.2.0"))
        machine.run(until_it_serves("0.2.0"))

    assert seen.keys() == {NOT_LOGGED_IN}


def test_a_release_that_can_not_start_is_not_taken(machine: Machine) -> None:
    with machine.asked_meanwhile() as seen:
        tried = machine.run(release("v0.3.0") + "\n", is_checked=False)
        said = machine.run("journalctl -u proctoring -o cat | grep -F Error")
        machine.run(roll_back())
        machine.run(until_it_serves("0.1.0"))

    assert "a_package_that_nobody_has" in said, tried
    assert seen.keys() == {NOT_LOGGED_IN}


def test_settings_are_taken_however_often_they_were_wrong(machine: Machine) -> None:
    try:
        machine.run(
            "echo JWT_ACCESS_TOKEN_EXPIRES=5 >> /etc/proctoring/api.env\n"
            "systemctl reload proctoring && exit 1\n"
            f"{HEALTH}\n"
            # As often as systemd begins by itself, for those who come to the socket.
            "for _ in $(seq 7); do systemctl restart proctoring || exit 1\n"
            "    kill -KILL $(systemctl show --property=MainPID --value proctoring)\n"
            # Or a restart would drain for so long that no limit is reached.
            "    while systemctl --quiet is-active proctoring; do sleep 0.1; done\n"
            "done"
        )
    finally:
        machine.run(
            "sed -i '$d' /etc/proctoring/api.env && systemctl restart proctoring"
        )

    machine.run(f"{HEALTH} --max-time 60")


def test_all_is_there_again_after_a_power_cut(machine: Machine) -> None:
    before = machine.run(CHECKPOINT)

    machine.cut_power()
    machine.boot()

    after = machine.run(f"until {HEALTH}; do sleep 1; done >&2\n{CHECKPOINT}")
    assert int(after.splitlines()[1]) >= int(before.splitlines()[1])
    machine.run(f"{commands()}\nflask --app app audit verify --deep")


def test_both_services_can_read_a_policy(machine: Machine) -> None:
    (take,) = section("Witnesses", "systemd")

    machine.run(
        f"{commands()}\n"
        "BOARD=$(python -m witness keygen board.example.edu --key /root/board)\n"
        "cd\n"
        'printf "log %s\\nwitness board %s\\nquorum board\\n" "$AUDIT_LOG_VKEYS"'
        ' "$BOARD" > policy.txt\n'
        f"{take.rstrip()} || exit 1\n"
        f"{HEALTH}\n"
        # Whose arguments are wrong has ended by then, and not begun again.
        "sleep 3\n"
        "systemctl is-active proctoring-checkpointer"
    )


def test_a_key_that_was_rotated_signs(machine: Machine) -> None:
    page = "The signing key is lost, or the checkpointer refuses"
    (checkpointer,) = section(page, "systemd")
    who = {"email": "nobody@example.edu", "password": "wrong"}

    machine.run(
        f"{commands()}\n{checkpointer}\n"
        "systemctl stop proctoring-checkpointer\n"
        "checkpointer rotate\n"
        "systemctl start proctoring-checkpointer\n"
        # An entry, which the old key signs as its last.
        f"curl -sS {URL}/api/auth/login --json '{json.dumps(who)}'\n"
        "for _ in $(seq 20); do sleep 1\n"
        "if checkpointer show | grep -E '^key .* to [0-9]+ entries'; then exit; fi\n"
        "done; exit 1"
    )


def test_the_backup_of_a_night_is_restored_by_the_weekly_trial(
    machine: Machine,
) -> None:
    timers, _ = section("Backups", "systemd")

    said = machine.run(
        f"{commands()}\n{timers.rstrip()} || exit 1\n"
        "journalctl -u proctoring-restore-drill -o cat\n"
        "systemctl list-timers"
    )

    assert ".dump restores;" in said
    assert "proctoring-backup.timer" in said


def test_a_point_in_time_is_restored(machine: Machine) -> None:
    """All that was written until then is there, archived or not, and nothing after."""
    settings, *_ = section("Backups", "sql")
    _, base = section("Backups", "systemd")
    (restore,) = section("Restore from a backup", "systemd")
    who = '{"email": "nobody@example.edu", "password": "wrong"}'
    entry = f"curl -sS -o /dev/null {URL}/api/auth/login --json '{who}'"
    count = "as_postgres psql -d proctoring_db -Atc 'SELECT count(*) FROM audit_log'"

    said = machine.run(
        f"{commands()}\n{as_postgres()}\n"
        f"as_postgres psql --quiet <<'END'\n{settings}END\n"
        f"{base.rstrip()} || exit 1\n"
        f"{entry}\n"
        # What comes now is in no archive, and not signed.
        "systemctl stop proctoring-checkpointer\n"
        f"{entry}\n{count}\n"
        'sleep 1; THEN=$(date -u "+%F %T.%N+00"); sleep 1\n'
        f"{entry}\n{count}\n"
        + restore.replace("2026-11-26 09:41:00+00", "$THEN").rstrip()
        + f" || exit 1\n{count}\n"
        "if grep recovery_target $PGDATA/postgresql.auto.conf; then exit 1; fi\n"
        "systemctl start proctoring.socket proctoring proctoring-checkpointer\n"
        f"{entry}\nsleep 3\n"
        "systemctl is-active proctoring-checkpointer >&2\n"
        f"{HEALTH}"
    )

    then, later, restored = map(int, re.findall(r"(?m)^\d+$", said))
    assert (later, restored) == (then + 1, then)
    assert json.loads(said.splitlines()[-1])["audit_log"] == "ok"


def test_a_host_that_was_drained_by_hand_is_stopped_in_order(machine: Machine) -> None:
    _, by_hand = section("A release", "sh")
    drain, _ = by_hand.splitlines()

    machine.run(
        f"{commands()}\nexport DRAIN_SECONDS=0\n{drain}\n"
        "systemctl stop proctoring.socket proctoring\n"
        "if systemctl is-failed proctoring; then exit 1; fi\n"
        "systemctl start proctoring.socket proctoring\n"
        f"{HEALTH}"
    )
