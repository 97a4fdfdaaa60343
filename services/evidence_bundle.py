"""A bundle of evidence: one attempt's entries of the log, as files in a ZIP.

docs/evidence-bundle.md has the format byte by byte; verifier/verify.py, which lies in
every bundle, reads it. The same material gives the same bytes on every machine: the
order and the times of the files are fixed, and nothing is compressed.
"""

import io
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Final
from uuid import UUID

from pydantic import JsonValue

from models.ai_analysis import AiAnalysis
from models.answer import Answer
from models.evidence import AttemptRow, SealedEntry
from models.proctoring import ProctoringEvent
from models.question import OpenQuestion
from services import errors
from services.event_recording import logged_event
from utils.blockchain_hasher import canonical_json, canonical_json_of_plain
from utils.instants import rfc3339
from utils.witness_policy import WitnessPolicy

FORMAT: Final = "proctoring-evidence/1"
MIB: Final = 1024 * 1024
VERIFIER: Final = Path(__file__).resolve().parent.parent / "verifier" / "verify.py"
# The earliest that a ZIP file can say.
ZIP_TIME: Final = (1980, 1, 1, 0, 0, 0)
ZIP_MADE_ON_UNIX: Final = 3
PLAIN_FILE: Final = 0o100644 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much a bundle may hold.

    What is recorded stands in an entry, in a row and in the report, and JSON in JSON
    takes more room: `recorded_bytes` fit into a bundle surely.
    """

    recorded_bytes: int
    bundle_bytes: int
    # How long one statement may read; None: as long as in any other request.
    patience_seconds: int | None
    # What to do when it is more.
    advice: str


# A bundle is made in memory, and a server has other things to do.
ON_REQUEST: Final = Bounds(
    recorded_bytes=16 * MIB,
    bundle_bytes=64 * MIB,
    patience_seconds=None,
    advice="Ask the operator for a large one: flask --app app audit bundle.",
)
# It is not for the accused to record so much that there can be no bundle.
ON_TERMINAL: Final = Bounds(
    recorded_bytes=512 * MIB,
    bundle_bytes=1024 * MIB,
    patience_seconds=120,
    advice="All of the log is to be had: flask --app app audit export.",
)


class EvidenceTooLargeError(errors.UnprocessableError):
    slug = "evidence-too-large"
    title = "The attempt does not fit into a bundle"

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(
            f"More than {bounds.recorded_bytes // MIB} MiB is recorded of this attempt."
            f" {bounds.advice}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierCheckpoint:
    """An older state of the log, and the proof that the bundle's continues it."""

    note: str
    proof: Sequence[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """An authority's answer over the bytes of a checkpoint's note (RFC 3161).

    `proof` is that the bundle's state of the log continues the checkpoint's.
    """

    note: str
    proof: Sequence[bytes]
    response: bytes
    tsa_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The signed state of the log that the bundle's entries are proven to stand in.

    `paths` has the inclusion proof of each entry before `size`, by the entry's number.
    """

    note: str
    size: int
    root: bytes
    paths: Mapping[int, Sequence[bytes]]
    earlier: Sequence[EarlierCheckpoint]
    stamps: Sequence[Stamp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What is known of an attempt, all of one moment.

    `exported_by` is the entry that records the making of this bundle. `policy` says
    whose signatures count, for information.
    """

    log_id: bytes
    origin: str
    exported_by: int
    entries: Sequence[SealedEntry]
    attempt: AttemptRow
    questions: Sequence[OpenQuestion]
    answers: Sequence[Answer]
    events: Sequence[ProctoringEvent]
    analyses: Sequence[AiAnalysis]
    anchor: Anchor | None
    policy: str | None


def policy_of(vkeys: Sequence[str], policy: WitnessPolicy | None) -> str | None:
    """Return the operator's policy to the letter, or else name the log's keys.

    It is for information: whose signatures count is for the reader to choose.
    """
    if policy is not None:
        return policy.text
    if not vkeys:
        return None
    logs = "".join(f"log {vkey}\n" for vkey in dict.fromkeys(vkeys))
    return (
        "# The keys of the log, as its operator names them. They prove nothing here:\n"
        "# ask the examination board for its policy, which names witnesses too.\n"
        f"{logs}quorum none\n"
    )


def pack(material: Material, bounds: Bounds, *, readme: str, report: str) -> bytes:
    """Return the bundle. Raises EvidenceTooLargeError."""
    contents = _contents(material, readme, report)
    files = {
        "README.txt": contents.pop("README.txt"),
        "manifest.json": _manifest(material, contents, readme),
        **contents,
    }
    if sum(map(len, files.values())) > bounds.bundle_bytes:
        raise EvidenceTooLargeError(bounds)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            place = zipfile.ZipInfo(name, ZIP_TIME)
            place.create_system = ZIP_MADE_ON_UNIX
            place.external_attr = PLAIN_FILE
            archive.writestr(place, content)
    return made.getvalue()


def _contents(material: Material, readme: str, report: str) -> dict[str, bytes]:
    """Return the files in their order, without the manifest."""
    asked = {each.id: each for each in material.questions}
    contents = {
        "README.txt": readme.encode(),
        "report.html": report.encode(),
        "entries.jsonl": _lines(_entry(each) for each in material.entries),
    }
    if anchor := material.anchor:
        contents["proofs.jsonl"] = _lines(
            {"seq": seq, "path": _hex(path)} for seq, path in anchor.paths.items()
        )
        contents["checkpoint.txt"] = anchor.note.encode()
        if anchor.earlier:
            contents["earlier.jsonl"] = _lines(
                {"checkpoint": each.note, "proof": _hex(each.proof)}
                for each in anchor.earlier
            )
        contents |= _stamped(anchor.stamps)
    if material.policy is not None:
        contents["policy.txt"] = material.policy.encode()
    return contents | {
        "rows/attempt.json": canonical_json(material.attempt).encode() + b"\n",
        "rows/answers.jsonl": b"".join(
            canonical_json(_answer(each, asked[each.question_id])).encode() + b"\n"
            for each in material.answers
        ),
        "rows/events.jsonl": b"".join(
            canonical_json_of_plain(_event(each)).encode() + b"\n"
            for each in material.events
        ),
        "rows/analyses.jsonl": b"".join(
            canonical_json(_analysis(each)).encode() + b"\n"
            for each in material.analyses
        ),
        "verify.py": VERIFIER.read_bytes(),
    }


def _stamped(stamps: Sequence[Stamp]) -> dict[str, bytes]:
    named = {f"tsa/{number}": stamp for number, stamp in enumerate(stamps, start=1)}
    if not named:
        return {}
    listed = _lines(
        {"name": name, "proof": _hex(stamp.proof), "tsa": stamp.tsa_url}
        for name, stamp in named.items()
    )
    contents = {"timestamps.jsonl": listed}
    for name, stamp in named.items():
        contents[f"{name}.txt"] = stamp.note.encode()
        contents[f"{name}.tsr"] = stamp.response
    return contents


def _manifest(material: Material, contents: Mapping[str, bytes], readme: str) -> bytes:
    listed = {"README.txt": readme.encode(), **contents}
    anchor = material.anchor
    manifest: dict[str, JsonValue] = {
        "format": FORMAT,
        "attempt_id": str(material.attempt.id),
        "log_id": material.log_id.hex(),
        "origin": material.origin,
        "exported_by": material.exported_by,
        "entries": len(material.entries),
        "checkpoint": None
        if anchor is None
        else {"size": anchor.size, "root": anchor.root.hex()},
        "files": [
            {
                "name": name,
                "bytes": len(content),
                "sha256": sha256(content).hexdigest(),
            }
            for name, content in listed.items()
        ],
    }
    return (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode()


def _lines(records: Iterable[Mapping[str, JsonValue]]) -> bytes:
    """Write one object a line, each in the one way that the verifier takes.

    No RFC 8785: numbers of entries have 64 bits, and that has no text for all of them.
    """
    written = (
        json.dumps(record, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        for record in records
    )
    return b"".join(line.encode() + b"\n" for line in written)


def _entry(entry: SealedEntry) -> dict[str, JsonValue]:
    return {each.name: _plain(getattr(entry, each.name)) for each in fields(entry)}


def _plain(value: bytes | UUID | str | int | None) -> JsonValue:
    match value:
        case bytes():
            return value.hex()
        case UUID():
            return str(value)
        case _:
            return value


def _hex(hashes: Sequence[bytes]) -> list[JsonValue]:
    return [each.hex() for each in hashes]


def _event(event: ProctoringEvent) -> dict[str, JsonValue | UUID]:
    logged = logged_event(event, rfc3339(event.received_at))
    return logged | {"batch_id": str(event.batch_id)}


def _answer(answer: Answer, asked: OpenQuestion) -> dict[str, object]:
    return {
        "question_id": answer.question_id,
        "response": answer.response,
        "client_version": answer.client_version,
        "first_saved_at": answer.first_saved_at,
        "saved_at": answer.saved_at,
        "points_awarded": answer.points_awarded,
        "grader_comment": answer.grader_comment,
        "graded_by": answer.graded_by,
        "question": {
            "position": asked.position,
            "kind": asked.kind,
            "text": asked.text,
            "points": asked.points,
            "body": asked.body,
        },
    }


def _analysis(analysis: AiAnalysis) -> dict[str, object]:
    return {
        "id": analysis.id,
        "model_version": analysis.model_version,
        "is_official": analysis.is_official,
        "risk_score": _text(analysis.risk_score),
        "risk_level": analysis.risk_level,
        "confidence": _text(analysis.confidence),
        "inputs_hash": analysis.inputs_hash.hex(),
        "created_at": analysis.created_at,
        "result": _without_others(analysis.result),
    }


def _without_others(result: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    """Leave out whose answers were alike: the accused reads the bundle.

    How many there were, and in which questions, is told. The panel gets the rest from
    the API, as staff.
    """
    cohort = result.get("cohort")
    if not isinstance(cohort, dict):
        return result
    pairs = cohort.get("similar_attempts")
    if not isinstance(pairs, list):
        return result
    shown: list[JsonValue] = [
        {name: value for name, value in each.items() if name != "attempt_id"}
        for each in pairs
        if isinstance(each, dict)
    ]
    return {**result, "cohort": {**cohort, "similar_attempts": shown}}


def _text(number: Decimal) -> str:
    return f"{number:f}"
