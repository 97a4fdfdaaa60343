"""What an exam watches, how much of it is too much, and what one event then means."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Annotated, Any, Final, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from services.event_catalogue import (
    EventClass,
    EventType,
    Severity,
    resolve,
)

# The model's factors, in the order in which they are shown. A policy may weigh each of
# them anew, so the names belong to the wire; `services/risk` says what they hold.
FACTOR_CODES = (
    "identity",
    "other_person",
    "absence",
    "gaze",
    "voice",
    "forbidden_object",
    "navigation",
    "clipboard",
    "tampering",
    "monitoring_stopped",
    "session_sharing",
    "answer_similarity",
    "answer_timing",
    "leaked_questions",
)
# A media event that outlasts the policy's patience is no longer a technical matter.
MEDIA_CODES = frozenset(
    {
        "media.webcam_disconnected",
        "media.mic_muted",
        "media.screenshare_stopped",
    }
)
MAX_DURATION_MS = 86_400_000
MAX_COUNT = 1000
MAX_FRAMES = 1_000_000


def _code(name: str) -> str:
    return resolve(name).code


def _sorted_codes(codes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(codes)))


def _each_once(
    given: object, read: ValidatorFunctionWrapHandler
) -> dict[str, Severity]:
    # Of two aliases of one type, one would be lost in silence.
    by_code: dict[str, Severity] = read(given)
    if isinstance(given, dict) and len(given) > len(by_code):
        raise ValueError("names an event type twice, by its code or its aliases")
    return by_code


def _known_factors(weights: dict[str, float]) -> dict[str, float]:
    unknown = sorted(set(weights) - set(FACTOR_CODES))
    if unknown:
        raise ValueError(
            f"names no factor: {unknown[0][:64]}; factors are {', '.join(FACTOR_CODES)}"
        )
    return weights


Name = Annotated[str, Field(min_length=1, max_length=64)]
Code = Annotated[Name, AfterValidator(_code)]
Codes = Annotated[
    tuple[Code, ...], Field(max_length=100), AfterValidator(_sorted_codes)
]
# The model counts in whole microseconds, and divides by some of these.
Seconds = Annotated[float, Field(ge=0.001, le=86_400, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Score = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


class RiskLevels(BaseModel):
    """The lowest score of each level; below `low` the level is `none`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: Score = 10
    medium: Score = 30
    high: Score = 60
    critical: Score = 85

    @model_validator(mode="after")
    def _ascend(self) -> Self:
        if not self.low <= self.medium <= self.high <= self.critical:
            raise ValueError("levels must ascend: low, medium, high, critical")
        return self


