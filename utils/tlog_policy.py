"""Trust policies (c2sp.org/tlog-policy): which logs, and how many witnesses of which.

A policy is written by who verifies, and never taken from who is verified.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Self

from utils.canonical_text import NoteError, from_decimal
from utils.checkpoint import Checkpoint
from utils.signed_note import (
    COSIGNATURE,
    ED25519,
    Note,
    VerifierKey,
    has_signature_of,
    verified,
)

# Of logs, of witnesses and of groups; 32 of each is what everybody should support.
MAX_OF_A_KIND: Final = 256
MAX_POLICY_CHARACTERS: Final = 256 * 1024
NO_QUORUM: Final = "none"

_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_BLANK = re.compile("[ \t]+")


@dataclass(frozen=True, slots=True)
class Witness:
    """`name` means something within the policy only; the key has a name of its own."""

    name: str
    key: VerifierKey
    url: str | None


@dataclass(frozen=True, slots=True)
class Group:
    """Has witnessed what at least `threshold` of its members have witnessed."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """`missing` says what a policy still asks for; it is empty if that is nothing.

    `witnesses` are those whose cosignatures are right, with the seconds since 1970
    that they stated, whether the quorum needed them or not. `wrong` names the keys
    whose signature is that of something else.
    """

    log: VerifierKey | None
    witnesses: tuple[tuple[str, int], ...]
    is_satisfied: bool
    missing: str
    wrong: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """What `parse` has read: every name in it is defined, and once only."""

    logs: tuple[VerifierKey, ...]
    witnesses: tuple[Witness, ...]
    groups: tuple[Group, ...]
    quorum: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a policy file. Raises NoteError, which names the line.

        Names are opaque: a file that is not UTF-8 can be read, if it was decoded with
        `surrogateescape`.
        """
        if len(text) > MAX_POLICY_CHARACTERS:
            raise NoteError(f"a policy has at most {MAX_POLICY_CHARACTERS} characters")
        *lines, unfinished = text.split("\n")
        if unfinished:
            # Half a quorum line would be another quorum.
            raise NoteError("the last line of a policy has no newline")
        reader = _Reader()
        for number, line in enumerate(lines, 1):
            try:
                reader.read(line)
            except NoteError as error:
                raise NoteError(f"line {number} of the policy: {error}") from error
        if reader.quorum is None:
            raise NoteError("a policy has a quorum line")
        return cls(
            tuple(reader.logs),
            tuple(reader.witnesses),
            tuple(reader.groups),
            reader.quorum,
        )

    def check(self, note: Note) -> PolicyResult:
        """Say whether to believe the checkpoint that the note is.

        A wrong signature of any key that the policy knows spoils the note, as the
        specification of notes asks for. Raises NoteError if the text is no checkpoint.
        """
        origin = Checkpoint.parse(note.text).origin
        log = next(
            (
                key
                for key in self.logs
                # A log speaks for itself, and not for another.
                if key.name == origin and verified(note, key)
            ),
            None,
        )
        seen = tuple(self._witnessed(note))
        keys = (*self.logs, *(witness.key for witness in self.witnesses))
        wrong = tuple(
            key.name
            for key in keys
            if has_signature_of(note, key) and not verified(note, key)
        )
        missing = [
            f"a right signature of {name} in place of a wrong one" for name in wrong
        ]
        if log is None:
            missing.append(f"a signature for {origin} by a log of the policy")
        if not self._is_quorum({name for name, _ in seen}):
            missing.append(f"enough cosignatures for the quorum {self.quorum!r}")
        return PolicyResult(
            log,
            seen,
            is_satisfied=not missing,
            missing="; ".join(missing),
            wrong=wrong,
        )

    def _witnessed(self, note: Note) -> Iterator[tuple[str, int]]:
        for witness in self.witnesses:
            found = verified(note, witness.key)
            if found is not None and found.timestamp_seconds is not None:
                yield witness.name, found.timestamp_seconds

    def _is_quorum(self, witnessed: set[str]) -> bool:
        if self.quorum == NO_QUORUM:
            return True
        # A group names only what stands above it, so one pass in order is enough.
        for group in self.groups:
            if len(witnessed.intersection(group.members)) >= group.threshold:
                witnessed.add(group.name)
        return self.quorum in witnessed


@dataclass(slots=True)
class _Reader:
    """What the lines have defined so far."""

    logs: list[VerifierKey] = field(default_factory=list)
    witnesses: list[Witness] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    quorum: str | None = None
    names: set[str] = field(default_factory=set)
    members: set[str] = field(default_factory=set)

    def read(self, line: str) -> None:
        if _FORBIDDEN.search(line):
            raise NoteError("a control character")
        words = _BLANK.split(line.strip(" \t"))
        if not words[0] or words[0].startswith("#"):
            return
        match words:
            case ["log", key] | ["log", key, _]:
                self._add_log(key)
            case ["witness", name, key] | ["witness", name, key, _]:
                self._add_witness(name, key, *words[3:])
            case ["group", name, threshold, *members] if members:
                self._add_group(name, threshold, members)
            case ["quorum", name]:
                self._set_quorum(name)
            case _:
                raise NoteError("neither a log, a witness, a group nor a quorum")
        most = max(len(self.logs), len(self.witnesses), len(self.groups))
        if most > MAX_OF_A_KIND:
            raise NoteError(f"more than {MAX_OF_A_KIND} of a kind")

    def _add_log(self, vkey: str) -> None:
        key = _key(vkey, ED25519)
        if any(log.public == key.public for log in self.logs):
            raise NoteError("the public key of a log that is defined already")
        self.logs.append(key)

    def _add_witness(self, name: str, vkey: str, url: str | None = None) -> None:
        key = _key(vkey, COSIGNATURE)
        if any(witness.key.public == key.public for witness in self.witnesses):
            raise NoteError("the public key of a witness that is defined already")
        self._define(name)
        self.witnesses.append(Witness(name, key, url))

    def _add_group(self, name: str, threshold: str, members: list[str]) -> None:
        for member in members:
            if member not in self.names:
                raise NoteError(f"{member!r} is not defined above")
            if member in self.members:
                # Otherwise one witness could count twice.
                raise NoteError(f"{member!r} is a member already")
            self.members.add(member)
        needed = {"any": 1, "all": len(members)}.get(threshold)
        if needed is None:
            needed = from_decimal(threshold)
        if not 1 <= needed <= len(members):
            raise NoteError(f"{needed} of {len(members)} members")
        self._define(name)
        self.groups.append(Group(name, needed, tuple(members)))

    def _set_quorum(self, name: str) -> None:
        if self.quorum is not None:
            raise NoteError("a second quorum")
        if name != NO_QUORUM and name not in self.names:
            raise NoteError(f"{name!r} is not defined above")
        self.quorum = name

    def _define(self, name: str) -> None:
        if name == NO_QUORUM or name in self.names:
            raise NoteError(f"the name {name!r} is taken")
        self.names.add(name)


def _key(vkey: str, algorithm: int) -> VerifierKey:
    key = VerifierKey.parse(vkey)
    if key.algorithm != algorithm:
        raise NoteError(f"a key of type {key.algorithm} instead of {algorithm}")
    return key
