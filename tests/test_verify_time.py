"""verifier/verify.py: what it costs to refuse a bundle that was made to cost much."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bundles import (
    BOARD,
    LOG_KEY,
    POLICY,
    UNION,
    Files,
    Log,
    as_json,
    bundle,
    export_again,
    lines,
    listed,
    tree_consistency,
    written_log,
)
from tests.exams import Json
from tests.forgeries import ENTRIES, SIZE, examined
from verifier import verify as verifier

# Of the processor's time: what else the machine does is no matter.
AFFORDABLE_SECONDS = 1.5


@contextmanager
def affordable() -> Iterator[None]:
    began = time.process_time()
    yield
    assert time.process_time() - began < AFFORDABLE_SECONDS


def like(entry: Json, payload: object, **changes: object) -> Json:
    """Return an entry with another payload, which fits its hash."""
    text = as_json(payload).rstrip()
    salt = bytes.fromhex(entry["payload_salt"])
    commitment = verifier.payload_commitment(salt, text).hex()
    return entry | changes | {"payload": text.decode(), "payload_hash": commitment}


def with_more(files: Files, *more: Mapping[str, object]) -> Files:
    count = json.loads(files["manifest.json"])["entries"] + len(more)
    return listed(files | {ENTRIES: files[ENTRIES] + lines(*more)}, entries=count)


def test_ranges_that_overlap_are_gone_through_once() -> None:
    log = written_log()
    empty = {"payload": None, "payload_salt": None, "event_type": "attempt.resumed"}
    emptied = [log.lines[-1] | empty | {"seq": 100 + n} for n in range(2_000)]
    ranges = {"legal_basis": "none", "entries": [[1, 99_999]] * 60_000}
    erasure = like(log.lines[-1], ranges, seq=100_000, event_type="data.erased")
    files = with_more(bundle(log, SIZE), *emptied, erasure)

    with affordable():
        report = examined(files)

    assert report.verdict == "tampered"
    said = {check.name: check.detail for check in report.checks}["payload erased"]
    assert said.startswith("2000 entries have lost it: entry 100000 says")


def test_exports_are_counted_once() -> None:
    log = written_log()
    nothing = like(log.lines[-1], {"entries": 0, "last_entry": 0})
    exports = [nothing | {"seq": 100 + n} for n in range(8_000)]
    files = with_more(bundle(log, SIZE), *exports)

    with affordable():
        report = examined(files)

    assert report.verdict == "tampered"


def test_signatures_that_are_repeated_are_checked_once(tmp_path: Path) -> None:
    """Whoever has a bundle has signatures that are right, as often as he likes."""
    policy = tmp_path / "policy"
    policy.write_text(POLICY)
    log = long_log()
    size = len(log.lines)
    earlier = [earlier_of(log, each) for each in range(1, verifier.MAX_EARLIER + 1)]
    files = bundle(log, size, note=repeated(log, size))

    with affordable():
        report = examined(
            listed(files | {"earlier.jsonl": lines(*earlier)}), str(policy)
        )

    assert report.problems == []
    assert report.verdict == "consistent_with_anchor"


def repeated(log: Log, size: int) -> str:
    """Return a checkpoint with as many signatures as a note can have."""
    text = log.checkpoint(size)
    signed = [LOG_KEY.sign(text), BOARD.cosign(text), UNION.cosign(text)]
    most = (signed * verifier.MAX_SIGNATURES)[: verifier.MAX_SIGNATURES]
    return f"{text}\n{''.join(most)}"


def earlier_of(log: Log, size: int) -> Json:
    proof = [each.hex() for each in tree_consistency(size, log.leaves)]
    return {"checkpoint": repeated(log, size), "proof": proof}


def long_log() -> Log:
    """Write a log that has room for more states than a bundle may tell of."""
    log = written_log()
    while len(log.lines) <= verifier.MAX_EARLIER + 2:
        export_again(log)
    return log


@pytest.mark.parametrize("sizes", [[9, 9], [9, 8], [SIZE, SIZE]], ids=str)
def test_a_state_that_comes_again_is_refused(sizes: Sequence[int]) -> None:
    log = written_log()
    earlier = [earlier_of(log, size) for size in sizes]

    report = examined(listed(bundle(log, SIZE) | {"earlier.jsonl": lines(*earlier)}))

    (problem,) = report.problems
    assert (problem.kind, problem.file) == ("tampered", "earlier.jsonl")
    assert "line 2: it is not larger" in problem.detail


def test_more_states_than_any_attempt_has_are_refused() -> None:
    log = long_log()
    earlier = [earlier_of(log, each) for each in range(1, verifier.MAX_EARLIER + 2)]
    files = bundle(log, len(log.lines))

    most = examined(listed(files | {"earlier.jsonl": lines(*earlier[:-1])}))
    more = examined(listed(files | {"earlier.jsonl": lines(*earlier)}))

    assert most.problems == []
    assert [each.file for each in more.problems] == ["earlier.jsonl"]
