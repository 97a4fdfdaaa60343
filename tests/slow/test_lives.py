"""Everybody does anything to the attempts of an exam, in any order.

What is checked is not one rule but how all go together: what happens is compared with
`tests.slow.lives`, which knows nothing of the code. Afterwards the log holds, the rows
are what it says, and the bundle of each attempt convinces.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import hypothesis
import pytest
from flask import Flask
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from psycopg2.extensions import connection
from werkzeug.test import TestResponse

from config import Settings
from models.principal import Principal
from services.deadlines import end_overdue_attempts
from tests.bundles import unzipped
from tests.exam_room import CAPITAL, ESSAY, PRODUCT, ExamRoom
from tests.exams import Json
from tests.forgeries import examined
from tests.personas import Api, Speaker, access_token
from tests.slow.lives import (
    ENDED,
    NOTICE,
    RUNNING,
    TOLERANCE,
    Answer,
    Device,
    Life,
    Student,
)

REASON = {"reason": "because"}
ATTEMPTS = 2
one_of_two = st.integers(0, 1)
CAPITALS, NUMBERS, ESSAYS = range(3)
WORTH = (2, 3, 5)


class Lives(RuleBasedStateMachine):
    """Two students with two devices each, an exam, its proctor, and an admin."""

    # The log does not know of it, and a bundle would not verify.
    has_time_machine = True
    lives: Bundle[Life] = Bundle("lives")

    def __init__(self, app: Flask, sql: connection, settings: Settings) -> None:
        super().__init__()
        self.app, self.api, self.settings = app, Api(app), settings
        self.room = ExamRoom(
            sql, questions=(CAPITAL, PRODUCT, ESSAY), max_attempts=ATTEMPTS
        )
        self.admin = self.speaker(self.room.admin)
        self.proctor = self.speaker(self.room.new_proctor())
        self.students = [self.new_student(0), self.new_student(10)]
        self.exam_status = "active"

    # Who there is.

    def new_student(self, extra_minutes: int) -> Student:
        first = self.room.new_student(extra_time_minutes=extra_minutes)
        second = self.room.login(first.id)
        return Student([self.device(first), self.device(second)], extra_minutes)

    def device(self, principal: Principal) -> Device:
        return Device(principal, self.token(principal))

    def token(self, principal: Principal) -> str:
        now = int(datetime.now(UTC).timestamp())
        return access_token(self.settings, principal.id, principal.session_id, now)

    def speaker(self, principal: Principal) -> Speaker:
        return self.api.as_(self.token(principal))

    def all_lives(self) -> list[Life]:
        return [life for student in self.students for life in student.lives]

    # What students do.

    @rule(target=lives, student=one_of_two, device=one_of_two, take_over=st.booleans())
    def start(self, student: int, device: int, *, take_over: bool) -> Any:
        """Any: what goes into the bundle of lives, if something does."""
        who, at = self.students[student], self.students[student].devices[device]
        running = who.running
        reply = self.api.as_(at.token).post(
            f"/api/exams/{self.room.exam_id}/start", json={"take_over": take_over}
        )
        if running is not None and not running.is_overdue:
            is_free = running.holder is at or not running.holder.is_alive
            expect(reply, 200 if is_free or take_over else 409)
            if reply.status_code == 200:
                running.holder = at
            return multiple()
        used = sum(life.status != "voided" for life in who.lives)
        if self.exam_status != "active" or used >= ATTEMPTS:
            expect(reply, 409)
            return multiple()
        if running is not None:
            running.end("submitted", "deadline")
        found = expect(reply, 201)
        left = 60 * (60 + who.extra_minutes)
        begun = Life(UUID(found["id"]), who, at, left)
        who.lives.append(begun)
        return begun

    @rule(
        life=lives,
        device=one_of_two,
        question=st.integers(0, 2),
        choice=st.integers(0, 2),
        step=st.sampled_from([1, 1, 1, 0, -1]),
    )
    def save(
        self,
        life: Life,
        device: int,
        question: int,
        choice: int,
        step: int,
    ) -> None:
        at = life.student.devices[device]
        asked = self.room.questions[question]
        response: object = (
            [str(asked.option_ids[0]), str(asked.option_ids[1]), None][choice]
            if question == CAPITALS
            else [42, 41, None][choice]
            if question == NUMBERS
            else ["Because.", "  ", None][choice]
        )
        stored = life.answers.get(str(asked.id))
        version = max(0, (stored.version if stored else 1) + step)
        sent = {
            "question_id": str(asked.id),
            "response": response,
            "client_version": version,
        }
        reply = self.api.as_(at.token).put(
            f"/api/exams/attempts/{life.id}/answers", json={"answers": [sent]}
        )
        is_writable = life.status == "in_progress" and not life.is_overdue
        if not is_writable or life.holder is not at:
            expect(reply, 409)
        elif stored is None or version > stored.version:
            expect(reply, 200)
            life.answers[str(asked.id)] = Answer(response, version)
        elif version == stored.version and response != stored.response:
            expect(reply, 422)
        else:
            (saved,) = expect(reply, 200)["saved"]
            assert saved["client_version"] == stored.version

    @rule(
        life=lives,
        device=one_of_two,
        new=st.lists(st.sampled_from(["focus.lost", "client.reconnected"]), max_size=3),
        lost=st.integers(0, 2),
        again=st.integers(0, 2),
    )
    def report(
        self,
        life: Life,
        device: int,
        new: list[str],
        lost: int,
        again: int,
    ) -> None:
        if life.status == "voided":
            return
        for _ in range(lost):
            next(life.sequences)
        fresh = {str(uuid4()): (code, next(life.sequences)) for code in new}
        known = dict(list(life.events.items())[:again])
        if not fresh and not known:
            return
        started_at = datetime.now(UTC) - timedelta(seconds=life.passed)
        sent = [
            {
                "client_event_id": event_id,
                "event_type": code,
                "sequence": sequence,
                "occurred_at": (started_at - timedelta(seconds=30)).isoformat(),
                "payload": {},
            }
            for event_id, (code, sequence) in (known | fresh).items()
        ]
        at = life.student.devices[device]
        reply = self.api.as_(at.token).post(
            "/api/proctoring/events",
            json={"attempt_id": str(life.id), "events": sent},
        )
        answer = expect(reply, 200)
        assert [each["status"] for each in answer["results"]] == [
            *("duplicate" for _ in known),
            *("accepted" for _ in fresh),
        ]
        life.events |= fresh
        numbers = life.numbers
        holes = sorted(set(range(1, max(numbers, default=0))) - numbers)
        assert answer["missing_sequences"] == holes

    @rule(
        life=lives,
        device=one_of_two,
        ended_by=st.sampled_from(["student", "deadline"]),
    )
    def submit(self, life: Life, device: int, ended_by: str) -> None:
        at = life.student.devices[device]
        reply = self.api.as_(at.token).post(
            f"/api/exams/attempts/{life.id}/submit", json={"ended_by": ended_by}
        )
        if life.is_overdue:
            life.end("submitted", "deadline")
        elif life.is_running:
            if life.holder is not at or ended_by == "deadline":
                expect(reply, 409)
                return
            life.end("submitted", "student")
        elif life.status != "submitted":
            expect(reply, 409)
            return
        receipt = expect(reply, 200)
        proof = (receipt["receipt_hash"], receipt["audit_seq"])
        if life.receipt is not None:
            assert life.receipt == proof
        life.receipt = proof

    @rule(student=one_of_two, device=one_of_two)
    def log_out(self, student: int, device: int) -> None:
        who = self.students[student]
        gone = who.devices[device]
        expect(self.api.as_(gone.token).post("/api/auth/logout"), 204)
        gone.is_alive = False
        expect(self.api.as_(gone.token).get("/api/auth/me"), 401)
        who.devices[device] = self.device(self.room.login(gone.principal.id))

    # What staff does.

    def step(
        self,
        staff: Speaker,
        name: str,
        life: Life,
        allowed_in: tuple[str, ...],
        **body: object,
    ) -> bool:
        """Ask for a step of an attempt that runs, and say whether it was taken."""
        is_allowed = life.status in allowed_in and not life.is_overdue
        reply = staff.post(f"/api/exams/attempts/{life.id}/{name}", json=REASON | body)
        expect(reply, 200 if is_allowed else 409)
        return is_allowed

    @rule(life=lives)
    def pause(self, life: Life) -> None:
        if self.step(self.proctor, "pause", life, ("in_progress",)):
            life.become("paused")

    @rule(life=lives)
    def resume(self, life: Life) -> None:
        if self.step(self.proctor, "resume", life, ("paused",)):
            life.become("in_progress")

    @rule(life=lives, minutes=st.integers(1, 30))
    def extend(self, life: Life, minutes: int) -> None:
        if self.step(self.proctor, "extend", life, RUNNING, minutes=minutes):
            life.extend(60 * minutes)

    @rule(life=lives)
    def terminate(self, life: Life) -> None:
        if self.step(self.proctor, "terminate", life, RUNNING):
            life.end("terminated", "proctor")

    @rule(life=lives, extra=st.sampled_from([0, 0, 300]))
    def reopen(self, life: Life, extra: int) -> None:
        reply = self.admin.post(
            f"/api/exams/attempts/{life.id}/reopen",
            json=REASON | {"extra_seconds": extra},
        )
        is_possible = self.is_reopenable(life) and life.left + extra >= 1
        if is_possible and self.exam_status == "completed" and extra == 0:
            # It may have ended with the window, when its student still had time.
            is_possible = reply.status_code == 200
        expect(reply, 200 if is_possible else 409)
        if is_possible:
            life.reopen(extra)
            self.believe_clock(life)

    def is_reopenable(self, life: Life) -> bool:
        return (
            life.status in ENDED
            and life.ended_by != "student"
            and self.exam_status != "archived"
            and life.student.running is None
        )

    @rule(life=lives)
    def void(self, life: Life) -> None:
        reply = self.admin.post(f"/api/exams/attempts/{life.id}/void", json=REASON)
        expect(reply, 409 if life.status == "voided" else 200)
        if life.is_overdue:
            life.end("submitted", "deadline")
        if life.is_running:
            life.end("voided", "admin")
        life.status = "voided"

    @rule(
        life=lives,
        question=st.integers(0, 2),
        share=st.sampled_from([0, 0.5, 1]),
    )
    def grade(self, life: Life, question: int, share: float) -> None:
        question_id = str(self.room.questions[question].id)
        points = WORTH[question] * share
        reply = self.proctor.put(
            f"/api/exams/attempts/{life.id}/grades",
            json={"grades": [{"question_id": question_id, "points": points}]},
        )
        if life.status not in ENDED:
            expect(reply, 409)
        elif question_id not in life.answers:
            expect(reply, 422)
        else:
            expect(reply, 200)
            life.answers[question_id].points = points

    @rule(student=one_of_two, minutes=st.sampled_from([0, 10, 45]))
    def accommodate(self, student: int, minutes: int) -> None:
        who = self.students[student]
        reply = self.admin.patch(
            f"/api/exams/{self.room.exam_id}/assignments/{who.devices[0].principal.id}",
            json={"extra_time_minutes": minutes},
        )
        running = who.running
        is_late = running is not None and running.is_overdue
        if self.exam_status != "active" and (running is None or is_late):
            expect(reply, 409)
            return
        if running is not None and is_late:
            running.end("submitted", "deadline")
            running = None
        expect(reply, 200)
        change = minutes - who.extra_minutes
        who.extra_minutes = minutes
        for life in who.lives:
            if not life.is_running:
                life.grant_afterwards(60 * change)
        if running is not None and change:
            before = running.left
            running.move(60 * change)
            self.believe_clock(running, at_least=min(before, NOTICE))

    @rule(
        incident=st.sampled_from(["fire", "power"]),
        minutes=st.integers(1, 30),
        since_minutes=st.sampled_from([None, 20, 90]),
    )
    def give_time_back(
        self, incident: str, minutes: int, since_minutes: int | None
    ) -> None:
        body = REASON | {"incident": incident, "minutes": minutes}
        if since_minutes is not None:
            since = datetime.now(UTC) - timedelta(minutes=since_minutes)
            body["since"] = since.isoformat()
        reply = expect(
            self.admin.post(f"/api/exams/{self.room.exam_id}/extra-time", json=body),
            200,
        )
        self.end_overdue()
        extended, reopened, granted, others = [], [], [], []
        running = [life for life in self.all_lives() if life.is_running]
        for life in running:
            if incident in life.incidents:
                granted.append(life)
            else:
                extended.append(life)
                life.extend(60 * minutes)
                life.incidents.add(incident)
        for life in self.all_lives() if since_minutes is not None else []:
            lost = 60 * (since_minutes or 0) - life.ended_ago
            if life.status != "submitted" or life.ended_by != "deadline" or lost <= 0:
                continue
            if not self.is_reopenable(life):
                others.append(life)
            elif incident in life.incidents:
                granted.append(life)
            else:
                reopened.append(life)
                life.reopen(min(60 * minutes, int(lost) + 1))
                self.believe_clock(life)
                life.incidents.add(incident)
        for name, expected in (
            ("extended", extended),
            ("reopened", reopened),
            ("already_granted", granted),
            ("not_reopened", others),
        ):
            assert set(reply[name]) == {str(life.id) for life in expected}, name

    @precondition(lambda self: self.exam_status in {"active", "completed"})
    @rule(how_sure=st.integers(0, 7))
    def close(self, how_sure: int) -> None:
        if how_sure < 7:  # Or most of it would happen after the end.
            return
        following = "completed" if self.exam_status == "active" else "archived"
        is_over = not any(life.is_running for life in self.all_lives())
        reply = self.admin.patch(
            f"/api/exams/{self.room.exam_id}/status", json={"status": following}
        )
        if following == "archived" and not is_over:
            assert reply.status_code < 500
            if reply.status_code == 409:
                return
        expect(reply, 200)
        self.end_overdue()
        for life in self.all_lives():
            if life.is_running:
                life.end("submitted", "exam_closed")
        self.exam_status = following

    @rule(life=lives)
    def analyse(self, life: Life) -> None:
        path = f"/api/proctoring/attempt/{life.id}/ai-analysis"
        assert self.admin.post(path, json={}).status_code < 500
        assert self.proctor.get(path).status_code < 500

    # What happens by itself.

    @precondition(lambda self: self.has_time_machine and self.all_lives())
    @rule(seconds=st.sampled_from([17, 617, 1817, 3617]))
    def pass_time(self, seconds: int) -> None:
        while any(
            life.status == "in_progress" and abs(life.left - seconds + 1) < 8
            for life in self.all_lives()
        ):
            seconds += 13
        self.room.let_time_pass_for_all(seconds)
        for life in self.all_lives():
            life.pass_time(seconds)

    @rule()
    def sweep(self) -> None:
        end_overdue_attempts(self.app.extensions["database"])
        self.end_overdue()

    def end_overdue(self) -> None:
        for life in self.all_lives():
            if life.is_overdue:
                life.end("submitted", "deadline")

    def believe_clock(self, life: Life, at_least: float = 1) -> None:
        """Of a closed exam the model does not know when its window ended."""
        if self.exam_status != "active":
            life.believe(self.board()[str(life.id)]["seconds_remaining"], at_least)

    # What must be so.

    @invariant()
    def is_as_it_must_be(self) -> None:
        shown = self.board()
        assert set(shown) == {str(life.id) for life in self.all_lives()}
        for life in self.all_lives():
            row = shown[str(life.id)]
            assert (row["status"], row["ended_by"]) == (life.status, life.ended_by)
            # What was lost is rounded to seconds.
            assert abs(row["extended_seconds"] - life.extended) < TOLERANCE
            assert abs(row["seconds_remaining"] - self.remaining(life)) < TOLERANCE
            assert row["score"] == self.score(life)
            answered = [each.response for each in life.answers.values()]
            assert row["answered_count"] == sum(each is not None for each in answered)
            if life.is_running and life.holder.is_alive:
                self.compare_answers(life)

    def board(self) -> dict[str, Json]:
        page = expect(self.proctor.get(f"/api/exams/{self.room.exam_id}/attempts"))
        return {each["id"]: each for each in page["items"]}

    def compare_answers(self, life: Life) -> None:
        paper = expect(
            self.api.as_(life.holder.token).get(f"/api/exams/attempts/{life.id}")
        )
        assert {
            each["question_id"]: (each["response"], each["client_version"])
            for each in paper["answers"]
        } == {
            question: (given.response, given.version)
            for question, given in life.answers.items()
        }
        assert paper["next_sequence"] == max(life.numbers, default=0) + 1

    def remaining(self, life: Life) -> float:
        return max(0, life.left) if life.is_running else 0

    def score(self, life: Life) -> float | None:
        if life.status not in ENDED:
            return None
        total = Decimal(0)
        for place, asked in enumerate(self.room.questions):
            given = life.answers.get(str(asked.id))
            if given is None:
                continue
            points = given.points
            if points is None:
                points = self.graded(place, given.response)
            if points is None:
                return None
            total += Decimal(str(points))
        return float(total)

    def graded(self, place: int, response: object) -> float | None:
        if place == ESSAYS:
            is_empty = response is None or not str(response).strip()
            return 0 if is_empty else None
        right = (str(self.room.questions[CAPITALS].option_ids[0]), 42)[place]
        return WORTH[place] if response == right else 0


class LivesInRealTime(Lives):
    """Nobody moves the clocks, so a panel has to believe the bundle of each attempt."""

    has_time_machine = False

    def teardown(self) -> None:
        for life in self.all_lives():
            reply = self.admin.get(f"/api/blockchain/attempt/{life.id}/bundle")
            expect(reply, 200)
            report = examined(unzipped(reply.data))
            assert report.problems == []


def expect(reply: TestResponse, status: int = 200) -> Any:
    """Any: the JSON document, as a client sees it."""
    assert reply.status_code == status, reply.text
    found: Json | None = reply.get_json(silent=True)
    return found


@pytest.mark.parametrize(("machine", "examples"), [(Lives, 150), (LivesInRealTime, 40)])
def test_any_order_of_whatever_can_happen(
    app: Flask,
    sql: connection,
    settings: Settings,
    machine: type[Lives],
    examples: int,
) -> None:
    run_state_machine_as_test(
        # It says that it wants a class, and calls it.
        lambda: machine(app, sql, settings),  # type: ignore[arg-type]
        settings=hypothesis.settings(
            max_examples=examples,
            stateful_step_count=60,
            deadline=None,
            report_multiple_bugs=False,
        ),
    )
