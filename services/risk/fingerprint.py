"""The hash that names what an analysis was computed from."""

from datetime import UTC, datetime

from services.proctoring_policy import ProctoringPolicy
from services.risk.canonical import digest
from services.risk.cohort import Cohort
from services.risk.inputs import AnsweredQuestion, AttemptInputs, ObservedEvent


def inputs_hash(
    inputs: AttemptInputs, cohort: Cohort, policy: ProctoringPolicy, version: str
) -> str:
    """SHA-256, in hex, over the canonical JSON (RFC 8785) of all that the score needs.

    The order in which events, answers or members are listed does not change it.
    """
    return digest(
        {
            "model_version": version,
            # For how long a verdict can be contested is nothing to the score.
            "policy": policy.model_dump(mode="json", exclude={"appeal_days"}),
            "attempt": _attempt(inputs),
            "cohort": sorted(cohort.member_digests),
        }
    )


def _attempt(inputs: AttemptInputs) -> dict[str, object]:
    return {
        "attempt_id": str(inputs.attempt_id),
        "student_id": str(inputs.student_id),
        "started_at": _time(inputs.started_at),
        "ended_at": _time(inputs.ended_at),
        "as_of": _time(inputs.as_of),
        "events": [
            _event(each)
            for each in sorted(inputs.events, key=lambda e: (e.occurred_at, e.id))
        ],
        "answers": [
            _answer(each)
            for each in sorted(inputs.answers, key=lambda a: a.question_id)
        ],
        "pauses": sorted(
            [_time(each.started_at) or "", _time(each.ended_at) or ""]
            for each in inputs.pauses
        ),
        "report_times": sorted({_time(each) or "" for each in inputs.report_times}),
    }


def _event(event: ObservedEvent) -> list[object]:
    facts = event.facts
    return [
        str(event.id),
        event.code,
        event.event_class.value,
        event.severity.value,
        _time(event.occurred_at),
        _time(event.received_at),
        event.sequence,
        facts.duration_ms,
        facts.confidence,
        facts.count,
        facts.consecutive_frames,
        facts.skew_seconds,
        facts.is_new_network,
        event.is_displaced,
    ]


def _answer(answer: AnsweredQuestion) -> list[object]:
    return [
        str(answer.question_id),
        answer.kind,
        answer.is_correct,
        answer.response_digest,
        _time(answer.first_saved_at),
        _time(answer.saved_at),
        answer.options_count,
    ]


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()
