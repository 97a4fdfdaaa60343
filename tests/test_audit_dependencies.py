"""An audit of dependencies that saw nothing does not pass."""

from typing import Any

import pytest

from script.audit_dependencies import judge

HOLE = {"id": "PYSEC-2026-1", "fix_versions": ["1.1"], "aliases": [], "description": ""}
GOOD = {"name": "good", "version": "1.0", "vulns": []}
BAD = {"name": "bad", "version": "1.0", "vulns": [HOLE]}
UNKNOWN = {"name": "unknown", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ([GOOD], 0),
        ([GOOD, BAD], 1),
        ([GOOD, BAD, UNKNOWN], 1),
        ([GOOD, UNKNOWN], 2),
        ([UNKNOWN, UNKNOWN], 2),
        ([], 2),
    ],
    ids=["all good", "a hole", "a hole and a gap", "a gap", "blind", "nothing"],
)
def test_only_who_has_seen_everything_says_that_all_is_well(
    found: list[dict[str, Any]], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judge("requirements.lock", found) == code

    audited = sum("skip_reason" not in each for each in found)
    assert f"{audited} of {len(found)} packages" in capsys.readouterr().out
