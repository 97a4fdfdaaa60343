"""verifier/verify.py as a panel runs it: on any Python, and on whatever it is given."""

import ast
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.bundles import (
    POLICY,
    VERIFY_PY,
    Files,
    Log,
    as_json,
    bundle,
    listed,
    written_log,
    zipped,
)
from tests.forgeries import SIZE, examined, line, put, set_to
from verifier import verify as verifier

PYENV = Path.home() / ".pyenv" / "versions"


@pytest.fixture(scope="module")
def log() -> Log:
    return written_log()


@pytest.fixture(scope="module")
def files(log: Log) -> Files:
    return bundle(log, SIZE)


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "policy"
    path.write_text(POLICY)
    return str(path)


def run(
    *arguments: object, python: str = sys.executable, program: Path = VERIFY_PY
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-I", "-S", str(program), *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def pythons() -> list[str]:
    """List the Pythons of this machine that the program is written for."""
    names = [f"python3.{minor}" for minor in range(8, 15)]
    homes = sorted(PYENV.glob("3.*/bin")) if PYENV.is_dir() else []
    found = [str(home / "python3") for home in homes if is_supported(home)]
    found += [path for name in names if (path := shutil.which(name)) and is_one(path)]
    return sorted({sys.executable, *found})


def is_one(path: str) -> bool:
    """Say whether it runs: a manager of Pythons puts names where there is none."""
    return (
        subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode
        == 0
    )


def is_supported(home: Path) -> bool:
    return 8 <= int(home.parent.name.split(".")[1]) <= 14


@pytest.mark.parametrize("python", pythons())
def test_it_runs_wherever_there_is_a_python(
    files: Files, policy: str, tmp_path: Path, python: str
) -> None:
    archive = tmp_path / "evidence.zip"
    archive.write_bytes(zipped(files))

    good = run(archive, "--policy", policy, "--json", python=python)
    alone = run(archive, python=python)
    archive.write_bytes(
        zipped(line("entries.jsonl", 3, set_to("payload", "{}"))(files))
    )
    bad = run(archive, "--json", python=python)

    assert good.stderr == alone.stderr == bad.stderr == ""
    assert json.loads(good.stdout)["verdict"] == "consistent_with_anchor"
    assert "INTERNALLY CONSISTENT" in alone.stdout
    assert json.loads(bad.stdout)["problems"][0]["entry"] == 5
    assert [each.returncode for each in (good, alone, bad)] == [0, 0, 1]


def test_it_is_written_for_old_pythons_and_needs_nothing_else() -> None:
    tree = ast.parse(VERIFY_PY.read_text(encoding="utf-8"), feature_version=(3, 8))

    imported = {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
    }
    assert imported <= sys.stdlib_module_names
    assert not imported & {"socket", "ssl", "urllib", "http", "subprocess", "ctypes"}


def test_without_a_bundle_it_checks_where_it_lies(
    files: Files, policy: str, tmp_path: Path
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / ".DS_Store").write_bytes(b"")

    found = run("--json", "--policy", policy, program=tmp_path / "verify.py")

    assert found.returncode == 0, found.stdout
    report = json.loads(found.stdout)
    assert report["verdict"] == "consistent_with_anchor"
    assert "other files" in {check["name"] for check in report["checks"]}


def test_a_bundle_that_was_packed_again_is_the_same(
    files: Files, tmp_path: Path
) -> None:
    archive = tmp_path / "evidence.zip"
    archive.write_bytes(zipped(files, zipfile.ZIP_DEFLATED))

    assert verifier.examine(str(archive)).verdict == "internally_consistent"


def named(name: str, content: bytes = b"x") -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), content)
    return made.getvalue()


def doubled() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in ("README.txt", "README.tx2"):
            archive.writestr(zipfile.ZipInfo(name), b"")
    return made.getvalue().replace(b"README.tx2", b"README.txt")


