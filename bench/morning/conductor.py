"""Lets a morning take place, and returns what was seen of it."""

import asyncio
import gc
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from bench.morning.comparison import compare
from bench.morning.http import Connection
from bench.morning.journal import Journal, Sample
from bench.morning.measures import (
    Latency,
    cores_between,
    percentile,
    statuses_of,
)
from bench.morning.staff import Staff
from bench.morning.stage import Stage
from bench.morning.student import Account, Student, stopwatch
from bench.morning.timetable import Phase, Plan, Timetable, draw, draw_shift
from bench.usage import Usage
from tests.slow.proxy import HOST


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One phase: what was due in it, and who was busy while it lasted."""

    phase: Phase
    latencies: dict[str, Latency]
    statuses: dict[str, int]
    cores: dict[str, float]
    # Processor time of ours, in milliseconds a request that was answered in it.
    cpu_ms_per_request: float
    requests_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    plan: Plan
    phases: Sequence[Seen]
    samples: Sequence[Sample]
    # How late the clients themselves were, in milliseconds: above a few, they are the
    # ones who were measured.
    client_lateness_p99: float
    # Empty if nothing is lost, doubled or broken.
    wrong: Sequence[str]
    unfinished: Sequence[str]
    # Reports whose events came with a later one, because the server was busy.
    left_out: int
    load: tuple[float, float]
    resident_mib: float

    def samples_due_in(self, phase: Phase, action: str) -> list[Sample]:
        return [
            each
            for each in self.samples
            if each.action == action and phase.begins <= each.due < phase.ends
        ]


def conduct(stage: Stage, plan: Plan) -> Outcome:
    time.sleep(max(0.0, stage.cast.begins_at.timestamp() - time.time()))
    load_before = os.getloadavg()[0]
    parts = stage.processes()
    # A pause of ours would be counted as one of the server.
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        journals, marks, lateness = asyncio.run(_live(stage, plan, parts))
    finally:
        gc.enable()
        gc.unfreeze()
    samples = [sample for journal in journals for sample in journal.samples]
    workers = parts["gunicorn"].children()
    return Outcome(
        plan=plan,
        phases=[
            _seen(phase, samples, marks[n], marks[n + 1])
            for n, phase in enumerate(plan.phases)
        ],
        samples=samples,
        client_lateness_p99=round(1000 * percentile(sorted(lateness), 0.99), 1),
        wrong=compare(stage.dsn, journals),
        unfinished=[f"{j.email}: {j.failure}" for j in journals if j.failure],
        left_out=sum(journal.left_out for journal in journals),
        load=(round(load_before, 2), round(os.getloadavg()[0], 2)),
        resident_mib=round(sum(w.memory_info().rss for w in workers) / 2**20, 1),
    )


async def _live(
    stage: Stage, plan: Plan, parts: dict[str, psutil.Process]
) -> tuple[list[Journal], list[Usage], list[float]]:
    trust = stage.proxy.trust()
    clock = stopwatch()
    lives = []
    students = []

    def connection() -> Connection:
        return Connection(stage.proxy.port, HOST, trust)

    def admit(student: Student, timetable: Timetable) -> None:
        students.append(student)
        lives.append(asyncio.create_task(student.live(timetable)))

    def admit_student(account: Account, exam_id: str, timetable: Timetable) -> None:
        is_polite = plan.is_polite
        student = Student(account, exam_id, connection(), clock, is_polite=is_polite)
        admit(student, timetable)

    cast = stage.cast
    timetables, crowd = draw(plan)
    for number, timetable in enumerate(timetables):
        admit_student(cast.students[number], cast.exam_of(number), timetable)
    for account, timetable in zip(cast.crowd, crowd, strict=True):
        admit_student(account, cast.exam_ids[0], timetable)
    if seconds := plan.come_and_go_seconds:
        for account in cast.staff:
            staff = Staff(account, cast.exam_ids, connection(), clock, seconds=seconds)
            admit(staff, draw_shift(plan))
    edges = [0.0, *(phase.ends for phase in plan.phases)]
    marks = asyncio.create_task(_mark(edges, clock, parts))
    lateness: list[float] = []
    watch = asyncio.create_task(_watch(clock, lateness))
    await asyncio.gather(*lives)
    watch.cancel()
    return [student.journal for student in students], await marks, lateness


async def _watch(clock: Callable[[], float], lateness: list[float]) -> None:
    """Note how late this very process wakes up, twenty times a second."""
    while True:
        due = clock() + 0.05
        await asyncio.sleep(0.05)
        lateness.append(clock() - due)


async def _mark(
    edges: Sequence[float], clock: Callable[[], float], parts: dict[str, psutil.Process]
) -> list[Usage]:
    marks = []
    for edge in edges:
        await asyncio.sleep(max(0.0, edge - clock()))
        marks.append(await asyncio.to_thread(Usage.now, parts))
    return marks


def _seen(
    phase: Phase, samples: Sequence[Sample], earlier: Usage, later: Usage
) -> Seen:
    due = [each for each in samples if phase.begins <= each.due < phase.ends]
    actions = sorted({each.action for each in due})
    answered = [each for each in samples if phase.begins <= each.done < phase.ends]
    requests = sum(len(each.statuses) for each in answered)
    cores = cores_between(earlier, later, phase)
    ours = sum(cores[name] for name in ("gunicorn", "PostgreSQL", "nginx"))
    seconds = phase.ends - phase.begins
    return Seen(
        phase=phase,
        latencies={
            str(action): Latency.of([each for each in due if each.action is action])
            for action in actions
        },
        statuses=statuses_of(due),
        cores=cores,
        cpu_ms_per_request=round(1000 * ours * seconds / max(1, requests), 3),
        requests_per_second=round(requests / seconds, 1),
    )
