"""A policy is bounded and round-trips; one event means what the policy says."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue, ValidationError

from services.event_catalogue import EVENT_TYPES, EventClass, Severity, resolve
from services.proctoring_policy import (
    PayloadError,
    ProctoringPolicy,
    classify,
    read_facts,
    repeated_severity,
)

DEFAULT = ProctoringPolicy()


def severity_of(code: str, policy: ProctoringPolicy = DEFAULT, **payload: Any) -> str:
    return classify(resolve(code), payload, policy).severity.value


def test_an_empty_object_is_a_policy() -> None:
    assert ProctoringPolicy.model_validate_json("{}") == DEFAULT


def test_a_policy_survives_json() -> None:
    policy = ProctoringPolicy.model_validate(
        {
            "allowed_events": ["display.multiple", "object.notes"],
            "severity_overrides": {"tab_switch": "high"},
            "factor_weights": {"gaze": 0},
            "risk_levels": {"low": 5, "medium": 20, "high": 50, "critical": 90},
            "debounce_seconds": 2.5,
        }
    )

    again = ProctoringPolicy.model_validate_json(policy.model_dump_json())

    assert again == policy
    assert again.severity_overrides == {"focus.lost": Severity.HIGH}


@pytest.mark.parametrize(
    "body",
    [
        {"debounce_seconds": 0},
        {"debounce_seconds": float("nan")},
        {"repeat_count": 1},
        {"allowed_events": ["no.such"]},
        {"severity_overrides": {"focus.lost": "fatal"}},
        {"severity_overrides": {"focus.lost": "low", "tab_switch": "high"}},
        {"factor_weights": {"gaze": 1.5}},
        {"factor_weights": {"colour": 0.5}},
        {"risk_levels": {"low": 50, "medium": 20}},
        {"colour": "red"},
    ],
)
def test_what_makes_no_sense_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ProctoringPolicy.model_validate(body)


def test_scaling_divides_every_time_and_nothing_else() -> None:
    before, after = DEFAULT.model_dump(), DEFAULT.scaled(30).model_dump()
    seconds = {name for name in before if name.endswith("_seconds")}

    assert len(seconds) == 10
    for name, value in before.items():
        assert after[name] == (value / 30 if name in seconds else value)


@pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf")])
def test_a_speed_that_is_none_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        DEFAULT.scaled(speed)


@pytest.mark.parametrize(
    ("code", "payload", "expected"),
    [
        ("focus.lost", {"duration_ms": 10_000}, "low"),
        ("focus.lost", {"duration_ms": 10_001}, "medium"),
        ("face.not_visible", {"duration_ms": 30_000}, "low"),
        ("face.not_visible", {"duration_ms": 30_001}, "medium"),
        ("gaze.away", {"duration_ms": 4_999}, "info"),
        ("gaze.away", {"duration_ms": 5_000}, "low"),
        ("gaze.away", {"consecutive_frames": 8}, "low"),
        ("session.ip_changed", {}, "info"),
        ("session.ip_changed", {"is_new_network": True}, "low"),
        ("client.clock_skew", {"skew_seconds": 120}, "info"),
        ("client.clock_skew", {"skew_seconds": -121}, "low"),
        ("face.partially_visible", {"duration_ms": 60_000}, "info"),
        ("object.phone", {}, "high"),
    ],
)
def test_severity_follows_from_type_and_payload(
    code: str, payload: dict[str, Any], expected: str
) -> None:
    assert severity_of(code, **payload) == expected


@pytest.mark.parametrize(
    "code",
    ["media.webcam_disconnected", "media.mic_muted", "media.screenshare_stopped"],
)
def test_media_become_a_matter_of_integrity_after_a_minute(code: str) -> None:
    short = classify(resolve(code), {"duration_ms": 60_000}, DEFAULT)
    long = classify(resolve(code), {"duration_ms": 60_001}, DEFAULT)

    assert (short.event_class, short.severity) == (
        EventClass.TECHNICAL,
        Severity.LOW,
    )
    assert (long.event_class, long.severity) == (
        EventClass.INTEGRITY,
        Severity.MEDIUM,
    )


@pytest.mark.parametrize("field", ["allowed_events", "ignored_events"])
def test_what_the_exam_does_not_count_is_stored_as_info(field: str) -> None:
    policy = ProctoringPolicy.model_validate(
        {field: ["display.multiple"], "severity_overrides": {"focus.lost": "high"}}
    )

    assert severity_of("display.multiple", policy) == "info"
    assert severity_of("focus.lost", policy) == "high"
    assert not policy.is_scored("display.multiple")


def test_a_strict_exam_minds_a_partly_visible_face() -> None:
    strict = ProctoringPolicy(is_partial_face_strict=True)

    assert severity_of("face.partially_visible", strict) == "low"


def test_an_override_also_stops_the_rise_by_repetition() -> None:
    override = ProctoringPolicy(severity_overrides={"focus.lost": Severity.LOW})

    assert repeated_severity(resolve("focus.lost"), DEFAULT) is Severity.MEDIUM
    assert repeated_severity(resolve("focus.lost"), override) is Severity.INFO


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("duration_ms", -1),
        ("duration_ms", 86_400_001),
        ("duration_ms", 1.5),
        ("duration_ms", "5"),
        ("duration_ms", True),
        ("confidence", 1.01),
        ("confidence", float("nan")),
        ("count", 0),
        ("consecutive_frames", 0),
        ("is_new_network", 1),
    ],
)
def test_a_key_with_an_impossible_value_is_refused(key: str, value: Any) -> None:
    with pytest.raises(PayloadError) as refusal:
        read_facts({key: value})

    assert refusal.value.key == key


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=12), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = st.sampled_from(["duration_ms", "confidence", "count", "skew_seconds", "other"])


@given(code=st.sampled_from(sorted(EVENT_TYPES)), payload=st.dictionaries(KEYS, JSON))
def test_no_payload_breaks_the_classification(
    code: str, payload: dict[str, JsonValue]
) -> None:
    try:
        classified = classify(resolve(code), payload, DEFAULT)
    except PayloadError as error:
        assert error.key in payload  # noqa: PT017  # Either outcome is right.
    else:
        published = resolve(code).event_class
        assert classified.event_class in {published, EventClass.INTEGRITY}
