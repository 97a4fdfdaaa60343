"""The catalogue holds every published code and lets a client claim only some."""

import re

import pytest

from services.event_catalogue import (
    ALIASES,
    EVENT_TYPES,
    EventClass,
    Reporter,
    UnknownEventTypeError,
    resolve,
)

# The published table, row by row: class, default severity, codes.
PUBLISHED = """
lifecycle info session.started session.resumed session.submitted session.milestone
lifecycle info session.paused session.extended session.terminated
technical info client.heartbeat_missed client.disconnected client.reconnected
technical info client.clock_skew client.low_battery client.weak_wifi
technical low client.event_gap
technical info client.power_loss client.freeze client.launch_failure
technical low media.webcam_disconnected media.mic_muted media.screenshare_stopped
technical info media.quality_low
environment info env.noise env.disturbance env.comfort
environment low env.room_scan_incomplete
integrity low face.not_visible
integrity info face.partially_visible
integrity high face.multiple face.mismatch_reference
integrity critical face.different_person
integrity info gaze.away
integrity low audio.voice_detected
integrity high audio.assistant_wake_word
integrity medium audio.second_speaker
integrity high object.phone
integrity medium object.second_screen
integrity low object.notes
integrity low focus.lost fullscreen.exited
integrity medium app.switch_attempt app.blocked_process
integrity low clipboard.copy clipboard.paste
integrity medium clipboard.external_paste print_or_screenshot.attempt
integrity high devtools.opened devtools.extension_tampered
integrity medium display.multiple
integrity high vm_or_remote.detected virtual_camera.detected attestation.failed
integrity high session.concurrent_device
integrity info session.ip_changed cohort.shared_ip
integrity medium cohort.shared_fingerprint
integrity high identity.id_check_failed
integrity critical identity.impersonation_suspected
integrity medium answer.similarity answer.timing_anomaly answer.leaked_item_hit
integrity medium candidate.left_room
integrity high candidate.unauthorized_person
support info candidate.raise_hand candidate.complaint candidate.illness
support info proctor.note proctor.incident proctor.staff_error proctor.late
"""


def published() -> dict[str, tuple[str, str]]:
    rows = [line.split() for line in PUBLISHED.strip().splitlines()]
    return {code: (row[0], row[1]) for row in rows for code in row[2:]}


def test_it_is_the_published_table() -> None:
    ours = {
        code: (each.event_class.value, each.default_severity.value)
        for code, each in EVENT_TYPES.items()
    }

    assert ours == published()


@pytest.mark.parametrize("code", EVENT_TYPES)
def test_a_code_fits_the_constraint_of_its_column(code: str) -> None:
    assert re.fullmatch(r"[a-z_]+\.[a-z_]+", code)
    assert len(code) <= 64
    assert resolve(code).code == code


@pytest.mark.parametrize(
    ("alias", "code"),
    [
        ("tab_switch", "focus.lost"),
        ("face_not_detected", "face.not_visible"),
        ("multiple_faces", "face.multiple"),
        ("fullscreen_exit", "fullscreen.exited"),
        ("copy_paste", "clipboard.paste"),
    ],
)
def test_names_of_the_seed_are_aliases(alias: str, code: str) -> None:
    assert resolve(alias) is EVENT_TYPES[code]


def test_no_alias_hides_a_code_and_no_two_types_share_one() -> None:
    assert not ALIASES.keys() & EVENT_TYPES.keys()
    assert len(ALIASES) == sum(len(each.aliases) for each in EVENT_TYPES.values())


def test_an_unknown_name_is_refused_with_near_matches() -> None:
    with pytest.raises(UnknownEventTypeError) as refusal:
        resolve("tab_swich")

    assert "focus.lost" in refusal.value.near_matches
    assert "Did you mean" in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("face.not_visble", ("face.not_visible",)),
        ("FOCUS_LOS", ("focus.lost",)),
        ("webcam.off", ("media.webcam_disconnected",)),
        ("copypaste", ("clipboard.copy", "clipboard.paste")),
    ],
)
def test_near_is_what_has_words_in_common(name: str, near: tuple[str, ...]) -> None:
    with pytest.raises(UnknownEventTypeError) as refusal:
        resolve(name)

    assert refusal.value.near_matches == near


def test_an_unknown_name_like_nothing_else_is_refused_without_a_hint() -> None:
    with pytest.raises(UnknownEventTypeError) as refusal:
        resolve("z" * 100_000)

    assert refusal.value.near_matches == ()
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    "code",
    [
        "session.started",
        "session.submitted",
        "session.paused",
        "session.extended",
        "session.terminated",
        "session.concurrent_device",
        "session.ip_changed",
        "client.heartbeat_missed",
        "client.event_gap",
        "cohort.shared_ip",
        "cohort.shared_fingerprint",
        "answer.similarity",
        "answer.timing_anomaly",
        "answer.leaked_item_hit",
        "identity.id_check_failed",
        "identity.impersonation_suspected",
        "proctor.note",
        "proctor.incident",
        "proctor.staff_error",
        "proctor.late",
    ],
)
def test_a_client_may_not_claim_what_only_others_know(code: str) -> None:
    assert Reporter.CLIENT not in resolve(code).reporters


def test_everything_has_a_reporter_and_clients_have_what_they_can_see() -> None:
    assert all(each.reporters for each in EVENT_TYPES.values())
    for code in ("focus.lost", "face.not_visible", "client.disconnected"):
        assert Reporter.CLIENT in resolve(code).reporters


def test_detections_are_integrity_events_that_a_machine_or_a_proctor_sees() -> None:
    detections = [each for each in EVENT_TYPES.values() if each.is_detection]

    assert {each.event_class for each in detections} == {EventClass.INTEGRITY}
    assert all(
        each.reporters == {Reporter.CLIENT, Reporter.PROCTOR} for each in detections
    )
