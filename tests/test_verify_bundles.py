"""verifier/verify.py: what it says of bundles that were forged, by whom ever."""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bundles import (
    BATCH_ID,
    BEGAN_US,
    BOARD,
    CLOCK,
    ENDED,
    EVENTS,
    LOG_KEY,
    ORIGIN,
    OTHER_ID,
    POLICY,
    ROW,
    STARTED,
    STUDENT_ID,
    UNION,
    Files,
    Key,
    Log,
    as_json,
    bundle,
    export_again,
    lines,
    listed,
    written_log,
)
from tests.exams import Json
from tests.forgeries import (
    ENTRIES,
    PROOFS,
    SIZE,
    Forgery,
    examined,
    line,
    put,
    set_to,
    swapped,
    without,
)
from verifier import verify as verifier


@pytest.fixture(scope="module")
def log() -> Log:
    return written_log()


@pytest.fixture(scope="module")
def files(log: Log) -> Files:
    return bundle(log, SIZE)


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "policy"
    path.write_text(POLICY)
    return str(path)


def results(report: verifier.Report) -> dict[str, str]:
    return {check.name: check.result for check in report.checks}


def test_an_intact_bundle_is_consistent_with_its_anchor(
    files: Files, policy: str
) -> None:
    report = examined(files, policy)

    assert report.problems == []
    assert report.verdict == "consistent_with_anchor"
    assert {name for name, result in results(report).items() if result == "passed"} == {
        *("files", "entries", "order", "identity", "checkpoint", "signatures"),
        *("inclusion", "history", "completeness", "client's counter", "rows"),
    }
    assert "newer entries" not in results(report)


def test_whose_friends_the_witnesses_are_is_for_the_reader_to_know() -> None:
    claimed = " ".join(verifier.MEANINGS.values())
    denied = " ".join(verifier.NEVER_SHOWN)

    assert "independent" not in claimed
    assert "That the witnesses of the policy are independent" in denied


def test_keys_that_come_with_it_prove_nothing(files: Files) -> None:
    report = examined(files)

    assert report.problems == []
    assert report.verdict == "internally_consistent"
    assert results(report)["signatures"] == "not_checked"


def test_a_policy_can_be_confirmed_by_its_fingerprint(files: Files) -> None:
    fingerprint = hashlib.sha256(POLICY.encode()).hexdigest()

    assert examined(files, None, fingerprint).verdict == "consistent_with_anchor"
    assert examined(files, None, fingerprint[::-1]).verdict == "tampered"
    without = {name: files[name] for name in files if name != "policy.txt"}
    assert examined(listed(without), None, fingerprint).verdict == "incomplete"


def test_without_a_checkpoint_it_says_what_is_missing(log: Log, policy: str) -> None:
    files = bundle(log, None)

    alone, wanted = examined(files), examined(files, policy)

    assert alone.verdict == "internally_consistent"
    assert wanted.verdict == "incomplete"
    for name in ("checkpoint", "inclusion", "signatures"):
        assert results(alone)[name] == "not_checked"


def test_what_is_newer_than_the_checkpoint_is_not_anchored(
    log: Log, policy: str
) -> None:
    report = examined(bundle(log, SIZE - 3), policy)

    assert report.problems == []
    assert report.verdict == "internally_consistent"
    assert results(report)["anchor"] == "not_checked"


def cut(files: Files, *, kept: Callable[[Json], bool]) -> Files:
    """Take entries out, and have the newest count what is left, with its new hash."""
    *others, export = map(json.loads, files[ENTRIES].splitlines())
    left = [each for each in others if kept(each)]
    own = [each for each in left if each["attempt_id"]]
    counted = {"entries": len(own), "last_entry": own[-1]["seq"]}
    payload = as_json(json.loads(export["payload"]) | counted).rstrip()
    salt = bytes.fromhex(export["payload_salt"])
    export["payload"] = payload.decode()
    export["payload_hash"] = verifier.payload_commitment(salt, payload).hex()
    log_id = bytes.fromhex(json.loads(files["manifest.json"])["log_id"])
    export["hash"] = verifier.entry_hash(verifier.read_entry(export), log_id).hex()
    left.append(export)
    seqs = {each["seq"] for each in left}
    proofs = map(json.loads, files[PROOFS].splitlines())
    changed = {
        ENTRIES: lines(*left),
        PROOFS: lines(*(each for each in proofs if each["seq"] in seqs)),
        "rows/events.jsonl": b"",
    }
    return listed(files | changed, entries=len(left))


def is_no_observation(record: Json) -> bool:
    return bool(record["event_type"] != "proctoring.events_recorded")


def test_a_count_that_no_checkpoint_covers_is_worth_nothing(
    log: Log, policy: str
) -> None:
    """Whoever holds the bundle can write such a count anew."""
    whole = bundle(log, SIZE - 1)

    reports = [
        examined(whole, policy),
        examined(cut(whole, kept=is_no_observation), policy),
    ]

    for report in reports:
        assert report.problems == []
        assert report.verdict == "internally_consistent"
        assert results(report)["completeness"] == "not_checked"


