"""What the page of a bundle tells of each entry of the log."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from pydantic import JsonValue

from models.audit_event import AuditEvent
from models.evidence import SealedEntry
from services.event_catalogue import EVENT_TYPES
from services.evidence_bundle import Material
from services.evidence_markup import text, time, utc
from utils.instants import from_microseconds
from utils.payload_text import shown

# Somebody else may have used it, and a program reports by itself.
STUDENT: Final = "the student's login"
SENTENCES: Final = {each.value: each.description for each in AuditEvent}
# What of a payload is worth a line in the timeline, in this order, and its name there
# if the payload's own says too little.
TOLD: Final[Mapping[str, str | None]] = {
    "legal_basis": None,
    "reason": None,
    "what": "looked at",
    "role": None,
    "incident": None,
    "previous_status": None,
    "status": None,
    "review_status": None,
    "note": None,
    "minutes": None,
    "deadline_at": "deadline",
    "extra_seconds": "seconds in addition",
    "silent_seconds": "seconds since the other device was heard of",
    "is_concurrent": "two devices at once",
    "ended_by": None,
    "answered": None,
    "previous_score": None,
    "score": None,
    "max_score": None,
    "is_passed": "passed",
    "risk_score": None,
    "risk_level": None,
}


def timeline(material: Material) -> Iterator[Sequence[str]]:
    student = str(material.attempt.student_id)
    places = {str(each.id): each.position for each in material.questions}
    for entry in material.entries:
        yield (
            f'<span class="number">{entry.seq}</span>',
            moment_of(entry),
            _what(entry, places),
            text(who(entry.actor_id, student)),
        )


def who(actor_id: str | None, student: str) -> str:
    match actor_id:
        case None:
            return "unknown"
        case "system":
            return "the server"
        case _:
            return STUDENT if actor_id == student else f"staff, {actor_id}"


def label(event_type: str) -> str:
    known = EVENT_TYPES.get(event_type)
    return known.label if known else event_type


def moment_of(entry: SealedEntry) -> str:
    return time(from_microseconds(entry.recorded_at_us))


def _what(entry: SealedEntry, places: Mapping[str, int]) -> str:
    sentence = SENTENCES.get(entry.event_type, entry.event_type)
    if entry.payload is None:
        return f"{text(sentence)} <em>(its content was erased)</em>"
    payload = shown(entry.payload)
    if isinstance(payload, str):
        return f"{text(sentence)}<br>{text(payload)}"
    lines = [*_told(payload), *_listed(payload, places)]
    return text(sentence) + "".join(f"<br>{text(each)}" for each in lines)


def _told(payload: Mapping[str, JsonValue]) -> Iterator[str]:
    for name, words in TOLD.items():
        if payload.get(name) is not None:
            yield f"{words or name.replace('_', ' ')}: {_read(name, payload[name])}"


def _read(name: str, value: JsonValue) -> str:
    match value:
        case {"from": before, "to": after, **others} if not others:
            return f"from {_read(name, before)} to {_read(name, after)}"
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case str() if name.endswith("_at"):
            return _instant(value)
        case str() if name.endswith("status"):
            return value.replace("_", " ")
        case _:
            return str(value)


def _instant(value: str) -> str:
    try:
        return utc(datetime.fromisoformat(value))
    except (ValueError, OverflowError):
        return value


def _listed(
    payload: Mapping[str, JsonValue], places: Mapping[str, int]
) -> Iterator[str]:
    """Tell what the lists of a payload hold, each of which is of one type of entry."""
    for each in _objects(payload.get("events")):
        if "event_type" in each:
            yield label(str(each["event_type"]))
    for each in _objects(payload.get("grades")):
        place = places.get(str(each.get("question_id")), "?")
        yield f"question {place}: points {_read('points', each.get('points'))}"
        if each.get("comment") is not None:
            yield f"comment: {each['comment']}"
    if isinstance(answers := payload.get("answers"), list):
        yield f"{len(answers)} answer{'' if len(answers) == 1 else 's'}"


def _objects(value: JsonValue) -> Iterator[Mapping[str, JsonValue]]:
    for each in value if isinstance(value, list) else ():
        if isinstance(each, dict):
            yield each
