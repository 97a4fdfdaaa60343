"""A student with a browser that does not give up."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from bench.morning.http import Answer, Connection, Json, LostError
from bench.morning.journal import Journal, Sample
from bench.morning.timetable import Action, Timetable

PATIENCE_SECONDS = 120.0
COME_BACK = frozenset({429, 502, 503, 504})
OK = frozenset({200, 201, 204})

EVENT_TYPES = ("session.milestone", "client.weak_wifi", "focus.lost")


class GivenUpError(Exception):
    """The server refused, or said nothing useful for too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    email: str
    password: str
    # From an earlier login, if there was one.
    token: str | None = None


class Student:
    def __init__(
        self,
        account: Account,
        exam_id: str,
        connection: Connection,
        clock: Callable[[], float],
        *,
        is_polite: bool,
    ) -> None:
        """`clock` gives the seconds since the morning began."""
        self.journal = Journal(account.email)
        self._account = account
        self._exam_id = exam_id
        self._connection = connection
        self._clock = clock
        self._token = account.token
        self._refresh_token: str | None = None
        self._is_polite = is_polite
        # His moment to start, and until when the server wants to hear less.
        self._slot = 0.0
        self._busy_until = 0.0
        # By so much he started later than he wanted, and does everything later.
        self._waited = 0.0
        self._unsent: list[Json] = []
        self._attempt: Json = None
        self._sequence = 0
        self._saves = 0
        self._rng = random.Random(account.email)

    async def live(self, timetable: Timetable) -> None:
        """Keep every appointment, however late, in order."""
        try:
            for appointment in timetable:
                if appointment.action is Action.START:
                    self._waited = max(0.0, self._slot - appointment.at)
                due = appointment.at + self._waited
                await asyncio.sleep(max(0.0, due - self._clock()))
                await self._keep(appointment.action, due)
        except GivenUpError as error:
            self.journal.failure = str(error)
        finally:
            self._connection.hang_up()

    async def _keep(self, action: Action, due: float) -> None:
        match action:
            case Action.LOG_IN | Action.REFRESH:
                await self._get_tokens(action, due)
            case Action.LOG_OUT:
                await self._send(action, due, "POST", "/api/auth/logout")
            case Action.LOOK:
                path = "/api/exams/available"
                self._find_slot(await self._send(action, due, "GET", path))
            case Action.START:
                path = f"/api/exams/{self._exam_id}/start"
                answer = await self._send(action, due, "POST", path, {})
                self._attempt = answer.json()
                self.journal.attempt_ids.add(self._attempt["id"])
            case Action.RELOAD:
                path = f"/api/exams/attempts/{self._attempt['id']}"
                await self._send(action, due, "GET", path)
            case Action.BEAT:
                await self._beat(due)
            case Action.SAVE:
                await self._save(due)
            case Action.SUBMIT:
                if self._unsent:
                    # What was left out last comes now, and late.
                    self.journal.left_out -= 1
                    await self._report(due)
                path = f"/api/exams/attempts/{self._attempt['id']}/submit"
                answer = await self._send(action, due, "POST", path)
                self.journal.receipt_seq = answer.json()["audit_seq"]

    async def _get_tokens(self, action: Action, due: float) -> None:
        shown = {"refresh_token": self._refresh_token}
        path = "/api/auth/refresh"
        if action is Action.LOG_IN:
            who = self._account
            shown = {"email": who.email, "password": who.password}
            path = "/api/auth/login"
        tokens = (await self._send(action, due, "POST", path, shown)).json()
        self._token = tokens["access_token"]
        self._refresh_token = tokens["refresh_token"]

    def _find_slot(self, answer: Answer) -> None:
        """Note when the waiting room wants him, as his own clock will show it."""
        if not self._is_polite:
            return
        for listed in answer.json()["items"]:
            if listed["id"] == self._exam_id:
                told, now = (
                    datetime.fromisoformat(listed[name])
                    for name in ("start_at", "server_time")
                )
                self._slot = self._clock() + (told - now).total_seconds()

    async def _beat(self, due: float) -> None:
        for event_type in self._rng.sample(EVENT_TYPES, self._rng.randint(1, 3)):
            self._sequence += 1
            self._unsent.append(
                {
                    "client_event_id": str(uuid4()),
                    "sequence": self._sequence,
                    "event_type": event_type,
                    "occurred_at": datetime.now(UTC).isoformat(),
                    "payload": {"duration_ms": self._rng.randint(200, 9000)},
                }
            )
        if self._is_polite and self._clock() < self._busy_until:
            self.journal.left_out += 1
        else:
            await self._report(due)

    async def _report(self, due: float) -> None:
        """Send what happened since the last report that was sent."""
        events, self._unsent = self._unsent, []
        self.journal.sent_events |= {str(e["client_event_id"]) for e in events}
        report = {"attempt_id": self._attempt["id"], "events": events}
        path = "/api/proctoring/events"
        answer = await self._send(Action.BEAT, due, "POST", path, report)
        for result in answer.json()["results"]:
            if result["status"] == "rejected":
                raise GivenUpError(f"an event was rejected: {result['problem']}")
            self.journal.events[result["client_event_id"]] = result["audit_seq"]

    async def _save(self, due: float) -> None:
        """Save the question at hand, and now and then the one before, changed."""
        questions = self._attempt["questions"]
        self._saves += 1
        chosen = {
            questions[(self._saves - back) % len(questions)]["id"]: questions[
                (self._saves - back) % len(questions)
            ]
            for back in range(self._rng.randint(1, 2))
        }
        answers = [
            {
                "question_id": question_id,
                "response": self._response(question),
                "client_version": self._saves,
            }
            for question_id, question in chosen.items()
        ]
        self.journal.sent_answers |= dict.fromkeys(chosen, self._saves)
        path = f"/api/exams/attempts/{self._attempt['id']}/answers"
        await self._send(Action.SAVE, due, "PUT", path, {"answers": answers})
        self.journal.answers |= dict.fromkeys(chosen, self._saves)

    def _response(self, question: Json) -> Json:
        if question["kind"] == "single_choice":
            return self._rng.choice(question["options"])["id"]
        if question["kind"] == "numeric":
            return self._rng.randint(1, 99)
        return "Because it is so. " * self._rng.randint(5, 60)

    async def _send(
        self, action: Action, due: float, method: str, path: str, body: Json = None
    ) -> Answer:
        """Send until there is an answer other than «come back later»."""
        statuses: list[int] = []
        give_up_at = self._clock() + PATIENCE_SECONDS
        while True:
            sent = self._clock()
            try:
                answer = await self._connection.ask(method, path, body, self._token)
            except LostError:
                answer = Answer(0, self._rng.uniform(0.2, 1.0), b"")
            done = self._clock()
            self._busy_until = done + answer.backoff
            statuses.append(answer.status)
            is_over = answer.status not in COME_BACK | {0} or self._clock() > give_up_at
            if is_over:
                is_good = answer.status in OK
                self.journal.samples.append(
                    Sample(action, due, sent, done, tuple(statuses), is_good)
                )
                if not is_good:
                    raise GivenUpError(
                        f"{action}: {answer.status} {answer.body[:300]!r}"
                    )
                return answer
            await asyncio.sleep((answer.retry_after or 1.0) * self._rng.uniform(1, 1.2))


def stopwatch() -> Callable[[], float]:
    """Return a clock that says how many seconds ago it was made."""
    began = time.monotonic()
    return lambda: time.monotonic() - began
