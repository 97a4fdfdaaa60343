"""Checkpoints from outside the database, which alone can tell of a rewritten log.

They come from files that the verifier has kept and from witnesses. Whom to believe says
the verifier, and nothing that stands in the database.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from services import witness_client
from services.audit_findings import AnchorCheck, CheckResult, ErrorClass, Finding
from services.witness_client import NeverSeen, Refused, Seen, Unreachable
from services.witnessing import ConfiguredWitness
from utils.checkpoint import Checkpoint
from utils.signed_note import (
    Note,
    NoteError,
    VerifierKey,
    has_signature_of,
    verified,
)
from utils.tlog_policy import Policy

TIMEOUT_SECONDS: Final = 3.0
NOTHING_ASKED: Final = (
    "no checkpoint from outside the database was given: who owns the database could"
    " have written all of the log anew"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A checkpoint that is believed. `origin` is None if any log may have it."""

    source: str
    origin: str | None
    size: int
    root: bytes
    detail: str
    witnessed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Anchors:
    """What there is, and what was asked for and is not there or not believed."""

    held: tuple[Anchor, ...] = ()
    missing: tuple[AnchorCheck, ...] = ()

    def __add__(self, other: "Anchors") -> "Anchors":
        return Anchors(self.held + other.held, self.missing + other.missing)


