"""What script/audit-dependencies runs: pip-audit, which must not pass by being blind.

Where it does not know a package it says so in passing and ends with 0. An index that
knows none of them (a mirror, a proxy) then looks like a clean bill of health.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock")
VULNERABLE = 1
NOT_AUDITED = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("lock", nargs="*", default=LOCKS)
    locks = [PROJECT / name for name in parser.parse_args().lock]
    codes = [audit(lock) for lock in locks]
    # A hole that was found counts more than what could not be asked.
    sys.exit(VULNERABLE if VULNERABLE in codes else max(codes))


def audit(lock: Path) -> int:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip_audit", "--disable-pip", "--format", "json"),
            *("--require-hashes", "--progress-spinner", "off"),
            *("--requirement", lock),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        print(f"{lock.name}: not audited: {done.stderr.strip()[-500:]}")
        return NOT_AUDITED
    return judge(lock.name, found)


def judge(name: str, found: list[dict[str, Any]]) -> int:
    """Print what was found of each package, and return the code."""
    skipped = [each for each in found if "skip_reason" in each]
    holes = [
        (each["name"], each["version"], hole)
        for each in found
        for hole in each.get("vulns", ())
    ]
    for package, version, hole in holes:
        fixed = ", ".join(hole["fix_versions"]) or "nothing yet"
        print(f"{name}: {package} {version} has {hole['id']}; fixed in {fixed}")
    print(f"{name}: {len(found) - len(skipped)} of {len(found)} packages were audited")
    if holes:
        return VULNERABLE
    return NOT_AUDITED if skipped or not found else 0


if __name__ == "__main__":
    main()
