"""A student contests a verdict, and somebody else decides: EVENTS.md, axis 4."""

import io
import zipfile
from collections.abc import Callable, Sequence
from uuid import uuid4

import psycopg2
import pytest
from psycopg2.extensions import connection

from models.principal import Role
from services.audit_verification import verify
from services.proctoring_policy import ProctoringPolicy
from tests.at_once import at_once
from tests.audit_trail import run, scalar
from tests.by_hand import stated
from tests.databases import connection_to
from tests.exams import (
    Json,
    active,
    body,
    convict,
    count_entries,
    entries,
    review,
    start,
    watch,
)
from tests.logins import tokens_of
from tests.personas import Api, Enrol, Persona, Speaker

REASON = {"reason": "It was my brother, who only brought tea."}
UPHELD = {"outcome": "upheld", "reason": "He gives an answer."}
OVERTURNED = {"outcome": "overturned", "reason": "He brings tea, and says nothing."}

Steps = Callable[[], Json]


@pytest.fixture
def exam(admin: Speaker, alice: Persona, bob: Persona) -> Json:
    """One that bob watches, besides the admin."""
    exam = active(admin, alice.id, max_attempts=2)
    watch(admin, exam, bob.id)
    return exam


@pytest.fixture
def attempt(student: Speaker, admin: Speaker, exam: Json) -> Json:
    """Alice's, of whom the admin says that she broke the rules."""
    attempt = start(student, exam)
    body(student.post(f"/api/exams/attempts/{attempt['id']}/submit"))
    convict(admin, attempt)
    return attempt


@pytest.fixture
def proctor(api: Api, bob: Persona) -> Speaker:
    return api.as_(bob)


def lodge(student: Speaker, attempt: Json, answer: int = 201, **more: str) -> Json:
    path = f"/api/exams/attempts/{attempt['id']}/appeals"
    return body(student.post(path, json=REASON, headers=more), answer)


def withdraw(student: Speaker, appeal: Json, answer: int = 200) -> Json:
    path = f"/api/exams/attempts/{appeal['attempt_id']}/appeals/{appeal['id']}/withdraw"
    return body(student.post(path), answer)


def take(staff: Speaker, appeal: Json, answer: int = 200) -> Json:
    return body(staff.post(f"/api/proctoring/appeals/{appeal['id']}/take"), answer)


def decide(staff: Speaker, appeal: Json, decision: Json, answer: int = 200) -> Json:
    path = f"/api/proctoring/appeals/{appeal['id']}/decide"
    return body(staff.post(path, json=decision), answer)


def own(student: Speaker, attempt: Json) -> Json:
    return body(student.get(f"/api/proctoring/my-attempt/{attempt['id']}"))


def overview(staff: Speaker, attempt: Json) -> Json:
    return body(staff.get(f"/api/proctoring/attempt/{attempt['id']}"))


def listed(staff: Speaker, query: str = "") -> Sequence[Json]:
    found: Sequence[Json] = body(staff.get(f"/api/proctoring/appeals{query}"))["items"]
    return found


def age(sql: connection, attempt: Json, days: float) -> None:
    """Let the verdict be so old, and the log say so."""
    older = stated(
        "UPDATE attempts SET reviewed_at = reviewed_at - make_interval(secs => %s)"
        " WHERE id = %s"
    )
    run(sql, older, days * 86_400, attempt["id"])