NO_ANCHORS: Final = Anchors()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whose signatures count. With a policy, what it asks for as well."""

    log_keys: tuple[VerifierKey, ...] = ()
    witnesses: tuple[ConfiguredWitness, ...] = ()
    policy: Policy | None = None

    @property
    def keys(self) -> tuple[VerifierKey, ...]:
        """The keys of the log."""
        if self.policy is None:
            return self.log_keys
        return (*self.log_keys, *self.policy.logs)

    def read(self, files: Mapping[str, bytes]) -> Anchors:
        """Take checkpoints that the verifier has kept, by the names of the files."""
        found = NO_ANCHORS
        for name, content in files.items():
            source = f"the file {name}"
            try:
                found += self._judge(source, Note.parse(content), None)
            except NoteError as error:
                found += _missing(source, f"it is no checkpoint: {error}")
        return found

    def ask(self) -> Anchors:
        """Ask every witness for the newest that it has seen.

        This goes before the reading: whatever a witness has seen by now was committed,
        and the log that is read afterwards has it.
        """
        found = NO_ANCHORS
        seen: dict[str, tuple[list[str], Note]] = {}
        for witness in self._all_witnesses():
            source = f"the witness {witness.key.name}"
            if not self.keys:
                found += _missing(source, "no key of the log was given to check it by")
            for origin in sorted({key.name for key in self.keys}):
                answer = _latest(witness, origin)
                if not isinstance(answer, Seen):
                    found += _missing(source, _why_not(answer, origin))
                elif self.policy is None:
                    found += self._judge(source, answer.note, witness.key)
                else:
                    # A quorum has signed one text, each of them in a note of its own.
                    sources, note = seen.get(answer.note.text, ([], answer.note))
                    seen[answer.note.text] = (
                        [*sources, source],
                        note.with_signatures(*answer.note.signatures),
                    )
        for sources, note in seen.values():
            found += self._judge(" and ".join(sources), note, None)
        return found

    def _all_witnesses(self) -> Iterator[ConfiguredWitness]:
        yield from self.witnesses
        if self.policy is not None:
            for witness in self.policy.witnesses:
                if witness.url is not None:
                    yield ConfiguredWitness(witness.key, witness.url)

    def _judge(self, source: str, note: Note, needed: VerifierKey | None) -> Anchors:
        """Believe a checkpoint, or say why not. `needed` has to have cosigned it."""
        try:
            known = Checkpoint.parse(note.text)
            asked = None if self.policy is None else self.policy.check(note)
        except NoteError as error:
            return _missing(source, f"it is no checkpoint: {error}")
        signers = [
            key
            for key in self.keys
            if key.name == known.origin and verified(note, key) is not None
        ]
        witnesses = [each.key for each in self._all_witnesses()]
        times = {
            key.name: found.timestamp_seconds or 0
            for key in witnesses
            if (found := verified(note, key)) is not None
        }
        if asked is not None and not asked.is_satisfied:
            why_not = f"the policy misses {asked.missing}"
        elif self.keys and not signers:
            why_not = f"no key that was given for {known.origin} has signed it"
        elif needed is not None and needed.name not in times:
            why_not = "it has not cosigned what it shows"
        elif wrong := [
            key.name
            for key in (*self.keys, *witnesses)
            if has_signature_of(note, key) and verified(note, key) is None
        ]:
            why_not = f"a signature of {wrong[0]} is wrong"
        elif known.size == 0:
            why_not = "it is of a log without entries"
        else:
            anchor = Anchor(
                source=source,
                origin=known.origin,
                size=known.size,
                root=known.root,
                detail=_signed_by(signers, times),
                witnessed_at=_moment(max(times.values())) if times else None,
            )
            return Anchors((anchor,))
        return _missing(source, why_not, known.size)


def compare(
    anchors: Anchors,
    roots: Mapping[int, bytes],
    *,
    promises: Mapping[str, int | None],
    first: int,
    last: int,
    is_whole: bool,
) -> Iterator[tuple[AnchorCheck, Finding | None]]:
    """Compare each anchor with the root that the log has at its size.

    `roots` are of the sizes from `first` to `last`; `is_whole` says that there is no
    more than that. `promises` has the log's origins, and up to which size it has to be
    what was signed under each.
    """
    for anchor in anchors.held:
        found = roots.get(anchor.size)
        detail, finding = anchor.detail, None
        result = CheckResult.PASSED
        agreed = promises.get(anchor.origin) if anchor.origin is not None else None
        if anchor.origin is not None and anchor.origin not in promises:
            result = CheckResult.NOT_CHECKED
            detail = f"it is of the log {anchor.origin}, which is another"
        elif agreed is not None and anchor.size > agreed:
            result = CheckResult.NOT_CHECKED
            detail = (
                f"it is of the epoch {anchor.origin}, of which all after entry"
                f" {agreed - 1} was lost: see the check `epoch`"
            )
        elif anchor.size < first:
            result = CheckResult.NOT_CHECKED
            detail = f"of so few entries; this run began with {first}"
        elif found is None and not (is_whole and anchor.size > last):
            result = CheckResult.NOT_CHECKED
            detail = "not as many entries were read"
        elif found != anchor.root:
            result = CheckResult.FAILED
            finding = _contradiction(anchor, found, last)
            detail = f"{finding.detail}; {anchor.detail}"
        yield (
            AnchorCheck(
                source=anchor.source,
                result=result,
                detail=detail,
                size=anchor.size,
                witnessed_at=anchor.witnessed_at,
            ),
            finding,
        )
    for missing in anchors.missing:
        yield missing, None


def _contradiction(anchor: Anchor, found: bytes | None, last: int) -> Finding:
    return Finding(
        seq=anchor.size - 1 if found is not None else last,
        reason=ErrorClass.CHECKPOINT,
        expected=anchor.root.hex() if found is not None else str(anchor.size),
        found=found.hex() if found is not None else str(last),
        detail=f"the first {anchor.size} entries are not those of which {anchor.source}"
        " has a checkpoint"
        if found is not None
        else f"{anchor.source} has a checkpoint of {anchor.size} entries: the end of"
        " the log is missing",
    )


def _latest(
    witness: ConfiguredWitness, origin: str
) -> Seen | NeverSeen | Refused | Unreachable:
    try:
        return witness_client.latest(
            witness.url, origin, timeout_seconds=TIMEOUT_SECONDS
        )
    except ValueError:
        # A policy may hold any word in its place.
        return Unreachable("its address is none")


NOBODY: Final = Trust()


def _signed_by(signers: Sequence[VerifierKey], times: Mapping[str, int]) -> str:
    said = (
        f"signed by {signers[0].name}"
        if signers
        else "its signature was not checked, for no key of the log was given"
    )
    for name, seconds in times.items():
        said += f", cosigned by {name} at {_moment(seconds):%F %T} UTC"
    return said


def _moment(seconds: int) -> datetime:
    # Witnesses may state any 63 bits.
    return datetime.fromtimestamp(min(seconds, 253_402_300_799), UTC)


def _missing(source: str, why_not: str, size: int | None = None) -> Anchors:
    check = AnchorCheck(
        source=source, result=CheckResult.NOT_CHECKED, detail=why_not, size=size
    )
    return Anchors((), (check,))


def _why_not(answer: NeverSeen | Refused | Unreachable, origin: str) -> str:
    match answer:
        case NeverSeen():
            return f"it has never seen a checkpoint of {origin}"
        case Refused(status, detail):
            return f"it refused with {status}: {detail}"
        case Unreachable(cause):
            return f"it did not answer: {cause}"