def test_a_count_that_is_covered_can_not_be_written_anew(
    files: Files, policy: str
) -> None:
    report = examined(cut(files, kept=is_no_observation), policy)

    assert report.verdict == "tampered"
    assert {(each.file, each.entry) for each in report.problems} == {(PROOFS, 12)}


def test_an_older_count_that_is_covered_holds_for_what_was_there(policy: str) -> None:
    """The newest export is not covered, and the one before it is."""
    whole = bundle(export_again(written_log()), SIZE + 1)

    report = examined(whole, policy)
    robbed = examined(cut(whole, kept=is_no_observation), policy)

    assert report.problems == []
    assert report.verdict == "internally_consistent"
    (found,) = (each for each in report.checks if each.name == "completeness")
    assert found.result == "not_checked"
    assert "entry 12 counts those up to entry 10" in found.detail
    assert robbed.verdict == "tampered"
    assert (ENTRIES, 12) in {(each.file, each.entry) for each in robbed.problems}


def test_a_bundle_that_was_cut_back_says_as_of_when_it_is(policy: str) -> None:
    """What came after an older export was taken out, which nobody can find."""
    whole = bundle(export_again(written_log()), SIZE + 2)
    kept = {
        name: b"".join(
            line
            for line in whole[name].splitlines(keepends=True)
            if json.loads(line)["seq"] <= 12
        )
        for name in (ENTRIES, PROOFS)
    }
    early = listed(whole | kept, entries=8, exported_by=12)

    reports = [examined(each, policy) for each in (whole, early)]

    said = [verifier.as_text(each).partition("VERDICT")[0] for each in reports]
    for report in reports:
        assert report.verdict == "consistent_with_anchor"
    assert "As of: entry 14, of 2026-01-01 00:00:14 UTC" in said[0]
    assert "As of: entry 12, of 2026-01-01 00:00:12 UTC" in said[1]
    assert verifier.as_document(reports[1])["as_of"]["entry"] == 12
    assert "what came later" not in results(reports[0])
    assert results(reports[1])["what came later"] == "not_checked"


def test_what_comes_after_the_newest_count_is_not_counted(policy: str) -> None:
    """All of it is covered, and whether more was there nobody can tell."""
    log = written_log()
    log.append("evidence.viewed", {"what": "events"})
    files = listed(bundle(log, SIZE + 1), exported_by=12)

    report = examined(files, policy)

    assert report.problems == []
    assert report.verdict == "internally_consistent"
    assert results(report)["completeness"] == "not_checked"


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda text: text.replace("two 2", "two 3"), "incomplete"),
        (lambda text: text.replace("two 2", "two 1"), "consistent_with_anchor"),
        (
            lambda text: text.replace(LOG_KEY.text, Key("another", 0x01).text),
            "incomplete",
        ),
        (
            lambda text: text.replace(LOG_KEY.text, Key(ORIGIN, 0xFF).text),
            "incomplete",
        ),
        (lambda text: text.replace(BOARD.text, Key("x", 0x06).text), "incomplete"),
        (
            lambda text: text.replace("quorum two", "quorum none"),
            "internally_consistent",
        ),
        (lambda _: "quorum", "incomplete"),
        (lambda _: "", "incomplete"),
    ],
)
def test_the_policy_of_the_panel_decides(
    files: Files, tmp_path: Path, change: Callable[[str], str], verdict: str
) -> None:
    path = tmp_path / "policy"
    path.write_text(change(POLICY))

    assert examined(files, str(path)).verdict == verdict


def test_a_policy_that_is_not_there_is_no_policy(files: Files, tmp_path: Path) -> None:
    assert examined(files, str(tmp_path / "nothing")).verdict == "incomplete"
    assert examined(files, str(tmp_path)).verdict == "incomplete"


def rehashed(files: Files) -> Files:
    """Change an entry and give it the hash that fits, as who has the code can."""

    def change(record: Json) -> None:
        record["actor_id"] = "somebody else"
        ((_, read),) = verifier.read_lines(as_json(record))
        log_id = bytes.fromhex(json.loads(files["manifest.json"])["log_id"])
        record["hash"] = verifier.entry_hash(verifier.read_entry(read), log_id).hex()

    return line("entries.jsonl", 3, change)(files)


def resigned(files: Files) -> Files:
    """Let a stranger sign another state under the log's name."""
    stranger = Key(ORIGIN, 0x01)
    text = f"{ORIGIN}\n11\n{'A' * 43}=\n"
    note = f"{text}\n{stranger.sign(text)}"
    return listed(
        files | {"checkpoint.txt": note.encode()},
        checkpoint={"size": 11, "root": bytes(32).hex()},
    )


def of_checkpoint(change: Callable[[str], str]) -> Forgery:
    return lambda files: listed(
        files | {"checkpoint.txt": change(files["checkpoint.txt"].decode()).encode()}
    )


