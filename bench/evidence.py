"""What the evidence costs: verifying a million entries, proofs, signers, receipts.

Needs some minutes, most of them to write a million entries.
"""

import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import psycopg2
import requests

from bench import verification
from bench.ingest import Ingest
from bench.stage import Student, fresh_database, seat_students, serving
from checkpointer.__main__ import ROLE
from models.database import Database
from services.merkle_service import MerkleService
from tests.checkpoints import sign
from tests.databases import connection_to
from tests.slow.house import House
from tests.slow.running import database_variables
from utils.canonical_text import to_base64

FEW: Final = 10_000
PROOFS: Final = 300
PROCESSES: Final = (1, 2)
# As the checkpointer does without being told.
INTERVAL_SECONDS: Final = 1.0
# Prints the largest memory that a verification needed, its own processes' included.
MEMORY: Final = """
import resource, sys
from services.audit_verification import verify
from tests.databases import connection_to
if __name__ == "__main__":
    assert verify(connection_to(sys.argv[1])).valid
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """`seen` is compared with `target`: at least that, or at most."""

    name: str
    unit: str
    seen: float
    target: float
    is_most: bool

    @property
    def is_reached(self) -> bool:
        return self.seen <= self.target if self.is_most else self.seen >= self.target


def measure(entries: int, rounds: int, jwt_key: str) -> list[Figure]:
    """Measure everything on logs of up to `entries` entries."""
    figures = []
    with fresh_database() as dsn:
        verification.fill(dsn, FEW)
        small = _verifier_kib(dsn)
        verification.fill(dsn, entries - FEW)
        figures.append(
            Figure(
                name=f"memory of verify, {entries:,} entries against {FEW:,}",
                unit="times",
                seen=_verifier_kib(dsn) / small,
                target=1.1,
                is_most=True,
            )
        )
        for processes, target in zip(PROCESSES, (0.35, 0.6), strict=True):
            done = [
                verification.measure(dsn, processes=processes).ratio
                for _ in range(rounds)
            ]
            figures.append(
                Figure(
                    name=f"verify with {processes} against bare hashlib",
                    unit="times",
                    seen=statistics.median(done),
                    target=target,
                    is_most=False,
                )
            )
        figures += _proofs(dsn)
    with fresh_database() as dsn:
        students = seat_students(dsn, 8 + rounds, jwt_key)
        figures += _signing(dsn, students, rounds, jwt_key)
    return figures


def _verifier_kib(dsn: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, dsn], check=True, stdout=subprocess.PIPE
    )
    return int(done.stdout)


def _proofs(dsn: str) -> list[Figure]:
    """Sign the log, and prove entries from all over it."""
    with (
        tempfile.TemporaryDirectory() as home,
        closing(psycopg2.connect(dsn)) as sql,
        closing(Database(connection_to(dsn))) as database,
    ):
        house = House(Path(home), dsn, database_variables(dsn))
        house.process.kill()
        signed = sign(replace(connection_to(dsn), role=ROLE), house.files)
        if signed is None:
            raise RuntimeError("the log was not signed")
        service = MerkleService(database, [])
        rng = random.Random(1)
        seconds, sizes = [], []
        for _ in range(PROOFS):
            seq = rng.randrange(signed.size)
            began = time.perf_counter()
            proof = service.prove_inclusion(seq).proof
            seconds.append(time.perf_counter() - began)
            sizes.append(sum(len(to_base64(each)) + 1 for each in proof))
        sql.rollback()
    return [
        Figure(
            name=f"an inclusion proof of {signed.size:,} entries, as text",
            unit="bytes",
            seen=max(sizes),
            target=1024,
            is_most=True,
        ),
        Figure(
            name="to make one, with what it reads from the database",
            unit="ms",
            seen=statistics.median(seconds) * 1000,
            target=1.0,
            is_most=True,
        ),
    ]


def _signing(
    dsn: str, students: Sequence[Student], rounds: int, jwt_key: str
) -> list[Figure]:
    """Report events with and without signer and witness, in turn; then hand in."""
    with tempfile.TemporaryDirectory() as home, serving(dsn, jwt_key) as api:
        house = House(Path(home), dsn, database_variables(dsn))
        try:
            ingest = Ingest(dsn, api, students[:8])
            ingest.singles(50)
            ratios = []
            for _ in range(rounds):
                alone = ingest.singles(400).ours.a_second
                with house.signing(INTERVAL_SECONDS):
                    house.wait_for_the_witness(house.origin)
                    ratios.append(ingest.singles(400).ours.a_second / alone)
            with house.signing(INTERVAL_SECONDS):
                waits = [_receipt_seconds(api.port, each) for each in students[8:]]
        finally:
            house.process.kill()
    return [
        Figure(
            name="single events while signer and witness run, against without",
            unit="times",
            seen=statistics.median(ratios),
            target=0.95,
            is_most=False,
        ),
        Figure(
            name="from a submission to its receipt, the longest",
            unit="s",
            seen=max(waits),
            target=2.0,
            is_most=True,
        ),
    ]


def _receipt_seconds(port: int, student: Student) -> float:
    url = f"http://127.0.0.1:{port}/api/exams/attempts/{student.attempt_id}"
    headers = {"Authorization": f"Bearer {student.token}"}
    requests.post(f"{url}/submit", headers=headers, timeout=30).raise_for_status()
    began = time.perf_counter()
    while not requests.get(f"{url}/receipt", headers=headers, timeout=30).ok:
        time.sleep(0.02)
    return time.perf_counter() - began
