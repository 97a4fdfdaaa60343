"""Ways to change a bundle, and the manifest with it, as whoever has the code can."""

from collections.abc import Callable

from tests.bundles import Files, edited, listed
from tests.exams import Json
from verifier import verify as verifier

# Of the log that tests.bundles writes: the checkpoint covers all of it.
SIZE = 13
ENTRIES, PROOFS = "entries.jsonl", "proofs.jsonl"

Forgery = Callable[[Files], Files]


def line(name: str, number: int, change: Callable[[Json], object]) -> Forgery:
    """Change one line of a file, and the manifest with it."""
    return lambda files: listed(files | {name: edited(files[name], number, change)})


def without(name: str, number: int) -> Forgery:
    def forge(files: Files) -> Files:
        kept = files[name].splitlines(keepends=True)
        del kept[number]
        count = {"entries": len(kept)} if name == ENTRIES else {}
        return listed(files | {name: b"".join(kept)}, **count)

    return forge


def put(name: str, content: bytes) -> Forgery:
    return lambda files: listed(files | {name: content})


def swapped(name: str) -> Forgery:
    def forge(files: Files) -> Files:
        first, second, *others = files[name].splitlines(keepends=True)
        return listed(files | {name: b"".join([second, first, *others])})

    return forge


def set_to(name: str, value: object) -> Callable[[Json], object]:
    return lambda record: record.update({name: value})


def examined(
    files: Files, policy: str | None = None, fingerprint: str | None = None
) -> verifier.Report:
    report = verifier.Report("a bundle")
    verifier.check_bundle(files, policy, fingerprint, report)
    return report