FORGERIES: dict[str, tuple[Forgery, str, str, int | None]] = {
    "an actor": (line(ENTRIES, 3, set_to("actor_id", "x")), "tampered", ENTRIES, 5),
    "an actor, erased": (
        line(ENTRIES, 3, set_to("actor_id", None)),
        *("tampered", ENTRIES, 5),
    ),
    "a time": (line(ENTRIES, 3, set_to("recorded_at_us", 1)), "tampered", ENTRIES, 5),
    "an attempt": (
        line(ENTRIES, 3, set_to("attempt_id", OTHER_ID)),
        *("tampered", ENTRIES, 5),
    ),
    "a payload": (line(ENTRIES, 3, set_to("payload", "{}")), "tampered", ENTRIES, 5),
    "a salt": (
        line(ENTRIES, 3, set_to("payload_salt", "00" * 32)),
        *("tampered", ENTRIES, 5),
    ),
    "no payload": (
        line(ENTRIES, 3, lambda it: it.update(payload=None, payload_salt=None)),
        *("incomplete", ENTRIES, 5),
    ),
    "a hash": (line(ENTRIES, 3, set_to("hash", "00" * 32)), "tampered", ENTRIES, 5),
    "an entry and its hash": (rehashed, "tampered", PROOFS, 5),
    "a field too many": (line(ENTRIES, 3, set_to("x", 1)), "tampered", ENTRIES, None),
    "a field too few": (
        line(ENTRIES, 3, lambda it: it.pop("xid")),
        *("tampered", ENTRIES, None),
    ),
    "true as a number": (
        line(ENTRIES, 3, set_to("flags", value=False)),
        *("tampered", ENTRIES, None),
    ),
    "two entries": (swapped(ENTRIES), "tampered", ENTRIES, 0),
    "no genesis": (without(ENTRIES, 0), "tampered", PROOFS, 0),
    "no start": (without(ENTRIES, 1), "tampered", PROOFS, 2),
    "no events": (without(ENTRIES, 2), "tampered", ENTRIES, 12),
    "no export": (without(ENTRIES, -1), "tampered", PROOFS, 12),
    "no entries": (put(ENTRIES, b""), "tampered", ENTRIES, None),
    "an entry twice": (
        lambda files: listed(
            files
            | {ENTRIES: files[ENTRIES] + files[ENTRIES].splitlines(keepends=True)[-1]}
        ),
        *("tampered", ENTRIES, 12),
    ),
    "half an entry": (
        lambda files: listed(files | {ENTRIES: files[ENTRIES][:-9]}),
        *("tampered", ENTRIES, None),
    ),
    "a space": (
        lambda files: listed(
            files | {ENTRIES: files[ENTRIES].replace(b'"flags":0', b'"flags": 0', 1)}
        ),
        *("tampered", ENTRIES, None),
    ),
    "a path": (
        line(PROOFS, 2, lambda it: it["path"].reverse()),
        *("tampered", PROOFS, 3),
    ),
    "a proof's place": (line(PROOFS, 2, set_to("seq", 4)), "tampered", PROOFS, 4),
    "no proof": (without(PROOFS, 2), "incomplete", PROOFS, 3),
    "no proofs": (
        lambda files: listed({n: c for n, c in files.items() if n != PROOFS}),
        *("incomplete", PROOFS, None),
    ),
    "another state": (resigned, "tampered", PROOFS, 0),
    "another log's state": (
        of_checkpoint(lambda text: text.replace(ORIGIN, "proctoring/other")),
        *("tampered", "checkpoint.txt", None),
    ),
    "no state": (put("checkpoint.txt", b"x"), "tampered", "checkpoint.txt", None),
    "a state that is spoken of": (
        lambda files: listed({n: c for n, c in files.items() if n != "checkpoint.txt"}),
        *("incomplete", "checkpoint.txt", None),
    ),
    "history": (
        line("earlier.jsonl", 0, lambda it: it["proof"].reverse()),
        *("tampered", "earlier.jsonl", None),
    ),
    "an answer": (
        line("rows/answers.jsonl", 0, set_to("response", "x")),
        *("tampered", "rows/answers.jsonl", None),
    ),
    "an older answer": (
        line("rows/answers.jsonl", 0, set_to("client_version", 1)),
        *("tampered", "rows/answers.jsonl", None),
    ),
    "no answer": (
        put("rows/answers.jsonl", b""),
        *("tampered", "rows/answers.jsonl", None),
    ),
    "an event": (
        line("rows/events.jsonl", 1, set_to("severity", "critical")),
        *("tampered", "rows/events.jsonl", None),
    ),
    "an invented event": (
        line("rows/events.jsonl", 1, set_to("id", OTHER_ID)),
        *("tampered", "rows/events.jsonl", None),
    ),
    "no events in the rows": (
        put("rows/events.jsonl", b""),
        *("tampered", "rows/events.jsonl", None),
    ),
    "a score": (
        line("rows/analyses.jsonl", 0, set_to("risk_score", "99")),
        *("tampered", "rows/analyses.jsonl", None),
    ),
    "a score that is none": (
        line("rows/analyses.jsonl", 0, set_to("risk_score", "high")),
        *("tampered", "rows/analyses.jsonl", None),
    ),
    "an end": (
        line("rows/attempt.json", 0, set_to("ended_by", "proctor")),
        *("tampered", "rows/attempt.json", 9),
    ),
    "a number": (
        line("rows/attempt.json", 0, set_to("attempt_number", 2)),
        *("tampered", "rows/attempt.json", 2),
    ),
    "a result": (
        line("rows/attempt.json", 0, set_to("score", "9.50")),
        *("tampered", "rows/attempt.json", 9),
    ),
    "a result that is none": (
        line("rows/attempt.json", 0, set_to("score", "high")),
        *("tampered", "rows/attempt.json", None),
    ),
    "no result": (
        line("rows/attempt.json", 0, lambda it: it.pop("score")),
        *("tampered", "rows/attempt.json", None),
    ),
    "what there was to earn": (
        line("rows/attempt.json", 0, set_to("max_score", "3.50")),
        *("tampered", "rows/attempt.json", 2),
    ),
    "whether it is passed": (
        line("rows/attempt.json", 0, set_to("is_passed", value=True)),
        *("tampered", "rows/attempt.json", 9),
    ),
    "a number for whether it is passed": (
        line("rows/attempt.json", 0, set_to("is_passed", 0)),
        *("tampered", "rows/attempt.json", 9),
    ),
    "a status": (
        line("rows/attempt.json", 0, set_to("status", "terminated")),
        *("tampered", "rows/attempt.json", 9),
    ),
    "a reason": (
        line("rows/attempt.json", 0, set_to("end_reason", "he was ill")),
        *("tampered", "rows/attempt.json", 9),
    ),
    "a review": (
        line("rows/attempt.json", 0, set_to("review_status", "confirmed_violation")),
        *("tampered", "rows/attempt.json", 2),
    ),
    "a note": (
        line("rows/attempt.json", 0, set_to("review_note", "he has copied")),
        *("tampered", "rows/attempt.json", 2),
    ),
    "a list for a row": (
        put("rows/attempt.json", b"[]"),
        *("tampered", "rows/attempt.json", None),
    ),
    "the attempt's id": (
        lambda files: listed(files, attempt_id=OTHER_ID),
        *("tampered", ENTRIES, 2),
    ),
    "the log's id": (
        lambda files: listed(files, log_id="00" * 16),
        *("tampered", ENTRIES, 0),
    ),
    "the origin": (
        lambda files: listed(files, origin="x"),
        *("tampered", "manifest.json", None),
    ),
    "the count": (lambda files: listed(files, entries=6), "tampered", ENTRIES, None),
    "who exported": (
        lambda files: listed(files, exported_by=9),
        *("incomplete", ENTRIES, None),
    ),
    "the size": (
        lambda files: listed(files, checkpoint={"size": 10, "root": "00" * 32}),
        *("tampered", "checkpoint.txt", None),
    ),
    "the format": (
        lambda files: listed(files, format="proctoring-evidence/2"),
        *("incomplete", "manifest.json", None),
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_found_and_named(files: Files, name: str) -> None:
    """Each with a manifest that fits it again."""
    forge, verdict, file, entry = FORGERIES[name]

    report = examined(forge(files))

    assert report.verdict == verdict
    assert (file, entry) in {(each.file, each.entry) for each in report.problems}


@pytest.mark.parametrize(
    ("recorded_at_us", "entry"),
    [
        # Dated behind the next one, and before the first.
        (BEGAN_US + 3_600_000_000, 3),
        (BEGAN_US - 1, 2),
    ],
)
def test_a_time_that_goes_back_is_found(recorded_at_us: int, entry: int) -> None:
    """The hashes are right: whoever wrote this log made it so."""
    report = examined(bundle(written_log(recorded_at_us=recorded_at_us), SIZE))

    assert [(each.file, each.entry) for each in report.problems] == [(ENTRIES, entry)]
    assert report.verdict == "tampered"


def test_an_attempt_that_never_began_is_incomplete() -> None:
    report = examined(bundle(written_log("attempt.resumed"), SIZE))

    assert [each.detail for each in report.problems] == [
        "no entry says that the attempt was started"
    ]
    assert report.verdict == "incomplete"


def test_an_entry_that_continues_another_one_is_found() -> None:
    forged = written_log()
    forged.lines[3:] = []
    forged.append(
        "proctoring.events_recorded",
        {"events": EVENTS},
        entity_type="event_batch",
        entity_id=BATCH_ID,
        previous_hash=bytes(32),
    )

    found = {
        (each.file, each.entry, each.detail)
        for each in examined(bundle(forged, None)).problems
    }

    assert (ENTRIES, 3, "it does not continue the entry before it") in found


def test_entries_of_a_log_that_is_called_otherwise_are_found(log: Log) -> None:
    """Written under an id that is not the first entry's."""
    other, its_id = Log(), bytes(16)
    names = ("event_type", "entity_type", "entity_id", "attempt_id", "actor_id")
    for entry in log.lines:
        kept = {name: entry[name] for name in names}
        other.append(payload=json.loads(entry["payload"]), log_id=its_id, **kept)
    other.log_id = its_id

    report = examined(bundle(other, SIZE))

    assert [each.file for each in report.problems] == ["manifest.json"]


def test_a_state_of_another_log_is_none(files: Files, log: Log, tmp_path: Path) -> None:
    """The other log may have the same entries, and sign with a key that counts."""
    other = Key("proctoring/other", 0x01)
    text = log.checkpoint(SIZE, other.name)
    note = f"{text}\n{other.sign(text)}{BOARD.cosign(text)}{UNION.cosign(text)}"
    path = tmp_path / "policy"
    path.write_text(POLICY.replace("witness board", f"log {other.text}\nwitness board"))

    report = examined(of_checkpoint(lambda _: note)(files), str(path))

    assert "checkpoint.txt" in {each.file for each in report.problems}
    assert report.verdict == "tampered"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(BOARD.name, "witness.example/other"),
        lambda text: "".join(
            line
            for line in text.splitlines(keepends=True)
            if LOG_KEY.name + " " not in line
        ),
        lambda text: "".join(
            line for line in text.splitlines(keepends=True) if UNION.name not in line
        ),
    ],
)
def test_a_signature_that_is_taken_away_is_missed(
    files: Files, policy: str, change: Callable[[str], str]
) -> None:
    report = examined(of_checkpoint(change)(files), policy)

    assert report.verdict == "incomplete"
    assert [each.file for each in report.problems] == ["checkpoint.txt"]