class ProctoringPolicy(BaseModel):
    """The rules of one exam. All of it has a default, so `{}` is a policy.

    Every time constant is a field whose name ends in `_seconds`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # What the exam permits (a second display, notes) and which detectors it leaves
    # off. Either way such an event is stored with severity info and never scored.
    allowed_events: Codes = ()
    ignored_events: Codes = ()
    severity_overrides: Annotated[
        dict[Code, Severity], Field(max_length=100), WrapValidator(_each_once)
    ] = Field(default_factory=dict)
    # Replaces the model's own weight of a factor; 0 turns the factor off.
    factor_weights: Annotated[
        dict[Name, Share], Field(max_length=50), AfterValidator(_known_factors)
    ] = Field(default_factory=dict)
    # A face that is partly out of the picture counts only in a strict exam.
    is_partial_face_strict: bool = False

    # Events of one type that are closer than this are one episode.
    debounce_seconds: Seconds = 10
    # The opinion of a detector counts when it lasted this long, held for this many
    # frames in a row, or came back this often.
    sustained_after_seconds: Seconds = 5
    sustained_frames: Annotated[int, Field(ge=2, le=1000)] = 8
    repeat_count: Annotated[int, Field(ge=2, le=100)] = 3
    minimum_confidence: Share = 0.5
    focus_lost_medium_after_seconds: Seconds = 10
    face_not_visible_medium_after_seconds: Seconds = 30
    media_integrity_after_seconds: Seconds = 60
    clock_skew_low_after_seconds: Seconds = 120
    # A device that was displaced, and takes the attempt back from one that was heard of
    # within this time, means that two were at work.
    concurrent_device_within_seconds: Seconds = 60
    # By how much a technical failure is widened; it explains what lies wholly within.
    explained_within_seconds: Seconds = 15

    # A report vouches for this much time before it.
    expected_report_interval_seconds: Seconds = 30

    is_similarity_enabled: bool = True
    is_answer_timing_enabled: bool = True
    # Fewer identical wrong answers than this are no matter for statistics.
    minimum_shared_wrong_answers: Annotated[int, Field(ge=2, le=100)] = 4
    minimum_answer_seconds: Seconds = 3
    # A right answer is fast below this share of the cohort's median for its question.
    fast_answer_share_of_median: Share = 0.2
    # Other attempts needed before an attempt is compared with them.
    minimum_cohort_size: Annotated[int, Field(ge=3, le=10_000)] = 8

    risk_levels: RiskLevels = RiskLevels()

    # For so long a student can contest a verdict; 0 gives no appeal. The database has
    # the default, too: appeal_until in migration 0029.
    appeal_days: Annotated[int, Field(ge=0, le=365)] = 14

    def is_scored(self, code: str) -> bool:
        """Whether this exam lets events of this code weigh anything."""
        return code not in self.allowed_events and code not in self.ignored_events

    def scaled(self, speed: float) -> Self:
        """Return the policy for an exam that runs `speed` times as fast as life.

        Raises ValueError unless speed is a finite number above 0, and for a speed
        that takes a field out of its bounds.
        """
        if not (isfinite(speed) and speed > 0):
            raise ValueError("speed must be a finite number above 0")
        faster = {
            name: getattr(self, name) / speed
            for name in type(self).model_fields
            if name.endswith("_seconds")
        }
        return type(self).model_validate(self.model_dump() | faster)


class PayloadError(ValueError):
    """A payload key that means something holds a value that can not mean it."""

    def __init__(self, key: str, detail: str) -> None:
        self.key = key
        self.detail = detail
        super().__init__(f"payload.{key} {detail}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadFacts:
    """The keys of a payload that mean something (`event_catalogue.PAYLOAD_KEYS`)."""

    duration_ms: int = 0
    confidence: float | None = None
    count: int = 1
    consecutive_frames: int = 1
    skew_seconds: float = 0.0
    is_new_network: bool = False


NO_FACTS = PayloadFacts()


class Classified(NamedTuple):
    event_class: EventClass
    severity: Severity


def read_facts(payload: Mapping[str, JsonValue]) -> PayloadFacts:
    """Read what means something, and leave the rest alone.

    Raises PayloadError for a value of the wrong type or out of its bounds. A key that
    is null is a key that is absent.
    """
    found = {
        key: _READERS[key](key, value)
        for key, value in payload.items()
        if key in _READERS and value is not None
    }
    return PayloadFacts(**found) if found else NO_FACTS


def classify(
    event_type: EventType, payload: Mapping[str, JsonValue], policy: ProctoringPolicy
) -> Classified:
    """Derive class and severity of one event, which no client can set.

    Looks at this event alone; that it came back, or that something explains it, is for
    the risk model. Raises PayloadError as `read_facts` does.
    """
    facts = read_facts(payload)
    code = event_type.code
    is_too_long_without_media = (
        code in MEDIA_CODES
        and facts.duration_ms > policy.media_integrity_after_seconds * 1000
    )
    event_class = (
        EventClass.INTEGRITY if is_too_long_without_media else event_type.event_class
    )
    if not policy.is_scored(code):
        severity = Severity.INFO
    elif code in policy.severity_overrides:
        severity = policy.severity_overrides[code]
    elif is_too_long_without_media:
        severity = Severity.MEDIUM
    else:
        severity = _severity(event_type, facts, policy)
    return Classified(event_class=event_class, severity=severity)


def repeated_severity(event_type: EventType, policy: ProctoringPolicy) -> Severity:
    """Return the severity that repetition raises events of this type to, at least.

    It is info, which raises nothing, where the policy has spoken itself.
    """
    if event_type.code in policy.severity_overrides or not policy.is_scored(
        event_type.code
    ):
        return Severity.INFO
    return event_type.repeated_severity or Severity.INFO


def _severity(
    event_type: EventType, facts: PayloadFacts, policy: ProctoringPolicy
) -> Severity:
    seconds = facts.duration_ms / 1000
    # What raises the default, and to what.
    is_raised, raised = False, Severity.LOW
    match event_type.code:
        case "focus.lost":
            is_raised = seconds > policy.focus_lost_medium_after_seconds
            raised = Severity.MEDIUM
        case "face.not_visible":
            is_raised = seconds > policy.face_not_visible_medium_after_seconds
            raised = Severity.MEDIUM
        case "face.partially_visible":
            is_raised = policy.is_partial_face_strict
        case "gaze.away":
            is_raised = is_sustained(facts, policy)
        case "session.ip_changed":
            is_raised = facts.is_new_network
        case "client.clock_skew":
            is_raised = abs(facts.skew_seconds) > policy.clock_skew_low_after_seconds
    return raised if is_raised else event_type.default_severity


def is_sustained(facts: PayloadFacts, policy: ProctoringPolicy) -> bool:
    """Whether one event by itself lasted long enough to be more than a bad frame."""
    return (
        facts.duration_ms >= policy.sustained_after_seconds * 1000
        or facts.consecutive_frames >= policy.sustained_frames
    )


def _number(low: float, high: float) -> Callable[[str, JsonValue], Any]:
    def read(key: str, value: JsonValue) -> float:
        # A bool is an int to isinstance, which takes longer as well.
        if type(value) is not int and type(value) is not float:
            raise PayloadError(key, "must be a number")
        if not low <= value <= high:
            raise PayloadError(key, f"must be from {low} to {high}")
        return float(value)

    return read


def _integer(low: int, high: int) -> Callable[[str, JsonValue], Any]:
    read_number = _number(low, high)

    def read(key: str, value: JsonValue) -> int:
        number: float = read_number(key, value)
        if not number.is_integer():
            raise PayloadError(key, "must be a whole number")
        return int(number)

    return read


def _boolean(key: str, value: JsonValue) -> bool:
    if not isinstance(value, bool):
        raise PayloadError(key, "must be true or false")
    return value


# Any: each gives what its field of PayloadFacts holds.
_READERS: Final[Mapping[str, Callable[[str, JsonValue], Any]]] = {
    "duration_ms": _integer(0, MAX_DURATION_MS),
    "confidence": _number(0, 1),
    "count": _integer(1, MAX_COUNT),
    "consecutive_frames": _integer(1, MAX_FRAMES),
    "skew_seconds": _number(-1e10, 1e10),
    "is_new_network": _boolean,
}