class TestOverturned:
    def test_clears_the_student(
        self,
        student: Speaker,
        admin: Speaker,
        proctor: Speaker,
        attempt: Json,
        bob: Persona,
        sql: connection,
    ) -> None:
        lodged = lodge(student, attempt)
        taken = take(proctor, lodged)
        decided = decide(proctor, lodged, OVERTURNED)

        assert lodged["status"] == "open"
        assert lodged["reason"] == REASON["reason"]
        assert (taken["status"], taken["allowed_actions"]) == (
            "under_review",
            ["decide"],
        )
        assert (decided["status"], decided["allowed_actions"]) == ("overturned", [])
        assert decided["reviewer_id"] == str(bob.id)
        assert decided["decision_reason"] == OVERTURNED["reason"]
        now = overview(admin, attempt)["review"]
        assert (now["status"], now["note"]) == ("cleared", OVERTURNED["reason"])
        assert now["reviewed_by"] == str(bob.id)
        mine = own(student, attempt)
        assert (mine["review_status"], mine["review_note"]) == (
            "cleared",
            OVERTURNED["reason"],
        )
        assert mine["appeal_until"] is None
        (last,) = entries(sql, "attempt.reviewed")[-1:]
        assert (last["previous_status"], last["status"]) == (
            "confirmed_violation",
            "cleared",
        )
        assert last["previous_note"] == "A phone is seen."

    def test_leaves_the_way_open_to_a_new_verdict_that_can_be_contested(
        self, student: Speaker, admin: Speaker, proctor: Speaker, attempt: Json
    ) -> None:
        first = lodge(student, attempt)
        take(proctor, first)
        decide(proctor, first, OVERTURNED)

        convict(admin, attempt, "Another camera shows a phone.")
        second = lodge(student, attempt)

        assert [each["status"] for each in own(student, attempt)["appeals"]] == [
            "overturned",
            "open",
        ]
        assert second["verdict_at"] > first["verdict_at"]


class TestUpheld:
    def test_the_verdict_stands_and_was_contested_once(
        self, student: Speaker, admin: Speaker, proctor: Speaker, attempt: Json
    ) -> None:
        before = overview(admin, attempt)["review"]
        lodged = lodge(student, attempt)
        take(proctor, lodged)

        decided = decide(proctor, lodged, UPHELD)
        again = lodge(student, attempt, 409)

        assert decided["status"] == "upheld"
        assert overview(admin, attempt)["review"] == before
        assert again["type"] == "/problems/already-appealed"
        assert (again["current_status"], again.get("allowed_actions", [])) == (
            "upheld",
            [],
        )
        mine = own(student, attempt)
        assert mine["appeal_until"] is None
        (shown,) = mine["appeals"]
        assert shown["decision_reason"] == UPHELD["reason"]
        # Who it was is not for the student.
        assert not {"reviewer_id", "verdict_by"} & set(shown)

    def test_the_review_can_still_be_opened_again(
        self, student: Speaker, admin: Speaker, proctor: Speaker, attempt: Json
    ) -> None:
        lodged = lodge(student, attempt)
        take(proctor, lodged)
        decide(proctor, lodged, UPHELD)

        assert review(admin, attempt, "in_review")["status"] == "in_review"


class TestWithdrawn:
    def test_can_be_lodged_again(
        self, student: Speaker, proctor: Speaker, attempt: Json
    ) -> None:
        first = lodge(student, attempt)
        take(proctor, first)

        taken_back = withdraw(student, first)
        again = withdraw(student, first)
        refused = decide(proctor, first, OVERTURNED, 409)
        second = lodge(student, attempt)

        assert taken_back["status"] == "withdrawn"
        assert again == taken_back
        assert refused["type"] == "/problems/appeal-step-not-allowed"
        assert second["id"] != first["id"]

    def test_not_what_was_decided(
        self, student: Speaker, proctor: Speaker, attempt: Json
    ) -> None:
        lodged = lodge(student, attempt)
        take(proctor, lodged)
        decide(proctor, lodged, UPHELD)

        refused = withdraw(student, lodged, 409)

        assert refused["type"] == "/problems/appeal-step-not-allowed"
        assert refused["current_status"] == "upheld"

    def test_of_another_attempt_is_not_there(
        self, student: Speaker, attempt: Json, exam: Json
    ) -> None:
        lodged = lodge(student, attempt)
        other = start(student, exam)

        refused = withdraw(student, lodged | {"attempt_id": other["id"]}, 404)

        assert refused["type"] == "/problems/appeal-not-found"
        assert own(student, attempt)["appeals"][0]["status"] == "open"


