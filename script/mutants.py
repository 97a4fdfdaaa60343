"""What script/mutants runs: mutmut, on one group of modules at a time.

mutmut wants to be configured in the directory that it works in, and to have one choice
of tests for all modules. So each group gets a copy of the repository in .local/mutants,
with the tests that are about it, and all share one PostgreSQL. What is known from the
last run is kept: a changed function is tried again, and with --again each survivor.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mutmut.stats import status_by_exit_code

from database import embedded
from tests.databases import CARELESS

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".local" / "mutants"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Modules to change, and the tests that should notice it; paths may be patterns."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


GROUPS = {
    "attempts": Group(
        modules=(
            "services/exam_session_security.py",
            "services/deadlines.py",
            "services/attempt_access.py",
            "services/attempt_start.py",
            "services/attempt_service.py",
            "services/attempt_ending.py",
            "services/grading.py",
        ),
        tests=(
            "tests/services/test_attempt_*.py",
            "tests/services/test_exam_session_security.py",
            "tests/services/test_deadline_notice.py",
            "tests/services/test_closing.py",
            "tests/services/test_grade_service.py",
            "tests/services/test_grading.py",
            "tests/services/test_network_trouble.py",
            "tests/services/test_proctor_actions.py",
            "tests/services/test_sweeper.py",
            "tests/api/test_address_changes.py",
            "tests/api/test_attempt_lifecycle.py",
            "tests/api/test_paper.py",
            "tests/api/test_waiting_room.py",
        ),
    ),
    "tokens": Group(
        modules=("services/tokens.py", "services/passwords.py"),
        tests=(
            "tests/services/test_tokens.py",
            "tests/services/test_passwords.py",
            "tests/services/test_hashing_bulkhead.py",
        ),
    ),
    "auth": Group(
        modules=(
            "services/auth_service.py",
            "middleware/auth_middleware.py",
            "middleware/rate_limit.py",
        ),
        tests=(
            "tests/api/test_address_changes.py",
            "tests/api/test_auth_*.py",
            "tests/api/test_login_throttle.py",
            "tests/api/test_rate_limits.py",
            "tests/api/test_event_limit.py",
            "tests/test_production_start.py",
        ),
    ),
    "hashing": Group(
        modules=(
            "utils/blockchain_hasher.py",
            "utils/canonical_text.py",
            "utils/merkle.py",
            "utils/subtree.py",
            "utils/tiles.py",
            "utils/checkpoint.py",
            "utils/tlog_proof.py",
        ),
        tests=(
            "tests/test_blockchain_hasher.py",
            "tests/test_merkle.py",
            "tests/test_subtree.py",
            "tests/test_tiles.py",
            "tests/test_checkpoint.py",
            "tests/test_tlog_proof.py",
            "tests/test_vectors.py",
        ),
    ),
    "audit": Group(
        modules=(
            "models/blockchain_log.py",
            "services/audit_check.py",
            "services/audit_comparison.py",
            "services/audit_findings.py",
            "services/domain_check.py",
        ),
        tests=(
            "tests/models/test_blockchain_log.py",
            "tests/services/test_blockchain_service.py",
            "tests/services/test_domain_rows.py",
            "tests/services/test_audit_anchors.py",
            "tests/services/test_audit_bookmark.py",
            "tests/services/test_audit_findings.py",
            "tests/services/test_audit_tree.py",
            "tests/api/test_blockchain.py",
        ),
    ),
    "risk": Group(
        modules=("services/risk/*.py",),
        tests=("tests/services/test_risk_*.py",),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="script/mutants", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(GROUPS))
    parser.add_argument("--again", action="store_true", help="try survivors again")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    names = asked.groups or list(GROUPS)
    if unknown := set(names) - set(GROUPS):
        parser.error(f"no such group: {', '.join(sorted(unknown))}")

    home = Path(tempfile.mkdtemp(prefix="proctoring-mutants-"))
    # As root the server is another account, which has to get through here.
    home.chmod(0o711)
    server = embedded.start(home / "postgres", CARELESS)
    try:
        for name in names:
            run(name, server.dsn(), asked.processes, is_again=asked.again)
    finally:
        embedded.stop(server)
        shutil.rmtree(home)
    for name in names:
        report(name)


def run(name: str, dsn: str, processes: int, *, is_again: bool) -> None:
    """Have mutmut try one group's mutants, in its own copy of the repository."""
    print(f"\n{name}", flush=True)
    place = WORK / name
    copy_repository(place)
    configure(place, GROUPS[name])
    if is_again:
        forget(place, GROUPS[name])
    environment = os.environ | {"TEST_DATABASE_SERVER": dsn, "CI": "true"}
    mutmut = Path(sys.executable).with_name("mutmut")
    subprocess.run(
        [mutmut, "run", "--max-children", str(processes)],
        cwd=place,
        env=environment,
        check=True,
    )


