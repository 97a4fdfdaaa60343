"""The exam program on a student's device: what it owes the server, it delivers."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from uuid import UUID, uuid4

from pydantic import JsonValue

from script.demo_behaviours import PlannedEvent
from script.demo_exam.client import GOOD, Client
from script.demo_exam.replies import BatchReceipt, Paper, Receipt, Saved

MAX_BATCH = 100
CONFLICT = 409
UNAVAILABLE = 503
# A report that a bad network overtakes with the next one.
OVERTAKEN = 0.1
# What there is to report when nothing happened: that the program is there.
HEARTBEAT = "session.milestone"


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeEvent:
    """An event with the identity that it keeps, however often it is sent."""

    id: UUID
    sequence: int
    event_type: str
    occurred_at: datetime
    payload: dict[str, JsonValue]

    @property
    def is_heartbeat(self) -> bool:
        return self.event_type == HEARTBEAT and not self.payload

    def body(self) -> dict[str, object]:
        return {
            "client_event_id": str(self.id),
            "sequence": self.sequence,
            "event_type": self.event_type,
            "occurred_at": self.occurred_at.isoformat(),
            "payload": self.payload,
        }


@dataclass(frozen=True, slots=True)
class SavedAnswer:
    client_version: int
    response: JsonValue


@dataclass(slots=True)
class Ledger:
    """What one student was promised. It outlives his devices."""

    attempt_ids: set[UUID] = field(default_factory=set)
    made: dict[int, MadeEvent] = field(default_factory=dict)
    # By client_event_id, the audit entry that the server named.
    recorded: dict[UUID, int] = field(default_factory=dict)
    # By question, what the server has acknowledged last.
    saved: dict[UUID, SavedAnswer] = field(default_factory=dict)
    receipt: Receipt | None = None
    # Reasons why the server refused something.
    refusals: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Device:
    client: Client
    ledger: Ledger
    chance: Random
    # How often a report is overtaken by the next one.
    overtaken: float = 0.0
    # Of the attempt that was started last.
    attempt_id: UUID | None = None
    _outbox: dict[int, MadeEvent] = field(default_factory=dict)
    _unsaved: dict[UUID, JsonValue] = field(default_factory=dict)

    def start(self, exam_id: UUID, *, take_over: bool = False) -> Paper:
        path = f"/api/exams/{exam_id}/start"
        paper = self.client.post(Paper, path, {"take_over": take_over})
        self.attempt_id = paper.id
        self.ledger.attempt_ids.add(paper.id)
        return paper

    def be_refused(self, exam_id: UUID) -> None:
        """Try to start while another login holds the attempt."""
        path = f"/api/exams/{exam_id}/start"
        self.client.send("POST", path, {}, good=frozenset({CONFLICT}))

    def read_attempt(self) -> Paper:
        return self.client.get(Paper, f"/api/exams/attempts/{self.attempt_id}")

    def observe(self, event: PlannedEvent, occurred_at: datetime) -> None:
        """Number an event and keep it until the server has acknowledged it."""
        made = MadeEvent(
            id=uuid4(),
            sequence=len(self.ledger.made) + 1,
            event_type=event.event_type,
            occurred_at=occurred_at,
            payload=dict(event.payload),
        )
        self.ledger.made[made.sequence] = made
        self._outbox[made.sequence] = made

    def write(self, question_id: UUID, response: JsonValue) -> None:
        self._unsaved[question_id] = response

    def save(self) -> datetime | None:
        """Save what was written; return the server's time if it took something.

        Past the deadline it takes nothing more.
        """
        if not self._unsaved:
            return None
        saved = self.ledger.saved
        newer = {
            question_id: SavedAnswer(
                saved[question_id].client_version + 1 if question_id in saved else 1,
                response,
            )
            for question_id, response in self._unsaved.items()
        }
        answers = [
            {
                "question_id": str(question_id),
                "response": answer.response,
                "client_version": answer.client_version,
            }
            for question_id, answer in newer.items()
        ]
        path = f"/api/exams/attempts/{self.attempt_id}/answers"
        reply = self.client.send(
            "PUT", path, {"answers": answers}, good=frozenset({200, CONFLICT})
        )
        self._unsaved.clear()
        if reply.status == CONFLICT:
            self.ledger.refusals.append(reply.detail)
            return None
        saved.update(newer)
        self.client.link.traffic.count("answers_saved", len(answers))
        return reply.read(Saved).server_time

    def report(self, now: datetime) -> None:
        """Send what is in the outbox, or that nothing happened."""
        held_back: list[MadeEvent] = []
        if self._outbox and self.chance.random() < self.overtaken:
            held_back = [self._outbox.pop(min(self._outbox))]
        if not self._outbox:
            heartbeat = PlannedEvent(offset_seconds=0, event_type=HEARTBEAT, payload={})
            self.observe(heartbeat, now)
        events = list(self._outbox.values())[:MAX_BATCH]
        # A busy server leaves heartbeats out; they wait for the next report.
        is_urgent = not all(event.is_heartbeat for event in events)
        holes = self._deliver(events, GOOD if is_urgent else GOOD | {UNAVAILABLE})
        for made in held_back:
            self._outbox[made.sequence] = made
        # The server names the numbers that it has not seen.
        self._take_again(holes)

    def flush(self) -> None:
        """Deliver all that is owed."""
        while self._outbox:
            holes = self._deliver(list(self._outbox.values())[:MAX_BATCH])
            self._take_again(holes)

    def submit(self) -> Receipt:
        path = f"/api/exams/attempts/{self.attempt_id}/submit"
        return self.client.post(Receipt, path)

    def _take_again(self, holes: Iterable[int]) -> None:
        for sequence in holes:
            if sequence in self.ledger.made and sequence not in self._outbox:
                self._outbox[sequence] = self.ledger.made[sequence]

    def _deliver(
        self, events: list[MadeEvent], good: frozenset[int] = GOOD
    ) -> list[int]:
        body = {
            "attempt_id": str(self.attempt_id),
            "events": [event.body() for event in events],
        }
        reply = self.client.send("POST", "/api/proctoring/events", body, good=good)
        traffic = self.client.link.traffic
        if reply.status == UNAVAILABLE:
            traffic.count("asked_to_wait")
            return []
        receipt = reply.read(BatchReceipt)
        for event, result in zip(events, receipt.results, strict=True):
            del self._outbox[event.sequence]
            traffic.count(f"events_{result.status}")
            if result.audit_seq is None:
                reason = result.problem.title if result.problem else "no reason"
                self.ledger.refusals.append(f"{event.event_type}: {reason}")
            else:
                self.ledger.recorded[event.id] = result.audit_seq
        return receipt.missing_sequences