@pytest.mark.parametrize("name", bundle(written_log(), SIZE))
def test_a_file_that_is_not_the_listed_one_is_named(files: Files, name: str) -> None:
    if name == "manifest.json":
        assert examined(files | {name: b"{}"}).verdict == "incomplete"
        return
    changed = examined(files | {name: files[name] + b" "})
    missing = examined({each: files[each] for each in files if each != name})

    assert changed.verdict == "tampered"
    assert (name, None) in {(each.file, each.entry) for each in changed.problems}
    assert missing.verdict in {"incomplete", "tampered"}
    assert name in {each.file for each in missing.problems}


@pytest.mark.parametrize("name", ["entries.jsonl", "proofs.jsonl"])
def test_not_one_byte_can_be_another(files: Files, name: str) -> None:
    """Whoever edits these can write the manifest too; that does not help him."""
    manifest = verifier.read_manifest(files["manifest.json"])
    note = verifier.parse_note(files["checkpoint.txt"])
    checkpoint = verifier.parse_checkpoint(note.text)
    content = files[name]
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        forged = files | {name: bytes(flipped)}
        report = verifier.Report("")

        entries, _ = verifier.check_entries(manifest, forged["entries.jsonl"], report)
        if not report.problems:
            verifier.check_inclusion(forged, entries, checkpoint, report)

        assert report.problems, place


