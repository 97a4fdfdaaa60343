"""What can happen during an attempt: every event code, its class and who may claim it.

The words are those of the field. An event is what a client or the server observed; it
is never a verdict. Only the class `integrity` feeds the risk model.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class EventClass(StrEnum):
    LIFECYCLE = "lifecycle"
    TECHNICAL = "technical"
    ENVIRONMENT = "environment"
    SUPPORT = "support"
    INTEGRITY = "integrity"


class Severity(StrEnum):
    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


# What 1EdTech's Assessment Control Service has for each, 0 to 1.
LTI_NUMBERS: Mapping[Severity, float] = {
    Severity.INFO: 0.0,
    Severity.LOW: 0.1,
    Severity.MEDIUM: 0.3,
    Severity.HIGH: 0.6,
    Severity.CRITICAL: 0.9,
}


class Reporter(StrEnum):
    CLIENT = "client"
    SERVER = "server"
    PROCTOR = "proctor"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType:
    """One row of the catalogue.

    `label` names the event in a sentence that the student reads. `is_detection` marks
    the opinion of a detector over frames or sound, which needs a sustained or repeated
    observation before it weighs anything. `repeated_severity` is what the event rises
    to when it is repeated; the risk model applies it, since one event can not tell.
    """

    code: str
    event_class: EventClass
    default_severity: Severity
    label: str
    reporters: frozenset[Reporter]
    is_detection: bool = False
    repeated_severity: Severity | None = None
    aliases: tuple[str, ...] = field(default=())


class UnknownEventTypeError(ValueError):
    """No event type has this name, neither as a code nor as an alias."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.near_matches = _near_matches(name)
        hint = (
            f" Did you mean {' or '.join(self.near_matches)}?"
            if self.near_matches
            else ""
        )
        super().__init__(f"There is no event type {name[:64]!r}.{hint}")


def _near_matches(name: str) -> tuple[str, ...]:
    """Return up to five codes that share the most beginnings of words with a name.

    A batch may have two hundred names that do not exist, each made to be hard to tell
    from all that do: to compare their letters (difflib) took a processor 0.3 s.
    """
    wanted = _starts(name[:64])
    shared = {code: len(wanted & starts) for code, starts in _STARTS.items()}
    most = max(shared.values())
    return tuple(code for code, count in shared.items() if count == most > 0)[:5]


def _starts(*names: str) -> frozenset[str]:
    words = re.split(r"[^a-z0-9]+", " ".join(names).lower())
    return frozenset(word[:3] for word in words if len(word) >= 3)  # noqa: PLR2004


# What keys of a payload mean. `proctoring_policy.read_facts` reads them; every other
# key is stored as it came and weighs nothing.
PAYLOAD_KEYS: Mapping[str, str] = {
    "duration_ms": "Integer, 0 to 86400000. How long it lasted, from occurred_at on.",
    "confidence": "Number, 0 to 1. How sure the detector was.",
    "count": "Integer, 1 to 1000. How many observations the client merged into this.",
    "consecutive_frames": "Integer, 1 to 1000000. Frames in a row that showed it.",
    "skew_seconds": "Number. client.clock_skew: client's time minus server's time.",
    "is_new_network": "Boolean. session.ip_changed: another provider or country.",
    "is_other_network": "Boolean. session.ip_changed: far from the last address.",
}

CLIENT = frozenset({Reporter.CLIENT})
SERVER = frozenset({Reporter.SERVER})
PROCTOR = frozenset({Reporter.PROCTOR})
# What a machine can see, a proctor can see too.
OBSERVER = CLIENT | PROCTOR


def _plain(
    event_class: EventClass,
    code: str,
    label: str,
    reporters: frozenset[Reporter],
    *aliases: str,
    severity: Severity = Severity.INFO,
) -> EventType:
    return EventType(
        code=code,
        event_class=event_class,
        default_severity=severity,
        label=label,
        reporters=reporters,
        aliases=aliases,
    )


def _integrity(
    code: str,
    severity: Severity,
    label: str,
    reporters: frozenset[Reporter],
    *aliases: str,
    repeated: Severity | None = None,
) -> EventType:
    return EventType(
        code=code,
        event_class=EventClass.INTEGRITY,
        default_severity=severity,
        label=label,
        reporters=reporters,
        repeated_severity=repeated,
        aliases=aliases,
    )


def _detection(
    code: str,
    severity: Severity,
    label: str,
    *aliases: str,
    repeated: Severity | None = None,
) -> EventType:
    return EventType(
        code=code,
        event_class=EventClass.INTEGRITY,
        default_severity=severity,
        label=label,
        reporters=OBSERVER,
        is_detection=True,
        repeated_severity=repeated,
        aliases=aliases,
    )


_LIFECYCLE = EventClass.LIFECYCLE
_TECHNICAL = EventClass.TECHNICAL
_ENVIRONMENT = EventClass.ENVIRONMENT
_SUPPORT = EventClass.SUPPORT
_INFO = Severity.INFO
_LOW = Severity.LOW
_MEDIUM = Severity.MEDIUM
_HIGH = Severity.HIGH
_CRITICAL = Severity.CRITICAL

