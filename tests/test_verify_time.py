"""verifier/verify.py: what it costs to refuse a bundle that was made to cost much."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.bundles import Files, as_json, bundle, lines, listed, written_log
from tests.exams import Json
from tests.forgeries import ENTRIES, SIZE, examined
from verifier import verify as verifier

# Of the processor's time: what else the machine does is no matter.
AFFORDABLE_SECONDS = 4.0


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
    emptied = [log.lines[-1] | empty | {"seq": 100 + n} for n in range(5_000)]
    ranges = {"legal_basis": "none", "entries": [[1, 99_999]] * 60_000}
    erasure = like(log.lines[-1], ranges, seq=100_000, event_type="data.erased")
    files = with_more(bundle(log, SIZE), *emptied, erasure)

    with affordable():
        report = examined(files)

    assert report.verdict == "tampered"
    said = {check.name: check.detail for check in report.checks}["payload erased"]
    assert said.startswith("5000 entries have lost it: entry 100000 says")