class TestWhoDecides:
    def test_never_who_gave_the_verdict(
        self, student: Speaker, admin: Speaker, attempt: Json
    ) -> None:
        lodged = lodge(student, attempt)

        refused = take(admin, lodged, 409)

        assert refused["type"] == "/problems/own-verdict"
        assert listed(admin)[0]["allowed_actions"] == []
        decided = decide(admin, lodged, OVERTURNED, 409)
        assert decided["type"] == "/problems/own-verdict"

    def test_who_has_taken_it(
        self,
        api: Api,
        student: Speaker,
        proctor: Speaker,
        attempt: Json,
        enrol_as: Enrol,
    ) -> None:
        colleague = api.as_(enrol_as("clara", Role.ADMIN))
        lodged = lodge(student, attempt)

        unread = decide(proctor, lodged, UPHELD, 409)
        take(proctor, lodged)
        elsewhere = decide(colleague, lodged, UPHELD, 409)
        take(colleague, lodged)
        late = decide(proctor, lodged, OVERTURNED, 409)
        decided = decide(colleague, lodged, UPHELD)

        assert unread["allowed_actions"] == elsewhere["allowed_actions"] == ["take"]
        assert "Somebody else looks into the appeal" in late["detail"]
        assert decided["status"] == "upheld"

    def test_not_a_proctor_of_other_exams(
        self, api: Api, student: Speaker, enrol_as: Enrol, attempt: Json, exam: Json
    ) -> None:
        lodged = lodge(student, attempt)
        stranger = api.as_(enrol_as("oscar", Role.PROCTOR))

        assert take(stranger, lodged, 404)["type"] == "/problems/appeal-not-found"
        assert decide(stranger, lodged, UPHELD, 404)["type"].endswith(
            "appeal-not-found"
        )
        assert listed(stranger) == []
        path = f"/api/proctoring/appeals?exam_id={exam['id']}"
        assert stranger.get(path).status_code == 404

    def test_not_the_student_himself(
        self, api: Api, admin: Speaker, alice: Persona, attempt: Json
    ) -> None:
        me = api.as_(alice)
        lodged = lodge(me, attempt)
        # He is of the staff since then.
        body(admin.patch(f"/api/users/{alice.id}", json={"role": Role.ADMIN}))
        me = api.as_(tokens_of(api, alice)["access_token"])

        assert take(me, lodged, 403)["type"] == "/problems/own-attempt"
        assert decide(me, lodged, OVERTURNED, 403)["type"] == "/problems/own-attempt"
        assert listed(me)[0]["allowed_actions"] == []

    def test_the_same_decision_again_changes_nothing(
        self, student: Speaker, proctor: Speaker, attempt: Json, sql: connection
    ) -> None:
        lodged = lodge(student, attempt)
        taken = take(proctor, lodged)
        assert take(proctor, lodged) == taken
        decided = decide(proctor, lodged, OVERTURNED)
        before = count_entries(sql)

        again = decide(proctor, lodged, OVERTURNED)
        other = decide(proctor, lodged, UPHELD, 409)

        assert again == decided
        assert other["type"] == "/problems/appeal-step-not-allowed"
        assert count_entries(sql) == before
        assert len(entries(sql, "appeal.taken")) == 1


