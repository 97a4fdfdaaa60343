"""One exam in full swing, with everybody who may or may not touch it.

Ada is the admin and bob the exam's proctor; oscar is a proctor of other exams. Alice
sits the exam, paula was paused, dave has submitted and was stopped in his second
attempt, carol has yet to start, and mallory has nothing to do with it. Ada has found
greta guilty, and peter in both his attempts: he contests that, and bob looks into the
second of his appeals. Dan's account was disabled.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

import psycopg2
from flask import Flask
from psycopg2.extensions import connection

from app import create_app
from config import Settings
from models.database import Database
from models.principal import Role
from services.analysis_job import AnalysisJob
from tests.exams import (
    ONE_OF_EACH,
    Json,
    active,
    body,
    convict,
    create,
    start,
    watch,
)
from tests.personas import PASSWORD, Api, Persona, access_token, enrol, open_session
from tests.reports import observed, record
from utils.uuid7 import uuid7

NAMES: Mapping[str, Role] = {
    "ada": Role.ADMIN,
    "bob": Role.PROCTOR,
    "oscar": Role.PROCTOR,
    "alice": Role.STUDENT,
    "paula": Role.STUDENT,
    "dave": Role.STUDENT,
    "carol": Role.STUDENT,
    "greta": Role.STUDENT,
    "peter": Role.STUDENT,
    "mallory": Role.STUDENT,
    "dan": Role.STUDENT,
}
# Who is not let in, and why.
STRANGERS = ("anonymous", "disabled", "expired", "forged", "logged_out", "wrong_kind")

DEAD_RUN = "019ab1c2-0000-7000-8000-00000000dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Everybody's name and token, and the ids that routes ask for.

    `ids` has what a route's variables are called, of the exam and alice's attempt, and
    further ids under names of their own.
    """

    personas: Mapping[str, Persona]
    tokens: Mapping[str, str | None]
    ids: Mapping[str, str]
    # Alice's paper: its questions are in order of ONE_OF_EACH.
    paper: Json

    def headers(self, who: str) -> dict[str, str]:
        token = self.tokens[who]
        return {} if token is None else {"Authorization": f"Bearer {token}"}

    def role(self, who: str) -> Role:
        return self.personas[who].role

    def __getitem__(self, who: str) -> Persona:
        return self.personas[who]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A database that can be copied, and who is in it."""

    template: str
    cast: Cast


@contextmanager
def playing(settings: Settings) -> Iterator[Flask]:
    """Run the application, and close its connections afterwards."""
    app = create_app(settings)
    try:
        yield app
    finally:
        app.extensions["database"].close()


def play(dsn: str, settings: Settings) -> Cast:
    """Put the scene into a migrated, empty database."""
    with (
        closing(psycopg2.connect(dsn)) as sql,
        closing(Database(settings.database)) as database,
        playing(settings) as app,
    ):
        sql.autocommit = True
        personas = {
            name: enrol(sql, settings, name, role) for name, role in NAMES.items()
        }
        cast = _perform(Api(app), personas)
        AnalysisJob(database).run()
        _leave_a_dead_run(sql, personas["ada"])
        tokens = _tokens(sql, settings, personas)
        return replace(cast, tokens={**cast.tokens, **tokens})


def _perform(api: Api, personas: Mapping[str, Persona]) -> Cast:
    ada = api.as_(personas["ada"])
    names = ("alice", "paula", "dave", "carol", "greta", "peter")
    sitting = [personas[name] for name in names]
    exam = active(
        ada,
        *[student.id for student in sitting],
        questions=ONE_OF_EACH,
        max_attempts=2,
    )
    watch(ada, exam, personas["bob"].id)
    draft = create(ada, title="Draft", questions=ONE_OF_EACH)
    watch(ada, draft, personas["bob"].id)
    others = active(ada, title="Of others")
    watch(ada, others, personas["oscar"].id)

    alice = api.as_(personas["alice"])
    paper = start(alice, exam)
    event = observed(1)
    record(alice, paper, event, observed(2, "clipboard.paste"))
    paused = start(api.as_(personas["paula"]), exam)
    pause = f"/api/exams/attempts/{paused['id']}/pause"
    body(ada.post(pause, json={"reason": "a fire alarm"}))
    submitted = _submit(api, personas["dave"], exam)
    terminated = start(api.as_(personas["dave"]), exam)
    terminate = f"/api/exams/attempts/{terminated['id']}/terminate"
    body(ada.post(terminate, json={"reason": "a fire alarm"}))

    guilty = _submit(api, personas["greta"], exam)
    convict(ada, guilty)
    appealed, contested = (_submit(api, personas["peter"], exam) for _ in range(2))
    appeals = []
    for each in (appealed, contested):
        convict(ada, each)
        path = f"/api/exams/attempts/{each['id']}/appeals"
        lodged = api.as_(personas["peter"]).post(path, json={"reason": "It was not I."})
        appeals.append(body(lodged, 201)["id"])
    take = f"/api/proctoring/appeals/{appeals[1]}/take"
    body(api.as_(personas["bob"]).post(take))

    hold = {"exam_id": draft["id"], "reason": "a lawsuit about the questions"}
    held = body(ada.post("/api/legal-holds", json=hold), 201)

    return Cast(
        personas=personas,
        tokens={"wrong_kind": _log_in(api, personas["mallory"])["refresh_token"]},
        paper=paper,
        ids={
            "exam_id": exam["id"],
            "attempt_id": paper["id"],
            "question_id": paper["questions"][0]["id"],
            "student_id": str(personas["alice"].id),
            "proctor_id": str(personas["bob"].id),
            "user_id": str(personas["alice"].id),
            "session_id": str(personas["alice"].session_id),
            "hold_id": held["id"],
            "entity_type": "attempt",
            "entity_id": paper["id"],
            "event_type": "attempt.started",
            "name": "start.js",
            "slug": "not-found",
            "draft_exam_id": draft["id"],
            "draft_question_id": draft["questions"][0]["id"],
            "other_exam_id": others["id"],
            "paused_attempt_id": paused["id"],
            "submitted_attempt_id": submitted["id"],
            "terminated_attempt_id": terminated["id"],
            "guilty_attempt_id": guilty["id"],
            "appealed_attempt_id": appealed["id"],
            "appeal_id": appeals[0],
            "contested_appeal_id": appeals[1],
            "essay_question_id": paper["questions"][-1]["id"],
            "essay_id": submitted["questions"][-1]["id"],
            "client_event_id": event["client_event_id"],
            "idle_student_id": str(personas["carol"].id),
            "stranger_id": str(personas["mallory"].id),
            "run_id": DEAD_RUN,
        },
    )


def _leave_a_dead_run(sql: connection, ada: Persona) -> None:
    """A verification whose process ended before it did."""
    with sql.cursor() as cursor:
        cursor.execute(
            "INSERT INTO verification_runs (id, requested_by, deep, entries_total,"
            " alive_at) VALUES (%s, %s, false, 5, clock_timestamp() - interval '1 h')",
            [DEAD_RUN, str(ada.id)],
        )


def _submit(api: Api, student: Persona, exam: Json) -> Json:
    """Answer what a machine can't grade, and submit."""
    speaker = api.as_(student)
    paper = start(speaker, exam)
    path = f"/api/exams/attempts/{paper['id']}"
    essay = {
        "question_id": paper["questions"][-1]["id"],
        "response": "SYN, SYN-ACK, ACK.",
        "client_version": 1,
    }
    body(speaker.put(f"{path}/answers", json={"answers": [essay]}))
    body(speaker.post(f"{path}/submit"))
    return paper


