"""What the log says of questions proves them to whoever has them, and tells no key."""

from decimal import Decimal
from hashlib import sha256

from psycopg2.extensions import connection

from tests.audit_trail import run
from tests.exams import (
    ONE_OF_EACH,
    Json,
    assign,
    body,
    create,
    entries,
    start,
    step,
    watch,
)
from tests.personas import Api, Persona, Speaker
from utils.blockchain_hasher import canonical_json

SNOW: Json = {
    "kind": "true_false",
    "text": "Snow is white.",
    "points": 2,
    "correct": True,
}
FILE = "kind,text,points,correct\r\ntrue_false,Snow is white.,2,true\r\n"


def digest(answer_key: object) -> str:
    """Hash the question about snow with a key, as an entry does."""
    whole = {
        "kind": "true_false",
        "text": SNOW["text"],
        "points": Decimal("2.00"),
        "body": {},
        "answer_key": answer_key,
    }
    return sha256(canonical_json(whole).encode()).hexdigest()


def logged(proctor: Speaker) -> list[str]:
    """Return the digests of all questions in entries that a proctor may read."""
    found: list[str] = []
    for event_type in (
        "exam.created",
        "exam.questions_changed",
        "exam.questions_imported",
    ):
        page = body(proctor.get(f"/api/blockchain/events/{event_type}"))
        for item in page["items"]:
            lists = [item["payload"].get(name) or [] for name in ("questions", "added")]
            found += [one["sha256"] for each in lists for one in each]
    return found


def test_a_key_can_not_be_found_by_trying(
    api: Api, admin: Speaker, bob: Persona, sql: connection
) -> None:
    exam = create(admin, questions=[SNOW, SNOW])
    path = f"/api/exams/{exam['id']}"
    body(admin.post(f"{path}/questions", json=SNOW), 201)
    body(
        admin.post(
            f"{path}/questions/import",
            data=FILE.encode(),
            headers={"Content-Type": "text/csv"},
        ),
        201,
    )
    copy = body(admin.post(f"{path}/duplicate"), 201)
    for each in (exam, copy):
        watch(admin, each, bob.id)

    digests = logged(api.as_(bob))

    assert len(digests) == len(set(digests)) == 2 + 1 + 1 + 4
    assert not {
        digest({"correct": correct, "feedback": ""}) for correct in (True, False)
    } & set(digests)
    # Whoever has the rows can prove what was asked.
    keys = run(sql, "SELECT answer_key FROM questions")
    assert {digest(key) for (key,) in keys} == set(digests)


def test_the_salt_is_nobodys_to_see_and_an_old_key_has_none(
    api: Api, admin: Speaker, alice: Persona, sql: connection
) -> None:
    # All but the essay, which a person grades.
    exam = create(admin, questions=[SNOW, *ONE_OF_EACH[:-1]])
    path = f"/api/exams/{exam['id']}"
    salted = admin.get(path)
    run(sql, "UPDATE questions SET answer_key = answer_key - 'salt'")

    old = admin.get(path)

    assert "salt" not in salted.text
    assert old.text == salted.text
    assign(admin, exam, alice.id)
    step(admin, exam, "scheduled", "active")
    own = start(api.as_(alice), exam)
    answers = f"/api/exams/attempts/{own['id']}"
    answer = {
        "question_id": exam["questions"][0]["id"],
        "response": True,
        "client_version": 1,
    }
    body(api.as_(alice).put(f"{answers}/answers", json={"answers": [answer]}))
    body(api.as_(alice).post(f"{answers}/submit"))
    assert body(admin.get(f"{answers}/answers"))["attempt"]["score"] == 2
    copy = body(admin.post(f"{path}/duplicate"), 201)
    assert [q["text"] for q in copy["questions"]] == [
        q["text"] for q in exam["questions"]
    ]
    assert not {q["sha256"] for q in entries(sql, "exam.created")[0]["questions"]} & {
        q["sha256"] for q in entries(sql, "exam.created")[-1]["questions"]
    }
