"""Which logs are believed, and how many witnesses must have seen: C2SP tlog-policy.

https://c2sp.org/tlog-policy
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from utils.checkpoint import Checkpoint
from utils.signed_note import (
    COSIGNATURE,
    ED25519,
    Note,
    NoteError,
    Verified,
    VerifierKey,
    verified,
)

NO_QUORUM: Final = "none"
MAX_POLICY_BYTES: Final = 64 * 1024
FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
BLANK: Final = re.compile(r"[ \t]+")


@dataclass(frozen=True, slots=True)
class Group:
    """So many of its members have to have witnessed."""

    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Peer:
    """A log or a witness, and where it is asked, if the policy says so."""

    key: VerifierKey
    url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyResult:
    """What a note has of what the policy asks for.

    `log` is the key that signed it, None if no believed log did. `witnesses` are the
    names of those whose cosignatures hold, with their seconds since 1970.
    """

    log: VerifierKey | None
    witnesses: Sequence[tuple[str, int]]
    is_satisfied: bool
    # What is missing, in a sentence; empty if nothing is.
    missing: str


@dataclass(slots=True)
class Policy:
    """Rules for believing a checkpoint."""

    logs: list[Peer] = field(default_factory=list)
    witnesses: dict[str, Peer] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    quorum: str = NO_QUORUM

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a policy. Raises NoteError, which names the line."""
        if len(text.encode()) > MAX_POLICY_BYTES:
            raise NoteError(f"a policy has at most {MAX_POLICY_BYTES} bytes")
        policy = cls()
        reader = _PolicyReader(policy)
        for number, line in enumerate(text.split("\n"), start=1):
            try:
                reader.read(line)
            except NoteError as error:
                raise NoteError(f"line {number} of the policy: {error}") from error
        if not reader.has_quorum:
            raise NoteError("a policy has a quorum line")
        return policy

    def check(self, note: Note) -> PolicyResult:
        """Judge a checkpoint. Raises NoteError if the note is none."""
        origin = Checkpoint.parse(note.text).origin
        log = next(
            (
                peer.key
                for peer in self.logs
                # Another log's signature proves nothing about this one.
                if peer.key.name == origin and verified(note, peer.key)
            ),
            None,
        )
        seen = {
            name: found
            for name, peer in self.witnesses.items()
            if (found := verified(note, peer.key)) is not None
        }
        has_quorum = self._has_witnessed(self.quorum, seen)
        missing = []
        if log is None:
            missing.append(f"no believed log has signed for {origin}")
        if not has_quorum:
            absent = ", ".join(sorted(set(self.witnesses) - set(seen)))
            missing.append(f"the quorum {self.quorum} is not met without {absent}")
        return PolicyResult(
            log=log,
            witnesses=[
                (name, found.timestamp_seconds or 0) for name, found in seen.items()
            ],
            is_satisfied=not missing,
            missing="; ".join(missing),
        )

    def render(self) -> str:
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        for log in self.logs:
            yield " ".join(filter(None, ("log", str(log.key), log.url)))
        for name, witness in self.witnesses.items():
            words = ("witness", name, str(witness.key), witness.url)
            yield " ".join(filter(None, words))
        for name, group in self.groups.items():
            yield " ".join(("group", name, str(group.threshold), *group.members))
        yield f"quorum {self.quorum}"

    def _has_witnessed(self, name: str, seen: Mapping[str, Verified]) -> bool:
        if name == NO_QUORUM:
            return True
        group = self.groups.get(name)
        if group is None:
            return name in seen
        # No name is in two groups, so this ends, and counts nobody twice.
        count = sum(self._has_witnessed(each, seen) for each in group.members)
        return count >= group.threshold


@dataclass(slots=True)
class _PolicyReader:
    """Fills a policy line by line: what a line names must stand above it."""

    policy: Policy
    has_quorum: bool = False
    # Who is in a group already: in two of them he would count twice.
    members: set[str] = field(default_factory=set)

    def read(self, line: str) -> None:
        if FORBIDDEN.search(line):
            raise NoteError("control characters are not allowed")
        words = BLANK.split(line.strip(" \t"))
        if words == [""] or words[0].startswith("#"):
            return
        match words:
            case ["log", key, *url] if len(url) <= 1:
                self._add_log(key, url)
            case ["witness", name, key, *url] if len(url) <= 1:
                self._add_witness(name, key, url)
            case ["group", name, threshold, *names] if names:
                self._add_group(name, threshold, names)
            case ["quorum", name] if not self.has_quorum:
                self._require_known(name)
                self.policy.quorum, self.has_quorum = name, True
            case _:
                raise NoteError("is none of log, witness, group, one quorum")

    def _add_log(self, key: str, url: Sequence[str]) -> None:
        found = VerifierKey.parse(key)
        if found.algorithm != ED25519:
            raise NoteError("a log's key has type 1")
        if any(peer.key.public == found.public for peer in self.policy.logs):
            raise NoteError("the log's key is there already")
        self.policy.logs.append(Peer(found, url[0] if url else None))

    def _add_witness(self, name: str, key: str, url: Sequence[str]) -> None:
        self._require_new(name)
        found = VerifierKey.parse(key)
        if found.algorithm != COSIGNATURE:
            raise NoteError("a witness's key has type 4")
        if any(
            peer.key.public == found.public for peer in self.policy.witnesses.values()
        ):
            raise NoteError("the witness's key is there already")
        self.policy.witnesses[name] = Peer(found, url[0] if url else None)

    def _add_group(self, name: str, threshold: str, names: Sequence[str]) -> None:
        self._require_new(name)
        for each in names:
            if each == NO_QUORUM:
                raise NoteError(f"{NO_QUORUM} is no member")
            self._require_known(each)
            if each in self.members:
                raise NoteError(f"{each} is a member already")
            self.members.add(each)
        match threshold:
            case "all":
                count = len(names)
            case "any":
                count = 1
            case _ if re.fullmatch(r"[1-9][0-9]{0,3}", threshold):
                count = int(threshold)
            case _:
                raise NoteError("a group needs all, any or a number")
        if count > len(names):
            raise NoteError("a group can not need more members than it has")
        self.policy.groups[name] = Group(count, tuple(names))

    def _require_new(self, name: str) -> None:
        if (
            name == NO_QUORUM
            or name in self.policy.witnesses
            or name in self.policy.groups
        ):
            raise NoteError(f"{name} is taken")

    def _require_known(self, name: str) -> None:
        if name not in self._names():
            raise NoteError(f"{name} is not defined above")

    def _names(self) -> set[str]:
        return {NO_QUORUM, *self.policy.witnesses, *self.policy.groups}