def test_not_one_byte_of_a_checkpoint_can_be_another(files: Files, policy: str) -> None:
    content = files["checkpoint.txt"]
    trust = verifier.read_trust(files, policy, None, verifier.Report(""))
    manifest = verifier.read_manifest(files["manifest.json"])
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        report = verifier.Report("")

        verifier.check_checkpoint(
            manifest,
            (manifest.origin,),
            {"checkpoint.txt": bytes(flipped)},
            trust,
            report,
        )

        assert report.problems, place
        assert not report.is_anchored


def test_numbers_that_never_came_are_told_and_are_no_crime() -> None:
    hole = [{**EVENTS[0], "sequence": 3}, EVENTS[1], EVENTS[2]]
    recorded = verifier.Recorded()
    recorded.add_events("batch", hole)

    assert verifier._holes(sorted(recorded.sequences)) == "1"  # noqa: SLF001
    assert verifier._holes([1, 2, 5, 9]) == "3 to 4, 6 to 8"  # noqa: SLF001
    assert verifier._holes([1, 2, 3]) == ""  # noqa: SLF001


Steps = Sequence[tuple[str, Json]]
ROW_FILE = "rows/attempt.json"
RUNNING: Json = dict.fromkeys(
    ("ended_at", "ended_by", "end_reason", "score", "is_passed")
) | {"status": "in_progress"}
START = ("attempt.started", STARTED)
SUBMITTED = ("attempt.submitted", ENDED)
BY_STAFF = {"ended_at": "2026-01-03", "ended_by": "proctor", "reason": "a phone"}
TERMINATED = ("attempt.terminated", ENDED | BY_STAFF)
ROW_OF_TERMINATED: Json = {
    "status": "terminated",
    "ended_at": "2026-01-03",
    "ended_by": "proctor",
    "end_reason": "a phone",
    "review_status": "queued",
}
VOIDED = (
    "attempt.voided",
    {"reason": "a fire", "ended_at": "2026-01-04", "ended_by": "admin"},
)
ROW_OF_VOIDED: Json = {
    "status": "voided",
    "end_reason": "a fire",
    "score": None,
    "is_passed": None,
}
AFTER_PAUSE = {"deadline_at": "2026-01-06", "paused_seconds": 300}
LONGER = {"deadline_at": "2026-01-07", "extended_seconds": 600}
SOONER = {"deadline_at": "2026-01-03"}
PAUSED = ("attempt.paused", {"reason": "a fire", "clock": CLOCK})
UNPAUSED = ("attempt.unpaused", {"reason": "out", "clock": CLOCK | AFTER_PAUSE})
EXTENDED = ("attempt.extended", {"clock": CLOCK | LONGER})
MOVED = ("attempt.deadline_moved", {"clock": CLOCK | SOONER})


