"""Compares the tree over the entries that were read with what others have of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from models.audit_snapshot import ReadInterruptedError
from models.audit_source import TreeSource
from services.audit_anchors import Anchors, compare
from services.audit_check import RangeResult
from services.audit_findings import (
    AnchorCheck,
    CheckResult,
    ErrorClass,
    Finding,
    TreeEnd,
)
from services.audit_report import TreeReport
from services.audit_tree import LogTree
from utils.signed_note import VerifierKey


@dataclass(frozen=True, slots=True)
class Names:
    """Which log it is, and under which origin it is signed now.

    `promises` has all origins that it has had: up to which size it has to be what was
    signed under each (None: all of it).
    """

    log_id: bytes
    origin: str
    promises: Mapping[str, int | None]


def compare_tree(
    tree: LogTree | None,
    stored: TreeSource,
    result: RangeResult,
    *,
    anchors: Anchors,
    log_keys: Sequence[VerifierKey],
    names: Names,
    reaches_end: bool,
) -> tuple[TreeReport, list[Finding]]:
    """Compare with the tables of tiles and checkpoints, and with the anchors."""
    if result.interruption is not None:
        return not_compared(anchors, f"reading stopped: {result.interruption}"), []
    if result.entries == 0:
        return not_compared(anchors, "no entry was read"), []
    if tree is None:
        return not_compared(anchors, "the range does not begin with entry 0"), []
    try:
        tree.finish(stored, log_keys, reaches_end=reaches_end)
    except ReadInterruptedError as error:
        result.interruption = str(error)
        return not_compared(anchors, f"reading stopped: {error}"), []
    # They are errors as well, of which no finding tells.
    result.counts[ErrorClass.CHECKPOINT] += tree.contradicted
    compared = list(
        compare(
            anchors,
            tree.roots,
            promises={names.origin: None, **names.promises},
            first=tree.start,
            last=tree.size,
            is_whole=reaches_end,
        )
    )
    report = TreeReport(
        end=TreeEnd(
            origin=names.origin,
            log_id=names.log_id,
            size=tree.size,
            root=tree.root(),
            frontier=tree.frontier(),
            last_hash=result.last_hash or b"",
            last_time_us=result.last_time_us or 0,
        ),
        tiles=f"{tree.tiles} tiles agree" if tree.tiles else "",
        checkpoints=f"{tree.agreeing} of this database agree, the largest of"
        f" {tree.newest_agreeing} entries; {tree.signed_by}"
        if tree.agreeing
        else "",
        anchors=tuple(check for check, _ in compared),
    )
    contradictions = [finding for _, finding in compared if finding is not None]
    return report, [*tree.findings, *contradictions]


def not_compared(anchors: Anchors, why_not: str) -> TreeReport:
    """Report that no tree was made, and so no anchor holds."""
    return TreeReport(
        why_not=why_not, anchors=tuple(_held_for_nothing(anchors, why_not))
    )


def _held_for_nothing(anchors: Anchors, why_not: str) -> Iterator[AnchorCheck]:
    for anchor in anchors.held:
        yield AnchorCheck(
            source=anchor.source,
            result=CheckResult.NOT_CHECKED,
            detail=why_not,
            size=anchor.size,
            witnessed_at=anchor.witnessed_at,
        )
    yield from anchors.missing
