"""Who sat an exam and is of the staff since then leaves his attempt to others."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from flask import Flask
from psycopg2.extensions import connection

from api.contract import contract_of
from config.config import Settings
from models.principal import Role
from services.analysis_job import AnalysisJob
from tests.exams import Json, active, body, start, watch
from tests.personas import Api, Persona, open_session
from tests.reports import observed, record
from tests.scene import Cast, Scene
from tests.writes import WRITES

OWNERS = {
    "attempt_id": "alice",
    "paused_attempt_id": "paula",
    "submitted_attempt_id": "dave",
    "terminated_attempt_id": "dave",
}
Promote = Callable[[Persona, Role], Persona]


@pytest.fixture
def promote(api: Api, ada: Persona, sql: connection, settings: Settings) -> Promote:
    """Give somebody another role; he logs in anew."""

    def promote(who: Persona, role: Role) -> Persona:
        body(api.as_(ada).patch(f"/api/users/{who.id}", json={"role": role}))
        return replace(who, role=role, token=open_session(sql, settings, who.id))

    return promote


class TestEveryRoute:
    """In the scene, whose students have all become admins."""

    @pytest.fixture
    def dsn(self, played: str) -> str:
        return played

    @pytest.fixture
    def ada(self, scene: Scene) -> Persona:
        return scene.cast["ada"]

    @pytest.fixture
    def cast(self, scene: Scene, promote: Promote) -> Cast:
        tokens = {
            name: promote(scene.cast[name], Role.ADMIN).token
            for name in {*OWNERS.values()}
        }
        return replace(scene.cast, tokens={**scene.cast.tokens, **tokens})

    def test_for_staff_refuses_ones_own_attempt(
        self, app: Flask, api: Api, cast: Cast
    ) -> None:
        found = {}
        for rule in app.url_map.iter_rules():
            roles = contract_of(app.view_functions[rule.endpoint]).roles
            if "attempt_id" not in rule.arguments or Role.ADMIN not in (roles or ()):
                continue
            if rule.endpoint in WRITES:
                write = WRITES[rule.endpoint]
                own = write.ids.get("attempt_id", "attempt_id")
                answer = write.send(app, cast, who=OWNERS[own])
            else:
                path = rule.rule.replace("<uuid:attempt_id>", cast.ids["attempt_id"])
                answer = api.as_(cast.tokens["alice"]).get(path)
            found[rule.endpoint] = body(answer, 403)["type"]

        assert len(found) >= 16
        assert set(found.values()) == {"/problems/own-attempt"}, found

    def test_grants_nobody_an_accommodation_of_his_own(
        self, app: Flask, cast: Cast
    ) -> None:
        change = WRITES["assignments.change_accommodation"]

        refused = body(change.send(app, cast, who="alice"), 403)

        assert refused["type"] == "/problems/own-attempt"
        assert change.send(app, cast, who="ada").status_code == 200


@pytest.fixture
def analyse(app: Flask) -> Callable[[], int]:
    return AnalysisJob(app.extensions["database"]).run


@pytest.fixture
def exam(api: Api, ada: Persona, alice: Persona, mallory: Persona) -> Json:
    return active(api.as_(ada), alice.id, mallory.id)


def test_a_proctor_does_not_act_on_his_own_and_is_offered_nothing(
    api: Api,
    ada: Persona,
    alice: Persona,
    mallory: Persona,
    exam: Json,
    promote: Promote,
) -> None:
    own = start(api.as_(alice), exam)
    other = start(api.as_(mallory), exam)
    me = api.as_(promote(alice, Role.PROCTOR))
    reason = {"reason": "a fire alarm"}
    unassigned = me.post(f"/api/exams/attempts/{own['id']}/pause", json=reason)
    watch(api.as_(ada), exam, alice.id)

    refused = me.post(f"/api/exams/attempts/{own['id']}/pause", json=reason)
    paused = me.post(f"/api/exams/attempts/{other['id']}/pause", json=reason)

    assert unassigned.status_code == 404
    assert body(refused, 403)["type"] == "/problems/own-attempt"
    assert body(paused)["status"] == "paused"
    board = body(me.get(f"/api/exams/{exam['id']}/attempts"))["items"]
    offered = {each["id"]: each["allowed_actions"] for each in board}
    assert offered[own["id"]] == []
    assert offered[other["id"]] == ["resume", "extend", "terminate"]


def test_the_list_by_risk_gives_nobody_the_reasons_of_his_own(
    api: Api,
    ada: Persona,
    alice: Persona,
    exam: Json,
    promote: Promote,
    analyse: Callable[[], int],
) -> None:
    own = start(api.as_(alice), exam)
    record(api.as_(alice), own, observed(1, "devtools.opened"))
    analyse()
    me = promote(alice, Role.ADMIN)

    (mine,), (his,) = (
        body(api.as_(who).get("/api/proctoring/suspicious"))["items"]
        for who in (me, ada)
    )

    assert mine["attempt_id"] == his["attempt_id"] == own["id"]
    assert mine["reasons"] == []
    assert his["reasons"]


def test_extra_time_for_all_leaves_ones_own_to_another_admin(
    api: Api,
    ada: Persona,
    alice: Persona,
    mallory: Persona,
    exam: Json,
    promote: Promote,
) -> None:
    own = start(api.as_(alice), exam)
    other = start(api.as_(mallory), exam)
    me = promote(alice, Role.ADMIN)
    path = f"/api/exams/{exam['id']}/extra-time"
    incident = {"incident": "outage", "reason": "the network was down", "minutes": 10}

    mine = body(api.as_(me).post(path, json=incident))
    hers = body(api.as_(ada).post(path, json=incident))

    assert mine["extended"] == [other["id"]]
    assert hers["extended"] == [own["id"]]
    assert hers["already_granted"] == [other["id"]]
