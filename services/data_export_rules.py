"""What of a person's data is held back, and until when.

Two things are stronger than his right for a while: that he does not learn in the middle
of an exam what is right, and that he does not carry an exam to those who sit it later.
And there are never keys, nor other people.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import JsonValue

from models.audit_event import AuditEvent
from models.personal_data import HeldAttempt, Record

# Any: a payload has a shape of its own for each type.
Payload = dict[str, Any]
# Gives what of a payload may be given out; None: nothing of it, for now.
Rule = Callable[[Payload, str, HeldAttempt | None], Payload | None]


def attempt(record: Record, held: HeldAttempt) -> Record:
    """Hold back what was said in a review of an attempt that was reopened since."""
    return _without(record, "review_note") if held.is_running else record


def answer(record: Record, held: HeldAttempt) -> Record:
    """Hold back a running attempt's answer, and the points while the exam is on."""
    options = record.pop("options")
    if held.is_running:
        return _without(record, "response", *MARKS)
    if not held.is_exam_over:
        return _without(record, *MARKS)
    return record | {"chosen": _chosen(options, record["response"])}


def event(record: Record, held: HeldAttempt) -> Record:
    """Hold back what staff and the server wrote about a running attempt."""
    if held.is_running and record["sequence"] is None:
        return _without(record, "payload")
    return record


def analysis(record: Record, held: HeldAttempt) -> Record:
    """Take other students out; while it runs, also what comes of right answers.

    That is all that the score has a part in, and the hash of all inputs: who can guess
    the others could try which answers are right.
    """
    result: Any = record["result"]
    hidden = {"questions", "contribution"} if held.is_running else {"questions"}
    factors = [
        {name: value for name, value in each.items() if name not in hidden}
        for each in result["factors"]
        if not (held.is_running and each["questions"])
    ]
    cohort = result["cohort"]
    shown = {
        "factors": factors,
        "cohort": {
            **{name: cohort[name] for name in ("size", "is_compared")},
            "factors": [
                {name: each[name] for name in ("code", "value", "robust_z")}
                for each in cohort["factors"]
            ],
            "similar_attempts": [
                {name: each[name] for name in OF_A_PAIR}
                for each in cohort["similar_attempts"]
            ],
        },
        "coverage": result["coverage"],
        "policy": result["policy"],
    }
    if not held.is_running:
        return record | {"result": shown}
    del shown["cohort"]
    return _without(
        record | {"result": shown}, "risk_score", "risk_level", "inputs_hash"
    )


def entry(record: Record, user_id: str, held: HeldAttempt | None) -> Record:
    """Hold back what an entry says of others, and what its rule says."""
    is_about = record.pop("is_about")
    event_type = str(record["event_type"])
    if not is_about and event_type != AuditEvent.ACCESS_DENIED:
        # Done by him, to somebody or something else.
        return _without(record, "entity_id", "attempt_id", "payload")
    payload: Any = record["payload"]
    if payload is None:
        return record
    rule = RULES.get(event_type, _nothing)
    if (shown := rule(payload, user_id, held)) is None:
        return _without(record, "payload")
    return record | {"payload": shown}


def _without(record: Record, *names: str) -> Record:
    nothing: Record = dict.fromkeys(names)
    held_back: list[JsonValue] = list(names)
    return record | nothing | {"held_back": held_back}


def _chosen(options: JsonValue, response: JsonValue) -> JsonValue:
    """Return the texts of the options that were chosen; None if there are none."""
    if not isinstance(options, list):
        return None
    chosen = response if isinstance(response, list) else [response]
    return [
        option["text"]
        for option in options
        if isinstance(option, dict) and option["id"] in chosen
    ]


def _whole(payload: Payload, _: str, __: HeldAttempt | None) -> Payload:
    return payload


def _nothing(_: Payload, __: str, ___: HeldAttempt | None) -> None:
    return None


def _after_the_attempt(
    payload: Payload, _: str, held: HeldAttempt | None
) -> Payload | None:
    return None if held is None or held.is_running else payload


def _after_the_exam(
    payload: Payload, _: str, held: HeldAttempt | None
) -> Payload | None:
    is_over = held is not None and held.is_exam_over and not held.is_running
    return payload if is_over else None


def _reported(payload: Payload, _: str, held: HeldAttempt | None) -> Payload:
    is_running = held is None or held.is_running
    return payload | {
        "events": [
            each | {"payload": None}
            if is_running and each["sequence"] is None
            else each
            for each in payload["events"]
        ]
    }


def _only_him(payload: Payload, user_id: str, _: HeldAttempt | None) -> Payload:
    return {
        name: [each for each in value if each == user_id]
        if isinstance(value, list)
        else value
        for name, value in payload.items()
    }


def _his_part(payload: Payload, user_id: str, _: HeldAttempt | None) -> Payload:
    return {
        "assignments": [
            each
            for each in payload.get("assignments", ())
            if each["student_id"] == user_id
        ],
        "proctor_ids": [
            each for each in payload.get("proctor_ids", ()) if each == user_id
        ],
    }