def graded(score: str | None, *, is_passed: bool | None) -> tuple[str, Json]:
    changes = {"score": {"to": score}, "is_passed": {"to": is_passed}}
    return "attempt.graded", changes


# Who reviews is another person than whoever takes all other steps here.
PROCTOR_ID = "019ab1c2-0000-7000-8000-00000000000b"
REVIEWED: Json = {"reviewed_by": PROCTOR_ID}


def reviewed(status: str, note: str | None) -> tuple[str, Json]:
    return "attempt.reviewed", {"status": status, "note": note}


def reopened(review_status: str, **clock: object) -> tuple[str, Json]:
    said = {"review_status": {"to": review_status}, "clock": CLOCK | clock}
    return "attempt.reopened", said


def erasure(*numbers: int, data_class: str | None = None) -> tuple[str, Json]:
    """Empty entries: because a person is erased, or because of a rule of retention."""
    return "data.erased", {
        "entries": [[number, number] for number in numbers],
        "legal_basis": "GDPR Art. 17(1)(a)",
        "data_class": data_class,
    }


def without_name(step: tuple[str, Json], *names: str) -> tuple[str, Json]:
    kind, payload = step
    return kind, {name: payload[name] for name in payload if name not in names}


@dataclass(frozen=True, kw_only=True)
class Life:
    """What is recorded of an attempt, and the row that it leaves.

    `steps` are the entries from number 1 on, and `row` is how the row differs from that
    of an attempt that was submitted. Of the columns `unknown` nobody can tell what they
    must say.
    """

    steps: Steps
    row: Json
    unknown: tuple[str, ...] = ()