class TestWhilePending:
    def test_the_review_stays_as_it_is(
        self, student: Speaker, admin: Speaker, proctor: Speaker, attempt: Json
    ) -> None:
        lodge(student, attempt)
        path = f"/api/proctoring/attempt/{attempt['id']}/review"

        for staff in (admin, proctor):
            for step in ("in_review", "confirmed_violation"):
                given = {"status": step, "note": "Well."}
                refused = body(staff.put(path, json=given), 409)
                assert refused["type"] == "/problems/appeal-pending"

        now = overview(admin, attempt)
        assert now["review"]["note"] == "A phone is seen."
        assert now["review"]["allowed_statuses"] == []
        assert [each["status"] for each in now["appeals"]] == ["open"]
        assert now["appeals"][0]["allowed_actions"] == []
        assert overview(proctor, attempt)["appeals"][0]["allowed_actions"] == ["take"]

    def test_the_attempt_is_not_reopened(
        self, student: Speaker, admin: Speaker, exam: Json
    ) -> None:
        attempt = start(student, exam)
        path = f"/api/exams/attempts/{attempt['id']}"
        body(admin.post(f"{path}/terminate", json={"reason": "a phone"}))
        convict(admin, attempt)
        lodged = lodge(student, attempt)
        reopen = {"reason": "a mistake"}

        refused = body(admin.post(f"{path}/reopen", json=reopen), 409)
        withdraw(student, lodged)
        reopened = body(admin.post(f"{path}/reopen", json=reopen))

        assert refused["type"] == "/problems/appeal-pending"
        assert reopened["status"] == "in_progress"
        assert own(student, attempt)["review_note"] is None

    def test_nothing_of_it_is_erased(
        self,
        student: Speaker,
        admin: Speaker,
        proctor: Speaker,
        alice: Persona,
        attempt: Json,
        sql: connection,
    ) -> None:
        lodged = lodge(student, attempt)
        refused = erase(admin, alice, 409)
        take(proctor, lodged)
        decide(proctor, lodged, OVERTURNED)
        erased = erase(admin, alice)

        assert refused["type"] == "/problems/case-open"
        # The attempt's note, and the appeal.
        assert erased["classes"]["notes"] == 2
        assert run(sql, "SELECT reason, decision_reason FROM appeals") == [(None, None)]
        assert verify(connection_to(sql.dsn), deep=True).errors == ()


def erase(
    admin: Speaker, student: Persona, answer: int = 200, *, mentions: bool = False
) -> Json:
    given = {
        "legal_basis": "GDPR 17",
        "reason": "asked for",
        "erase_mentions": mentions,
    }
    return body(admin.post(f"/api/users/{student.id}/erasure", json=given), answer)


def test_what_it_says_of_somebody_else_goes_with_him_if_it_is_to(
    *,
    student: Speaker,
    admin: Speaker,
    proctor: Speaker,
    mallory: Persona,
    attempt: Json,
    sql: connection,
) -> None:
    path = f"/api/exams/attempts/{attempt['id']}/appeals"
    reason = {"reason": f"It was {mallory.full_name} who came in."}
    lodged = body(student.post(path, json=reason), 201)
    take(proctor, lodged)
    decide(proctor, lodged, UPHELD)

    erase(admin, mallory, mentions=True)

    (shown,) = own(student, attempt)["appeals"]
    assert (shown["reason"], shown["decision_reason"]) == (None, UPHELD["reason"])
    assert verify(connection_to(sql.dsn), deep=True).errors == ()


class TestTerm:
    def test_nothing_is_erased_before_it_is_over(
        self,
        student: Speaker,
        admin: Speaker,
        alice: Persona,
        attempt: Json,
        sql: connection,
    ) -> None:
        # What he took back, he can lodge again.
        withdraw(student, lodge(student, attempt))

        refused = erase(admin, alice, 409)
        age(sql, attempt, 14.01)
        erased = erase(admin, alice)

        assert refused["type"] == "/problems/case-open"
        assert attempt["id"] in refused["detail"]
        assert erased["classes"]["notes"] == 2

    def test_is_a_fortnight(
        self, student: Speaker, attempt: Json, sql: connection
    ) -> None:
        age(sql, attempt, 13.99)
        mine = own(student, attempt)
        seconds = scalar(
            sql,
            "SELECT extract(epoch FROM %s::timestamptz - reviewed_at)"
            " FROM attempts WHERE id = %s",
            mine["appeal_until"],
            attempt["id"],
        )

        assert ProctoringPolicy().appeal_days == 14
        assert abs(float(str(seconds)) - 14 * 86_400) < 1
        age(sql, attempt, 0.02)
        refused = lodge(student, attempt, 409)
        assert refused["type"] == "/problems/appeal-too-late"
        assert mine["appeal_until"][:10] in refused["detail"]
        assert own(student, attempt)["appeal_until"] is None

    def test_is_the_exams(
        self, student: Speaker, admin: Speaker, alice: Persona
    ) -> None:
        found = {}
        for days in (0, 3):
            exam = active(admin, alice.id, proctoring={"appeal_days": days})
            attempt = start(student, exam)
            body(student.post(f"/api/exams/attempts/{attempt['id']}/submit"))
            convict(admin, attempt)
            found[days] = (own(student, attempt)["appeal_until"], attempt)

        none, attempt = found[0]
        assert none is None
        refused = lodge(student, attempt, 409)
        assert "give no appeal" in refused["detail"]
        until, attempt = found[3]
        assert until is not None
        lodge(student, attempt)

    @pytest.mark.parametrize("days", [-1, 366, 1.5, "3"])
    def test_is_of_whole_days_up_to_a_year(self, admin: Speaker, days: object) -> None:
        given = {
            "title": "T",
            "duration_minutes": 60,
            "proctoring": {"appeal_days": days},
        }

        refused = body(admin.post("/api/exams", json=given), 422)

        pointers = [each["pointer"] for each in refused["errors"]]
        assert "#/proctoring/appeal_days" in pointers


