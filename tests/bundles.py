"""Bundles of evidence made by hand, of a log that nobody wrote, for the verifier.

Nothing here is the application's but the bytes of an entry, so that what the verifier
reads is the format and not what one program happens to write.
"""

import hashlib
import io
import json
import zipfile
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.exams import Json
from utils.blockchain_hasher import (
    NO_HASH,
    Entry,
    canonical_json,
    entry_bytes,
    leaf_hash,
    log_identity,
    payload_commitment,
)

VERIFY_PY = Path(__file__).parents[1] / "verifier" / "verify.py"
ORIGIN = "proctoring/test"
ATTEMPT_ID = "019ab1c2-0000-7000-8000-000000000001"
OTHER_ID = "019ab1c2-0000-7000-8000-000000000002"
STUDENT_ID = "019ab1c2-0000-7000-8000-000000000003"
EXAM_ID = "019ab1c2-0000-7000-8000-000000000004"
QUESTION_ID = "019ab1c2-0000-7000-8000-000000000005"
BATCH_ID = "019ab1c2-0000-7000-8000-000000000006"
ANALYSIS_ID = "019ab1c2-0000-7000-8000-000000000007"
BEGAN_US = 1_767_225_600_000_000
WITNESSED_AT = 1_767_229_200

Files = dict[str, bytes]


class Key:
    """A key that signs notes, always the same one for a name."""

    def __init__(self, name: str, algorithm: int) -> None:
        self.name = name
        self.algorithm = algorithm
        self._private = Ed25519PrivateKey.from_private_bytes(
            hashlib.sha256(name.encode()).digest()
        )
        self.public = self._private.public_key().public_bytes_raw()
        material = bytes([algorithm]) + self.public
        key_id = hashlib.sha256(name.encode() + b"\n" + material).digest()[:4]
        self.key_id = key_id
        self.text = f"{name}+{key_id.hex()}+{b64encode(material).decode()}"

    def sign(self, text: str) -> str:
        """Return a signature line, as the log signs."""
        return self._line(self._private.sign(text.encode()))

    def cosign(self, text: str, seconds: int = WITNESSED_AT) -> str:
        """Return a signature line, as a witness signs."""
        message = f"cosignature/v1\ntime {seconds}\n{text}"
        signature = self._private.sign(message.encode())
        return self._line(seconds.to_bytes(8) + signature)

    def _line(self, value: bytes) -> str:
        return f"\u2014 {self.name} {b64encode(self.key_id + value).decode()}\n"


LOG_KEY = Key(ORIGIN, 0x01)
BOARD, UNION, PRESS = (
    Key(f"witness.example/{name}", 0x04) for name in ("board", "union", "press")
)
POLICY = f"""# Whose signatures count.
log {LOG_KEY.text} https://log.example/
witness board {BOARD.text}
witness union {UNION.text}
witness press {PRESS.text}
group two 2 board union press
quorum two
"""


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """Compute the root as RFC 6962 section 2.1 defines it."""
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256(b"").digest()
    left, right = _split(leaves)
    return _node(tree_root(left), tree_root(right))


def tree_path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Make an inclusion proof as RFC 6962 section 2.1.1 defines it."""
    if len(leaves) < 2:
        return []
    left, right = _split(leaves)
    if index < len(left):
        return [*tree_path(index, left), tree_root(right)]
    return [*tree_path(index - len(left), right), tree_root(left)]


def tree_consistency(old_size: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Make a consistency proof as RFC 6962 section 2.1.2 defines it."""

    def subproof(size: int, under: Sequence[bytes], *, is_whole: bool) -> list[bytes]:
        if size == len(under):
            return [] if is_whole else [tree_root(under)]
        left, right = _split(under)
        if size <= len(left):
            inner = subproof(size, left, is_whole=is_whole)
            return [*inner, tree_root(right)]
        inner = subproof(size - len(left), right, is_whole=False)
        return [*inner, tree_root(left)]

    return subproof(old_size, leaves, is_whole=True)


