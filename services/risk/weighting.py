"""The model's constants, one set a version, so that an old score can be had again."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from services.event_catalogue import LTI_NUMBERS, Severity
from services.proctoring_policy import FACTOR_CODES, ProctoringPolicy

MODEL_VERSION = "2026-11-2"

# Events that come of one act belong to one factor, where a moment counts once: who
# leaves the window also leaves full screen, and must not pay twice.
FACTOR_EVENTS: Mapping[str, tuple[str, ...]] = {
    "identity": (
        "face.different_person",
        "face.mismatch_reference",
        "identity.id_check_failed",
        "identity.impersonation_suspected",
    ),
    "other_person": (
        "face.multiple",
        "candidate.unauthorized_person",
        "audio.second_speaker",
    ),
    # A camera that is off sees no face: nobody pays for both.
    "absence": (
        "face.not_visible",
        "face.partially_visible",
        "candidate.left_room",
        "media.webcam_disconnected",
    ),
    "gaze": ("gaze.away",),
    "voice": ("audio.voice_detected", "audio.assistant_wake_word"),
    "forbidden_object": (
        "object.phone",
        "object.second_screen",
        "object.notes",
        "display.multiple",
    ),
    "navigation": (
        "focus.lost",
        "fullscreen.exited",
        "app.switch_attempt",
        "app.blocked_process",
    ),
    "clipboard": (
        "clipboard.copy",
        "clipboard.paste",
        "clipboard.external_paste",
        "print_or_screenshot.attempt",
    ),
    "tampering": (
        "devtools.opened",
        "devtools.extension_tampered",
        "vm_or_remote.detected",
        "virtual_camera.detected",
        "attestation.failed",
    ),
    "monitoring_stopped": (
        "media.mic_muted",
        "media.screenshare_stopped",
    ),
    "session_sharing": (
        "session.concurrent_device",
        "session.ip_changed",
        "cohort.shared_ip",
        "cohort.shared_fingerprint",
    ),
    "leaked_questions": ("answer.leaked_item_hit",),
}
# Events of these codes repeat what the model computes from the answers itself.
COMPUTED_FROM_ANSWERS = frozenset({"answer.similarity", "answer.timing_anomaly"})
FACTOR_OF_CODE: Mapping[str, str] = {
    code: factor for factor, codes in FACTOR_EVENTS.items() for code in codes
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighting:
    """One version of the constants; docs/risk-model.md says what each is for.

    `weights`: the most that a factor can bring to the noisy-or, 0 to 1.
    `scales`: the exposure at which a factor has 63 % of its weight.
    """

    version: str
    weights: Mapping[str, float]
    scales: Mapping[str, float]
    severity_heights: Mapping[Severity, float]
    # What is left of an observation that a technical failure explains.
    explained_share: float
    # What is left of a factor in which the attempt is like all others of its exam.
    typical_share: float
    # Robust z at which nothing is taken away any more, at which the exposure has been
    # raised in full, and by how much.
    full_at_z: float
    raised_at_z: float
    raised_factor: float
    # Stand in for the cohort's spread where that is smaller; a share of the median.
    minimum_spread: float
    minimum_spread_share: float
    # Evidence of answers: log10 of the corrected probability at which it begins.
    similarity_starts_at_log10: float
    # What one fast right answer beyond guessing adds to the exposure.
    fast_answer_height: float
    # Confidence where there was no cohort to compare with.
    confidence_without_cohort: float

    def weight(self, factor: str, policy: ProctoringPolicy) -> float:
        return policy.factor_weights.get(factor, self.weights[factor])


class UnknownModelVersionError(ValueError):
    """No weighting has this version."""

    def __init__(self, version: str) -> None:
        self.version = version
        super().__init__(
            f"There is no model version {version[:64]!r}; "
            f"there are {', '.join(WEIGHTINGS)}."
        )


CURRENT = Weighting(
    version=MODEL_VERSION,
    weights={
        "identity": 0.90,
        "other_person": 0.70,
        "absence": 0.35,
        "gaze": 0.10,
        "voice": 0.25,
        "forbidden_object": 0.80,
        "navigation": 0.70,
        "clipboard": 0.50,
        "tampering": 0.80,
        "monitoring_stopped": 0.40,
        "session_sharing": 0.60,
        "answer_similarity": 0.85,
        "answer_timing": 0.50,
        "leaked_questions": 0.50,
    },
    scales=dict.fromkeys(FACTOR_CODES, 3.0) | {"answer_similarity": 1.0},
    severity_heights=LTI_NUMBERS,
    explained_share=0.2,
    typical_share=0.25,
    full_at_z=2.0,
    raised_at_z=5.0,
    raised_factor=1.25,
    minimum_spread=0.05,
    minimum_spread_share=0.1,
    similarity_starts_at_log10=-1.0,
    fast_answer_height=0.3,
    confidence_without_cohort=0.9,
)
# Not for judging anyone: they show, on an old exam or a simulated one, what a part of
# the model is good for.
WITHOUT_COHORT = replace(
    CURRENT,
    version=f"{MODEL_VERSION}-without-cohort",
    typical_share=1.0,
    raised_factor=1.0,
)
WITHOUT_CONTEXT = replace(
    CURRENT, version=f"{MODEL_VERSION}-without-context", explained_share=1.0
)
WEIGHTINGS: Mapping[str, Weighting] = {
    each.version: each for each in (CURRENT, WITHOUT_COHORT, WITHOUT_CONTEXT)
}


def weighting_of(version: str) -> Weighting:
    """Return the constants of a version, or raise UnknownModelVersionError."""
    found = WEIGHTINGS.get(version)
    if found is None:
        raise UnknownModelVersionError(version)
    return found