# The order is that of the published table. A state of the attempt, a number that only
# the server can know, and what accuses on the word of a person are not for clients.
_TYPES = (
    _plain(_LIFECYCLE, "session.started", "starting the attempt", SERVER),
    _plain(_LIFECYCLE, "session.resumed", "resuming the attempt", SERVER),
    _plain(_LIFECYCLE, "session.submitted", "submitting the attempt", SERVER),
    _plain(_LIFECYCLE, "session.milestone", "reaching a milestone", CLIENT | SERVER),
    _plain(_LIFECYCLE, "session.paused", "pausing the attempt", SERVER),
    _plain(_LIFECYCLE, "session.extended", "extending the attempt", SERVER),
    _plain(_LIFECYCLE, "session.terminated", "terminating the attempt", SERVER),
    _plain(_TECHNICAL, "client.heartbeat_missed", "a missed heartbeat", SERVER),
    _plain(
        _TECHNICAL,
        "client.disconnected",
        "a lost connection",
        CLIENT | SERVER,
        "network_disconnected",
        "connection_lost",
    ),
    _plain(
        _TECHNICAL,
        "client.reconnected",
        "a connection that came back",
        CLIENT | SERVER,
        "network_reconnected",
        "connection_restored",
    ),
    _plain(_TECHNICAL, "client.clock_skew", "a wrong clock", CLIENT | SERVER),
    _plain(_TECHNICAL, "client.low_battery", "a low battery", CLIENT),
    _plain(_TECHNICAL, "client.weak_wifi", "a weak wireless signal", CLIENT),
    _plain(
        _TECHNICAL,
        "client.event_gap",
        "reports that were missing at the end",
        SERVER,
        severity=_LOW,
    ),
    _plain(_TECHNICAL, "client.power_loss", "a power loss", CLIENT | PROCTOR),
    _plain(_TECHNICAL, "client.freeze", "a frozen computer", CLIENT | PROCTOR),
    _plain(
        _TECHNICAL,
        "client.launch_failure",
        "a program that did not start",
        CLIENT | PROCTOR,
    ),
    # The policy makes these three integrity when they last too long unexplained.
    _plain(
        _TECHNICAL,
        "media.webcam_disconnected",
        "the webcam being off",
        CLIENT,
        "webcam_disconnected",
        "camera_off",
        severity=_LOW,
    ),
    _plain(
        _TECHNICAL,
        "media.mic_muted",
        "the microphone being off",
        CLIENT,
        "mic_muted",
        "microphone_off",
        severity=_LOW,
    ),
    _plain(
        _TECHNICAL,
        "media.screenshare_stopped",
        "the screen share being off",
        CLIENT,
        "screen_share_stopped",
        severity=_LOW,
    ),
    _plain(_TECHNICAL, "media.quality_low", "poor picture or sound", CLIENT),
    _plain(_ENVIRONMENT, "env.noise", "noise", OBSERVER, "noise_detected"),
    _plain(_ENVIRONMENT, "env.disturbance", "a disturbance", OBSERVER),
    _plain(_ENVIRONMENT, "env.comfort", "an uncomfortable room", OBSERVER),
    _plain(
        _ENVIRONMENT,
        "env.room_scan_incomplete",
        "an incomplete room scan",
        OBSERVER,
        severity=_LOW,
    ),
    _detection(
        "face.not_visible",
        _LOW,
        "your face being out of the picture",
        "face_not_detected",
        "face_not_visible",
        "face_missing",
        "no_face",
    ),
    _detection(
        "face.partially_visible",
        _INFO,
        "your face being partly out of the picture",
        "face_partial",
    ),
    _detection(
        "face.multiple",
        _HIGH,
        "more than one face in the picture",
        "multiple_faces",
    ),
    _detection(
        "face.different_person",
        _CRITICAL,
        "another person in your place",
        "different_person",
    ),
    _detection(
        "face.mismatch_reference",
        _HIGH,
        "a face unlike the reference photo",
        "face_mismatch",
    ),
    _detection(
        "gaze.away",
        _INFO,
        "looking away for long",
        "gaze_away",
        "looking_away",
        repeated=_LOW,
    ),
    _detection("audio.voice_detected", _LOW, "a voice", "voice_detected"),
    _detection(
        "audio.assistant_wake_word",
        _HIGH,
        "the wake word of a voice assistant",
    ),
    _detection("audio.second_speaker", _MEDIUM, "a second speaker", "second_speaker"),
    _detection("object.phone", _HIGH, "a phone", "phone_detected"),
    _detection("object.second_screen", _MEDIUM, "a second screen"),
    _detection("object.notes", _LOW, "notes", "notes_detected"),
    _integrity(
        "focus.lost",
        _LOW,
        "leaving the exam window",
        CLIENT,
        "tab_switch",
        "tab_hidden",
        "window_blur",
        "visibility_change",
        repeated=_MEDIUM,
    ),
    _integrity(
        "fullscreen.exited",
        _LOW,
        "leaving full screen",
        CLIENT,
        "fullscreen_exit",
        "exit_fullscreen",
    ),
    _integrity(
        "app.switch_attempt",
        _MEDIUM,
        "trying to switch to another program",
        CLIENT,
        "app_switch",
    ),
    _integrity("app.blocked_process", _MEDIUM, "a program that is not allowed", CLIENT),
    _integrity("clipboard.copy", _LOW, "copying", CLIENT, "copy"),
    _integrity("clipboard.paste", _LOW, "pasting", CLIENT, "copy_paste", "paste"),
    _integrity(
        "clipboard.external_paste",
        _MEDIUM,
        "pasting text from outside the exam",
        CLIENT,
        "external_paste",
    ),
    _integrity(
        "print_or_screenshot.attempt",
        _MEDIUM,
        "trying to print or to take a screenshot",
        CLIENT,
        "screenshot",
        "print_screen",
    ),
    _integrity(
        "devtools.opened",
        _HIGH,
        "opening the developer tools",
        CLIENT,
        "devtools_open",
    ),
    _integrity(
        "devtools.extension_tampered",
        _HIGH,
        "a changed proctoring extension",
        CLIENT | SERVER,
        "extension_tampered",
    ),
    _integrity(
        "display.multiple",
        _MEDIUM,
        "more than one display",
        CLIENT,
        "multiple_displays",
        "multiple_monitors",
    ),
    _integrity(
        "vm_or_remote.detected",
        _HIGH,
        "a virtual machine or remote control",
        CLIENT,
        "virtual_machine",
        "remote_desktop",
    ),
    # The published table has no noun here; a code is always two words and a dot.
    _integrity(
        "virtual_camera.detected",
        _HIGH,
        "a virtual camera",
        CLIENT,
        "virtual_camera",
    ),
    _integrity(
        "attestation.failed",
        _HIGH,
        "an exam program that could not be verified",
        CLIENT | SERVER,
    ),
    _integrity(
        "session.concurrent_device",
        _HIGH,
        "a second device in the same attempt",
        SERVER,
    ),
    _integrity("session.ip_changed", _INFO, "a change of network", SERVER),
    _integrity("cohort.shared_ip", _INFO, "a network shared with others", SERVER),
    _integrity(
        "cohort.shared_fingerprint",
        _MEDIUM,
        "a computer shared with another student",
        SERVER,
    ),
    _integrity(
        "identity.id_check_failed",
        _HIGH,
        "an identity check that failed",
        SERVER | PROCTOR,
    ),
    _integrity(
        "identity.impersonation_suspected",
        _CRITICAL,
        "a suspicion that somebody else took the exam",
        SERVER | PROCTOR,
    ),
    _integrity("answer.similarity", _MEDIUM, "answers like another's", SERVER),
    _integrity("answer.timing_anomaly", _MEDIUM, "unusually fast answers", SERVER),
    _integrity(
        "answer.leaked_item_hit",
        _MEDIUM,
        "an answer to a question known to have leaked",
        SERVER | PROCTOR,
    ),
    _detection("candidate.left_room", _MEDIUM, "leaving the room"),
    _detection(
        "candidate.unauthorized_person",
        _HIGH,
        "somebody else in the room",
    ),
    _plain(_SUPPORT, "candidate.raise_hand", "asking for help", OBSERVER),
    _plain(_SUPPORT, "candidate.complaint", "a complaint", OBSERVER),
    _plain(_SUPPORT, "candidate.illness", "feeling ill", OBSERVER),
    _plain(_SUPPORT, "proctor.note", "a proctor's note", PROCTOR),
    _plain(_SUPPORT, "proctor.incident", "a proctor's incident report", PROCTOR),
    _plain(_SUPPORT, "proctor.staff_error", "an error of the staff", PROCTOR),
    _plain(_SUPPORT, "proctor.late", "a late proctor", PROCTOR),
)

EVENT_TYPES: Mapping[str, EventType] = {each.code: each for each in _TYPES}
ALIASES: Mapping[str, str] = {
    alias: each.code for each in _TYPES for alias in each.aliases
}
_STARTS: Mapping[str, frozenset[str]] = {
    each.code: _starts(each.code, *each.aliases) for each in _TYPES
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """All that a client's author has to know."""

    items: tuple[EventType, ...]
    payload_keys: Mapping[str, str]


CATALOGUE = Catalogue(items=_TYPES, payload_keys=PAYLOAD_KEYS)


def resolve(name: str) -> EventType:
    """Return the type that `name` is the code or an alias of.

    Raises UnknownEventTypeError, which names codes with words in common.
    """
    found = EVENT_TYPES.get(ALIASES.get(name, name))
    if found is None:
        raise UnknownEventTypeError(name)
    return found