def _log_in(api: Api, persona: Persona) -> Json:
    given = {"email": persona.email, "password": PASSWORD}
    return body(api.as_(None).post("/api/auth/login", json=given))


def _tokens(
    sql: connection, settings: Settings, personas: Mapping[str, Persona]
) -> dict[str, str | None]:
    alice, dan = personas["alice"], personas["dan"]
    departed = open_session(sql, settings, alice.id, gone := uuid7())
    with sql.cursor() as cursor:
        cursor.execute(
            "UPDATE users SET is_active = false WHERE id = %(id)s;"
            " SELECT audit_append_one('user.disabled', 'user', %(id)s::text, 'system',"
            "                         NULL, '{}')",
            {"id": str(dan.id)},
        )
        cursor.execute(
            "UPDATE sessions SET ended_at = clock_timestamp(), ended_reason = 'logout'"
            " WHERE id = %s",
            [gone],
        )
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())::bigint")
        (row,) = cursor.fetchall()
    now = int(row[0])
    expired = now - 2 * settings.access_token_seconds
    claims, _, _ = personas["ada"].token.rpartition(".")
    _, _, signature = alice.token.rpartition(".")
    return {
        **{name: persona.token for name, persona in personas.items()},
        "anonymous": None,
        "disabled": dan.token,
        "expired": access_token(settings, alice.id, alice.session_id, expired),
        "forged": f"{claims}.{signature}",
        "logged_out": departed,
    }
