"""Compares the log with its Merkle tree: with the tiles, and with what was signed.

The log is read in parts, each of which is a subtree: so any process can hash one. What
a part tells of itself is put together here, with 32 bytes for each part in memory.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from models.audit_source import TreeSource
from models.audit_tree import SignedSize
from services.audit_findings import ErrorClass, Finding
from utils.canonical_text import to_base64
from utils.merkle import HASH_BYTES, Frontier, joined
from utils.signed_note import Note, NoteError, VerifierKey, verified
from utils.subtree import Row, Subtree, rows_above
from utils.tiles import HEIGHT, WIDTH, TileId, width_at

# Of each part so many are told, and all are counted.
MAX_OBJECTIONS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be found out about a part, beyond its entries.

    `height` is that of a whole part's subtree; `known` is its frontier over entries
    before the part. `sizes` are those for which a root is wanted, and `promised` is the
    size that was signed last, under one of the `origins`.
    """

    height: int
    origins: frozenset[str] = frozenset()
    known: tuple[bytes, ...] = ()
    sizes: tuple[int, ...] = ()
    promised: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """What was signed for a size, and the root over those entries in the part."""

    size: int
    root: bytes
    inner: bytes


@dataclass(slots=True, kw_only=True)
class Chunk:
    """A part's share of the tree, up to `end`. It travels between processes."""

    end: int
    frontier: tuple[bytes, ...]
    claims: list[Claim] = field(default_factory=list)
    # For each of the sizes that were wanted, the root over those entries in the part.
    inner: dict[int, bytes] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    # Checkpoints to which there is an objection, and of which no finding tells.
    objections: int = 0
    tiles: int = 0
    # How many bytes of the tiles were compared, by level.
    compared: Counter[int] = field(default_factory=Counter)