def bomb() -> bytes:
    """Ten files of 64 MiB each in a hundred kilobytes."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("README.txt", "report.html", "verify.py"):
            archive.writestr(name, bytes(verifier.MAX_BYTES // 2))
    return made.getvalue()


def lying_bomb() -> bytes:
    """The same, and it says that it were small."""
    content = bytes(verifier.MAX_BYTES + 1)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.txt", content)
    return made.getvalue().replace(
        struct.pack("<I", len(content)), struct.pack("<I", 9)
    )


def test_a_large_bundle_is_read_when_one_asks_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "large.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.txt", bytes(verifier.MAX_BYTES + 1))

    verifier.main([str(path)])
    refused = " ".join(capsys.readouterr().out.split())
    verifier.main([str(path), "--large"])
    read = " ".join(capsys.readouterr().out.split())

    assert "it has more than 64 MiB; try --large" in refused
    assert "more than" not in read
    # There is no more in it than that.
    assert "manifest.json" in read


def flagged(files: Files, flag: int) -> bytes:
    """Set a bit of each member's flags: it is encrypted, or a patch."""
    raw = bytearray(zipped(files))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = raw.find(mark)
        while place >= 0:
            raw[place + offset] |= flag
            place = raw.find(mark, place + 4)
    return bytes(raw)


def listing(files: Files, listed_files: object) -> Files:
    """Put something else in the place of the manifest's list of files."""
    manifest = json.loads(files["manifest.json"]) | {"files": listed_files}
    return files | {"manifest.json": as_json(manifest)}