@pytest.mark.parametrize("verdict", [None, "in_review", "cleared", "technical_error"])
def test_nothing_else_can_be_contested(
    student: Speaker, admin: Speaker, exam: Json, verdict: str | None
) -> None:
    attempt = start(student, exam)
    body(student.post(f"/api/exams/attempts/{attempt['id']}/submit"))
    if verdict is not None:
        review(admin, attempt, "in_review")
    if verdict not in {None, "in_review"}:
        review(admin, attempt, str(verdict), "So it is.")

    refused = lodge(student, attempt, 409)

    assert refused["type"] == "/problems/nothing-to-appeal"
    assert refused["current_status"] == (verdict or "none")
    mine = own(student, attempt)
    assert (mine["appeal_until"], mine["appeals"]) == (None, [])
    is_verdict = verdict in {"cleared", "technical_error"}
    assert mine["review_note"] == ("So it is." if is_verdict else None)


def test_somebody_elses_attempt_is_not_there(
    api: Api, mallory: Persona, student: Speaker, attempt: Json
) -> None:
    lodged = lodge(student, attempt)
    other = api.as_(mallory)

    assert lodge(other, attempt, 404)["type"] == "/problems/attempt-not-found"
    assert withdraw(other, lodged, 404)["type"] == "/problems/attempt-not-found"


def test_a_repeated_request_lodges_one(student: Speaker, attempt: Json) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    path = f"/api/exams/attempts/{attempt['id']}/appeals"

    first, second = (student.post(path, json=REASON, headers=key) for _ in range(2))

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json == second.json
    assert lodge(student, attempt, 409)["allowed_actions"] == ["withdraw"]


def test_of_many_at_once_one_is_lodged(
    student: Speaker, attempt: Json, sql: connection
) -> None:
    path = f"/api/exams/attempts/{attempt['id']}/appeals"

    send = lambda: student.post(path, json=REASON).status_code  # noqa: E731

    answers = at_once([send] * 6)

    assert sorted(answers) == [201] + [409] * 5
    assert scalar(sql, "SELECT count(*) FROM appeals") == 1


def test_the_list_is_filtered_and_paged(
    student: Speaker, admin: Speaker, proctor: Speaker, exam: Json, attempt: Json
) -> None:
    first = lodge(student, attempt)
    withdraw(student, first)
    second = lodge(student, attempt)
    take(proctor, second)

    page = body(proctor.get("/api/proctoring/appeals?limit=1"))
    rest = body(proctor.get(f"/api/proctoring/appeals?cursor={page['next_cursor']}"))

    assert [each["id"] for each in page["items"]] == [second["id"]]
    assert [each["id"] for each in rest["items"]] == [first["id"]]
    assert [each["id"] for each in listed(admin, "?status=withdrawn")] == [first["id"]]
    assert [each["id"] for each in listed(admin, "?pending=true")] == [second["id"]]
    assert len(listed(admin, f"?exam_id={exam['id']}")) == 2
    assert listed(admin)[0]["student_name"]
    assert listed(admin)[0]["exam_title"] == exam["title"]


