"""verifier/verify.py: what it costs to refuse a bundle that was made to cost much."""

import json
import time
from collections.abc import Mapping, Sequence
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

# As many times as an honest bundle of that length. What is mended here took dozens.
AFFORDABLE = 5


def assert_affordable(made: Files, honest: Files, policy: str | None = None) -> None:
    """Compare the processor's time: what else the machine does is no matter."""
    # Whatever is done once is done by then.
    cost_of(honest, policy)
    assert cost_of(made, policy) < AFFORDABLE * cost_of(honest, policy)


def cost_of(files: Files, policy: str | None) -> float:
    began = time.process_time()
    examined(files, policy)
    return time.process_time() - began


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

    def erased(*ranges: Sequence[int]) -> Files:
        said = {"legal_basis": "none", "entries": ranges}
        erasure = like(log.lines[-1], said, seq=100_000, event_type="data.erased")
        return with_more(bundle(log, SIZE), *emptied, erasure)

    files = erased(*([[1, 99_999]] * 60_000))

    report = examined(files)
    assert_affordable(files, erased(*([n, n] for n in range(1, 60_001))))

    assert report.verdict == "tampered"
    said = {check.name: check.detail for check in report.checks}["payload erased"]
    assert said.startswith("2000 entries have lost it: entry 100000 says")


def test_exports_are_counted_once() -> None:
    log = written_log()
    nothing = like(log.lines[-1], {"entries": 0, "last_entry": 0})
    resumed = like(log.lines[-1], {}, event_type="attempt.resumed")

    def with_many(entry: Json) -> Files:
        many = [entry | {"seq": 100 + n} for n in range(8_000)]
        return with_more(bundle(log, SIZE), *many)

    files = with_many(nothing)

    report = examined(files)
    assert_affordable(files, with_many(resumed))

    assert report.verdict == "tampered"


def test_signatures_that_are_repeated_are_checked_once(tmp_path: Path) -> None:
    """Whoever has a bundle has signatures that are right, as often as he likes."""
    policy = tmp_path / "policy"
    policy.write_text(POLICY)
    log = long_log()
    size = len(log.lines)

    def signed(times: int) -> Files:
        sizes = range(1, verifier.MAX_EARLIER + 1)
        earlier = lines(*(earlier_of(log, each, times) for each in sizes))
        files = bundle(log, size, note=repeated(log, size, times))
        return listed(files | {"earlier.jsonl": earlier})

    files = signed(verifier.MAX_SIGNATURES)

    report = examined(files, str(policy))
    assert_affordable(files, signed(1), str(policy))

    assert report.problems == []
    assert report.verdict == "consistent_with_anchor"


def repeated(log: Log, size: int, times: int = verifier.MAX_SIGNATURES) -> str:
    """Return a checkpoint with each signature so often, as far as a note has room."""
    text = log.checkpoint(size)
    signed = [LOG_KEY.sign(text), BOARD.cosign(text), UNION.cosign(text)]
    most = (signed * times)[: verifier.MAX_SIGNATURES]
    return f"{text}\n{''.join(most)}"


def earlier_of(log: Log, size: int, times: int = verifier.MAX_SIGNATURES) -> Json:
    proof = [each.hex() for each in tree_consistency(size, log.leaves)]
    return {"checkpoint": repeated(log, size, times), "proof": proof}


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