def grow_chunk(
    stored: TreeSource, wanted: Wanted, *, base: int, first: int, leaves: bytes
) -> Chunk:
    """Hash the leaves from `first` on, in the subtree that begins at `base`."""
    subtree = Subtree(first - base, wanted.known, leaves)
    end = base + subtree.size
    chunk = Chunk(end=end, frontier=tuple(subtree.frontier(subtree.size)))
    chunk.inner = {
        size: subtree.root(size - base) for size in wanted.sizes if first < size <= end
    }
    checkpoints = stored.checkpoints(after=first, until=end)
    for signed in checkpoints:
        inner = subtree.root(signed.size - base)
        chunk.claims.append(Claim(signed.size, signed.root, inner))
    objections = list(_objections(wanted.origins, checkpoints))
    chunk.findings += objections[:MAX_OBJECTIONS]
    chunk.objections = len(objections[MAX_OBJECTIONS:])
    for row in subtree.new_rows(HEIGHT):
        # From its root upwards whoever puts the parts together compares them.
        if row.hashes and row.level < wanted.height:
            shifted = Row(row.level, row.first + (base >> row.level), row.hashes)
            found, tiles, compared = compare_tiles(stored, shifted, wanted.promised)
            chunk.findings += found
            chunk.tiles += tiles
            chunk.compared[row.level // HEIGHT] += compared
    return chunk


def _objections(
    origins: frozenset[str], checkpoints: Sequence[SignedSize]
) -> Iterator[Finding]:
    """See that each note is of the tree that its row names, and of this log.

    Who signed them is not looked at: a row that agrees with the log proves nothing by a
    signature, and each would take longer than a hundred entries.
    """
    before = None
    for signed in checkpoints:
        if signed.size == before:
            yield _misstated(signed, detail="two checkpoints are of one size")
        before = signed.size
        origin, *stated = signed.note.split("\n")[:3]
        if stated != [str(signed.size), to_base64(signed.root)]:
            yield _misstated(
                signed,
                expected=" ".join(stated)[:200],
                found=f"{signed.size} {to_base64(signed.root)}",
                detail="the note of a checkpoint is not of the tree that its row names",
            )
        elif origins and origin not in origins:
            yield _misstated(
                signed,
                expected=", ".join(sorted(origins))[:200],
                found=origin[:200],
                detail="the note of a checkpoint is of another log",
            )


def compare_tiles(
    stored: TreeSource, row: Row, promised: int
) -> tuple[list[Finding], int, int]:
    """Compare the tiles that are stored with the nodes of a level.

    What was promised has to be there. Returns also how many tiles there were, and how
    many of their bytes are of these nodes.
    """
    level = row.level // HEIGHT
    first, last = row.first // WIDTH, (row.end - 1) // WIDTH
    tiles = stored.tiles(level=level, first=first, last=last)
    found, compared = dict(tiles), 0
    findings = [
        _tile(level, index, index * WIDTH, "stands there twice")
        for index, count in Counter(index for index, _ in tiles).items()
        if count > 1
    ]
    for index in range(first, last + 1):
        start = max(row.first, index * WIDTH)
        end = min(row.end, (index + 1) * WIDTH)
        ours = row.hashes[
            (start - row.first) * HASH_BYTES : (end - row.first) * HASH_BYTES
        ]
        offset = index * WIDTH
        theirs = found.get(index, b"")[
            (start - offset) * HASH_BYTES : (end - offset) * HASH_BYTES
        ]
        compared += len(theirs)
        due = width_at(promised, TileId(level, index)) - (start - offset)
        if len(theirs) < min(len(ours), due * HASH_BYTES):
            findings.append(_tile(level, index, start, "ends too early"))
        elif ours[: len(theirs)] != theirs:
            where = start + next(
                place
                for place in range(end - start)
                if ours[place * HASH_BYTES : (place + 1) * HASH_BYTES]
                != theirs[place * HASH_BYTES : (place + 1) * HASH_BYTES]
            )
            findings.append(_tile(level, index, where, "has another hash"))
    return findings, len(found), compared


class LogTree:
    """The tree of the whole log, whose parts come in order.

    `part_height` says how large their subtrees are; `size` and `frontier` are of the
    tree that it goes on from.
    """

    def __init__(
        self, part_height: int, size: int = 0, frontier: Sequence[bytes] = ()
    ) -> None:
        self._height = part_height
        whole = size >> part_height
        self.start = self.size = size
        # The frontier of the parts that are whole, and of the one that is not yet.
        self._parts = Frontier.restore(whole, frontier[: whole.bit_count()])
        self.rest = tuple(frontier[whole.bit_count() :])
        self._first_part = whole
        self._part_roots = bytearray()
        self.findings: list[Finding] = []
        # The checkpoints that contradict the log, and of which no finding tells.
        self.contradicted = 0
        self._first_contradicting: int | None = None
        # The stored checkpoints that agree: how many, and the size of the largest.
        self.agreeing = 0
        self.newest_agreeing = 0
        self.signed_by = ""
        self.tiles = 0
        self._compared: Counter[int] = Counter()
        # For each size that was wanted, the root that the log has there.
        self.roots: dict[int, bytes] = {size: self.root()}

    def frontier(self) -> tuple[bytes, ...]:
        return (*self._parts.hashes, *self.rest)

    def root(self) -> bytes:
        return joined(self.frontier())

    def take(self, chunk: Chunk) -> None:
        before = self._parts.hashes
        for size, inner in chunk.inner.items():
            self.roots[size] = joined([*before, inner])
        for claim in chunk.claims:
            root = joined([*before, claim.inner])
            if root == claim.root:
                self.agreeing += 1
                self.newest_agreeing = claim.size
            else:
                self._contradict(claim, root)
        self.findings += chunk.findings
        self.contradicted += chunk.objections
        self.tiles += chunk.tiles
        self._compared += chunk.compared
        self.size, self.rest = chunk.end, chunk.frontier
        if not chunk.end % (1 << self._height):
            self._parts.append(*chunk.frontier)
            self._part_roots += chunk.frontier[0]
            self.rest = ()

    def finish(
        self,
        stored: TreeSource,
        log_keys: Sequence[VerifierKey],
        *,
        reaches_end: bool,
    ) -> None:
        """Compare what is above the parts, and what lies behind the log's end."""
        promised = stored.newest_checkpoint()
        roots = Row(self._height, self._first_part, bytes(self._part_roots))
        for row in rows_above(roots, HEIGHT):
            found, tiles, compared = compare_tiles(stored, row, promised)
            self.findings += found
            self.tiles += tiles
            self._compared[row.level // HEIGHT] += compared
        if reaches_end:
            self._compare_end(stored)
        if reaches_end and self.start == 0:
            self._compare_amounts(stored)
        self.signed_by = _who_signed(stored, self.newest_agreeing, log_keys)
        # A contradiction is evidence if it bears a signature.
        if (size := self._first_contradicting) is not None:
            says = _who_signed(stored, size, log_keys)
            self.findings = [
                replace(each, detail=f"{each.detail}; {says}")
                if each.reason is ErrorClass.CHECKPOINT
                else each
                for each in self.findings
            ]

    def _contradict(self, claim: Claim, root: bytes) -> None:
        if self._first_contradicting is not None:
            self.contradicted += 1
            return
        self._first_contradicting = claim.size
        since = self.newest_agreeing
        before = f"the one of {since} agrees" if since else "none of fewer agrees"
        self.findings.append(
            Finding(
                seq=since,
                reason=ErrorClass.CHECKPOINT,
                expected=claim.root.hex(),
                found=root.hex(),
                detail=f"the checkpoint of {claim.size} entries is of another log, and"
                f" {before}: the change is among the entries {since} to"
                f" {claim.size - 1}",
            )
        )

    def _compare_amounts(self, stored: TreeSource) -> None:
        """See that nothing is stored that has no place in the tree."""
        if count := stored.checkpoints_of_nothing():
            self.contradicted += count - 1
            self.findings.append(
                Finding(
                    seq=0,
                    reason=ErrorClass.CHECKPOINT,
                    detail=f"{count} checkpoints name a size that no log has",
                )
            )
        if any(each.reason is ErrorClass.ROOT for each in self.findings):
            # What is in its place is wrong already.
            return
        for level, there in stored.bytes_by_level().items():
            compared = 0 if level is None else self._compared[level]
            if there != compared:
                self.findings.append(
                    Finding(
                        seq=0,
                        reason=ErrorClass.ROOT,
                        expected=f"{compared} bytes",
                        found=f"{there} bytes",
                        detail=f"there are tiles of level {level} that the tree has"
                        " not: `python -m checkpointer rebuild-tiles` makes all anew",
                    )
                )

    def _compare_end(self, stored: TreeSource) -> None:
        count, smallest = stored.checkpoints_beyond(self.size)
        if smallest is not None:
            self.contradicted += count - 1
            if self._first_contradicting is None:
                self._first_contradicting = smallest
            self.findings.append(
                Finding(
                    seq=self.size,
                    reason=ErrorClass.CHECKPOINT,
                    expected=str(smallest),
                    found=str(self.size),
                    detail=f"a checkpoint of {smallest} entries was signed: the end of"
                    " the log is missing",
                )
            )
        tiled = stored.tiled_size()
        if tiled > self.size:
            self.findings.append(
                Finding(
                    seq=self.size,
                    reason=ErrorClass.ROOT,
                    expected=str(tiled),
                    found=str(self.size),
                    detail="the tree knows of more entries than the log has",
                )
            )


def _who_signed(stored: TreeSource, size: int, keys: Sequence[VerifierKey]) -> str:
    signed = stored.checkpoint(size)
    if signed is None:
        return ""
    if not keys:
        return "its signature was not checked, for no key of the log was given"
    try:
        note = Note.parse(signed.note.encode())
    except NoteError:
        return "it is no signed note"
    names = [key.name for key in keys if verified(note, key) is not None]
    return f"it is signed by {names[0]}" if names else "no key that is known signed it"


def _misstated(
    signed: SignedSize,
    *,
    detail: str,
    expected: str | None = None,
    found: str | None = None,
) -> Finding:
    return Finding(
        seq=signed.size - 1,
        reason=ErrorClass.CHECKPOINT,
        expected=expected,
        found=found,
        detail=detail,
    )


def _tile(level: int, index: int, node: int, what: str) -> Finding:
    return Finding(
        seq=node << HEIGHT * level,
        reason=ErrorClass.ROOT,
        detail=f"tile {index} of level {level} {what}: if all else holds,"
        " `python -m checkpointer rebuild-tiles` makes it anew",
    )