def test_all_of_it_is_in_the_log(
    student: Speaker, proctor: Speaker, ada: Persona, attempt: Json, sql: connection
) -> None:
    lodged = lodge(student, attempt)
    take(proctor, lodged)
    decide(proctor, lodged, UPHELD)

    (said,) = entries(sql, "appeal.lodged")
    assert (said["appeal_id"], said["reason"]) == (lodged["id"], REASON["reason"])
    assert said["verdict_by"] == str(ada.id)
    (taken,) = entries(sql, "appeal.taken")
    assert (taken["previous_status"], taken["status"]) == ("open", "under_review")
    (decided,) = entries(sql, "appeal.decided")
    assert (decided["status"], decided["reason"]) == ("upheld", UPHELD["reason"])


def test_the_evidence_for_a_hearing_has_both_sides(
    student: Speaker, admin: Speaker, proctor: Speaker, attempt: Json
) -> None:
    lodged = lodge(student, attempt)
    take(proctor, lodged)
    decide(proctor, lodged, UPHELD)

    path = f"/api/blockchain/attempt/{attempt['id']}/bundle?reason=a+hearing"
    with zipfile.ZipFile(io.BytesIO(admin.get(path).data)) as bundle:
        page = bundle.read("report.html").decode()

    for words in (REASON["reason"], UPHELD["reason"], "A phone is seen."):
        assert words in page