def _split(leaves: Sequence[bytes]) -> tuple[Sequence[bytes], Sequence[bytes]]:
    size = 1 << (len(leaves) - 1).bit_length() - 1
    return leaves[:size], leaves[size:]


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass
class Log:
    """A log that is written in memory. `lines` are its entries as bundles have them."""

    log_id: bytes = b""
    lines: list[Json] = field(default_factory=list)

    def append(
        self,
        event_type: str,
        payload: Mapping[str, object],
        *,
        entity_type: str = "attempt",
        entity_id: str | None = None,
        attempt_id: str | None = ATTEMPT_ID,
        actor_id: str | None = STUDENT_ID,
        **changes: Any,
    ) -> None:
        """Append an entry. `changes` are of what is hashed, by their names."""
        text = canonical_json(payload)
        if not self.lines:
            self.log_id = log_identity(text.encode())
        salt = hashlib.sha256(f"salt {len(self.lines)}".encode()).digest()
        entry = Entry(
            log_id=self.log_id,
            seq=len(self.lines),
            previous_hash=self.leaves[-1] if self.lines else NO_HASH,
            recorded_at_us=BEGAN_US + len(self.lines) * 1_000_003,
            xid=700 + len(self.lines),
            flags=0,
            schema_version=1,
            payload_hash=payload_commitment(salt, text.encode()),
            state_hash=NO_HASH,
            attempt_id=attempt_id,
            actor_id=actor_id,
            event_type=event_type,
            entity_type=entity_type,
            entity_id=entity_id or attempt_id or self.log_id.hex(),
        )
        entry = replace(entry, **changes)
        line = {
            name: value.hex() if isinstance(value, bytes) else value
            for name, value in asdict(entry).items()
            if name not in {"log_id", "stream"}
        }
        line |= {"payload": str(text), "payload_salt": salt.hex()}
        self.lines.append(line | {"hash": leaf_hash(entry_bytes(entry)).hex()})

    @property
    def leaves(self) -> list[bytes]:
        return [bytes.fromhex(line["hash"]) for line in self.lines]

    def checkpoint(self, size: int, origin: str = ORIGIN) -> str:
        """Return the text of a checkpoint, which nobody has signed."""
        root = b64encode(tree_root(self.leaves[:size])).decode()
        return f"{origin}\n{size}\n{root}\n"


def event(number: int, sequence: int | None) -> Json:
    moment = f"2026-01-01T00:00:{number:02}.000000Z"
    return {
        "id": str(uuid5(UUID(BATCH_ID), str(number))),
        "client_event_id": str(uuid5(UUID(ATTEMPT_ID), str(number))),
        "sequence": sequence,
        "event_type": "focus.lost",
        "event_class": "integrity",
        "severity": "low",
        "occurred_at": moment,
        "received_at": moment,
        "payload": {"duration_ms": 1500, "confidence": 0.25, "note": "Ünï\u202e<b>"},
    }


EVENTS = [event(1, 1), event(2, 2), event(3, None)]
CLOCK = {"deadline_at": "2026-01-05", "paused_seconds": 0, "extended_seconds": 0}
STARTED = {
    "clock": CLOCK,
    "exam_id": EXAM_ID,
    "attempt_number": 1,
    "started_at": "2026-01-01",
    "max_score": "10.00",
}
ENDED = {
    "clock": CLOCK,
    "ended_at": "2026-01-02",
    "ended_by": "student",
    "reason": None,
    "score": "3.50",
    "max_score": "10.00",
    "is_passed": False,
}
# The attempt's row as the two leave it.
ROW = {
    **CLOCK,
    "id": ATTEMPT_ID,
    "student_id": STUDENT_ID,
    "exam_id": EXAM_ID,
    "attempt_number": 1,
    "started_at": "2026-01-01",
    "status": "submitted",
    "ended_at": "2026-01-02",
    "ended_by": "student",
    "end_reason": None,
    "score": "3.50",
    "max_score": "10.00",
    "is_passed": False,
    "review_status": "none",
    "review_note": None,
    "reviewed_by": None,
}
ANALYSIS = {
    "model_version": "2026-11-1",
    "is_official": True,
    "risk_level": "low",
    "inputs_hash": "ab" * 32,
    "risk_score": "4.5",
    "confidence": "0.9",
}


def written_log(start: str = "attempt.started", **changes: Any) -> Log:
    """Write an attempt into a log, with other people's entries around it.

    `start` is the type of the attempt's first entry, and `changes` are of what is
    hashed of that one.
    """
    log = Log()
    genesis = {"created": "2026-01-01T00:00:00Z", "nonce": "1", "origin": ORIGIN}
    log.append(
        "log.genesis",
        genesis,
        entity_type="log",
        attempt_id=None,
        actor_id="system",
    )
    _disturb(log)
    log.append(start, STARTED, **changes)
    _record_events(log, EVENTS)
    _disturb(log)
    for version, response in ((1, "first thought"), (2, ["ä", 1.5, None])):
        answer = {
            "question_id": QUESTION_ID,
            "client_version": version,
            "response": response,
        }
        log.append("attempt.answers_saved", {"answers": [answer]})
        _disturb(log)
    log.append("attempt.submitted", ENDED)
    log.append(
        "analysis.computed", ANALYSIS, entity_type="analysis", entity_id=ANALYSIS_ID
    )
    _disturb(log)
    own = [line for line in log.lines if line["attempt_id"] == ATTEMPT_ID]
    export = {
        "reason": "an appeal",
        "entries": len(own),
        "last_entry": own[-1]["seq"],
    }
    log.append("evidence.exported", export, actor_id="system")
    return log


def _record_events(log: Log, events: Sequence[Json]) -> None:
    log.append(
        "proctoring.events_recorded",
        {"events": events},
        entity_type="event_batch",
        entity_id=BATCH_ID,
    )


