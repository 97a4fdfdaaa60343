"""At the end: does the server have all that it promised? Asked through HTTP too."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pydantic import JsonValue

from script.demo_exam.cast import Fate
from script.demo_exam.client import Client
from script.demo_exam.device import Ledger
from script.demo_exam.journey import Journey, Sitting, Stage
from script.demo_exam.proctor import Proctor
from script.demo_exam.replies import (
    AuditSummary,
    Entry,
    Receipt,
    Result,
    StoredEvent,
    Suspect,
    Verification,
)
from script.demo_exam.show import Show


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Something that was promised, and whether it is so."""

    promise: str
    broken: Sequence[str]
    detail: str = ""

    @property
    def is_kept(self) -> bool:
        return not self.broken


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamResults:
    sitting: Sitting
    results: Sequence[Result]


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    exams: Sequence[ExamResults]
    suspects: Sequence[Suspect]
    checks: Sequence[Check]
    verification: Verification
    summary: AuditSummary

    @property
    def is_all_kept(self) -> bool:
        return all(check.is_kept for check in self.checks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the server has of one student, beside what he was promised."""

    journey: Journey
    results: Sequence[Result]
    events: Sequence[StoredEvent]
    entries: Sequence[Entry]
    answers: dict[str, tuple[int, JsonValue]]

    @property
    def name(self) -> str:
        return self.journey.student.full_name

    @property
    def ledger(self) -> Ledger:
        return self.journey.ledger


def find(show: Show, admin: Client) -> Findings:
    """Compare what all students were promised with what is there."""
    exams = [
        ExamResults(
            sitting=sitting,
            results=admin.list_all(Result, f"/api/exams/{sitting.exam_id}/results"),
        )
        for sitting in show.sittings
    ]
    # Each proctor looks at his own exam.
    with ThreadPoolExecutor(len(exams)) as pool:
        found = [
            each for part in pool.map(lambda e: _look(show, e), exams) for each in part
        ]
    verification = admin.get(Verification, "/api/blockchain/verify")
    suspects = [s for each in show.sittings for s in each.proctor.list_judged()]
    return Findings(
        exams=exams,
        suspects=sorted(suspects, key=lambda each: -each.risk_score),
        checks=[*_checks(found), *_checks_of_all(show, verification)],
        verification=verification,
        summary=admin.get(AuditSummary, "/api/blockchain/summary"),
    )


def _look(show: Show, exam: ExamResults) -> list[Found]:
    proctor = exam.sitting.proctor
    return [_look_at(proctor, journey, exam) for journey in show.of_exam(exam.sitting)]


def _look_at(proctor: Proctor, journey: Journey, exam: ExamResults) -> Found:
    results = [r for r in exam.results if r.email == journey.student.email]
    events: list[StoredEvent] = []
    entries: list[Entry] = []
    answers: dict[str, tuple[int, JsonValue]] = {}
    for result in results:
        where = result.attempt_id
        client = proctor.client
        events += client.list_all(
            StoredEvent, f"/api/proctoring/attempt/{where}/events"
        )
        entries += client.list_all(Entry, f"/api/blockchain/entity/attempt/{where}")
        for each in proctor.read_answers(where).questions:
            if each.answer is not None:
                given = each.answer
                answers[str(given.question_id)] = (given.client_version, given.response)
    return Found(
        journey=journey,
        results=results,
        events=events,
        entries=entries,
        answers=answers,
    )


def _checks(found: Sequence[Found]) -> list[Check]:
    made = sum(len(each.ledger.made) for each in found)
    saved = sum(len(each.ledger.saved) for each in found)

    def check(
        promise: str, is_kept: Callable[[Found], bool], fate: Fate | None = None
    ) -> Check:
        concerned = [f for f in found if fate in (None, f.journey.student.fate)]
        broken = [each.name for each in concerned if not is_kept(each)]
        return Check(promise=promise, broken=broken, detail=_students(len(concerned)))

    return [
        check("every student has one attempt, and it has ended", _has_one_attempt),
        check(f"{made:,} events: each stored once, none lost", _has_all_events),
        check(f"{saved:,} answers: each as it was acknowledged", _has_all_answers),
        check("every receipt is the same again, and in the log", _has_receipt),
        check("nothing was refused", lambda each: not each.ledger.refusals),
        check(
            "who never submits is ended by the clock", _was_ended, Fate.NEVER_SUBMITS
        ),
        check(
            "who has extra time writes after the others' end",
            _wrote_late,
            Fate.EXTRA_TIME,
        ),
        check(
            "a dead laptop costs neither time nor trust", _came_back, Fate.LAPTOP_DIES
        ),
    ]


def _checks_of_all(show: Show, verification: Verification) -> list[Check]:
    counts = show.traffic.counts
    failed = [f"{j.student.full_name}: {j.error}" for j in show.journeys if j.error]
    failed += [
        f"{p.full_name}: {p.error}"
        for p in (s.proctor for s in show.sittings)
        if p.error
    ]
    return [
        Check(
            promise="no journey failed, no answer was a server error",
            broken=failed + ["5xx"] * counts.server_errors,
            detail=f"{counts.requests:,} requests",
        ),
        Check(
            promise="the audit log is unbroken",
            broken=[] if verification.valid else [verification.verdict],
            detail=f"{verification.entries_checked:,} entries",
        ),
    ]


def _students(count: int) -> str:
    return f"{count} student" if count == 1 else f"{count} students"


def _has_one_attempt(found: Found) -> bool:
    attempts = {result.attempt_id for result in found.results}
    return (
        len(found.results) == 1
        and attempts == found.ledger.attempt_ids
        and found.results[0].ended_at is not None
    )


def _has_all_events(found: Found) -> bool:
    stored = [each for each in found.events if each.sequence is not None]
    made = {each.id: each.sequence for each in found.ledger.made.values()}
    return (
        len(stored) == len(made)
        and {each.client_event_id: each.sequence for each in stored} == made
        and {e.client_event_id: e.audit_seq for e in stored} == found.ledger.recorded
    )


def _has_all_answers(found: Found) -> bool:
    promised = {
        str(question_id): (each.client_version, _comparable(each.response))
        for question_id, each in found.ledger.saved.items()
    }
    return promised == {
        question_id: (version, _comparable(response))
        for question_id, (version, response) in found.answers.items()
    }


def _comparable(response: JsonValue) -> JsonValue:
    if not isinstance(response, list):
        return response
    # A choice of several has no order.
    return [*sorted(str(each) for each in response)]


def _has_receipt(found: Found) -> bool:
    held = found.ledger.receipt
    if held is None:
        return False
    again = found.journey.ask_again()
    hashes = {entry.seq: entry.hash for entry in found.entries}
    return (
        _proof(again) == _proof(held)
        and hashes.get(held.audit_seq) == held.receipt_hash
    )


def _proof(receipt: Receipt) -> tuple[str, str, int]:
    return receipt.receipt_hash, receipt.answers_digest, receipt.audit_seq


def _was_ended(found: Found) -> bool:
    return (
        found.journey.stage is Stage.ENDED and found.results[0].ended_by == "deadline"
    )


def _wrote_late(found: Found) -> bool:
    wrote, sitting = found.journey.wrote_last_at, found.journey.sitting
    return wrote is not None and sitting is not None and wrote > sitting.ends_at


def _came_back(found: Found) -> bool:
    kinds = {each.event_type for each in found.events}
    return (
        found.journey.regained_seconds > 0
        and "session.resumed" in kinds
        and "session.concurrent_device" not in kinds
    )
