"""Attacks that do not change the database: on those who check, and by what is left out.

Each returns who found it and how, or nothing where it went through.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from app import create_app
from models.database import Database
from services import witness_client
from services.checkpoint_files import read_keys
from services.receipt_service import ReceiptMalformedError, ReceiptService
from tests.bundles import Files, listed, unzipped
from tests.forgeries import examined
from tests.personas import Api
from tests.reports import observed, record
from tests.tamper.system import Attacked
from tests.witnesses import Log
from utils import merkle
from utils.blockchain_hasher import leaf_hash
from utils.tlog_proof import TlogProof

Deceive = Callable[[Attacked], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deception:
    number: int
    name: str
    finder: str
    deceive: Deceive


def _other_history(copy: Attacked) -> Log:
    """Rewrite what was witnessed, in the hands of who has stolen the log's key."""
    copy.sql(
        f"UPDATE audit_log SET payload = '{{}}' WHERE seq = {copy.system.submitted}"  # noqa: S608
    )
    copy.rehash(copy.system.submitted)
    (signer,) = read_keys(copy.files.keys).signers
    rows = copy.sql("SELECT hash FROM audit_log ORDER BY seq")
    return Log(
        signer=signer, leaves=[bytes(leaf) for (leaf,) in rows], origin=signer.name
    )


def show_another_history(copy: Attacked) -> str | None:
    forged, (_, seen) = _other_history(copy), copy.system.sizes
    return _refused(copy.system.witness.push(forged, seen, len(forged.leaves)))


def sign_the_same_size_twice(copy: Attacked) -> str | None:
    forged, (_, seen) = _other_history(copy), copy.system.sizes
    return _refused(copy.system.witness.push(forged, seen, seen))


def sign_a_shorter_log(copy: Attacked) -> str | None:
    forged, (seen, _) = _other_history(copy), copy.system.sizes
    return _refused(copy.system.witness.push(forged, seen, seen))


def _refused(answer: object) -> str | None:
    match answer:
        case witness_client.Refused(status, _):
            return f"refuses with {status}"
        case witness_client.Behind(size):
            return f"refuses: it has seen {size}"
        case _:
            return None


def serve_wrong_proofs(copy: Attacked) -> str | None:
    """Serve a receipt in which any one thing is another: none may be taken.

    What is added behind the signatures or left out of them proves nothing: then the
    receipt holds, and is called witnessed only if the witness's signature is there.
    """
    (key,) = read_keys(copy.files.keys).verifiers
    tried = 0
    with closing(Database(copy.settings)) as database:
        service = ReceiptService(database, [str(key)], copy.system.policy)
        for forged in _forged(copy.system.receipt):
            tried += 1
            try:
                report = service.check_receipt(forged)
                if report.is_valid and report.is_witnessed:
                    return None
            except ReceiptMalformedError:
                pass
    return f"refuses all of {tried}"


def _forged(receipt: str) -> Iterator[str]:
    """Change each letter, cut at each line, leave out and double each line."""
    for place, letter in enumerate(receipt):
        other = "A" if letter != "A" else "B"
        yield receipt[:place] + other + receipt[place + 1 :]
    lines = receipt.splitlines(keepends=True)
    for number in range(len(lines)):
        yield "".join(lines[:number])
        yield "".join(lines[:number] + lines[number + 1 :])
        if not lines[number].startswith("— "):
            # A signature may well stand twice: it is as good as one.
            yield "".join([*lines[: number + 1], *lines[number:]])


def offer_an_inner_node(copy: Attacked) -> str | None:
    """Offer two neighbours' hashes, glued together, as an entry: a second preimage."""
    receipt = TlogProof.parse(copy.system.receipt.encode())
    checkpoint = receipt.checkpoint()
    leaves = [
        bytes(leaf) for (leaf,) in copy.sql("SELECT hash FROM audit_log ORDER BY seq")
    ]
    pair = receipt.index - receipt.index % 2
    glued = leaves[pair] + leaves[pair + 1]
    accepted = [
        (index, skipped)
        for index in range(checkpoint.size)
        for skipped in range(len(receipt.proof) + 1)
        if merkle.verify_inclusion(
            index,
            checkpoint.size,
            leaf_hash(glued),
            receipt.proof[skipped:],
            checkpoint.root,
        )
    ]
    return None if accepted else f"refuses it at all of {checkpoint.size} places"


def forge_a_bundle(copy: Attacked) -> str | None:
    """Change a digit in a file of a board's bundle, and the list of digests with it."""
    files = unzipped(copy.system.bundle)
    said = []
    for name in sorted(files):
        # The pages for people and the manifest are made from the others, and verify.py
        # says that it has not read them.
        if name not in ("README.txt", "report.html", "verify.py", "manifest.json"):
            forged = _with_a_digit_changed(files, name)
            if forged is None:
                continue
            report = examined(forged)
            if not report.problems:
                return None
            said.append(name)
    return f"names each of {len(said)} files"


def _with_a_digit_changed(files: Files, name: str) -> Files | None:
    content = files[name]
    for place, byte in enumerate(content):
        if chr(byte).isdigit() and b": " not in content[place - 2 : place]:
            changed = content[:place] + (b"7" if byte != ord("7") else b"8")
            return listed(files | {name: changed + content[place + 1 :]})
    return None


def withhold_an_event(copy: Attacked) -> str | None:
    """Let the client's third report never arrive, or drop it before it is written."""
    app = create_app(copy.application())
    try:
        alice = Api(app).as_(copy.system.cast["alice"])
        reply = record(alice, copy.system.cast.paper, observed(20))
    finally:
        app.extensions["database"].close()
    missing = reply["missing_sequences"]
    return f"misses the numbers {missing[0]} to {missing[-1]}" if missing else None


DECEPTIONS: Final = (
    Deception(
        number=11,
        name="another history is shown to the witness, signed with the log's own key",
        finder="witness",
        deceive=show_another_history,
    ),
    Deception(
        number=11,
        name="a second history of the size that it has seen",
        finder="witness",
        deceive=sign_the_same_size_twice,
    ),
    Deception(
        number=24,
        name="who has stolen the key signs a shorter log",
        finder="witness",
        deceive=sign_a_shorter_log,
    ),
    Deception(
        number=20,
        name="a server gives out receipts in which one thing is another",
        finder="whoever checks",
        deceive=serve_wrong_proofs,
    ),
    Deception(
        number=21,
        name="an inner node of the tree is offered as an entry",
        finder="whoever checks",
        deceive=offer_an_inner_node,
    ),
    Deception(
        number=20,
        name="files of a bundle are replaced, and its list of digests with them",
        finder="verify.py",
        deceive=forge_a_bundle,
    ),
    Deception(
        number=25,
        name="an event is dropped before it is written",
        finder="the next report",
        deceive=withhold_an_event,
    ),
)
