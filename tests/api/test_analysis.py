"""Analyses over HTTP: how they come about, how they are read and tried out."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from psycopg2.extensions import connection

from models.principal import Role
from services.analysis_job import AnalysisJob
from tests.exams import Json, active, body, entries, start, watch
from tests.personas import Api, Enrol, Persona
from tests.reports import observed, record

STRANGER = {"duration_ms": 30_000, "confidence": 0.95}
GLANCE = {"duration_ms": 800}
LAPSE = {"duration_ms": 12_000}


@pytest.fixture
def exam(api: Api, ada: Persona, alice: Persona, mallory: Persona) -> Json:
    return active(api.as_(ada), alice.id, mallory.id)


@pytest.fixture
def analyse(app: Flask) -> Callable[[], int]:
    """Do what the sweeper does, now."""
    return AnalysisJob(app.extensions["database"], spacing=timedelta()).run


def latest(api: Api, staff: Persona, attempt: Json) -> Json:
    path = f"/api/proctoring/attempt/{attempt['id']}/ai-analysis"
    return body(api.as_(staff).get(path))


def compute(
    api: Api, staff: Persona, attempt: Json, status: int, **given: object
) -> Json:
    path = f"/api/proctoring/attempt/{attempt['id']}/ai-analysis"
    return body(api.as_(staff).post(path, json=given), status)


def suspicious(api: Api, staff: Persona, query: str = "") -> list[Json]:
    found: list[Json] = body(api.as_(staff).get(f"/api/proctoring/suspicious?{query}"))[
        "items"
    ]
    return found


def test_an_attempt_has_an_analysis_from_its_start(
    api: Api, ada: Persona, attempt: Json, analyse: Callable[[], int]
) -> None:
    path = f"/api/proctoring/attempt/{attempt['id']}/ai-analysis"
    before = body(api.as_(ada).get(path), 404)

    done = analyse()

    assert before["type"] == "/problems/analysis-not-found"
    assert done == 1
    found = latest(api, ada, attempt)
    assert (found["risk_score"], found["risk_level"]) == (0, "none")
    assert found["factors"] == []
    assert found["is_official"] is True
    assert found["policy"] is None
    same = f"{path}?version={found['model_version']}"
    assert body(api.as_(ada).get(same)) == found
    body(api.as_(ada).get(f"{path}?version=1999-01-1"), 404)
    assert analyse() == 0


def test_an_analysis_explains_its_score(
    api: Api,
    ada: Persona,
    alice: Persona,
    attempt: Json,
    analyse: Callable[[], int],
    sql: connection,
) -> None:
    reply = record(
        api.as_(alice),
        attempt,
        observed(1, "face.different_person", payload=STRANGER),
        observed(2, "focus.lost", payload=LAPSE),
        observed(3, "gaze.away", payload=GLANCE),
    )
    analyse()

    found = latest(api, ada, attempt)

    assert found["attempt_id"] == attempt["id"]
    assert 0 < found["risk_score"] <= 100
    assert found["risk_score"] == pytest.approx(
        sum(each["contribution"] for each in found["factors"])
    )
    factors = {each["code"]: each for each in found["factors"]}
    assert factors["identity"]["contribution"] > factors["navigation"]["contribution"]
    # One glance is no evidence, but the student is told that it was seen.
    assert factors["gaze"]["contribution"] == 0
    with sql.cursor() as cursor:
        cursor.execute(
            "SELECT id::text FROM proctoring_events WHERE client_event_id = %s",
            [reply["results"][0]["client_event_id"]],
        )
        assert cursor.fetchone() == (factors["identity"]["evidence"][0],)
    assert factors["identity"]["evidence_count"] == 1
    assert found["cohort"]["is_compared"] is False
    assert found["coverage"]["missing_events"] == 0
    assert 0 < found["confidence"] <= 1
    assert len(found["inputs_hash"]) == 64
    logged = entries(sql, "analysis.computed")[-1]
    assert logged["inputs_hash"] == found["inputs_hash"]
    assert float(logged["risk_score"]) == found["risk_score"]


def test_technical_trouble_is_no_evidence(
    api: Api, ada: Persona, alice: Persona, attempt: Json, analyse: Callable[[], int]
) -> None:
    troubles = ["client.disconnected", "client.freeze", "media.quality_low"] * 5
    events = [observed(number, code) for number, code in enumerate(troubles, 1)]
    record(api.as_(alice), attempt, *events)
    analyse()

    assert latest(api, ada, attempt)["risk_score"] == 0


def test_the_same_data_give_the_same_analysis(
    api: Api, ada: Persona, alice: Persona, attempt: Json, analyse: Callable[[], int]
) -> None:
    record(api.as_(alice), attempt, observed(1, payload=LAPSE))
    analyse()
    first = latest(api, ada, attempt)

    again = compute(api, ada, attempt, 200)
    record(api.as_(alice), attempt, observed(2, "devtools.opened"))
    changed = compute(api, ada, attempt, 201)

    assert again == first
    assert changed["inputs_hash"] != first["inputs_hash"]
    assert changed["risk_score"] > first["risk_score"]
    assert latest(api, ada, attempt) == changed


def test_a_policy_can_be_tried_without_consequence(
    api: Api,
    ada: Persona,
    alice: Persona,
    attempt: Json,
    analyse: Callable[[], int],
    sql: connection,
) -> None:
    record(api.as_(alice), attempt, observed(1, "devtools.opened", payload=LAPSE))
    analyse()
    official = latest(api, ada, attempt)
    lenient = {"factor_weights": {"tampering": 0}}

    trial = compute(api, ada, attempt, 201, policy=lenient)
    again = compute(api, ada, attempt, 200, policy=lenient)
    # Another one is another trial, and so is one that is the exam's.
    others = [
        compute(api, ada, attempt, 201, policy=policy)
        for policy in ({"factor_weights": {"tampering": 0.5}}, {})
    ]

    assert trial["is_official"] is False
    assert trial["policy"]["factor_weights"] == {"tampering": 0}
    assert trial["risk_score"] == 0 < official["risk_score"]
    assert again == trial
    assert latest(api, ada, attempt) == official
    assert suspicious(api, ada)[0]["risk_score"] == official["risk_score"]
    history = body(
        api.as_(ada).get(f"/api/proctoring/attempt/{attempt['id']}/ai-analysis/history")
    )
    assert history["items"] == [*others[::-1], trial, official]
    assert not any(each["is_official"] for each in others)
    assert entries(sql, "analysis.computed")[-1]["is_official"] is False


@pytest.mark.parametrize(
    "given",
    [
        {"model_version": "1999-01-1"},
        {"model_version": ""},
        {"policy": {"factor_weights": {"beauty": 1}}},
        {"policy": {"debounce_seconds": 0}},
        {"risk_score": 0},
    ],
)
def test_a_trial_that_makes_no_sense_is_refused(
    api: Api, ada: Persona, attempt: Json, given: Json
) -> None:
    compute(api, ada, attempt, 422, **given)


def test_only_an_admin_orders_an_analysis(
    api: Api, ada: Persona, bob: Persona, alice: Persona, exam: Json, attempt: Json
) -> None:
    watch(api.as_(ada), exam, bob.id)

    compute(api, bob, attempt, 403)
    compute(api, alice, attempt, 403)
    compute(api, ada, {"id": exam["id"]}, 404)


def test_the_most_suspicious_come_first(  # noqa: PLR0917 - a cast of its own.
    api: Api,
    ada: Persona,
    alice: Persona,
    mallory: Persona,
    exam: Json,
    analyse: Callable[[], int],
    enrol_as: Enrol,
) -> None:
    honest = enrol_as("carol", Role.STUDENT)
    path = f"/api/exams/{exam['id']}/assignments"
    body(api.as_(ada).post(path, json={"student_ids": [str(honest.id)]}), 201)
    some, much, _ = (start(api.as_(who), exam) for who in (alice, mallory, honest))
    record(api.as_(alice), some, observed(1, payload=LAPSE))
    stranger = observed(1, "face.different_person", payload=STRANGER)
    record(api.as_(mallory), much, stranger)
    analyse()

    everybody = suspicious(api, ada, "min_risk=0")
    listed = suspicious(api, ada, f"exam_id={exam['id']}")

    assert [each["attempt_id"] for each in listed] == [much["id"], some["id"]]
    assert len(everybody) == 3
    assert listed[0]["student_email"] == mallory.email
    assert listed[0]["exam_title"] == exam["title"]
    (reason,) = listed[0]["reasons"]
    assert reason["code"] == "identity"
    assert "another person" in reason["explanation"]
    high = listed[0]["risk_score"]
    assert [
        each["attempt_id"] for each in suspicious(api, ada, f"min_risk={high}")
    ] == [much["id"]]


def test_the_list_is_paged_without_a_gap(
    api: Api,
    ada: Persona,
    alice: Persona,
    mallory: Persona,
    exam: Json,
    analyse: Callable[[], int],
) -> None:
    # Two attempts of the same score are told apart by their ids.
    attempts = [start(api.as_(who), exam) for who in (alice, mallory)]
    analyse()

    first = body(api.as_(ada).get("/api/proctoring/suspicious?min_risk=0&limit=1"))
    cursor = first["next_cursor"]
    second = body(
        api.as_(ada).get(
            f"/api/proctoring/suspicious?min_risk=0&limit=1&cursor={cursor}"
        )
    )

    found = {each["attempt_id"] for each in first["items"] + second["items"]}
    assert found == {each["id"] for each in attempts}
    assert second["next_cursor"] is None


def test_a_proctor_gets_the_suspicious_of_his_exams(  # noqa: PLR0917 - the same.
    api: Api,
    ada: Persona,
    alice: Persona,
    mallory: Persona,
    bob: Persona,
    exam: Json,
    analyse: Callable[[], int],
) -> None:
    watched = active(api.as_(ada), mallory.id)
    watch(api.as_(ada), watched, bob.id)
    start(api.as_(alice), exam)
    mine = start(api.as_(mallory), watched)
    analyse()

    listed = suspicious(api, bob, "min_risk=0")

    assert [each["attempt_id"] for each in listed] == [mine["id"]]
    path = f"/api/proctoring/suspicious?exam_id={exam['id']}"
    body(api.as_(bob).get(path), 404)
    body(api.as_(alice).get("/api/proctoring/suspicious"), 403)


@pytest.mark.parametrize(
    "query", ["min_risk=-1", "min_risk=101", "min_risk=NaN", "exam_id=1", "cursor=W10"]
)
def test_a_query_that_means_nothing_is_refused(
    api: Api, ada: Persona, query: str
) -> None:
    body(api.as_(ada).get(f"/api/proctoring/suspicious?{query}"), 422)


def test_an_analysis_judges_nobody(
    api: Api, ada: Persona, alice: Persona, attempt: Json, analyse: Callable[[], int]
) -> None:
    worst = ["face.different_person", "object.phone", "devtools.opened"]
    events = [
        observed(number, code, payload=STRANGER)
        for number, code in enumerate(worst, start=1)
    ]
    record(api.as_(alice), attempt, *events)
    analyse()

    found = body(api.as_(ada).get(f"/api/proctoring/attempt/{attempt['id']}"))

    assert found["analysis"]["risk_level"] == "critical"
    assert found["attempt"]["status"] == "in_progress"
    assert found["review"]["status"] == "none"