class TestTheDatabase:
    """Refuses what the code would never ask for."""

    @pytest.fixture(autouse=True)
    def _names(self, sql: connection) -> None:
        run(
            sql,
            "CREATE FUNCTION pg_temp.of(text) RETURNS uuid LANGUAGE sql AS"
            " $$ SELECT id FROM users WHERE email = $1 || '@example.edu' $$",
        )

    @pytest.fixture
    def appeal(self, student: Speaker, attempt: Json) -> Json:
        return lodge(student, attempt)

    @pytest.mark.parametrize(
        ("change_to", "constraint"),
        [
            (
                "status = 'upheld', ended_at = now(), reviewer_id = pg_temp.of('bob')",
                "appeals_step",
            ),
            (
                "status = 'under_review', reviewer_id = pg_temp.of('ada')",
                "appeals_somebody_else_check",
            ),
            (
                "status = 'under_review', reviewer_id = pg_temp.of('alice')",
                "appeals_own",
            ),
            ("status = 'under_review'", "appeals_reviewer_check"),
            ("status = 'withdrawn'", "appeals_ended_check"),
            ("status = 'lost'", "appeals_step"),
            ("reviewer_id = pg_temp.of('bob')", "appeals_step"),
        ],
    )
    def test_a_step_that_there_is_not(
        self,
        sql: connection,
        appeal: Json,
        change_to: str,
        constraint: str,
    ) -> None:
        with pytest.raises(psycopg2.errors.CheckViolation) as refused:
            run(sql, f"UPDATE appeals SET {change_to} WHERE id = %s", appeal["id"])  # noqa: S608

        assert refused.value.diag.constraint_name == constraint

    @pytest.mark.parametrize("outcome", ["upheld", "overturned"])
    def test_an_outcome_that_the_review_contradicts(
        self,
        sql: connection,
        appeal: Json,
        proctor: Speaker,
        bob: Persona,
        outcome: str,
    ) -> None:
        take(proctor, appeal)
        steps = ["cleared"] if outcome == "upheld" else []
        end = (
            "UPDATE appeals SET status = %s, ended_at = now(), decision_reason = 'So.'"
            " WHERE id = %s"
        )

        sql.autocommit = False
        for step in steps:
            run(
                sql,
                "UPDATE attempts SET review_status = %s, reviewed_by = %s,"
                " reviewed_at = clock_timestamp()",
                step,
                str(bob.id),
            )
        with pytest.raises(psycopg2.errors.CheckViolation) as refused:
            run(sql, end, outcome, appeal["id"])
        sql.rollback()
        sql.autocommit = True

        assert refused.value.diag.constraint_name == "appeals_outcome"

    @pytest.mark.usefixtures("appeal")
    @pytest.mark.parametrize(
        "change_to",
        [
            "review_status = 'in_review'",
            "reviewed_by = pg_temp.of('bob')",
            "reviewed_by = pg_temp.of('bob'), reviewed_at = now()",
        ],
    )
    def test_a_review_that_changes_while_it_is_contested(
        self, sql: connection, change_to: str
    ) -> None:
        with pytest.raises(psycopg2.errors.CheckViolation) as refused:
            run(sql, f"UPDATE attempts SET {change_to}")  # noqa: S608

        assert refused.value.diag.constraint_name == "attempts_appeal_pending"

    @pytest.mark.usefixtures("appeal")
    def test_a_verdict_that_is_cleared_without_an_appeal_under_review(
        self, sql: connection
    ) -> None:
        with pytest.raises(psycopg2.errors.CheckViolation) as refused:
            run(
                sql,
                "UPDATE attempts SET review_status = 'cleared',"
                " reviewed_by = pg_temp.of('bob')",
            )

        assert refused.value.diag.constraint_name == "attempts_review_step"

    def test_a_verdict_that_somebody_else_clears(
        self, sql: connection, appeal: Json, proctor: Speaker, mallory: Persona
    ) -> None:
        take(proctor, appeal)

        with pytest.raises(psycopg2.errors.CheckViolation) as refused:
            run(
                sql,
                "UPDATE attempts SET review_status = 'cleared', reviewed_by = %s",
                str(mallory.id),
            )

        assert refused.value.diag.constraint_name == "attempts_review_step"

    @pytest.mark.parametrize(
        "given",
        [
            "decision_reason = NULL",
            "decision_reason = 'So.', reviewer_id = pg_temp.of('mallory')",
        ],
    )
    @pytest.mark.usefixtures("mallory")
    def test_a_decision_without_a_reason_or_by_somebody_else(
        self, sql: connection, appeal: Json, proctor: Speaker, given: str
    ) -> None:
        take(proctor, appeal)

        with pytest.raises(psycopg2.errors.CheckViolation) as refused:
            run(sql, f"UPDATE appeals SET status = 'upheld', ended_at = now(), {given}")  # noqa: S608

        assert refused.value.diag.constraint_name == "appeals_step"

    def test_what_has_ended_changes_no_more(
        self, sql: connection, appeal: Json, student: Speaker
    ) -> None:
        withdraw(student, appeal)

        with pytest.raises(psycopg2.errors.CheckViolation) as refused:
            run(sql, "UPDATE appeals SET status = 'open', ended_at = NULL")

        assert refused.value.diag.constraint_name == "appeals_ended"

    INSERT = """
        INSERT INTO appeals (id, attempt_id, verdict_by, verdict_at, reason)
        SELECT gen_random_uuid(), id, {by}, {at}, {reason} FROM attempts
    """

    @pytest.mark.usefixtures("attempt")
    @pytest.mark.parametrize(
        ("by", "at", "reason"),
        [
            ("student_id", "reviewed_at", "'No.'"),
            ("reviewed_by", "reviewed_at - interval '1 s'", "'No.'"),
            ("reviewed_by", "reviewed_at", "NULL"),
        ],
    )
    def test_an_appeal_against_no_verdict(
        self, sql: connection, by: str, at: str, reason: str
    ) -> None:
        with pytest.raises(psycopg2.errors.CheckViolation) as refused:
            run(sql, self.INSERT.format(by=by, at=at, reason=reason))

        assert refused.value.diag.constraint_name == "appeals_verdict"

    def test_one_that_is_too_late_or_a_second_one(
        self, sql: connection, attempt: Json, student: Speaker
    ) -> None:
        as_it_is = self.INSERT.format(
            by="reviewed_by", at="reviewed_at", reason="'No.'"
        )
        lodged = lodge(student, attempt)
        with pytest.raises(psycopg2.errors.UniqueViolation):
            run(sql, as_it_is)
        withdraw(student, lodged)
        age(sql, attempt, 15)

        with pytest.raises(psycopg2.errors.CheckViolation) as refused:
            run(sql, as_it_is)

        assert refused.value.diag.constraint_name == "appeals_in_time"