def copy_repository(place: Path) -> None:
    """Copy what git would know, with the times by which mutmut sees changes."""
    listed = subprocess.run(
        [
            shutil.which("git") or "git",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    for path in listed.stdout.split("\0"):
        if path and (source := ROOT / path).is_file():
            target = place / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def configure(place: Path, group: Group) -> None:
    tests = [path for pattern in group.tests for path in sorted(place.glob(pattern))]
    packages = sorted({pattern.split("/")[0] for pattern in group.modules})
    others = [
        path.name
        for path in sorted(place.iterdir())
        if path.name not in {*packages, "mutants", ".git", "setup.cfg"}
    ]
    settings = {
        "source_paths": packages,
        "only_mutate": group.modules,
        "also_copy": others,
        "pytest_add_cli_args_test_selection": [
            str(path.relative_to(place)) for path in tests
        ],
        # What is only text for people: no test should depend on the sentence.
        "do_not_mutate_patterns": [r"^\s*_?logger\.", r"^\s*_?log\."],
        "on_dependency_change": ["ignore"],
        # One that never ends is given up after four times what its tests took. Their
        # fixtures, which mutmut does not count, take longer than many of the tests.
        "timeout_multiplier": ["4"],
        "timeout_constant": ["20"],
    }
    lines = ["[mutmut]"]
    for key, values in settings.items():
        lines += [f"{key}=", *(f"    {value}" for value in values)]
    (place / "setup.cfg").write_text("\n".join(lines) + "\n")


def metas(place: Path, group: Group) -> list[Path]:
    return [
        path
        for pattern in group.modules
        for path in sorted((place / "mutants").glob(f"{pattern}.meta"))
    ]


def forget(place: Path, group: Group) -> None:
    """Have mutmut try again what was not killed, with the tests as they are now."""
    (place / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)
    for path in metas(place, group):
        known = json.loads(path.read_text())
        for mutant, code in known["exit_code_by_key"].items():
            if status_by_exit_code[code] != "killed":
                known["exit_code_by_key"][mutant] = None
        path.write_text(json.dumps(known))


def report(name: str) -> None:
    """Print how many were found, by module; write what was not to survivors.diff."""
    place = WORK / name
    alive: list[str] = []
    for path in metas(place, GROUPS[name]):
        codes = json.loads(path.read_text())["exit_code_by_key"]
        count = Counter(status_by_exit_code[code] for code in codes.values())
        module = path.relative_to(place / "mutants").with_suffix("")
        said = ", ".join(f"{number} {status}" for status, number in count.most_common())
        print(f"{module}: {len(codes)} mutants: {said}")
        alive += [
            mutant
            for mutant, code in codes.items()
            if status_by_exit_code[code] not in {"killed", "timeout"}
        ]
    mutmut = Path(sys.executable).with_name("mutmut")
    with (place / "survivors.diff").open("w") as file:
        for mutant in alive:
            subprocess.run([mutmut, "show", mutant], cwd=place, stdout=file, check=True)
    print(f"{len(alive)} survived: {place.relative_to(ROOT)}/survivors.diff\n")


if __name__ == "__main__":
    main()