def _disturb(log: Log) -> None:
    log.append("attempt.started", STARTED, attempt_id=OTHER_ID)


def export_again(log: Log, *, looks: int = 1) -> Log:
    """Record further looks at an attempt, and a further export of it."""
    for _ in range(looks):
        log.append("evidence.viewed", {"what": "events"})
    own = [line for line in log.lines if line["attempt_id"] == ATTEMPT_ID]
    export = {"reason": None, "entries": len(own), "last_entry": own[-1]["seq"]}
    log.append("evidence.exported", export, actor_id="system")
    return log


def bundle(log: Log, size: int | None, *, note: str | None = None) -> Files:
    """Return the files of a bundle, with a checkpoint of `size` if there is one."""
    own = [line for line in log.lines if line["attempt_id"] in {ATTEMPT_ID, None}]
    analysis = ANALYSIS | {"id": ANALYSIS_ID, "risk_score": "4.50", "result": {}}
    answer = {
        "question_id": QUESTION_ID,
        "client_version": 2,
        "response": ["ä", 1.5, None],
        "points_awarded": "3.50",
    }
    files = {
        "README.txt": b"Read me.\n",
        "report.html": b"<!doctype html>\n",
        "entries.jsonl": lines(*own),
        "rows/attempt.json": as_json(ROW),
        "rows/answers.jsonl": lines(answer),
        "rows/events.jsonl": lines(*({**one, "batch_id": BATCH_ID} for one in EVENTS)),
        "rows/analyses.jsonl": lines(analysis),
        "verify.py": VERIFY_PY.read_bytes(),
        "policy.txt": POLICY.encode(),
    }
    head = None
    if size is not None:
        text = log.checkpoint(size)
        signed = f"{text}\n{LOG_KEY.sign(text)}{BOARD.cosign(text)}{UNION.cosign(text)}"
        leaves = log.leaves[:size]
        files["checkpoint.txt"] = (note or signed).encode()
        files["proofs.jsonl"] = lines(
            *(
                {"seq": seq, "path": [each.hex() for each in tree_path(seq, leaves)]}
                for seq in (line["seq"] for line in own)
                if seq < size
            )
        )
        old = log.checkpoint(size - 4)
        earlier = {
            "checkpoint": f"{old}\n{LOG_KEY.sign(old)}{BOARD.cosign(old, 1)}"
            + PRESS.cosign(old, 2),
            "proof": [each.hex() for each in tree_consistency(size - 4, leaves)],
        }
        files["earlier.jsonl"] = lines(earlier)
        head = {"size": size, "root": tree_root(leaves).hex()}
    manifest = {
        "format": "proctoring-evidence/1",
        "attempt_id": ATTEMPT_ID,
        "log_id": log.log_id.hex(),
        "origin": ORIGIN,
        "exported_by": own[-1]["seq"],
        "entries": len(own),
        "checkpoint": head,
        "files": [],
    }
    return listed(files | {"manifest.json": as_json(manifest)})


def stamped(
    files: Files, log: Log, size: int, stamp: Callable[[bytes], bytes]
) -> Files:
    """Add an authority's answer over the log's state of so many entries."""
    newest = json.loads(files["manifest.json"])["checkpoint"]["size"]
    name = f"tsa/{1 + sum(each.endswith('.tsr') for each in files)}"
    text = log.checkpoint(size)
    note = f"{text}\n{LOG_KEY.sign(text)}{BOARD.cosign(text)}".encode()
    line = {
        "name": name,
        "proof": [e.hex() for e in tree_consistency(size, log.leaves[:newest])],
        "tsa": "https://tsa.example/",
    }
    return listed(
        files
        | {
            "timestamps.jsonl": files.get("timestamps.jsonl", b"") + lines(line),
            f"{name}.txt": note,
            f"{name}.tsr": stamp(note),
        }
    )


def listed(files: Files, **changes: object) -> Files:
    """Write the manifest anew, as a forger would: sizes, digests, and what he likes."""
    manifest = json.loads(files["manifest.json"]) | changes
    manifest["files"] = [
        {
            "name": name,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        for name, content in files.items()
        if name != "manifest.json"
    ]
    return files | {"manifest.json": as_json(manifest)}


def lines(*records: Mapping[str, Any]) -> bytes:
    return b"".join(map(as_json, records))


def as_json(record: object) -> bytes:
    text = json.dumps(record, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode() + b"\n"


def edited(content: bytes, number: int, change: Callable[[Json], object]) -> bytes:
    """Change one line of a file and write it as bundles are written."""
    records = [json.loads(line) for line in content.splitlines()]
    change(records[number])
    return lines(*records)


def zipped(files: Files, compression: int = zipfile.ZIP_STORED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return made.getvalue()


def unzipped(content: bytes) -> Files:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
