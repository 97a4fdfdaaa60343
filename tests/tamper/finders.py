"""Who looks for an attack, with what the product has."""

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Final

from checkpointer.__main__ import ROLE
from models.database import Database
from services.audit_anchors import Trust
from services.audit_findings import CheckResult, Finding
from services.audit_verification import Outside, verify
from services.checkpoint_files import read_keys
from services.checkpointer import Checkpointer, RefusedError
from services.receipt_service import ReceiptService
from services.witnessing import Witnessing
from tests.tamper.attacks import ANCHOR, CHAIN, RECEIPT, ROWS, SIGNER
from tests.tamper.system import Attacked

# What is found, in a few words; None if nothing is.
Finder = Callable[[Attacked], str | None]


def in_the_chain(copy: Attacked) -> str | None:
    """`GET /api/blockchain/verify`: the log against itself."""
    return _places(verify(copy.settings).errors)


def in_the_rows(copy: Attacked) -> str | None:
    """`verify?deep=true`: other tables against the log."""
    found = verify(copy.settings, deep=True).errors
    without = verify(copy.settings).errors
    return _places(each for each in found if each not in without)


def by_an_anchor(copy: Attacked) -> str | None:
    """`flask audit verify --witness`: the log against what a witness has seen."""
    trust = Trust(
        log_keys=read_keys(copy.files.keys).verifiers,
        witnesses=(copy.system.configured,),
    )
    outside = Outside(anchors=trust.ask(), log_keys=trust.log_keys)
    found = verify(copy.settings, outside=outside)
    refused = [each for each in found.anchors if each.result is not CheckResult.PASSED]
    # It names the witness, and when that signed: of no news here.
    return refused[0].detail.partition(" of which ")[0][:60] if refused else None


def by_the_signer(copy: Attacked) -> str | None:
    """`python -m checkpointer`: the log against what was signed and witnessed."""
    with closing(Database(replace(copy.settings, role=ROLE))) as database:
        checkpointer = Checkpointer(database, copy.files)
        try:
            checkpointer.begin(is_thorough=True)
            Witnessing(database, [copy.system.configured]).compare(
                checkpointer.size, checkpointer.verifiers
            )
            # What is new is read before it is signed, and signed for nobody here.
            checkpointer.advance(checkpointer.look())
        except RefusedError as error:
            return _shortly(str(error))
    return None


def by_the_receipt(copy: Attacked) -> str | None:
    """`POST /api/blockchain/receipts/verify`: what a student has taken home."""
    vkeys = [str(key) for key in read_keys(copy.files.keys).verifiers]
    with closing(Database(copy.settings)) as database:
        report = ReceiptService(database, vkeys).check_receipt(copy.system.receipt)
    failed = [each.name for each in report.checks if each.result is CheckResult.FAILED]
    return f"{', '.join(failed)} at {report.audit_seq}" if failed else None


def _shortly(message: str) -> str:
    """Leave of why the signer refuses what tells one reason from another."""
    sentence = message.partition(". ")[0].partition(": ")
    place = re.search(r"entry (\d+): (\w+)", message)
    return f"refuses: {place[2]} at {place[1]}" if place else f"refuses: {sentence[0]}"


FINDERS: Final[Mapping[str, Finder]] = {
    CHAIN: in_the_chain,
    ROWS: in_the_rows,
    ANCHOR: by_an_anchor,
    SIGNER: by_the_signer,
    RECEIPT: by_the_receipt,
}


def _places(findings: Iterable[Finding]) -> str | None:
    places = [f"{each.reason} at {each.seq}" for each in findings]
    more = f" and {len(places) - 2} more" if len(places) > 2 else ""
    return ", ".join(places[:2]) + more if places else None