MARKS: Final = ("points_awarded", "grader_comment")
OF_A_PAIR: Final = ("shared_wrong_answers", "expected", "probability")
# Entries about an exam whose payload may name him.
NAMING: Final = (
    AuditEvent.EXAM_DELETED,
    AuditEvent.EXAM_ASSIGNED,
    AuditEvent.EXAM_UNASSIGNED,
    AuditEvent.EXAM_ASSIGNMENT_CHANGED,
    AuditEvent.EXAM_PROCTOR_ASSIGNED,
    AuditEvent.EXAM_PROCTOR_UNASSIGNED,
)
# For every type of entry what of its payload goes to whom it is about. A type that is
# not here fails a test, and until then nothing of it does.
RULES: Final[Mapping[str, Rule]] = {
    AuditEvent.LOG_GENESIS: _nothing,
    AuditEvent.LOG_ROWS_STATED: _nothing,
    AuditEvent.EPOCH_OPENED: _nothing,
    AuditEvent.LOG_RESUMED: _nothing,
    AuditEvent.USER_REGISTERED: _whole,
    AuditEvent.USER_CREATED: _whole,
    AuditEvent.USER_UPDATED: _whole,
    AuditEvent.USER_DISABLED: _whole,
    AuditEvent.USER_ENABLED: _whole,
    AuditEvent.USER_PASSWORD_CHANGED: _whole,
    AuditEvent.USER_PASSWORD_RESET: _whole,
    AuditEvent.LOGIN_SUCCEEDED: _whole,
    AuditEvent.LOGIN_FAILED: _whole,
    AuditEvent.PASSWORD_CHANGE_REFUSED: _whole,
    AuditEvent.TOKEN_REFRESHED: _whole,
    AuditEvent.TOKEN_REUSE_DETECTED: _whole,
    AuditEvent.LOGGED_OUT: _whole,
    AuditEvent.SESSION_ENDED: _whole,
    AuditEvent.ACCESS_DENIED: _whole,
    # About exams, which are nobody.
    AuditEvent.EXAM_CREATED: _nothing,
    AuditEvent.EXAM_UPDATED: _nothing,
    AuditEvent.EXAM_DELETED: _his_part,
    AuditEvent.EXAM_STATUS_CHANGED: _nothing,
    AuditEvent.EXAM_QUESTIONS_CHANGED: _nothing,
    AuditEvent.EXAM_QUESTIONS_IMPORTED: _nothing,
    AuditEvent.EXAM_EXTRA_TIME_GRANTED: _nothing,
    AuditEvent.EXAM_ASSIGNED: _only_him,
    AuditEvent.EXAM_UNASSIGNED: _only_him,
    AuditEvent.EXAM_ASSIGNMENT_CHANGED: _only_him,
    AuditEvent.EXAM_PROCTOR_ASSIGNED: _only_him,
    AuditEvent.EXAM_PROCTOR_UNASSIGNED: _only_him,
    AuditEvent.ATTEMPT_STARTED: _whole,
    AuditEvent.ATTEMPT_RESUMED: _whole,
    AuditEvent.ATTEMPT_TAKEN_OVER: _whole,
    AuditEvent.ATTEMPT_ANSWERS_SAVED: _after_the_attempt,
    AuditEvent.ATTEMPT_SUBMITTED: _whole,
    AuditEvent.ATTEMPT_ENDED: _whole,
    AuditEvent.ATTEMPT_PAUSED: _whole,
    AuditEvent.ATTEMPT_UNPAUSED: _whole,
    AuditEvent.ATTEMPT_EXTENDED: _whole,
    AuditEvent.ATTEMPT_DEADLINE_MOVED: _whole,
    AuditEvent.ATTEMPT_TERMINATED: _whole,
    AuditEvent.ATTEMPT_VOIDED: _whole,
    AuditEvent.ATTEMPT_REOPENED: _whole,
    AuditEvent.ATTEMPT_GRADED: _after_the_exam,
    AuditEvent.ATTEMPT_REVIEWED: _after_the_attempt,
    AuditEvent.APPEAL_LODGED: _whole,
    AuditEvent.APPEAL_TAKEN: _whole,
    AuditEvent.APPEAL_DECIDED: _whole,
    AuditEvent.APPEAL_WITHDRAWN: _whole,
    AuditEvent.PROCTORING_EVENTS_RECORDED: _reported,
    AuditEvent.ANALYSIS_COMPUTED: _after_the_attempt,
    AuditEvent.SETTINGS_CHANGED: _nothing,
    AuditEvent.HOLD_PLACED: _whole,
    AuditEvent.HOLD_RELEASED: _whole,
    AuditEvent.DATA_ERASED: _whole,
    AuditEvent.RETENTION_APPLIED: _nothing,
    AuditEvent.VERIFICATION_STARTED: _nothing,
    AuditEvent.VERIFICATION_CANCELLED: _nothing,
    AuditEvent.EVIDENCE_EXPORTED: _whole,
    AuditEvent.EVIDENCE_VIEWED: _whole,
    AuditEvent.DATA_EXPORTED: _whole,
}
