"""What the page of a bundle tells of each event of an attempt."""

import json
from collections.abc import Iterator, Sequence
from typing import Final

from pydantic import JsonValue

from models.audit_event import AuditEvent
from models.evidence import SealedEntry
from models.proctoring import ProctoringEvent
from services.event_catalogue import EVENT_TYPES
from services.evidence_bundle import Material
from services.evidence_markup import ERASED, text, time
from services.evidence_timeline import label, who

HEAD: Final = (
    "observed (UTC)",
    "on record since (UTC)",
    "what",
    "reported by",
    "class, severity",
    "details",
)
MEANING: Final = (
    (
        "An observation is what was reported, not what was proven, and says nothing of"
        " its cause. When it was observed is what the exam client said by its own"
        " clock, which may be wrong; since when it is on record the server knows. It"
        " may have been kept on the student's computer meanwhile, as during a lost"
        " connection."
    ),
    (
        "Only what is of the class integrity can raise the risk score. Lost"
        " connections and other technical matters weigh nothing, and can excuse what"
        " happened meanwhile. The severity is that of the kind of event by the exam's"
        " rules, before anybody has looked at the case. The words are those in which"
        " the student is told: 'you' is the student."
    ),
)
# Of what a client reports: twenty thousand of the longest must fit into a bundle.
SHOWN_CHARACTERS: Final = 400
SHORTENED: Final = "(shortened: all of it is in rows/events.jsonl)"
# Who reported it stands in a column of its own.
NOT_TOLD: Final = frozenset({"reported_by"})


def observations(material: Material) -> Iterator[Sequence[str]]:
    student = str(material.attempt.student_id)
    batches = {
        each.entity_id: each
        for each in material.entries
        if each.event_type == AuditEvent.PROCTORING_EVENTS_RECORDED
    }
    for event in material.events:
        batch = batches.get(str(event.batch_id))
        yield (
            time(event.occurred_at),
            time(event.received_at),
            _what(event),
            text(_reporter(event, batch, student)),
            text(f"{event.event_class}, {event.severity}"),
            "<br>".join(text(each) for each in _details(event, batch)),
        )


def _what(event: ProctoringEvent) -> str:
    known = EVENT_TYPES.get(event.event_type)
    named = text(label(event.event_type))
    if known is not None and known.is_detection and event.sequence is not None:
        return f"{named}<br>(the opinion of a detector)"
    return named


def _reporter(event: ProctoringEvent, batch: SealedEntry | None, student: str) -> str:
    if event.sequence is not None:
        return "the exam client"
    if batch is None or batch.actor_id == student:
        # What the server adds to a report stands in the report's entry.
        return "the server"
    return who(batch.actor_id, student)


def _details(event: ProctoringEvent, batch: SealedEntry | None) -> Iterator[str]:
    if not event.payload and batch is not None and batch.payload is None:
        yield ERASED
    lines = [
        _detail(name, value)
        for name, value in event.payload.items()
        if name not in NOT_TOLD
    ]
    if event.sequence is None:
        yield from lines
        return
    room = SHOWN_CHARACTERS
    for line in lines:
        if len(line) > room:
            yield f"{line[:room]}… {SHORTENED}"
            return
        yield line
        room -= len(line)


def _detail(name: str, value: JsonValue) -> str:
    match name, value:
        case "duration_ms", int() | float():
            return f"lasted: {value / 1000:g} s"
        case _, str():
            return f"{name.replace('_', ' ')}: {value}"
        case _:
            return f"{name.replace('_', ' ')}: {json.dumps(value, ensure_ascii=False)}"
