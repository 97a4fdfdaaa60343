"""The policy by which one of our programs calls a checkpoint witnessed.

A C2SP tlog-policy that names a log and a quorum. Whoever checks a receipt or a bundle
brings a policy of his own: this one only says what the operator claims.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self

from utils.canonical_text import NoteError
from utils.signed_note import Note
from utils.tlog_policy import NO_QUORUM, Policy

NO_POLICY: Final = "this server was given no policy (WITNESS_POLICY_FILE)"
# The last second that a calendar has: a witness may state any number.
LAST_SECOND: Final = 253_402_300_799


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A witness, by its name in the policy, and when it says that it signed."""

    name: str
    cosigned_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a policy says of a note. `missing`: what it still asks for, None: nothing.

    `wrong` names the keys of the policy under whose name something else was signed.
    """

    witnesses: tuple[Cosignature, ...] = ()
    is_witnessed: bool = False
    missing: str | None = None
    wrong: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WitnessPolicy:
    """`text` is the file as it was read, letter by letter: its SHA-256 is published."""

    text: str
    policy: Policy

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a policy that asks for something. Raises NoteError."""
        policy = Policy.parse(text)
        if not policy.logs:
            raise NoteError("no log line, so it believes no checkpoint")
        if policy.quorum == NO_QUORUM:
            raise NoteError("quorum none asks for no witness, so it judges none")
        return cls(text, policy)

    def judge(self, note: Note) -> Standing:
        """Raises NoteError if the text of the note is no checkpoint."""
        found = self.policy.check(note)
        return Standing(
            witnesses=tuple(
                Cosignature(name, datetime.fromtimestamp(min(at, LAST_SECOND), UTC))
                for name, at in found.witnesses
            ),
            is_witnessed=found.is_satisfied,
            missing=found.missing or None,
            wrong=found.wrong,
        )


def judge(policy: WitnessPolicy | None, note: str) -> Standing:
    """Judge a note as it is stored, which somebody may have damaged."""
    if policy is None:
        return Standing(missing=NO_POLICY)
    try:
        return policy.judge(Note.parse(note.encode()))
    except NoteError as error:
        return Standing(missing=f"a note that can be read: {error}")