LIVES = {
    "started": Life(steps=[START], row=RUNNING),
    "gone on with": Life(
        steps=[
            START,
            ("attempt.resumed", {}),
            ("attempt.taken_over", {}),
            EXTENDED,
        ],
        row=RUNNING | LONGER,
    ),
    "paused": Life(steps=[START, PAUSED], row=RUNNING | {"status": "paused"}),
    "paused and extended": Life(
        steps=[START, PAUSED, EXTENDED],
        row=RUNNING | {"status": "paused"} | LONGER,
    ),
    "paused and gone on with": Life(
        steps=[START, PAUSED, UNPAUSED], row=RUNNING | AFTER_PAUSE
    ),
    "its deadline moved": Life(steps=[START, MOVED], row=RUNNING | SOONER),
    "ended in a pause": Life(
        steps=[
            *(START, PAUSED),
            ("attempt.ended", ENDED | {"clock": CLOCK | {"paused_seconds": 90}}),
        ],
        row={"paused_seconds": 90},
    ),
    "submitted": Life(steps=[START, SUBMITTED], row={}),
    "written with other digits": Life(
        steps=[START, SUBMITTED], row={"score": 3.5, "max_score": "10"}
    ),
    "ended by the clock": Life(
        steps=[START, ("attempt.ended", ENDED | {"ended_by": "deadline"})],
        row={"ended_by": "deadline"},
    ),
    "terminated": Life(steps=[START, TERMINATED], row=ROW_OF_TERMINATED),
    "terminated during a review": Life(
        steps=[START, reviewed("in_review", None), TERMINATED],
        row=ROW_OF_TERMINATED | REVIEWED | {"review_status": "in_review"},
    ),
    "waiting for a grade": Life(
        steps=[
            START,
            ("attempt.submitted", ENDED | {"score": None, "is_passed": None}),
        ],
        row={"score": None, "is_passed": None},
    ),
    "graded twice": Life(
        steps=[
            START,
            SUBMITTED,
            graded("4.00", is_passed=False),
            graded("7.25", is_passed=True),
        ],
        row={"score": "7.25", "is_passed": True},
    ),
    "reviewed twice": Life(
        steps=[
            START,
            TERMINATED,
            reviewed("in_review", "whose phone?"),
            reviewed("cleared", None),
        ],
        row=ROW_OF_TERMINATED | REVIEWED | {"review_status": "cleared"},
    ),
    "reopened": Life(
        steps=[
            *(START, TERMINATED, reviewed("cleared", "his")),
            reopened("in_review", **AFTER_PAUSE, extended_seconds=60),
        ],
        row=RUNNING
        | REVIEWED
        | AFTER_PAUSE
        | {"review_status": "in_review", "review_note": "his", "extended_seconds": 60},
    ),
    "reopened and submitted": Life(
        steps=[
            START,
            TERMINATED,
            graded("9.00", is_passed=True),
            reopened("queued"),
            SUBMITTED,
        ],
        row={"review_status": "queued"},
    ),
    "voided": Life(
        steps=[START, SUBMITTED, graded("9.00", is_passed=True), VOIDED],
        row=ROW_OF_VOIDED,
    ),
    "voided while it ran": Life(
        steps=[START, VOIDED],
        row=ROW_OF_VOIDED | {"ended_at": "2026-01-04", "ended_by": "admin"},
    ),
    "voided while it ran, of a version that does not say when": Life(
        steps=[START, without_name(VOIDED, "ended_at", "ended_by")],
        row=ROW_OF_VOIDED | {"ended_at": "2026-01-04", "ended_by": "admin"},
        unknown=("ended_at", "ended_by"),
    ),
    "voided while it was paused": Life(
        steps=[START, PAUSED, VOIDED],
        row=ROW_OF_VOIDED | {"ended_at": "2026-01-04", "ended_by": "admin"},
    ),
    "reopened and voided": Life(
        steps=[START, TERMINATED, reopened("queued"), VOIDED],
        row=ROW_OF_VOIDED
        | {"ended_at": "2026-01-04", "ended_by": "admin", "review_status": "queued"},
    ),
    "erased": Life(
        steps=[START, TERMINATED, reviewed("cleared", "his"), erasure(1, 2, 3)],
        row=ROW_OF_TERMINATED
        | REVIEWED
        | {"review_status": "cleared", "end_reason": None},
        # Its entries still say which step it was, and whose.
        unknown=tuple(
            name
            for name in verifier.COLUMNS
            if name not in ("id", "status", "student_id", "reviewed_by")
        ),
    ),
    # What there was to earn its start has said.
    "its end erased": Life(
        steps=[START, SUBMITTED, erasure(2, data_class="answers")],
        row={},
        unknown=(
            *("ended_at", "ended_by", "end_reason", "score", "is_passed"),
            "paused_seconds",
        ),
    ),
    "its start erased": Life(
        steps=[START, SUBMITTED, erasure(1)],
        row={},
        unknown=(
            *("exam_id", "attempt_number", "started_at"),
            *("deadline_at", "extended_seconds"),
        ),
    ),
    "a grade erased": Life(
        steps=[START, SUBMITTED, graded("7.25", is_passed=True), erasure(3)],
        row={"score": "7.25", "is_passed": True},
        unknown=("score", "is_passed"),
    ),
    "a grade before the last erased": Life(
        steps=[
            START,
            SUBMITTED,
            graded("4.00", is_passed=False),
            graded("7.25", is_passed=True),
            erasure(3),
        ],
        row={"score": "7.25", "is_passed": True},
    ),
    "a pause erased": Life(
        steps=[START, PAUSED, erasure(2)],
        row=RUNNING | {"status": "paused"},
    ),
    "its first end erased": Life(
        steps=[START, TERMINATED, reopened("queued"), SUBMITTED, erasure(2)],
        row={"review_status": "queued"},
    ),
    "a reopening erased": Life(
        steps=[START, TERMINATED, reopened("queued"), erasure(3)],
        row=RUNNING | {"review_status": "queued"},
        unknown=(
            *("review_status", "deadline_at", "paused_seconds", "extended_seconds"),
        ),
    ),
    "voided, which was erased": Life(
        steps=[START, SUBMITTED, VOIDED, erasure(3)],
        row=ROW_OF_VOIDED,
        unknown=("end_reason",),
    ),
    "of a version with fewer fields": Life(
        steps=[
            without_name(START, "max_score", "clock"),
            without_name(SUBMITTED, "reason", "is_passed", "max_score", "clock"),
        ],
        row={},
        unknown=(
            *("end_reason", "is_passed", "max_score"),
            *("deadline_at", "paused_seconds", "extended_seconds"),
        ),
    ),
    "what there is to earn said at the end": Life(
        steps=[without_name(START, "max_score"), SUBMITTED], row={}
    ),
    "of a version with more steps": Life(
        steps=[START, SUBMITTED, ("attempt.moved", {})],
        row={"score": "9.00", "status": "moved"},
        unknown=verifier.COLUMNS,
    ),
    "of such a version, and graded": Life(
        steps=[
            START,
            ("attempt.moved", {}),
            SUBMITTED,
            graded("7.25", is_passed=True),
        ],
        row={"score": "7.25", "is_passed": True},
        unknown=(
            *("id", "student_id", "exam_id", "attempt_number", "started_at"),
            *("review_status", "review_note", "reviewed_by"),
            *("deadline_at", "extended_seconds"),
        ),
    ),
    "with what is no step of it": Life(
        steps=[START, SUBMITTED, ("exam.assignment_changed", {}), ("hold.placed", {})],
        row={},
    ),
}


