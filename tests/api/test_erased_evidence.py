"""What was erased is told to be gone, not shown as if there had been nothing."""

from uuid import UUID, uuid4

import pytest

from models.database import Database
from models.principal import Principal, Role
from services.analysis_job import AnalysisJob
from services.proctoring_reads import ProctoringReads
from tests.exams import Json, active, body, start
from tests.personas import Api, Persona
from tests.reports import observed, record

WHY = {"legal_basis": "GDPR 17", "reason": "a letter", "erase_mentions": False}


@pytest.fixture
def paper(api: Api, ada: Persona, alice: Persona, database: Database) -> Json:
    """An attempt with an answer, and with something that weighs."""
    student = api.as_(alice)
    paper = start(student, active(api.as_(ada), alice.id))
    question = next(q for q in paper["questions"] if q["kind"] == "true_false")
    path = f"/api/exams/attempts/{paper['id']}"
    answer = {"question_id": question["id"], "response": True, "client_version": 1}
    body(student.put(f"{path}/answers", json={"answers": [answer]}))
    record(student, paper, observed(1))
    body(student.post(f"{path}/submit"))
    AnalysisJob(database).run()
    return paper


def overview(api: Api, ada: Persona, paper: Json) -> Json:
    return body(api.as_(ada).get(f"/api/proctoring/attempt/{paper['id']}"))


def test_a_score_without_its_reasons_says_that_they_were_erased(
    api: Api, ada: Persona, alice: Persona, paper: Json, database: Database
) -> None:
    before = overview(api, ada, paper)
    body(api.as_(ada).post(f"/api/users/{alice.id}/erasure", json=WHY))

    after = overview(api, ada, paper)

    assert not before["analysis"]["is_erased"]
    assert before["analysis"]["factors"]
    assert after["analysis"]["risk_score"] == before["analysis"]["risk_score"] > 0
    assert after["analysis"]["factors"] == []
    assert after["analysis"]["is_erased"]
    student = Principal(
        id=alice.id,
        role=Role.STUDENT,
        session_id=uuid4(),
        must_change_password=False,
    )
    own = ProctoringReads(database).read_own_attempt(student, UUID(paper["id"]))
    assert own.analysis is not None
    assert own.analysis.is_erased


def test_answers_that_were_erased_are_not_counted_as_none(
    api: Api, ada: Persona, alice: Persona, paper: Json
) -> None:
    before = overview(api, ada, paper)
    body(api.as_(ada).post(f"/api/users/{alice.id}/erasure", json=WHY))

    after = overview(api, ada, paper)

    assert before["attempt"]["answered_count"] == 1
    assert after["attempt"]["answered_count"] is None