DEEP = b"[" * 200_000
HOSTILE: dict[str, Callable[[Files], bytes]] = {
    "nothing": lambda _: b"",
    "no ZIP": lambda _: b"PK" + bytes(100),
    "half": lambda files: zipped(files)[: len(zipped(files)) // 2],
    "the end cut off": lambda files: zipped(files)[:-1],
    "the beginning cut off": lambda files: zipped(files)[100:],
    "a comment": lambda files: zipped(files) + b"x",
    "a byte": lambda files: zipped(files).replace(b"Read me", b"Read my"),
    "a path upwards": lambda _: named("../../etc/passwd"),
    "a path from the root": lambda _: named("/etc/passwd"),
    "a path of Windows": lambda _: named("C:\\autoexec.bat"),
    "a folder": lambda _: named("rows/"),
    "a name twice": lambda _: doubled(),
    "too many": lambda _: zipped({f"{n}.txt": b"" for n in range(70_000)}),
    "a bomb": lambda _: bomb(),
    "a bomb that lies": lambda _: lying_bomb(),
    "encrypted": lambda files: flagged(files, 1),
    "of the future": lambda files: flagged(files, 0x20),
    "bzip2": lambda files: zipped(files, zipfile.ZIP_BZIP2),
    "no manifest": lambda files: zipped(
        {name: files[name] for name in files if name != "manifest.json"}
    ),
    "a deep manifest": lambda files: zipped(files | {"manifest.json": DEEP}),
    "a deep entry": lambda files: zipped(put("entries.jsonl", DEEP + b"\n")(files)),
    "a deep row": lambda files: zipped(put("rows/attempt.json", DEEP)(files)),
    "a deep payload": lambda files: zipped(
        line("entries.jsonl", 3, set_to("payload", DEEP.decode()))(files)
    ),
    "a long number": lambda files: zipped(
        put("rows/attempt.json", b"1" * 1_000_000)(files)
    ),
    "no text": lambda files: zipped(put("entries.jsonl", b"\xff\n")(files)),
    "half a character": lambda files: zipped(
        put("entries.jsonl", b'{"a":"\\ud800"}\n')(files)
    ),
    "NaN": lambda files: zipped(put("rows/attempt.json", b"NaN")(files)),
    "a name twice in JSON": lambda files: zipped(
        put("rows/attempt.json", b'{"a":1,"a":1}')(files)
    ),
    "nulls": lambda files: zipped(
        {name: b"null" if name != "manifest.json" else b"{}" for name in files}
    ),
    "wrong types": lambda files: zipped(listed(files, log_id=[], entries="1")),
    "no list of files": lambda files: zipped(listing(files, {})),
    "a file list of lists": lambda files: zipped(listing(files, [[], None, 1])),
    "a file list with a path": lambda files: zipped(
        listing(files, [{"name": "../x", "bytes": 1, "sha256": "00" * 32}])
    ),
    "terminal commands": lambda files: zipped(
        listed(files, attempt_id="\x1b[2J\x1b]0;x\x07\u202e", origin="\x1b[31m")
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_bundle_gets_a_refusal_and_no_traceback(
    files: Files, tmp_path: Path, name: str
) -> None:
    archive = tmp_path / "evidence.zip"
    archive.write_bytes(HOSTILE[name](files))

    found = run(archive)

    assert found.returncode in {1, 2}, found.stdout
    assert found.stderr == ""
    assert "What is wrong" in found.stdout
    assert "does not understand" not in found.stdout
    assert "\x1b" not in found.stdout


def test_a_folder_is_no_way_to_other_files(files: Files, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the panel's own")
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "manifest.json").write_bytes(files["manifest.json"])
    (folder / "README.txt").symlink_to(secret)
    linked = run(folder, "--json")
    (folder / "README.txt").unlink()
    os.mkfifo(folder / "README.txt")
    piped = run(folder, "--json")
    (folder / "README.txt").unlink()
    (folder / "rows").symlink_to(tmp_path)
    (tmp_path / "attempt.json").write_text("{}")
    led_away = run(folder, "--json")

    for found in (linked, piped, led_away):
        assert found.returncode == 2
        assert "is no ordinary file" in found.stdout
        assert found.stderr == ""


@pytest.mark.parametrize("path", ["nothing", "/dev/zero", "a\nb"])
def test_what_is_no_bundle_is_refused(tmp_path: Path, path: str) -> None:
    found = run(path if path.startswith("/") else tmp_path / path)

    assert found.returncode == 2
    assert found.stderr == ""


@given(st.data())
def test_nothing_that_is_made_of_a_bundle_confuses_it(data: st.DataObject) -> None:
    """Bytes of the files are overwritten, moved, repeated and left out."""
    files = cast(Files, dict(GOLDEN))
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(sorted(files)))
        content = files[name]
        start = data.draw(st.integers(0, len(content)))
        end = min(len(content), start + data.draw(st.integers(0, 40)))
        middle = data.draw(
            st.binary(max_size=20)
            | st.just(content[start:end] * 2)
            | st.sampled_from([b"null", b"[]", b"{}", b"-1", b"1e999", b'"', b"\n"])
        )
        files[name] = content[:start] + middle + content[end:]
    is_listed_anew = data.draw(st.booleans())
    if is_listed_anew and "manifest.json" in files:
        try:
            files = listed(files)
        except (ValueError, TypeError, KeyError, RecursionError):
            is_listed_anew = False

    report = examined(files)

    assert report.verdict in verifier.EXIT_CODES
    verifier.as_text(report)
    json.dumps(verifier.as_document(report))
    same_evidence = all(
        files[name] == GOLDEN[name]
        for name in ("entries.jsonl", "proofs.jsonl", "checkpoint.txt")
    )
    if not same_evidence and files["policy.txt"] == GOLDEN["policy.txt"]:
        assert report.verdict != "consistent_with_anchor"


GOLDEN = bundle(written_log(), SIZE)


@example(b"")
@given(st.binary(max_size=400))
def test_no_archive_confuses_it(tail: bytes) -> None:
    raw = zipped(GOLDEN)
    with pytest.raises(verifier.MalformedError):
        verifier._require_small_directory(raw[:-22] + tail[:21])  # noqa: SLF001