def lived(life: Life, **changes: object) -> Files:
    """Return the bundle of an attempt. `changes` are of its row."""
    log = Log()
    identity = {"origin": ORIGIN}
    log.append(
        *("log.genesis", identity),
        entity_type="log",
        attempt_id=None,
        actor_id="system",
    )
    for kind, payload in life.steps:
        if kind != "data.erased":
            by = PROCTOR_ID if kind == "attempt.reviewed" else STUDENT_ID
            log.append(kind, payload, actor_id=by)
            continue
        for number, _ in payload["entries"]:
            if number < len(log.lines):
                log.lines[number] |= {"payload": None, "payload_salt": None}
        subject = "user" if payload["data_class"] is None else "retention"
        log.append(kind, payload, entity_type=subject, entity_id="x", attempt_id=None)
    own = [each for each in log.lines if each["attempt_id"] is not None]
    export = {"entries": len(own), "last_entry": len(log.lines) - 1}
    log.append("evidence.exported", export)
    row = as_json(ROW | life.row | changes)
    no_others = dict.fromkeys(
        ("rows/answers.jsonl", "rows/events.jsonl", "rows/analyses.jsonl"), b""
    )
    return listed(bundle(log, None) | no_others | {ROW_FILE: row})


def unknown_columns(report: verifier.Report) -> set[str]:
    """Return which columns of the attempt's row could not be compared."""
    said = "".join(each.detail for each in report.checks if each.name == ROW_FILE)
    return {name for name in verifier.COLUMNS if re.search(rf"\b{name}\b", said)}


@pytest.mark.parametrize("name", LIVES)
def test_whatever_an_attempt_went_through_its_row_is_as_recorded(name: str) -> None:
    report = examined(lived(LIVES[name]))

    assert report.problems == []
    assert unknown_columns(report) == set(LIVES[name].unknown)


@pytest.mark.parametrize("column", verifier.COLUMNS)
@pytest.mark.parametrize("name", LIVES)
def test_whatever_it_went_through_an_edit_of_its_row_is_found(
    name: str, column: str
) -> None:
    """Unless the verifier says that it can not tell."""
    life = LIVES[name]
    other = "1.75" if column in verifier.NUMBERS else "edited"

    report = examined(lived(life, **{column: other}))

    if column in life.unknown:
        assert report.problems == []
        return
    (problem,) = report.problems
    assert report.verdict == "tampered"
    assert problem.file == ROW_FILE
    assert problem.detail == f"{column} differs from what was recorded"
    assert problem.entry in range(1, len(life.steps) + 1)


@pytest.mark.parametrize(
    ("column", "entry"),
    [
        ("id", 1),
        ("student_id", 1),
        ("max_score", 1),
        ("status", 5),
        ("end_reason", 5),
        ("review_note", 6),
        ("reviewed_by", 6),
        ("score", 7),
        ("is_passed", 7),
        ("deadline_at", 4),
        ("paused_seconds", 5),
        ("extended_seconds", 4),
    ],
)
def test_the_entry_is_named_that_the_row_contradicts(column: str, entry: int) -> None:
    life = Life(
        steps=[
            START,
            TERMINATED,
            reviewed("in_review", "whose phone?"),
            reopened("in_review"),
            SUBMITTED,
            reviewed("cleared", "his own"),
            graded("7.25", is_passed=True),
            ("attempt.resumed", {}),
        ],
        row=REVIEWED
        | {
            "score": "7.25",
            "is_passed": True,
            "review_status": "cleared",
            "review_note": "his own",
        },
    )

    intact, forged = examined(lived(life)), examined(lived(life, **{column: "0.00"}))

    assert intact.problems == []
    assert [(each.file, each.entry) for each in forged.problems] == [(ROW_FILE, entry)]


def test_a_maximum_that_was_edited_before_the_end_is_found() -> None:
    """The entry of the end has it from the row."""
    late = ("attempt.submitted", ENDED | {"max_score": "3.50"})

    report = examined(lived(Life(steps=[START, late], row={"max_score": "3.50"})))

    assert [(each.file, each.entry) for each in report.problems] == [(ROW_FILE, 1)]


def test_a_note_that_an_erasure_may_have_emptied_is_not_missed() -> None:
    """It mentions the person, and its entry was left: other notes went."""
    life = Life(
        steps=[START, PAUSED, TERMINATED, reviewed("in_review", "Ann"), erasure(2)],
        row=ROW_OF_TERMINATED | REVIEWED | {"review_status": "in_review"},
    )

    emptied, edited = examined(lived(life)), examined(lived(life, review_note="Bob"))

    assert emptied.problems == []
    assert unknown_columns(emptied) == {"review_note"}
    assert [(each.file, each.entry) for each in edited.problems] == [(ROW_FILE, 4)]


@pytest.mark.parametrize(
    "steps",
    [
        # Retention empties no notes.
        [START, PAUSED, TERMINATED, erasure(2, data_class="answers")],
        # It has erased nothing of this attempt.
        [START, PAUSED, TERMINATED, erasure(99)],
        # Whom the reason mentions was erased before somebody wrote it.
        [START, PAUSED, erasure(2), TERMINATED],
    ],
)
def test_a_reason_that_no_erasure_can_have_emptied_is_missed(steps: Steps) -> None:
    row = ROW_OF_TERMINATED | {"end_reason": None}

    report = examined(lived(Life(steps=steps, row=row)))

    (problem,) = report.problems
    assert problem.file == ROW_FILE
    assert problem.detail == "end_reason differs from what was recorded"
